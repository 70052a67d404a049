"""A projector that ends in prototypes, so that the teacher has its own."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from mvssl.arguments import check_count
from mvssl.models.necks.base import Neck
from mvssl.models.precision import unit_vectors
from mvssl.models.prototypes import Prototypes
from mvssl.registry import NECKS, build_part

__all__ = ["PrototypeNeck"]


@NECKS.register_module()
class PrototypeNeck(Neck):
    """DINO's projection head (Caron et al. 2021): a bottleneck on the sphere, and prototypes.

    Args:
        projector: a member of NECKS, whose output is the bottleneck.
        num_prototypes: m (DINO's output dimension).
        in_channels: filled in by the model.

    Attributes:
        out_channels: D, of the bottleneck.
        prototypes: bottleneck (N, D) to logits, weight-normalised.
    """

    def __init__(self, projector: dict[str, Any], num_prototypes: int, in_channels: int) -> None:
        super().__init__()
        check_count("PrototypeNeck", at_least=2, num_prototypes=num_prototypes)
        self.projector: Neck = build_part(NECKS, projector, in_channels=in_channels)
        self.out_channels = self.projector.out_channels
        self.num_prototypes = num_prototypes
        self.prototypes = Prototypes(self.out_channels, [num_prototypes])

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels) to unit vectors (N, D); logits are ``prototypes`` of them."""
        return unit_vectors(self.projector(x))
