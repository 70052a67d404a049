"""Image files: finding them below a folder, and decoding them without ever failing."""

from __future__ import annotations

import contextlib
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mvssl.opencv import cv2

ENDINGS: Final = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
"""Endings of the files that count as images, in any case."""

# OpenCV 5 moved the functions of its log.
_LOGGING = cv2 if int(cv2.__version__.split(".")[0]) < 5 else cv2.utils.logging
_SILENT = 0

_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"
_JPEG_SCAN = 0xDA
_PNG_START = b"\x89PNG\r\n\x1a\n"


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


def read_image(path: Path) -> NDArray[np.uint8] | None:
    """Decodes an image file to uint8 (H, W, 3), RGB, turned upright as its EXIF entry says.

    None where the file is missing, is no image, or is damaged: some versions of OpenCV fill the
    missing part of a truncated JPEG with grey and say nothing.
    """
    try:
        data = path.read_bytes()
    except OSError:
        return None
    if not _is_complete(data):
        return None
    with _opencv_silent():
        try:
            image = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_COLOR)
        except cv2.error:
            return None
    return None if image is None else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


@contextlib.contextmanager
def _opencv_silent() -> Iterator[None]:
    """Keeps OpenCV from reporting on stderr what the caller reports better."""
    before = _LOGGING.getLogLevel()
    _LOGGING.setLogLevel(_SILENT)
    try:
        yield
    finally:
        _LOGGING.setLogLevel(before)


def _is_complete(data: bytes) -> bool:
    """False where a file is certainly cut off; other formats are left to the decoder."""
    if data.startswith(_JPEG_START):
        return _jpeg_is_complete(data)
    if data.startswith(_PNG_START):
        return _png_is_complete(data)
    return len(data) > 0


def _jpeg_is_complete(data: bytes) -> bool:
    """Whether the end marker follows the first scan.

    The segments before the scan are stepped over by their lengths, since a thumbnail in them has
    an end marker of its own; inside a scan the marker cannot occur. (ITU-T T.81, annex B.)
    """
    position = len(_JPEG_START)
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        if marker == _JPEG_SCAN:
            return data.find(_JPEG_END, position) >= 0
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return False


def _png_is_complete(data: bytes) -> bool:
    """Whether all chunks up to the last are there with correct check sums.

    libpng would find the same, but prints it on stderr, past OpenCV's log level.
    """
    view = memoryview(data)
    position = len(_PNG_START)
    while position + 12 <= len(data):
        body = position + 4
        end = body + 4 + int.from_bytes(view[position:body], "big")
        if zlib.crc32(view[body:end]) != int.from_bytes(view[end : end + 4], "big"):
            return False
        if data[body : body + 4] == b"IEND":
            return True
        position = end + 4
    return False
