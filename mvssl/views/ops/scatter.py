"""Random numbers for every pixel, the same on the host and on the device.

Each follows from a sample's seed and its own place, by the finaliser of MurmurHash3 (Appleby,
public domain), in 32 bits, which both NumPy and torch can do. Suffixes: b samples, n numbers.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["normal", "normals", "seeds", "uniform", "uniforms_of"]

_SEEDS = 2**32
_FIRST, _SECOND = 0x85EBCA6B, 0xC2B2AE35
_STEP = 0x9E3779B9  # 2^32 by the golden ratio: consecutive places lie far apart
_LOW = 0xFFFFFFFF


def seeds(u_b: NDArray[np.float64]) -> NDArray[np.int64]:
    """A seed of 32 bits for every sample, of uniform numbers in [0, 1)."""
    return (u_b * _SEEDS).astype(np.int64)


def _bits(seed: int, count: int) -> NDArray[np.uint32]:
    x = np.arange(count, dtype=np.uint32)
    x *= np.uint32(_STEP)
    x ^= np.uint32(seed)
    for shift, factor in ((16, _FIRST), (13, _SECOND), (16, _FIRST), (13, _SECOND)):
        x ^= x >> np.uint32(shift)
        x *= np.uint32(factor)
    x ^= x >> np.uint32(16)
    return x


def _bits_of(seed_b: Tensor, count: int) -> Tensor:
    """As ``_bits``, int64 (B, count): of products that wrap around the lowest 32 bits are kept."""
    x = torch.arange(count, device=seed_b.device) * _STEP & _LOW
    x = x ^ seed_b[:, None]
    for shift, factor in ((16, _FIRST), (13, _SECOND), (16, _FIRST), (13, _SECOND)):
        x = (x ^ (x >> shift)) * factor & _LOW
    return x ^ (x >> 16)


def uniform(seed: int, count: int) -> NDArray[np.float32]:
    """Numbers in [0, 1) of one sample, (count,)."""
    return (_bits(seed, count) >> np.uint32(8)).astype(np.float32) * np.float32(2**-24)


def uniforms_of(seed_b: Tensor, count: int) -> Tensor:
    """The same of several, float32 (B, count)."""
    return (_bits_of(seed_b, count) >> 8).float() * 2**-24


def normal(seed: int, count: int) -> NDArray[np.float32]:
    """Normal numbers of mean 0 and variance 1 of one sample, (count,), by Box and Muller (1958)."""
    half = (count + 1) // 2
    u = uniform(seed, 2 * half)
    radius = np.sqrt(-2.0 * np.log1p(-u[:half]))
    angle = np.float32(2.0 * math.pi) * u[half:]
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:count]


def normals(seed_b: Tensor, count: int) -> Tensor:
    """The same of several, float32 (B, count)."""
    half = (count + 1) // 2
    u = uniforms_of(seed_b, 2 * half)
    radius = torch.sqrt(-2.0 * torch.log1p(-u[:, :half]))
    angle = 2.0 * math.pi * u[:, half:]
    return torch.cat([radius * torch.cos(angle), radius * torch.sin(angle)], dim=1)[:, :count]
