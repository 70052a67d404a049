"""Decoding image files without ever failing, whoever made them."""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
from mmengine import fileio
from numpy.typing import NDArray
from PIL import Image, ImageOps, TiffImagePlugin, UnidentifiedImageError, features

from mvssl.intake import kind_of_file
from mvssl.opencv import cv2, mmcv

MOST_PIXELS: Final = 200_000_000
"""Pixels of an image that is decoded, unless a data set says otherwise."""
MOST_BYTES: Final = 2**30
"""Size of a file that is read, unless a data set says otherwise."""

_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "GIF", *(["AVIF"] if features.check("avif") else []))
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")
_DEPTHS = (8, 10, 12, 14, 16)
_MOST_PIXELS = 2**30  # as many as OpenCV takes

# OpenCV 5 moved the functions of its log.
_LOGGING = cv2 if int(cv2.__version__.split(".")[0]) < 5 else cv2.utils.logging
_SILENT = 0


class _UnreadableError(Exception):
    """Says why a file is not read, as the end of a sentence that begins with its name."""


def read_image(
    path: str | Path, max_pixels: int = MOST_PIXELS, max_bytes: int = MOST_BYTES
) -> NDArray[np.uint8] | None:
    """Decodes an image file to uint8 (H, W, 3), RGB, turned upright as its EXIF entry says.

    Values of more than 8 bits are brought to 8 by the bits that the image uses (see `_to_8_bits`).

    Args:
        path: A file, or an address that one of mmengine's file backends reads.
        max_pixels: An image that has more, by its header, is not decoded.
        max_bytes: A file that is larger is not read.

    Returns:
        The image; None where it is missing, is no regular file, is no image of a kind in `ENDINGS`,
        is too large, or is cut off or damaged so that the decoder can tell.
    """
    try:
        return _read(path, max_pixels, max_bytes)
    except Exception:  # OSError, SyntaxError, struct.error: damaged bytes raise nearly anything
        return None


def why_unreadable(
    path: str | Path, max_pixels: int = MOST_PIXELS, max_bytes: int = MOST_BYTES
) -> str:
    """Why `read_image` gives None, as the end of a sentence that begins with the file's name."""
    try:
        _read(path, max_pixels, max_bytes)
    except _UnreadableError as error:
        return str(error)
    except Exception:
        pass
    return "cannot be read as an image"


def _read(path: str | Path, max_pixels: int, max_bytes: int) -> NDArray[np.uint8] | None:
    data = _content(path, max_bytes)
    tiff = data.startswith(_TIFF_STARTS)
    width, height = _tiff_size(data) if tiff else _size(data)
    if width * height > max_pixels:
        raise _UnreadableError(
            f"has {width} x {height} pixels, more than max_pixels={max_pixels} of the data set"
        )
    return _decode_tiff(data) if tiff else _decode(data)


def _content(path: str | Path, max_bytes: int) -> bytes:
    """The bytes of a regular file that is not too large; nothing waits for a pipe."""
    if "://" in str(path):
        data: bytes = fileio.get(path)
        size = len(data)
    else:
        kind = kind_of_file(path)
        if kind is not None:
            raise _UnreadableError(f"is {kind}, no regular file")
        # Should it have become a pipe since.
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(file, "rb") as opened:
            size = os.fstat(opened.fileno()).st_size
            data = opened.read() if size <= max_bytes else b""
    if size > max_bytes:
        raise _UnreadableError(f"has {size} bytes, more than max_bytes={max_bytes} of the data set")
    return data


def _size(data: bytes) -> tuple[int, int]:
    """Width and height by the header.

    Raises:
        _UnreadableError: Of what is none of the kinds that are read. Pillow knows more of them, and
            runs other programs for some.
    """
    try:
        with _pillow_undisturbed(), _open(data) as image:
            return image.size
    except Image.DecompressionBombError:
        raise _UnreadableError("has more pixels than any decoder takes") from None
    except UnidentifiedImageError:
        if data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS and find_spec("pillow_heif") is None:
            raise _UnreadableError("is HEIC: pip install pillow-heif reads it") from None
        raise _UnreadableError("cannot be read as an image of any kind that is known") from None


def _open(data: bytes) -> Image.Image:
    """The header of an image of a kind that is read, by Pillow."""
    heif = data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS
    if heif and find_spec("pillow_heif") is not None:
        # Registered where it is needed: the package takes a while to load.
        import_module("pillow_heif").register_heif_opener()
        return Image.open(io.BytesIO(data), formats=("HEIF", *_FORMATS))
    return Image.open(io.BytesIO(data), formats=_FORMATS)


def _tiff_size(data: bytes) -> tuple[int, int]:
    """Width and height by the first directory of a TIFF file."""
    start = data[: 16 if data[2:3] == b"+" or data[3:4] == b"+" else 8]
    directory = TiffImagePlugin.ImageFileDirectory_v2(start)
    file = io.BytesIO(data)
    file.seek(directory.next)
    with _pillow_undisturbed():
        directory.load(file)
    width, height = directory[TiffImagePlugin.IMAGEWIDTH], directory[TiffImagePlugin.IMAGELENGTH]
    return int(width), int(height)


def _decode(data: bytes) -> NDArray[np.uint8] | None:
    """By Pillow, which raises for a file that is cut off instead of filling it up with grey."""
    with _pillow_undisturbed():
        with _open(data) as image:
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
