"""Random numbers for every pixel, the same on the host and on the device.

Each follows from a sample's seed and its own place, by the finaliser of MurmurHash3 (Appleby,
public domain), in 32 bits: torch has no wider ones without a sign, of which the numbers of views
(``mvssl.views.draws``) are made. Suffixes: b samples, n numbers.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["normals", "seeds", "uniforms"]

_SEEDS = 2**32
_FIRST, _SECOND = 0x85EBCA6B, 0xC2B2AE35
_STEP = 0x9E3779B9  # 2^32 by the golden ratio: consecutive places lie far apart
_LOW = 0xFFFFFFFF


def seeds(u_b: NDArray[np.float64]) -> NDArray[np.int64]:
    """A seed of 32 bits for every sample, of uniform numbers in [0, 1)."""
    return (u_b * _SEEDS).astype(np.int64)


def uniforms(seed_b: Tensor, count: int) -> Tensor:
    """Independent numbers in [0, 1), float32 (B, count)."""
    x = (torch.arange(count, device=seed_b.device) * _STEP & _LOW) ^ seed_b[:, None]
    for shift, factor in ((16, _FIRST), (13, _SECOND), (16, _FIRST), (13, _SECOND)):
        # Products wrap around; of them the lowest 32 bits are kept.
        x = (x ^ (x >> shift)) * factor & _LOW
    return ((x ^ (x >> 16)) >> 8).float() * 2**-24


def normals(seed_b: Tensor, count: int) -> Tensor:
    """Of mean 0 and variance 1, float32 (B, count), by Box and Muller (1958)."""
    half = (count + 1) // 2
    u = uniforms(seed_b, 2 * half)
    radius = torch.sqrt(-2.0 * torch.log1p(-u[:, :half]))
    angle = 2.0 * math.pi * u[:, half:]
    return torch.cat([radius * torch.cos(angle), radius * torch.sin(angle)], dim=1)[:, :count]
