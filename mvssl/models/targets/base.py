"""What all targets share: their interface."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import nn

from mvssl.models.record import Embeddings
from mvssl.registry import TARGETS

__all__ = ["TargetSource"]


@TARGETS.base_class
class TargetSource(nn.Module, ABC):
    """Replaces the targets of a record.

    Attributes:
        min_views: views of an image that it needs.
        keeps_logits: whether its targets come with the record's target logits.
        stop_gradient: whether its targets carry no gradient, also where the record's do.
    """

    min_views: int = 2
    keeps_logits: bool = False
    stop_gradient: bool = True

    @abstractmethod
    def forward(self, record: Embeddings) -> Embeddings:
        """The record with the targets of this source."""

    def update(self, record: Embeddings) -> None:
        """Remember the embeddings of a training step, after its loss."""
