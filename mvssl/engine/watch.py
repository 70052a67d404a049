"""Finds what first was no number in a step, without making every step wait for the device.

Of each step since the last look a few means are kept where they are computed: of the views, of
some weights before the step, of what the network made, and the scalars of the head. Only when a
look finds that the loss or the weights are no numbers any more are they read, in the order in
which a step makes them: the first that is not finite is what happened first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import inf

import torch
from torch import Tensor, nn

from mvssl.distributed import all_gather_object, all_reduce_sum
from mvssl.models import MultiView
from mvssl.models.record import Embeddings

__all__ = ["NonFinite", "Watch", "names_of_non_finite", "non_finite_weights"]

# Parts of a record, in the order in which they are made.
RECORD = {
    "features": "the backbone's features",
    "z": "the neck's projections",
    "p": "the predictor's predictions",
    "target": "the targets",
    "logits": "the prototypes' logits",
    "target_logits": "the targets' logits",
}
LISTED = 3
KEPT = 512


@dataclass(frozen=True, order=True)
class NonFinite:
    """What was no number first.

    Attributes:
        iteration: from 1.
        place: in the order of a step.
        rank: of the process that saw it.
        what: in words.
    """

    iteration: int
    place: int
    rank: int
    what: str


@dataclass
class _Step:
    iteration: int
    means: dict[str, Tensor] = field(default_factory=dict)
    scalars: dict[str, Tensor] = field(default_factory=dict)


class Watch:
    """Keeps what :meth:`first` reads; a step costs a few reductions of what it has made anyway."""

    def __init__(self) -> None:
        self._steps: deque[_Step] = deque(maxlen=KEPT)

    @torch.no_grad()
    def begin(self, iteration: int, model: MultiView, views: Iterable[Tensor]) -> None:
        """Before the network is run; iterations count from 1."""
        step = _Step(iteration)
        step.means["views"] = _mean(views)
        for name, part in model.named_children():
            # The outermost weights of a part: what passes through it on the way back meets them.
            trained = [p for p in part.parameters() if p.requires_grad]
            if trained:
                step.means[f"weights of model.{name}"] = _mean([trained[0], trained[-1]])
        self._steps.append(step)

    @torch.no_grad()
    def made(self, record: Embeddings) -> None:
        """What the network made of the views."""
        for name in RECORD:
            tensors = getattr(record, name)
            if tensors:
                self._steps[-1].means[name] = _mean(tensors)

    def lost(self, outputs: Mapping[str, float | Tensor]) -> None:
        """What the head made of the record."""
        self._steps[-1].scalars = {
            name: value.detach() for name, value in outputs.items() if isinstance(value, Tensor)
        }

    def clear(self) -> None:
        """Forget steps in which all was well."""
        self._steps.clear()

    def first(self, rank: int) -> NonFinite | None:
        """What was no number first, on any process; the same on all, which call it together."""
        found = [one for step in self._steps for one in self._of_step(step, rank)]
        own = found[0] if found else None
        every = [one for one in all_gather_object(own) if one is not None]
        return min(every) if every else None

    def _of_step(self, step: _Step, rank: int) -> list[NonFinite]:
        for place, (name, value) in enumerate(step.means.items()):
            if not bool(value.isfinite()):
                return [NonFinite(step.iteration, place, rank, _words(name))]
        bad = [name for name, value in step.scalars.items() if not bool(value.isfinite().all())]
        if not any("loss" in name for name in bad):
            return []  # a monitor may find nothing to measure
        terms = [name for name in bad if "loss" not in name] or bad
        listed = ", ".join(terms)
        what = (
            f"{listed}, of numbers that are finite" if terms == bad else f"{listed} (in the loss)"
        )
        return [NonFinite(step.iteration, len(step.means), rank, f"the head's {what}")]


@torch.no_grad()
def non_finite_weights(model: nn.Module) -> Tensor:
    """How many of a model's trained weights hold something that is no number, over processes."""
    trained: list[Tensor] = [p for p in model.parameters() if p.requires_grad]
    if not trained:
        return torch.zeros(())
    norms = torch.stack([norm.float() for norm in torch._foreach_norm(trained, inf)])
    return all_reduce_sum((~norms.isfinite()).sum())


def names_of_non_finite(model: nn.Module) -> str:
    """``backbone.head.weight, ... (12 of 40)``; empty where all are numbers."""
    trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    bad = [name for name, p in trained if not bool(p.isfinite().all())]
    more = ", ..." if len(bad) > LISTED else ""
    return f"{', '.join(bad[:LISTED])}{more} ({len(bad)} of {len(trained)})" if bad else ""


def _mean(tensors: Iterable[Tensor]) -> Tensor:
    """One number that is finite only if all are."""
    return torch.stack([x.detach().mean(dtype=torch.float32) for x in tensors]).mean()


def _words(name: str) -> str:
    if name == "views":
        return "the views, as the preprocessor makes them"
    if name.startswith("weights"):
        return f"the {name}, by the gradient of the iteration before, whose loss was finite"
    return RECORD[name]
