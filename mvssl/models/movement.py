"""How far weights have moved, told from a few entries of each."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

__all__ = ["distance", "sample_weights"]

ENTRIES = 64


@torch.no_grad()
def sample_weights(parameters: Iterable[nn.Parameter]) -> Tensor:
    """At most 64 entries of every parameter, evenly spread, in one vector (float32).

    A vector that is kept from the start of a run takes kilobytes where a copy of the weights would
    take as much memory as they do.
    """
    parts = []
    for parameter in parameters:
        flat = parameter.detach().flatten()
        parts.append(flat[:: max(flat.numel() // ENTRIES, 1)][:ENTRIES].float())
    return torch.cat(parts) if parts else torch.zeros(0)


def distance(weights: Tensor, reference: Tensor) -> Tensor:
    """``|weights - reference| / |reference|``, a scalar; 0 where they are equal.

    The reference may lie elsewhere, such as on the host, where a checkpoint was read.
    """
    reference = reference.to(weights.device)
    moved = (weights - reference).norm()
    return moved / reference.norm().clamp_min(torch.finfo(moved.dtype).tiny)
