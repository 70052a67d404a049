"""Prototypes: unit vectors that projections are compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mvssl.arguments import check_count
from mvssl.errors import UserError
from mvssl.models.precision import at_least_float32, unit_vectors

__all__ = ["Prototypes"]


class Prototypes(nn.Module):
    """One or several sets of trained prototypes; logits are cosines in [-1, 1].

    The weights' directions are what counts: SwAV's normalised prototypes, and DINO's last layer
    with weight normalisation and its gain fixed at 1.

    Args:
        in_channels: D.
        sizes: m, the number of prototypes of each set.

    Attributes:
        frozen: whether ``FreezeHook`` keeps them where they are.
    """

    hooks_of_schedules: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "frozen": {
            "FreezeHook": "what a schedule of '....frozen' names is kept still by FreezeHook, and "
            "there is none among the hooks: add "
            "default_hooks = dict(freeze=dict(type='FreezeHook')), or set the schedule to None."
        }
    }

    def __init__(self, in_channels: int, sizes: Sequence[int]) -> None:
        super().__init__()
        if not sizes:
            raise UserError("Prototypes: num_prototypes is empty: give a number, or several.")
        for size in sizes:
            check_count("Prototypes", at_least=2, num_prototypes=size)
        check_count("Prototypes", in_channels=in_channels)
        self.sizes = tuple(sizes)
        self.frozen = False
        # nn.Linear's draw: only directions matter, but a step's angle depends on the length.
        layers = [nn.Linear(in_channels, size, bias=False) for size in sizes]
        self.weights = nn.ParameterList([layer.weight for layer in layers])

    def forward(self, z: Tensor) -> list[Tensor]:
        """Embeddings (N, D) of any length to logits (N, m), one tensor a set, in full precision."""
        with torch.autocast(z.device.type, enabled=False):
            unit_nd = unit_vectors(z)
            return [unit_nd @ F.normalize(at_least_float32(w), dim=1).T for w in self.weights]
