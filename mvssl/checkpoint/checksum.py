"""A checksum of a whole torch file, kept in the comment with which a zip file may end.

torch, zipfile and unzip read such a file like any other. The sum (CRC-32) and the length are over
all that torch wrote, so that a flipped bit is noticed wherever it is, and before anything of the
file is read. It finds damage, not malice.
"""

from __future__ import annotations

import os
import re
import struct
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO

__all__ = ["fault_of", "write_with_checksum"]

COMMENT = re.compile(rb"mvssl crc32 ([0-9a-f]{8}) of ([0-9a-f]{16}) bytes")
LENGTH = len("mvssl crc32  of  bytes") + 8 + 16
# The record that ends a zip file: what it begins with, and its length up to the comment.
END, END_LENGTH = b"PK\x05\x06", 22
CHUNK = 1 << 20


class _Summing:
    """A file that sums up what passes."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.crc = 0

    def write(self, data: Any) -> int:
        self.crc = zlib.crc32(data, self.crc)
        return self.file.write(data)

    def flush(self) -> None:
        self.file.flush()


def write_with_checksum(file: BinaryIO, write: Callable[[Any], object]) -> None:
    """Let ``write`` write a zip file without a comment, and add its checksum."""
    summing = _Summing(file)
    write(summing)
    comment = b"mvssl crc32 %08x of %016x bytes" % (summing.crc, file.tell())
    file.seek(-2, os.SEEK_END)  # the length of the comment, 0 so far
    file.write(struct.pack("<H", len(comment)) + comment)


def fault_of(file: BinaryIO) -> str | None:
    """What is wrong with a file; None where it is as it was written, or has no checksum.

    Raises:
        OSError: it cannot be read.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - END_LENGTH - LENGTH, 0))
    tail = file.read()
    end = tail.rfind(END)
    if end < 0:
        return "its end is damaged" if b"mvssl crc32" in tail else None
    comment = tail[end + END_LENGTH :]
    told = tail[end + END_LENGTH - 2 : end + END_LENGTH]
    if told != struct.pack("<H", len(comment)):
        return "it is cut off, or its end is damaged"
    if not comment:
        return None
    match = COMMENT.fullmatch(comment)
    if match is None:
        return "its checksum is damaged"
    length = size - len(comment)
    if length != int(match[2], 16) or _crc(file, length) != int(match[1], 16):
        return "its checksum is not that of its content"
    return None


def _crc(file: BinaryIO, length: int) -> int:
    """Of the first ``length`` bytes, of which the last two count as 0: see above."""
    file.seek(0)
    crc, left = 0, length - 2
    while left > 0:
        data = file.read(min(CHUNK, left))
        if not data:
            break
        crc = zlib.crc32(data, crc)
        left -= len(data)
    return zlib.crc32(b"\0\0", crc)
