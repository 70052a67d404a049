"""What all backbones share: their interface."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor, nn

from mvssl.arguments import check_width
from mvssl.registry import BACKBONES, Checked

__all__ = ["Backbone"]


@BACKBONES.base_class
class Backbone(nn.Module, Checked):
    """Turns images into pooled features.

    Attributes:
        num_features: C, the width of its features.
        in_channels: c, the channels of its images.
    """

    num_features: int
    in_channels: int

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """Normalised images (N, c, s, s) to pooled features (N, C)."""

    def check_built(self) -> None:
        check_width(self, "num_features", "the width C of its features")
        check_width(self, "in_channels", "the channels of its images")
