"""Rectangles of a random area and shape, of which the first that fits into an image is taken."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["TRIES", "drawn_sides", "first_that_fits"]

TRIES = 10
"""As in torchvision's RandomResizedCrop and RandomErasing."""


def drawn_sides(
    u_bn: NDArray[np.float64], pixels: int, scale: tuple[float, float], ratio: tuple[float, float]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sides of ``TRIES`` rectangles of each sample, in pixels, (B, TRIES): a first and a second.

    Args:
        u_bn: Uniform numbers, (B, 2 ``TRIES``): of areas, then of ratios.
        pixels: Of the image.
        scale: Range of the area, as a fraction of the image's.
        ratio: Range of second / first, drawn uniformly on a logarithmic scale.
    """
    low, high = scale
    area_bt = pixels * (low + (high - low) * u_bn[:, :TRIES])
    low, high = np.log(ratio)
    ratio_bt = np.exp(low + (high - low) * u_bn[:, TRIES:])
    first = np.rint(np.sqrt(area_bt / ratio_bt)).astype(np.int64)
    return first, np.rint(np.sqrt(area_bt * ratio_bt)).astype(np.int64)


def first_that_fits(
    fits_bt: NDArray[np.bool_], *values_bt: NDArray[np.int64]
) -> tuple[NDArray[np.int64], ...]:
    """Values, (B,), of each sample's first rectangle that fits; of the first, where none does."""
    chosen = np.arange(len(fits_bt)), fits_bt.argmax(axis=1)
    return tuple(values[chosen] for values in values_bt)
