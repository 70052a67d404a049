"""Decoding TIFF files, by OpenCV what it reads as it is, the others by tifffile."""

from __future__ import annotations

import io
import logging
from importlib import import_module
from importlib.util import find_spec

import numpy as np

from mvssl.datasets.headers import (
    MOST_COLORS,
    UnreadableError,
    opencv_misreads,
    tiff_bands_apart,
    tiff_directory,
    tiff_kind,
    tiff_orientation,
    tiff_stack,
)
from mvssl.datasets.pixels import Pixels, by_opencv, other_channels, upright
from mvssl.opencv import cv2

__all__ = ["decode_tiff"]


def decode_tiff(data: bytes, channels: int) -> Pixels | None:
    """The first image of a TIFF file, upright, (H, W) or (H, W, C), or all pages of a stack.

    Args:
        data: The file.
        channels: Those of the file, or one a page where it has as many. 1 and 3 turn greys and
            colours into each other.

    Raises:
        UnreadableError: It has another number of channels, or takes a package that is missing.
    """
    directory = tiff_directory(data)
    bands = tiff_kind(directory).bands
    stack = tiff_stack(data) if bands == 1 and channels > 1 else []
    if channels == 3 != len(stack):
        stack = []  # the first page is a grey image
    bands = len(stack) or bands
    colors = bands <= MOST_COLORS and (channels in (1, 3) or channels == bands == 4) and not stack
    if colors and not opencv_misreads(directory):
        return by_opencv(data, channels)  # what libtiff finds wrong, Pillow lets it print on stderr
    if bands != channels and not colors:  # before they take memory
        raise UnreadableError(other_channels(bands, channels))
    if find_spec("tifffile") is None:
        raise UnreadableError(f"has {bands} channels: pip install tifffile reads it")
    image = _by_tifffile(data, stack or 0)
    image = np.moveaxis(image, 0, -1) if stack or tiff_bands_apart(directory) else image
    image = upright(image, tiff_orientation(directory))
    if channels == bands:
        return image
    image = np.ascontiguousarray(image[..., :3])  # what comes after colours is left out
    return image if channels == 3 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def _by_tifffile(data: bytes, pages: int | list[int]) -> Pixels:
    log = logging.getLogger("tifffile")
    before = log.level
    log.setLevel(logging.CRITICAL + 1)  # what it finds wrong is told by the caller
    try:
        image: Pixels = import_module("tifffile").imread(io.BytesIO(data), key=pages)
        return image
    except (KeyError, ValueError) as error:
        if "imagecodecs" not in str(error):
            raise
        raise UnreadableError("is compressed so that it takes pip install imagecodecs") from error
    finally:
        log.setLevel(before)
