"""What the header of an image file says, before a pixel of it is decoded."""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.request import urlopen

from mmengine import fileio
from PIL import ExifTags, Image, TiffImagePlugin, UnidentifiedImageError, features

from mvssl.intake import kind_of_file

MOST_PIXELS: Final = 200_000_000
"""Pixels of an image that is decoded, unless a data set says otherwise."""
MOST_BYTES: Final = 2**30
"""Size of a file that is read, unless a data set says otherwise."""

MOST_COLORS: Final = 4
"""Bands that can be a colour: red, green, blue and alpha. What has more is given whole or not."""

MOST_PAGES: Final = 512
"""Pages of a TIFF that are read as channels: as many as OpenCV takes."""

TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "GIF", *(["AVIF"] if features.check("avif") else []))
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")
_PNG_START = b"\x89PNG\r\n\x1a\n"
_START_OF_SCAN = 0xDA
_GREYS, _PALETTE, _CMYK = (0, 1), 3, 5  # photometric interpretations of TIFF
_BANDS_APART = 2  # a planar configuration
_NEW_SUBFILE_TYPE = 254
_NO_PAGE = 1 | 4  # kinds of images within a TIFF: a reduced copy, a mask
_PAGE_TAGS = {  # in which the pages of a stack are alike, and their defaults
    TiffImagePlugin.IMAGEWIDTH: None,
    TiffImagePlugin.IMAGELENGTH: None,
    TiffImagePlugin.SAMPLEFORMAT: (1,),
    TiffImagePlugin.BITSPERSAMPLE: (1,),
    TiffImagePlugin.SAMPLESPERPIXEL: 1,
    TiffImagePlugin.PHOTOMETRIC_INTERPRETATION: 1,
}
_MOST_PIXELS = 2**30  # as many as OpenCV takes


class UnreadableError(Exception):
    """Says why a file is not read, as the end of a sentence that begins with its name."""


class Kind(NamedTuple):
    """What the header of a file says of its values.

    Attributes:
        bands: channels in the file; of a palette, those of its colours.
        deep: whether they have more than 8 bits.
        alpha: whether the last of them is said to be transparency.
        pages: of a TIFF with one band a page, those that `tiff_stack` finds, at least 1.
    """

    bands: int
    deep: bool
    alpha: bool
    pages: int = 1


@contextlib.contextmanager
def pillow_undisturbed() -> Iterator[None]:
    """Keeps Pillow from warning, and from refusing large images: they are the user's own."""
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = _MOST_PIXELS // 2  # it refuses from twice as many on
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def kind_of_image(data: bytes) -> Kind | None:
    """What a file of these bytes holds, by its header; None where it cannot be read."""
    try:
        if data.startswith(TIFF_STARTS):
            kind = tiff_kind(tiff_directory(data))
            return kind._replace(pages=max(1, len(tiff_stack(data))))
        with pillow_undisturbed(), open_image(mended(data)) as image:
            deep = image.mode[0] in "IF" or is_deep_png(data)
            alpha = image.mode in ("LA", "La", "RGBA", "RGBa", "PA")
            bands = {"P": 3, "PA": 4, "CMYK": 3}.get(image.mode, len(image.getbands()))
            return Kind(bands, deep, alpha)
    except Exception:
        return None


def read_bytes(path: str | Path, max_bytes: int) -> bytes:
    """The bytes of a regular file that is not too large; nothing waits for a pipe.

    Of what is too large nothing is read, of an address over HTTP no more than ``max_bytes``. Other
    backends of mmengine give an address whole alone, so that its size is known afterwards.
    """
    if "://" in str(path):
        data = _remote_bytes(str(path), max_bytes)
        size = len(data)
    else:
        kind = kind_of_file(path)
        if kind is not None:
            raise UnreadableError(f"is {kind}, no regular file")
        # Should it have become a pipe since.
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(file, "rb") as opened:
            size = os.fstat(opened.fileno()).st_size
            data = opened.read() if size <= max_bytes else b""
    check_bytes(size, max_bytes)
    return data


def _remote_bytes(address: str, max_bytes: int) -> bytes:
    """What lies at an address; of what is too large, over HTTP, one byte too many."""
    backend = fileio.get_file_backend(address, enable_singleton=True)
    if type(backend) is not fileio.HTTPBackend:  # one of a user's own may need more than a request
        whole: bytes = backend.get(address)
        return whole
    with urlopen(address) as answer:
        size = int(answer.headers.get("Content-Length") or 0)
        check_bytes(size, max_bytes)
        part: bytes = answer.read(max_bytes + 1)
    if len(part) <= max_bytes and len(part) < size:
        raise UnreadableError(f"ends after {len(part)} of {size} bytes")
    return part


def check_bytes(size: int, max_bytes: int) -> None:
    """Raises an UnreadableError where a file is larger than a data set reads."""
    if size > max_bytes:
        raise UnreadableError(f"has {size} bytes, more than max_bytes={max_bytes} of the data set")


def open_image(data: bytes) -> Image.Image:
    """The header of an image, by Pillow.

    Raises:
        UnreadableError: Of what is none of the kinds that are read. Pillow knows more of them, and
            runs other programs for some.
    """
    heif = data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS
    formats = _FORMATS
    if heif and find_spec("pillow_heif") is not None:
        # Registered where it is needed: the package takes a while to load.
        import_module("pillow_heif").register_heif_opener()
        formats = ("HEIF", *_FORMATS)
    try:
        return Image.open(io.BytesIO(data), formats=formats)
    except Image.DecompressionBombError:
        raise UnreadableError("has more pixels than any decoder takes") from None
    except UnidentifiedImageError:
        if heif and formats is _FORMATS:
            raise UnreadableError("is HEIC: pip install pillow-heif reads it") from None
        raise UnreadableError("cannot be read as an image of any kind that is known") from None


def tiff_directory(data: bytes) -> TiffImagePlugin.ImageFileDirectory_v2:
    """The first directory of a TIFF file."""
    return next(_tiff_directories(data))


def _tiff_directories(data: bytes) -> Iterator[TiffImagePlugin.ImageFileDirectory_v2]:
    start = data[: 16 if data[2:3] == b"+" or data[3:4] == b"+" else 8]
    file, seen = io.BytesIO(data), {0}
    following = TiffImagePlugin.ImageFileDirectory_v2(start).next
    while following not in seen:
        seen.add(following)
        file.seek(following)
        directory = TiffImagePlugin.ImageFileDirectory_v2(start)
        with pillow_undisturbed():
            directory.load(file)
        yield directory
        following = directory.next


@pillow_undisturbed()
def tiff_stack(data: bytes) -> list[int]:
    """Numbers of the pages of a TIFF with one band of 8 bits or more a page, as microscopes write
    them; empty where it has one page, pages that are not alike, or one that cannot be read.

    Reduced copies and masks are no pages; more than `MOST_PAGES` are not looked for.
    """
    kinds, pages = set[tuple[Any, ...]](), list[int]()
    try:
        for number, directory in enumerate(_tiff_directories(data)):
            if number and directory.get(_NEW_SUBFILE_TYPE, 0) & _NO_PAGE:
                continue
            kinds.add(tuple(directory.get(tag, usual) for tag, usual in _PAGE_TAGS.items()))
            *_, bits, bands, photometric = next(iter(kinds))
            plain = bands == 1 and max(bits) >= 8 and photometric in _GREYS
            if not plain or len(kinds) > 1 or number > MOST_PAGES:
                return []
            pages.append(number)
    except Exception:  # of what follows the first page, which is read by itself
        return []
    return pages if len(pages) > 1 else []


@pillow_undisturbed()  # entries are decoded when they are asked for
def tiff_size(data: bytes) -> tuple[int, int]:
    """Width and height by the first directory of a TIFF file."""
    directory = tiff_directory(data)
    width, height = directory[TiffImagePlugin.IMAGEWIDTH], directory[TiffImagePlugin.IMAGELENGTH]
    return int(width), int(height)


@pillow_undisturbed()
def tiff_kind(directory: TiffImagePlugin.ImageFileDirectory_v2) -> Kind:
    """What the first image of a TIFF file holds."""
    bits = directory.get(TiffImagePlugin.BITSPERSAMPLE, (1,))
    bands = int(directory.get(TiffImagePlugin.SAMPLESPERPIXEL, 1))
    photometric = directory.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION)
    extra = directory.get(TiffImagePlugin.EXTRASAMPLES, ())
    extra = extra if isinstance(extra, tuple) else (extra,)
    if photometric in (_PALETTE, _CMYK):
        return Kind(3, False, False)
    return Kind(bands, max(bits) > 8, bool(extra) and extra[-1] in (1, 2))


@pillow_undisturbed()
def tiff_bands_apart(directory: TiffImagePlugin.ImageFileDirectory_v2) -> bool:
    """Whether the bands of the first image lie one after the other, not pixel by pixel."""
    return directory.get(TiffImagePlugin.PLANAR_CONFIGURATION) == _BANDS_APART


@pillow_undisturbed()
def tiff_orientation(directory: TiffImagePlugin.ImageFileDirectory_v2) -> int:
    """How the first image of a TIFF file lies, as EXIF numbers it from 1, upright, to 8."""
    return int(directory.get(ExifTags.Base.Orientation, 1))


@pillow_undisturbed()
def opencv_misreads(directory: TiffImagePlugin.ImageFileDirectory_v2) -> bool:
    """Whether OpenCV makes something else of the first image of a TIFF file, or nothing.

    Of deep bands that lie one after the other it takes neighbouring pixels for colours; of three or
    four bands of 8 bits that are not said to be colours, the first for all; four such of 16 bits it
    refuses.
    """
    bits = max(directory.get(TiffImagePlugin.BITSPERSAMPLE, (1,)))
    bands = int(directory.get(TiffImagePlugin.SAMPLESPERPIXEL, 1))
    if bands not in (3, 4):
        return False
    plain = directory.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION, 1) in _GREYS
    apart = tiff_bands_apart(directory)
    return (apart and bits > 8) or (plain and bits <= (16 if bands == 4 else 8))


def is_deep_png(data: bytes) -> bool:
    """Whether these are the bytes of a PNG of 16 bits."""
    return data.startswith(_PNG_START) and data[24] == 16


def mended(data: bytes) -> bytes:
    """A JPEG without stray bytes between its segments, as libjpeg skips them; others as they are.

    Some cameras and editors leave them; Pillow takes such a file for damaged.
    """
    if not data.startswith(b"\xff\xd8"):
        return data
    pieces, at = [data[:2]], 2
    while at + 4 <= len(data):
        start = data.find(b"\xff", at)
        while start >= 0 and data[start + 1 : start + 2] in (b"\xff", b"\0"):
            start = data.find(b"\xff", start + 1)
        if start < 0:
            return data
        end = start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")
        if data[start + 1] == _START_OF_SCAN:
            stray = len(b"".join(pieces)) != start
            return b"".join([*pieces, data[start:]]) if stray else data
        pieces.append(data[start:end])
        at = end
    return data
