"""The record that passes from the model to its head, and the pairs that heads walk.

Shape suffixes: V views, G targets, B images in the batch, C features, D projection size,
m prototypes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from mvssl.models.precision import at_least_float32

__all__ = ["NO_VIEW", "Embeddings", "view_pairs"]

NO_VIEW = -1
"""Number of a target that is no view of this batch, such as a bank's entry."""


@dataclass(frozen=True)
class Embeddings:
    """What a model makes of the views of a batch of images; lists have one entry a view.

    Attributes:
        features: V x (B, C), output of the backbone.
        z: V x (B, D), projections.
        p: V x (B, D), predictions; equal to ``z`` where there is no predictor.
        target: G x (B, D), the teacher's projections of the first G (global) views, without
            gradient; those of ``z`` where there is no teacher.
        index: (B,), sample numbers in the data set.
        logits: V x (B, m) where the neck ends in prototypes, else None.
        target_logits: G x (B, m), likewise.
        views: V numbers: which view each entry of ``features``, ``z`` and ``p`` is.
        target_views: G numbers, likewise of ``target``.
    """

    features: list[Tensor]
    z: list[Tensor]
    p: list[Tensor]
    target: list[Tensor]
    index: Tensor
    logits: list[Tensor] | None = None
    target_logits: list[Tensor] | None = None
    views: tuple[int, ...] = ()
    target_views: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name, tensors in (("views", self.z), ("target_views", self.target)):
            if not getattr(self, name):
                object.__setattr__(self, name, tuple(range(len(tensors))))

    def detach(self) -> Embeddings:
        """The same record without gradients, for monitors."""
        return self.map(Tensor.detach)

    def upcast(self) -> Embeddings:
        """The same record in float32 where autocast made it half precision."""
        return self.map(at_least_float32)

    def map(self, function: Callable[[Tensor], Tensor]) -> Embeddings:
        """The record with ``function`` of each tensor in its place."""
        changed: dict[str, Any] = {"index": function(self.index)}
        for name in ("features", "z", "p", "target", "logits", "target_logits"):
            tensors = getattr(self, name)
            changed[name] = None if tensors is None else [function(x) for x in tensors]
        return replace(self, **changed)


def view_pairs(record: Embeddings) -> list[tuple[int, int]]:
    """(g, v) for every target g and every prediction v of another view: which target each
    prediction is shown. Positions in the record's lists, not numbers of views.
    """
    return [
        (g, v)
        for g, target in enumerate(record.target_views)
        for v, view in enumerate(record.views)
        if target != view
    ]
