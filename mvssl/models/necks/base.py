"""What all necks share: their interface."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor, nn

from mvssl.arguments import check_width
from mvssl.registry import NECKS, Checked

__all__ = ["Neck"]


@NECKS.base_class
class Neck(nn.Module, Checked):
    """Turns features into projections, or, as a predictor, projections into predictions.

    Attributes:
        out_channels: D, the width of what it makes.
        num_prototypes: m where it ends in ``prototypes``, which make logits of its projections.
    """

    out_channels: int
    num_prototypes: int | None = None

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels) to (N, D)."""

    def check_built(self) -> None:
        check_width(self, "out_channels", "the width D of its projections")
