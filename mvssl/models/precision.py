"""In what precision losses and statistics are computed."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["at_least_float32", "has_direction", "unit_vectors"]


def at_least_float32(x: Tensor) -> Tensor:
    """``x`` in float32 where autocast made it half precision; float64 stays."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def unit_vectors(x: Tensor, dim: int = 1) -> Tensor:
    """``x`` with vectors of length 1 along ``dim``, in float32 or float64.

    A vector of zeros stays, and takes no gradient: it has no direction, and what ``F.normalize``
    gives there, 1e12 times that of the result, would outweigh all others.
    """
    x = at_least_float32(x)
    made = F.normalize(x, dim=dim)
    return torch.where(has_direction(x, dim), made, made.detach()) if made.requires_grad else made


def has_direction(x: Tensor, dim: int) -> Tensor:
    """Whether the vectors of ``x`` along ``dim``, which is kept, are other than zeros."""
    return (x.detach() != 0).any(dim=dim, keepdim=True)
