"""Depth and channels: which values are black and white, and which channels are colours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mvssl.arguments import is_number
from mvssl.errors import UserError
from mvssl.opencv import cv2

__all__ = [
    "MOST_CHANNELS",
    "check_value_range",
    "mean_and_std",
    "moments",
    "range_of",
    "resized",
    "to_unit",
]

MOST_CHANNELS: Final = 512
"""As many as OpenCV takes."""

_DEPTHS = (8, 10, 12, 14, 16)
_AREA_CHANNELS = 4  # as many as OpenCV averages at once


def check_value_range(owner: str, values: Any) -> tuple[float, float] | None:
    """Two finite numbers, the lower one first, or None.

    Raises:
        UserError: they are something else.
    """
    if values is None:
        return None
    pair = tuple(values) if isinstance(values, (tuple, list)) else ()
    numbers = len(pair) == 2 and all(map(is_number, pair)) and bool(np.isfinite(pair).all())
    if not numbers or not pair[0] < pair[1]:
        raise UserError(
            f"{owner}: value_range is two numbers, the value of black and that of white, such as "
            f"(0, 4095), got {values!r}."
        )
    return float(pair[0]), float(pair[1])


def to_unit(image: NDArray[Any], value_range: tuple[float, float]) -> NDArray[np.float32]:
    """Values as float32, ``value_range`` as [0, 1], what lies outside cut off; no number is 0."""
    low, high = value_range
    # Of 32 bits and more, float32 would lose what distinguishes large values.
    kind = np.float64 if image.dtype.itemsize > 2 else np.float32
    values: NDArray[Any] = np.subtract(image, low, dtype=kind)
    np.divide(values, high - low, out=values)
    return np.nan_to_num(values, nan=0.0).clip(0.0, 1.0).astype(np.float32)


def range_of(images: Iterable[NDArray[Any]]) -> tuple[float, float] | None:
    """The range of the values of images, None where they hold no two.

    Of whole numbers from 0 on, that of the fewest bits (8, 10, 12, 14, 16) that hold them: cameras,
    microscopes and satellites store so many in files of 16 that do not say it. Of fractions, 0 to 1
    where they lie there and not all in the darker half. Else from the least to the largest.
    """
    low, high, whole = np.inf, -np.inf, True
    for image in images:
        finite = image[np.isfinite(image)]
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
        whole &= image.dtype.kind in "ui"
    if whole and low >= 0 and high < 2**16 and high > 0:
        return 0.0, next(2.0**bits - 1 for bits in _DEPTHS if high < 2**bits)
    if low >= 0 and 0.5 < high <= 1 and not whole:
        return 0.0, 1.0
    return (low, high) if low < high else None


def moments(image: NDArray[Any]) -> NDArray[np.float64]:
    """(2, C), means of the values in [0, 1] and of their squares, of an image as a data set gives
    it: (H, W, C), uint8 or in [0, 1].
    """
    white = 255.0 if image.dtype == np.uint8 else 1.0
    total = image.shape[0] * image.shape[1]
    # Summed as it is: a copy in float64 takes eight times the memory.
    first = np.einsum("hwc->c", image, dtype=np.float64) / (total * white)
    second = np.einsum("hwc,hwc->c", image, image, dtype=np.float64) / (total * white**2)
    return np.stack([first, second])


def mean_and_std(
    several: Sequence[NDArray[np.float64]],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of every channel, (C,), by the `moments` of images, which count the same each."""
    mean, square = np.mean(several, axis=0)
    return mean, np.sqrt(np.maximum(square - mean**2, 0.0))


def resized(image: NDArray[Any], width: int, height: int) -> NDArray[Any]:
    """Averaged where it shrinks, interpolated where it grows, with any number of channels."""
    shrinks = width * height < image.shape[0] * image.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    parts = [
        cv2.resize(image[..., first : first + _AREA_CHANNELS], (width, height), interpolation=how)
        for first in range(0, image.shape[2], _AREA_CHANNELS)
    ]
    return np.concatenate([part.reshape(height, width, -1) for part in parts], axis=2)
