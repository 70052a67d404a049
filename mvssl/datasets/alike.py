"""Whether the images of a data set differ at all."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mvssl.datasets.base import ImageDataset
from mvssl.datasets.values import resized

__all__ = ["images_differ"]

LOOKED_AT = 32
SIDE = 16
GREY_LEVELS = 2.0


def images_differ(dataset: ImageDataset) -> bool:
    """Whether any of 32 images, evenly spread over the data set, differs from the others.

    They are compared at 16 x 16 pixels; two grey levels of 256 are no difference, so that copies
    that were saved anew count as equal. True where fewer than two can be read.
    """
    numbers = np.unique(np.linspace(0, len(dataset) - 1, LOOKED_AT).round().astype(int))
    first: NDArray[np.float32] | None = None
    readable = 0
    for number in numbers.tolist():
        image = dataset.pixels(number)
        if image is None:
            continue
        readable += 1
        small = _small(image)
        if first is None:
            first = small
        elif small.shape != first.shape or np.abs(small - first).max() > GREY_LEVELS:
            return True
    return readable < 2


def _small(image: NDArray[np.generic]) -> NDArray[np.float32]:
    levels = image.astype(np.float32) * (1.0 if image.dtype == np.uint8 else 255.0)
    return np.asarray(resized(levels, SIDE, SIDE), np.float32)
