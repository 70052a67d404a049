"""A ``.npy`` file that is written row by row, while its rows are made."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from mvssl.files import NO_ROOM, disk_errors_told

__all__ = ["NpyRows"]


class NpyRows:
    """Rows (N, C), of which none is kept; the bytes are those of ``numpy.save``.

    They are written, not mapped: a disk that is full refuses a write, and kills a process that
    writes to a mapped file.

    Args:
        file: opened for writing, empty.
        path: what it is called in messages.
        most: rows for which there has to be room; there may be less in the end.

    Attributes:
        name: of the file as it is now, without its folder.
    """

    def __init__(self, file: BinaryIO, path: Path, most: int) -> None:
        self._file, self._path, self._most = file, path, most
        self.name = Path(file.name).name
        self._row: NDArray[np.float32] | None = None
        self._count = 0

    def add(self, x: NDArray[np.float32]) -> None:
        """Write rows (n, C) behind the others.

        Raises:
            WriteError: the disk refuses, at the first rows if it has no room for all.
        """
        with disk_errors_told(self._path):
            if self._row is None:
                self._row = np.empty(x.shape[1:], x.dtype)
                self._write_header(self._most)
                self._reserve(self._file.tell() + self._most * self._row.nbytes)
            self._file.write(np.ascontiguousarray(x).data)
        self._count += len(x)

    def finish(self) -> None:
        """Say how many rows there are, and have all on the disk.

        Raises:
            WriteError: the disk refuses.
        """
        with disk_errors_told(self._path):
            self._file.truncate()
            self._file.seek(0)
            # numpy leaves room in it for any number of rows.
            self._write_header(self._count)
            self._file.flush()
            os.fsync(self._file.fileno())

    def _write_header(self, rows: int) -> None:
        assert self._row is not None
        descr = npy.dtype_to_descr(self._row.dtype)
        shape = (rows, *self._row.shape)
        told = {"descr": descr, "fortran_order": False, "shape": shape}
        npy.write_array_header_1_0(self._file, told)

    def _reserve(self, size: int) -> None:
        """Take the room of the whole file, where the system can: it is better said now than after
        hours that there is none.
        """
        if not hasattr(os, "posix_fallocate"):
            return
        try:
            os.posix_fallocate(self._file.fileno(), 0, size)
        except OSError as error:
            if error.errno in NO_ROOM:
                raise
