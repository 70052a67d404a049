"""Random directions onto which embeddings are projected, to be looked at in one dimension."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["slice_directions"]


def slice_directions(z: Tensor, number: int, step: int) -> Tensor:
    """Unit vectors (D, number) for embeddings (..., D): drawn from the training step's number, on
    the CPU, so that all views, processes and devices have the same.
    """
    generator = torch.Generator().manual_seed(step)
    drawn_ds = torch.randn(z.shape[-1], number, generator=generator)
    return F.normalize(drawn_ds.to(z), dim=0)
