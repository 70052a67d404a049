"""Streams that outlive their reader. The standard library alone."""

from __future__ import annotations

import io
import os
import sys
from typing import TextIO

__all__ = ["make_streams_last"]


class LastingStream(io.TextIOWrapper):
    """A standard stream whose reader may go: what nobody can read any more is dropped.

    A terminal that is closed, ``| head``, or a disk that is full must not end a run that has
    trained for days; the log in the work dir holds every line.
    """

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except (OSError, ValueError):
            self._drop()
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except (OSError, ValueError):
            self._drop()

    def _drop(self) -> None:
        """Let the rest, what is buffered included, go nowhere."""
        if self.closed:
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)


def make_streams_last() -> None:
    """Make standard output and error such streams, also where there are none (``>&-``)."""
    # A file that is opened later would take the number of a stream that is closed.
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)
    sys.stdout = _lasting(sys.stdout, 1)
    sys.stderr = _lasting(sys.stderr, 2)


def _lasting(stream: TextIO | None, number: int) -> TextIO:
    line_buffering = number == 2 or os.isatty(number)
    encoding = "utf-8"
    if isinstance(stream, io.TextIOWrapper):
        encoding, line_buffering = stream.encoding, stream.line_buffering
        unbuffered = stream.write_through
        buffer = stream.detach()
    else:
        unbuffered, buffer = False, open(number, "wb", closefd=False)  # noqa: SIM115
    return LastingStream(
        buffer,
        encoding=encoding,
        errors="backslashreplace",
        line_buffering=line_buffering,
        write_through=unbuffered,
    )
