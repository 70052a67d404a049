"""What decoders of several kinds of files share."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from numpy.typing import NDArray

from mvssl.opencv import cv2, mmcv
from mvssl.words import count

# OpenCV 5 moved the functions of its log.
_LOGGING = cv2 if int(cv2.__version__.split(".")[0]) < 5 else cv2.utils.logging
_SILENT = 0
ON_ITS_SIDE = (5, 6, 7, 8)
"""Orientations of EXIF and TIFF that exchange height and width."""

Pixels = NDArray[Any]
"""Values of an image as they are in its file, (H, W, C)."""


def upright(pixels: Pixels, orientation: int) -> Pixels:
    """What ``ImageOps.exif_transpose`` does, of pixels; another number than 1 to 8 is none."""
    turned = pixels.swapaxes(0, 1) if orientation in ON_ITS_SIDE else pixels
    turned = turned[::-1] if orientation in (3, 4, 7, 8) else turned
    return turned[:, ::-1] if orientation in (2, 3, 6, 7) else turned


def other_channels(found: int, channels: int) -> str:
    """Why an image is not read, as the end of a sentence."""
    return f"has {count(found, 'channel')}, where the data set has {channels}"


def by_opencv(data: bytes, channels: int) -> Pixels | None:
    """An image of 1 channel, of 3, red, green and blue, or with other numbers as it is; None where
    OpenCV cannot read it.
    """
    flags = {1: cv2.IMREAD_GRAYSCALE, 3: cv2.IMREAD_COLOR}.get(channels)
    flags = cv2.IMREAD_UNCHANGED if flags is None else flags | cv2.IMREAD_ANYDEPTH
    with _opencv_silent():
        image = mmcv.imfrombytes(data, flags, backend="cv2")
    if image is None and channels == 3:  # greys of 32 bits, of which OpenCV makes no colours
        greys = by_opencv(data, 1)
        return None if greys is None else greys[..., None].repeat(3, axis=2)
    if image is None or image.ndim == 2 or image.shape[2] < 3:
        return image
    return image[..., [2, 1, 0, *range(3, image.shape[2])]]


@contextlib.contextmanager
def _opencv_silent() -> Iterator[None]:
    """Keeps OpenCV from reporting on stderr what the caller reports better."""
    before = _LOGGING.getLogLevel()
    _LOGGING.setLogLevel(_SILENT)
    try:
        yield
    finally:
        _LOGGING.setLogLevel(before)
