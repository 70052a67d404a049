"""One network for each modality of an image, as CMC has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mvssl.errors import UserError
from mvssl.models.backbones.base import Backbone
from mvssl.registry import BACKBONES

__all__ = ["SplitBackbone"]


@BACKBONES.register_module()
class SplitBackbone(Backbone):
    """Several backbones, each for some of an image's channels (CMC; Tian et al. 2020).

    An image with the channels of one part gives features (N, C), C the sum over all parts, with
    that part's features in their own place and zeros elsewhere. So the first linear layer of a neck
    acts as a layer of its own on each modality; its bias and what follows it are shared, in a
    linear neck the bias alone. An image with all channels gives the features of all parts, which
    is what CMC evaluates.

    Args:
        parts: configs of backbones, such as
            ``dict(type='TimmBackbone', ..., model_args=dict(in_chans=1))``. Their channels, in
            this order, make up the image's, and no two parts take equally many, since an image's
            channels say whose it is.

    Attributes:
        in_channels: channels of a whole image.
        num_features: C.

    Raises:
        UserError: fewer than two parts, or parts that take equally many channels.
    """

    def __init__(self, parts: Sequence[dict[str, Any]]) -> None:
        super().__init__()
        built: list[Backbone] = [BACKBONES.build(part) for part in parts]
        self.parts = nn.ModuleList(built)
        self.part_channels = [part.in_channels for part in built]
        self.part_features = [part.num_features for part in built]
        if len(parts) < 2 or len(set(self.part_channels)) < len(parts):
            raise UserError(
                f"SplitBackbone needs two parts or more that take different numbers of channels, "
                f"which say whose an image is; got {self.part_channels}: set in_chans in the "
                f"model_args of each part."
            )
        self.in_channels = sum(self.part_channels)
        self.num_features = sum(self.part_features)

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images (N, c, s, s), c those of one part or of all, to features (N, C)."""
        channels = images.shape[1]
        if channels == self.in_channels:
            pieces = images.split(self.part_channels, dim=1)
            return torch.cat([part(x) for part, x in zip(self.parts, pieces, strict=True)], dim=1)
        if channels not in self.part_channels:
            listed = ", ".join(map(str, self.part_channels))
            raise UserError(
                f"SplitBackbone has parts for {listed} channels, {self.in_channels} in all, and "
                f"got images of {channels}: change the parts' in_chans, or the views' channels."
            )
        number = self.part_channels.index(channels)
        before = sum(self.part_features[:number])
        features = self.parts[number](images)
        return F.pad(features, (before, self.num_features - before - features.shape[1]))
