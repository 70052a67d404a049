"""Image files: finding them below a folder, and decoding them without ever failing."""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from mmengine import fileio
from numpy.typing import NDArray
from PIL import Image, ImageOps

from mvssl.opencv import cv2, mmcv

ENDINGS: Final = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
"""Endings of the files that count as images, in any case."""

_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_DEPTHS = (8, 10, 12, 14, 16)
_MOST_PIXELS = 2**30  # as many as OpenCV takes

# OpenCV 5 moved the functions of its log.
_LOGGING = cv2 if int(cv2.__version__.split(".")[0]) < 5 else cv2.utils.logging
_SILENT = 0


def find_images(root: Path) -> list[str]:
    """Paths of all images below ``root``, relative to it, sorted, with ``/`` on every system.

    Hidden files and folders are skipped. Symbolic links are followed, but every real folder is
    entered once, so that a link to a folder above ends nowhere.
    """
    found: list[str] = []
    entered: set[str] = set()
    pending = [""]
    while pending:
        below = pending.pop()
        real = os.path.realpath(root / below)
        if real in entered:
            continue
        entered.add(real)
        with os.scandir(root / below) as entries:
            visible = [entry for entry in entries if not entry.name.startswith(".")]
        pending += sorted((f"{below}{e.name}/" for e in visible if e.is_dir()), reverse=True)
        found += [
            below + entry.name
            for entry in visible
            if entry.name.lower().endswith(ENDINGS) and entry.is_file()
        ]
    return sorted(found)


def read_image(path: str | Path) -> NDArray[np.uint8] | None:
    """Decodes an image file to uint8 (H, W, 3), RGB, turned upright as its EXIF entry says.

    Values of more than 8 bits are brought to 8 by the bits that the image uses (see `_to_8_bits`).

    Args:
        path: A file, or an address that one of mmengine's file backends reads.

    Returns:
        The image; None where it is missing, is no image, or is cut off or damaged so that the
        decoder can tell.
    """
    try:
        data = fileio.get(path)
    except OSError:
        return None
    try:
        return _decode_tiff(data) if data.startswith(_TIFF_STARTS) else _decode(data)
    except Exception:  # OSError, SyntaxError, struct.error: damaged bytes raise nearly anything
        return None


def _decode(data: bytes) -> NDArray[np.uint8] | None:
    """By Pillow, which raises for a file that is cut off instead of filling it up with grey."""
    with _pillow_undisturbed():
        with Image.open(io.BytesIO(data)) as image:
            # Of colours of 16 bits Pillow keeps the upper 8; greys keep all, mmcv cuts them at 255.
            if image.mode.startswith("I"):
                return _to_8_bits(np.asarray(ImageOps.exif_transpose(image)))
        try:
            return mmcv.imfrombytes(data, channel_order="rgb", backend="pillow")
        except Exception:
            # It may be the EXIF entry alone that cannot be read; a damaged image raises again.
            return mmcv.imfrombytes(data, "color_ignore_orientation", "rgb", backend="pillow")


def _decode_tiff(data: bytes) -> NDArray[np.uint8] | None:
    """By OpenCV: what libtiff finds wrong, Pillow lets it print on stderr."""
    with _opencv_silent():
        image = mmcv.imfrombytes(data, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH, backend="cv2")
    return None if image is None else _to_8_bits(image[..., ::-1])


def _to_8_bits(image: NDArray[Any]) -> NDArray[np.uint8] | None:
    """Whole numbers (H, W) or (H, W, 3) as uint8 (H, W, 3); None where their range is not known.

    Cameras, microscopes and satellites store 10 to 14 bits in files of 16 that do not say so; the
    fewest bits that hold the largest value become the full range, so that such images are not
    shown nearly black.
    """
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    if image.dtype == np.uint8:
        return np.ascontiguousarray(image)
    top = next((2**bits - 1 for bits in _DEPTHS if image.max() < 2**bits), None)
    if image.dtype.kind not in "iu" or image.min() < 0 or top is None:
        return None
    return np.rint(image * (255.0 / top)).astype(np.uint8)


@contextlib.contextmanager
def _pillow_undisturbed() -> Iterator[None]:
    """Keeps Pillow from warning, and from refusing large images: they are the user's own."""
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = _MOST_PIXELS // 2  # it refuses from twice as many on
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


@contextlib.contextmanager
def _opencv_silent() -> Iterator[None]:
    """Keeps OpenCV from reporting on stderr what the caller reports better."""
    before = _LOGGING.getLogLevel()
    _LOGGING.setLogLevel(_SILENT)
    try:
        yield
    finally:
        _LOGGING.setLogLevel(before)
