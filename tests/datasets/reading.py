"""A file as a data set of files reads it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from mvssl.datasets.headers import MOST_BYTES, MOST_PIXELS, read_bytes
from mvssl.datasets.images import Pixels, decode_image, why_undecodable

__all__ = ["read_image", "why_unreadable"]


def read_image(path: str | Path, max_pixels: int = MOST_PIXELS, channels: int = 3) -> Pixels | None:
    """The image, None where it cannot be read."""
    try:
        data = read_bytes(path, MOST_BYTES)
    except Exception:
        return None
    return decode_image(data, max_pixels, channels)


def why_unreadable(
    path: str | Path, max_pixels: int = MOST_PIXELS, max_bytes: int = MOST_BYTES
) -> str:
    """Why it is None: the end of a sentence."""
    return why_undecodable(partial(read_bytes, path, max_bytes), max_pixels)
