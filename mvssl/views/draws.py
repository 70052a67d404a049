"""The random numbers of views: a pure function of seed, epoch, sample, view and place.

No generator holds a state, so a view repeats exactly in whatever batch, order, worker or process
it is made, and both view engines draw the same one. Suffixes: b samples, n numbers.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

__all__ = ["first_place", "numbers", "places", "sample_keys", "stream_keys", "uniforms"]

_ALL_BITS = 0xFFFFFFFFFFFFFFFF
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of splitmix64 (Steele, Lea & Flood, 2014): a bijection that scatters bits."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def sample_keys(
    seed: int, epoch_b: NDArray[np.int64], index_b: NDArray[np.int64]
) -> NDArray[np.uint64]:
    """A key of every sample in its epoch, (B,); of the seed, the lowest 64 bits count."""
    # One-element arrays, since NumPy warns of the (wanted) overflow of its scalars.
    key_b = _mix(np.array([seed & _ALL_BITS], dtype=np.uint64) + _GOLDEN)
    for part_b in (epoch_b, index_b):
        key_b = _mix((key_b ^ part_b.astype(np.uint64)) + _GOLDEN)
    return key_b


def stream_keys(key_b: NDArray[np.uint64], stream: int | NDArray[np.int64]) -> NDArray[np.uint64]:
    """Keys of sequences of numbers, (B,); ``stream`` tells purposes apart: a view's number.

    Of one key and several streams, (S,), one each.
    """
    return _mix((key_b ^ np.atleast_1d(stream).astype(np.uint64)) + _GOLDEN)


def numbers(key_b: NDArray[np.uint64], places_n: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Independent uniform numbers in [0, 1), (B, N): those at these places of each sequence, (N,)
    or, with places of its own, (B, N).

    A sequence has 2^64 numbers; each depends on its key and its place alone.
    """
    bits_bn = _mix(key_b[:, None] + places_n * _GOLDEN + _GOLDEN)
    return (bits_bn >> np.uint64(11)).astype(np.float64) * 2.0**-53


def places(first: int, count: int) -> NDArray[np.uint64]:
    """``count`` places in a row, (count,)."""
    return np.arange(count, dtype=np.uint64) + np.array([first & _ALL_BITS], dtype=np.uint64)


def first_place(name: str) -> int:
    """Where the numbers of ``name`` begin, the same on every machine."""
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def uniforms(
    seed: int, epoch_b: NDArray[np.int64], index_b: NDArray[np.int64], stream: int, count: int
) -> NDArray[np.float64]:
    """The first ``count`` numbers of every sample in a stream, (B, count)."""
    return numbers(stream_keys(sample_keys(seed, epoch_b, index_b), stream), places(0, count))
