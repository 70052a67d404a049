"""Likely causes of what a run suffers from, and remedies, for the method that it trains."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mvssl.arguments import is_number
from mvssl.models.multiview import MultiView

__all__ = ["Method", "advice", "spread_over_prototypes"]

SMALL_BATCH = 32
Advice = Iterator[tuple[str, str]]


@dataclass(frozen=True)
class Method:
    """What of a method matters to causes and remedies.

    Attributes:
        head: name of its class; of its loss and its assigner likewise, empty where it has none.
        predictor: whether there is one.
        momentum: the teacher's, None where there is none.
        batch_size: over all processes.
        lr: the highest rate of the run, as far as it is known.
        settings: of head, loss, assigner and target, by their names.
    """

    head: str = ""
    loss: str = ""
    assigner: str = ""
    predictor: bool = False
    momentum: float | None = None
    batch_size: int = 0
    lr: float = 0.0
    settings: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, model: MultiView, batch_size: int, lr: float) -> Method:
        """That of a model."""
        head = model.head
        loss, assigner = getattr(head, "loss", None), getattr(head, "assigner", None)
        parts = (head, loss, assigner, getattr(head, "target", None))
        settings: dict[str, float] = {}
        for part in parts:
            settings |= _numbers(part)
        weight = getattr(getattr(head, "entropy", None), "weight", None)
        return cls(
            head=type(head).__name__,
            loss="" if loss is None else type(loss).__name__,
            assigner="" if assigner is None else type(assigner).__name__,
            predictor=model.predictor is not None,
            momentum=None if model.teacher is None else model.teacher.momentum,
            batch_size=batch_size,
            lr=lr,
            settings=settings if weight is None else settings | {"entropy_weight": weight},
        )

    @property
    def has_entropy(self) -> bool:
        """Whether the objective is ER, whose entropy term keeps embeddings apart."""
        return "entropy_weight" in self.settings

    @property
    def distils(self) -> bool:
        """Whether nothing but its asymmetry keeps it from equal embeddings (BYOL, SimSiam)."""
        return self.loss == "CosineSimilarityLoss"


def advice(
    kind: str, now: Mapping[str, float], method: Method
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Causes and remedies of a fault, the likeliest first."""
    found = list(RULES[kind](now, method))
    return tuple(cause for cause, _ in found if cause), tuple(
        dict.fromkeys(remedy for _, remedy in found)
    )


def _equal_images(now: Mapping[str, float], method: Method) -> Advice:
    yield (
        "the folder holds copies of one image, or whatever reads the images gives the same for all",
        "look at views.png and at the files",
    )


def _nothing_learnt(now: Mapping[str, float], method: Method) -> Advice:
    if method.lr == 0.0:
        yield (
            "the learning rate is 0",
            "set optim_wrapper.optimizer.lr, and look at the schedule (param_scheduler)",
        )
        return
    if now.get("weights_moved", 1.0) < 1e-3:
        yield (
            f"a learning rate of {method.lr:.1e} is too low",
            "raise optim_wrapper.optimizer.lr",
        )
        yield (
            "mixed precision skips every step",
            "leave out --amp",
        )
        return
    yield (
        "the learning rate is too low, or so high that nothing settles",
        "try a learning rate ten times as high, and one of a tenth",
    )
    yield (
        "the views of an image have nothing in common",
        "look at views.png, and choose milder views",
    )


def _dead_teacher(now: Mapping[str, float], method: Method) -> Advice:
    yield (
        f"model.teacher.momentum, the fraction that it keeps at a step, is {method.momentum:g}",
        "lower model.teacher.momentum (0.99 in short runs, 0.996 in long ones), and look at the "
        "schedule that sets it (schedules.teacher_momentum)",
    )


def _complete(now: Mapping[str, float], method: Method) -> Advice:
    found = [*_asymmetry(method), *_near_teacher(method)] if method.distils else []
    if method.loss == "VICRegLoss" and method.settings["var"] < 1.0:
        found.append(("nothing asks for variance (var)", "set model.head.loss.var=25.0"))
    if method.has_entropy and method.settings["entropy_weight"] < 0.5:
        weight = method.settings["entropy_weight"]
        found.append(
            (f"the entropy counts {weight:g} times", "set model.head.entropy_weight=1.0"),
        )
    yield from found or _training(method)
    yield from _entropy(method)


def _dimensional(now: Mapping[str, float], method: Method) -> Advice:
    found = [*_asymmetry(method), *_near_teacher(method)] if method.distils else []
    if method.loss == "BarlowTwinsLoss" and method.settings["lambd"] < 1e-4:
        found.append(("nothing keeps dimensions apart", "set model.head.loss.lambd=0.005"))
    if method.loss == "VICRegLoss" and method.settings["cov"] < 0.1:
        found.append(("nothing keeps dimensions apart", "set model.head.loss.cov=1.0"))
    yield from found
    yield (
        "a layer of model.neck is narrow, or nothing normalises it",
        "widen it (hidden_channels), and give it norm='batch'",
    )
    if not found:
        yield from _training(method)
    yield from _entropy(method)


def _prototypes(now: Mapping[str, float], method: Method) -> Advice:
    found = list(_near_teacher(method))
    flat = spread_over_prototypes(now)
    if flat and method.assigner == "Sinkhorn":
        found.append(("assignments are too soft", "lower model.head.assigner.epsilon"))
    elif flat:
        found.append(
            ("the teacher's targets are too soft", "lower model.head.assigner.teacher_temp")
        )
    elif method.assigner == "Sharpening" and not method.has_entropy:
        found.append(
            (
                "sharpening alone has nothing against one prototype for all",
                "choose model.head.assigner.type='Centering'",
            )
        )
    elif method.assigner == "Centering":
        found.append(
            (
                "the centre follows too slowly, or targets are too sharp",
                "lower model.head.assigner.momentum, or raise its teacher_temp",
            )
        )
    yield from found or _training(method)
    yield from _entropy(method)


def _asymmetry(method: Method) -> Advice:
    """What BYOL and SimSiam need."""
    if not method.predictor:
        yield (
            "there is no predictor, so equal embeddings are the easiest solution",
            "give model.predictor=dict(type='MLP', hidden_channels=512)",
        )
    if not method.settings.get("stop_gradient", 1.0):
        yield "targets carry a gradient", "set model.head.target.stop_gradient=True"


def spread_over_prototypes(now: Mapping[str, float]) -> bool:
    """Whether assignments without information are flat (True) or all on few prototypes."""
    return now["entropy"] > 0.5 * now["entropy_cap"]


def _near_teacher(method: Method) -> Advice:
    if method.momentum is not None and method.momentum < 0.5:
        yield (
            f"the teacher keeps {method.momentum:g} of itself at a step, so it is the student",
            "raise model.teacher.momentum to 0.99",
        )


def _training(method: Method) -> Advice:
    """Where the method itself is as it should be."""
    yield (
        f"the learning rate of {method.lr:.1e} is too high",
        "lower optim_wrapper.optimizer.lr, or lengthen the warm-up",
    )
    if 0 < method.batch_size < SMALL_BATCH:
        yield f"a batch of {method.batch_size} shows few images at once", "raise the batch size"


def _entropy(method: Method) -> Advice:
    if not method.has_entropy:
        yield "", "--objective er, whose entropy term keeps embeddings apart"


def _numbers(part: Any) -> dict[str, float]:
    """Settings of a part of a head, those of these that it has."""
    names = ("stop_gradient", "var", "cov", "lambd", "teacher_temp", "student_temp", "epsilon")
    found: dict[str, Any] = {name: getattr(part, name, None) for name in names}
    known = [name for name, value in found.items() if is_number(value) or isinstance(value, bool)]
    return {name: found[name] for name in known}


def _worse(now: Mapping[str, float], method: Method) -> Advice:
    yield (
        "it has trained for too few epochs to make up for what the first ones undo",
        "train for longer (train_cfg.max_epochs)",
    )
    yield (
        "views leave out what tells the classes apart, or share what does not",
        "look at views.png, and choose other views",
    )
    yield from _training(method)


RULES: dict[str, Callable[[Mapping[str, float], Method], Advice]] = {
    "equal images": _equal_images,
    "nothing learnt": _nothing_learnt,
    "dead teacher": _dead_teacher,
    "complete collapse": _complete,
    "prototype collapse": _prototypes,
    "dimensional collapse": _dimensional,
    "worse than before": _worse,
}
