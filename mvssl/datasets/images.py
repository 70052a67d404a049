"""Decoding image files of any depth without ever failing, whoever made them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Final

import numpy as np
from PIL import ExifTags, Image, ImageOps

from mvssl.datasets.headers import (
    MOST_PIXELS,
    TIFF_STARTS,
    UnreadableError,
    is_deep_png,
    kind_of_image,
    mended,
    open_image,
    pillow_undisturbed,
    tiff_size,
)
from mvssl.datasets.pixels import ON_ITS_SIDE, Pixels, by_opencv, other_channels, upright
from mvssl.datasets.tiff import decode_tiff
from mvssl.errors import UserError
from mvssl.opencv import mmcv
from mvssl.words import in_words

try:
    import simplejpeg
except ImportError:  # no wheel for this machine
    simplejpeg = None

_DIVISORS = (2, 4, 8)  # at which a JPEG can be decoded

MISSING: Final = "does not exist"
"""Why a file that is not there cannot be read."""

Spare = Callable[[int, int], float]
"""Of an image's height and width: by how much its sides may be divided without a loss."""


def decode_image(
    data: bytes,
    max_pixels: int = MOST_PIXELS,
    channels: int = 3,
    spare: Spare | None = None,
) -> Pixels | None:
    """Decodes an image file to (H, W, channels), turned upright as its EXIF entry says.

    Values are as they are in the file: uint8, or of a deeper image uint16, int32 or float32.

    Args:
        data: The bytes of the file.
        max_pixels: An image that has more, by its header, is not decoded.
        channels: 3, RGB: greys are repeated, and what a file has beside is left out. 1, grey:
            colours are turned into it. Any other number: a file has as many; with 4, what has no
            alpha is opaque.
        spare: Says of a height and a width by how much the sides may be divided without a loss: a
            JPEG is then decoded at a half, a quarter or an eighth, which takes a part of the time.

    Returns:
        The image; None where it is no image of a kind in `ENDINGS`, is too large, has another
        number of channels, or is cut off or damaged so that the decoder can tell.
    """
    try:
        return _decoded(data, max_pixels, channels, spare)
    except UserError:  # of ``spare``: it is not the image that is wrong
        raise
    except Exception:  # OSError, SyntaxError, struct.error: damaged bytes raise nearly anything
        return None


def why_undecodable(
    content: Callable[[], bytes], max_pixels: int = MOST_PIXELS, channels: int = 3
) -> str:
    """Why `decode_image` gives None of the bytes that ``content`` gives, or why it fails to give
    them: the end of a sentence that begins with the file's name.
    """
    try:
        data = content()
    except UnreadableError as error:
        return str(error)
    except (FileNotFoundError, NotADirectoryError):
        return MISSING
    except Exception as error:  # whatever a file system or a backend raises
        told = error.strerror if isinstance(error, OSError) else None
        return f"cannot be read: {told or in_words(error)}"
    if not data:
        return "is empty"
    try:
        image = _decoded(data, max_pixels, channels)
    except UnreadableError as error:
        return str(error)
    except Exception:
        image = None
    if image is not None and image.dtype != np.uint8:
        return "has more than 8 bits, which others have not: give the data set's value_range"
    if image is None and kind_of_image(data) is not None:
        return "is cut off or damaged"
    return "cannot be read as an image"


def _decoded(
    data: bytes,
    max_pixels: int,
    channels: int,
    spare: Spare | None = None,
) -> Pixels | None:
    if data.startswith(TIFF_STARTS):
        _check_pixels(tiff_size(data), max_pixels)
        image = decode_tiff(data, channels)
    else:
        data = mended(data)
        with pillow_undisturbed(), open_image(data) as opened:
            _check_pixels(opened.size, max_pixels)
            image = _decode(data, opened, channels, spare)
    if image is None:
        return None
    image = image[..., None] if image.ndim == 2 else image
    if image.shape[2] == 1 and channels == 3:
        image = np.repeat(image, 3, axis=2)
    if image.shape[2] != channels:
        raise UnreadableError(other_channels(image.shape[2], channels))
    return np.ascontiguousarray(image)


def _check_pixels(size: tuple[int, int], most: int) -> None:
    """Raises an UnreadableError where an image has more pixels than a data set decodes."""
    width, height = size
    if width * height > most:
        raise UnreadableError(
            f"has {width} x {height} pixels, more than max_pixels={most} of the data set"
        )


def _decode(data: bytes, image: Image.Image, channels: int, spare: Spare | None) -> Pixels | None:
    """By Pillow, which raises for a file that is cut off instead of filling it up with grey.

    ``image`` is what Pillow knows by the header of ``data``.
    """
    if image.format in ("JPEG", "MPO") and channels == 3:
        return _decode_jpeg(data, image, spare)
    # Of colours of 16 bits Pillow keeps the upper 8; greys keep all, mmcv cuts them at 255.
    if image.mode[0] in "IF":
        return np.asarray(ImageOps.exif_transpose(image))
    if is_deep_png(data) and image.mode != "L":
        image.load()  # which raises where it is damaged
        return by_opencv(_bare_png(data), channels)
    if channels != 3:
        return _converted(image, channels)
    try:
        return mmcv.imfrombytes(data, channel_order="rgb", backend="pillow")
    except Exception:
        # It may be the EXIF entry alone that cannot be read; a damaged image raises again.
        return mmcv.imfrombytes(data, "color_ignore_orientation", "rgb", backend="pillow")


def _decode_jpeg(data: bytes, image: Image.Image, spare: Spare | None) -> Pixels:
    """By libjpeg-turbo without Pillow in between, where it can be, which takes two thirds of the
    time, of large files a quarter; the pixels are the same.
    """
    orientation = _orientation(image)
    width, height = image.size[::-1] if orientation in ON_ITS_SIDE else image.size
    divisor = 1 if spare is None else _divisor(spare(height, width))
    if image.mode in ("L", "RGB") and simplejpeg is not None:
        with contextlib.suppress(ValueError):  # of a damaged file: Pillow says how bad it is
            width, height = (-(-side // divisor) for side in image.size)
            made = simplejpeg.decode_jpeg(data, "RGB", min_height=height, min_width=width)
            return upright(made, orientation)
    image.draft(None, (image.width // divisor, image.height // divisor))
    return _converted(image, 3)


def _divisor(spare: float) -> int:
    """Half of what is spare is left, with which crops are as sharp as those of the whole image,
    by the steps between neighbouring pixels, but for less than 1%.
    """
    return max((divisor for divisor in _DIVISORS if divisor <= spare / 2), default=1)


def _orientation(image: Image.Image) -> int:
    """As EXIF numbers them from 1, upright, to 8; 1 where there is none that can be read."""
    if "exif" not in image.info:
        return 1
    with contextlib.suppress(Exception):
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    return 1


def _converted(image: Image.Image, channels: int) -> Pixels:
    """Grey, or colours with or without alpha; another number of channels is what the file has."""
    mode = {1: "L", 3: "RGB", 4: "RGBA"}.get(channels, image.mode)
    image.load()
    with contextlib.suppress(Exception):  # of an EXIF entry that cannot be read
        image = ImageOps.exif_transpose(image)
    return np.asarray(image.convert(mode))


def _bare_png(data: bytes) -> bytes:
    """A PNG without what its pixels do not need, upon which libpng remarks on stderr."""
    pieces, at = [data[:8]], 8
    while at < len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] in (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"eXIf"):
            pieces.append(data[at:end])
        at = end
    return b"".join(pieces)
