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

__all__ = ["Embeddings", "view_pairs"]


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
        target_views: G tuples of numbers: of which views of this batch each entry of ``target`` is
            made; one, if it is not a mean, and none of a bank's.
    """

    features: list[Tensor]
    z: list[Tensor]
    p: list[Tensor]
    target: list[Tensor]
    index: Tensor
    logits: list[Tensor] | None = None
    target_logits: list[Tensor] | None = None
    views: tuple[int, ...] = ()
    target_views: tuple[tuple[int, ...], ...] = ()

    def __post_init__(self) -> None:
        if not self.views:
            object.__setattr__(self, "views", tuple(range(len(self.z))))
        if not self.target_views:
            alone = tuple((number,) for number in range(len(self.target)))
            object.__setattr__(self, "target_views", alone)

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
    """(g, v) for every target g and every prediction v of a view that is no part of it: which
    target each prediction is shown. Positions in the record's lists, not numbers of views.
    """
    return [
        (g, v)
        for g, made_of in enumerate(record.target_views)
        for v, view in enumerate(record.views)
        if view not in made_of
    ]
