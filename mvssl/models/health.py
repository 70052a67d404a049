"""What the figures of a run mean: from measured numbers to a diagnosis, pure functions.

The figures are those of ``mvssl.models.measures`` and of ``mvssl.models.movement``, by name. Each
is judged by the share that it has of what it could be at the most: ranks and entropies are limited
by the batch and by the width of the embeddings, so that no number means the same in two runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvssl.arguments import check_not_negative
from mvssl.errors import UserError
from mvssl.models.remedies import Method, advice, spread_over_prototypes
from mvssl.words import each, near_names

__all__ = ["FIGURES", "OUTCOMES", "Diagnosis", "Limits", "change", "diagnose", "worse"]

Figures = Mapping[str, float]

# What changes where anything is learnt.
OUTCOMES = (
    "loss",
    "entropy",
    "rankme",
    "features_rankme",
    "embedding_std",
    "infonce",
    "features_infonce",
    "information",
)
FEW = 5
# What faults are told from.
FIGURES = (
    "rankme",
    "rankme_cap",
    "embedding_std",
    "embedding_std_cap",
    "entropy",
    "conditional_entropy",
    "information",
    "mi_ceiling",
    "weights_moved",
    "teacher_moved",
    "teacher_distance",
)
# Of the rank that is possible: what is told, and is no fault.
LOW = 0.1


@dataclass(frozen=True)
class Limits:
    """From where on a figure means a fault; docs/health.md has the reasons.

    Attributes:
        spread: standard deviation of the embeddings, as a share of that of embeddings that fill
            the sphere.
        rank: effective rank of the embeddings, as a share of what batch and width allow.
        directions: effective rank that is too low however small batch and width are, if they allow
            four times as much.
        information: H(W) - H(W|X) of prototypes, as a share of its ceiling.
        moved: of the weights since the start, relative to their size.
        teacher: how far the teacher moved, as a share of the way of the student.
        change: of every outcome since the start, in standard errors.
        worse: by how many standard errors kNN is below what it was before training.
    """

    spread: float = 0.1
    rank: float = 0.005
    directions: float = 1.9
    information: float = 0.01
    moved: float = 1e-5
    teacher: float = 1e-3
    change: float = 3.0
    worse: float = 2.0

    @classmethod
    def of(cls, values: Mapping[str, float]) -> Limits:
        """From a config.

        Raises:
            UserError: there is no limit of a name, or one is no number of at least 0.
        """
        known = [one.name for one in fields(cls)]
        for name in values:
            if name not in known:
                raise UserError(
                    f"DoctorHook: there is no limit '{name}'{near_names(name, known)} "
                    f"Known are {each(known)}."
                )
        check_not_negative("DoctorHook", **values)
        return cls(**values)


@dataclass(frozen=True)
class Diagnosis:
    """What is seen, and what to do about it.

    Attributes:
        kind: ``healthy``, ``equal images``, ``nothing learnt``, ``dead teacher``, ``complete
            collapse``, ``prototype collapse``, ``dimensional collapse``, ``worse than before`` or
            ``unknown``.
        sentence: for a person, with the figures that it rests on.
        causes: likely ones, of this method.
        remedies: likewise.
    """

    kind: str
    sentence: str
    causes: tuple[str, ...] = ()
    remedies: tuple[str, ...] = ()

    @classmethod
    def of(cls, saved: Mapping[str, Any]) -> Diagnosis:
        """From a dict of its fields, whose tuples may have become lists."""
        texts = {name: tuple(map(str, saved[name])) for name in ("causes", "remedies")}
        return cls(str(saved["kind"]), str(saved["sentence"]), **texts)

    @property
    def is_fault(self) -> bool:
        """Whether something is wrong."""
        return self.kind not in ("healthy", "unknown")

    @property
    def may_pass(self) -> bool:
        """Whether it may mend itself: SimSiam's embeddings may go through one dimension."""
        return self.kind == "dimensional collapse"


def diagnose(
    now: Figures,
    changes: Figures,
    method: Method,
    limits: Limits | None = None,
    images_differ: bool = True,
) -> Diagnosis:
    """The first fault that the figures show, from the root to its consequences, or that all is
    well.

    Args:
        now: the latest figures; any may be missing, then nothing is said of it.
        changes: of outcomes since the start (:func:`change`), once they should have changed.
        method: what is trained, for causes and remedies.
        limits: from where on a figure means a fault.
        images_differ: whether the images are not all equal.
    """
    limits = limits or Limits()
    found = (
        ("equal images", _equal_images(images_differ)),
        ("nothing learnt", _still_weights(now, limits)),
        ("dead teacher", _dead_teacher(now, limits)),
        ("complete collapse", _complete(now, limits)),
        ("prototype collapse", _prototypes(now, limits)),
        ("dimensional collapse", _dimensional(now, limits)),
        ("nothing learnt", _same_outcomes(changes, limits)),
    )
    for kind, sentence in found:
        if sentence is not None:
            causes, remedies = advice(kind, now, method)
            return Diagnosis(kind, f"{kind}: {sentence}", causes, remedies)
    rank, used = _of_cap(now, "rankme"), share(now, "rankme", "rankme_cap")
    if rank is None or used is None:
        return Diagnosis("unknown", "not judged: nothing was measured of the embeddings")
    told = "healthy" if used > LOW else "healthy, though in few dimensions"
    return Diagnosis("healthy", f"{rank}: {told}")


def worse(
    before: float, after: float, images: int, method: Method, limits: Limits | None = None
) -> Diagnosis | None:
    """A fault, where features tell classes apart less well than those of the untrained network.

    Args:
        before, after: shares of held-out images that kNN puts into their classes.
        images: that were held out, which decide what is chance.
        method, limits: as of :func:`diagnose`.
    """
    limits = limits or Limits()
    error = np.sqrt((before * (1 - before) + after * (1 - after)) / max(images, 1))
    if before - after <= limits.worse * error:
        return None
    kind = "worse than before"
    causes, remedies = advice(kind, {}, method)
    fall = round(before, 3) - round(after, 3)
    sentence = f"{kind}: kNN fell by {fall:.3f} in training, from {before:.3f} to {after:.3f}"
    return Diagnosis(kind, sentence, causes, remedies)


def change(values: NDArray[np.float64]) -> float | None:
    """By how many standard errors the mean of the last five values differs from that of the first
    five; None where there are fewer than ten.
    """
    if len(values) < 2 * FEW:
        return None
    first, last = values[:FEW], values[-FEW:]
    error = np.sqrt((first.var(ddof=1) + last.var(ddof=1)) / FEW)
    return float(abs(last.mean() - first.mean()) / max(error, np.finfo(np.float64).tiny))


def share(figures: Figures, name: str, most: str) -> float | None:
    """A figure as a share of its cap; None where one of them is not known."""
    if name not in figures or figures.get(most, 0.0) <= 0.0:
        return None
    return figures[name] / figures[most]


def _of_cap(figures: Figures, name: str) -> str | None:
    value, cap = figures.get(name), figures.get(f"{name}_cap")
    if value is None or cap is None:
        return None
    return f"rank {value:.{0 if value >= 10 else 1}f} of {cap:.0f}"


def _equal_images(images_differ: bool) -> str | None:
    return None if images_differ else "all images that were looked at show the same"


def _still_weights(now: Figures, limits: Limits) -> str | None:
    moved = now.get("weights_moved")
    if moved is None or moved > limits.moved:
        return None
    if moved == 0.0:
        return "the weights are those of the start"
    return f"the weights have moved by {moved:.0e} of their size since the start"


def _dead_teacher(now: Figures, limits: Limits) -> str | None:
    moved, student = now.get("teacher_moved"), now.get("weights_moved")
    if moved is None or student is None or moved > limits.teacher * student:
        return None
    return "the teacher is where it started, while the student has moved"


def _complete(now: Figures, limits: Limits) -> str | None:
    spread = share(now, "embedding_std", "embedding_std_cap")
    if spread is None or spread > limits.spread:
        return None
    return (
        f"all embeddings are nearly equal (their spread is {_percent(spread)} of what it could be)"
    )


def _prototypes(now: Figures, limits: Limits) -> str | None:
    if "conditional_entropy" not in now:  # there are none
        return None
    known = share(now, "information", "mi_ceiling")
    if known is None or known > limits.information:
        return None
    told = f"H(W) {now['entropy']:.2f}, H(W|X) {now['conditional_entropy']:.2f} nats"
    if spread_over_prototypes(now):
        return f"every image is spread alike over the prototypes ({told})"
    return f"all images are assigned to the same few prototypes ({told})"


def _dimensional(now: Figures, limits: Limits) -> str | None:
    rank, cap = now.get("rankme"), now.get("rankme_cap", 0.0)
    if rank is None or cap < 4 * limits.directions:
        return None
    if rank > max(limits.directions, limits.rank * cap):
        return None
    return f"the embeddings lie in hardly more than one direction ({_of_cap(now, 'rankme')})"


def _same_outcomes(changes: Figures, limits: Limits) -> str | None:
    if len(changes) < 4 or max(changes.values()) > limits.change:
        return None
    return "loss, rank and information of the embeddings are those of the start"


def _percent(value: float) -> str:
    return f"{100 * value:.0f}%" if value >= 0.01 else "less than 1%"
