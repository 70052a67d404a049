"""The log of a run: a file of its own, in which every record begins with its time.

That it cannot be written ends no run.
"""

from __future__ import annotations

import logging
import os
import stat
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from mvssl.errors import UserError
from mvssl.words import in_words, printable

__all__ = ["Forgiving", "PrintableRecords", "own_files"]


class PrintableRecords(logging.Filter):
    """Shows what cannot be printed as an escape, and indents what follows a record's first line.

    So no name of a file, which may hold line breaks and a terminal's commands, makes a line that
    looks like a record.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        lines = record.getMessage().split("\n")
        record.msg, record.args = "\n    ".join(map(printable, lines)), ()
        return True


class Forgiving:
    """Tries to write something; the first failure is told, and the later ones are not.

    Args:
        what: is written.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self.failed = False

    def tell(self, error: BaseException | None) -> None:
        """Say once why it cannot be written."""
        if not self.failed:
            self.failed = True
            why = "unknown" if error is None else in_words(error)
            print(f"note: {self.what} cannot be written ({why}): the run goes on.", flush=True)

    def attempt(self, write: Callable[..., object], *arguments: Any) -> None:
        """Call ``write``; an error is told."""
        try:
            write(*arguments)
        except Exception as error:
            self.tell(error)

    def watch(self, logger: logging.Logger) -> None:
        """Have the files of a logger fail like this, not with a traceback for each line."""

        def told(record: logging.LogRecord) -> None:
            self.tell(sys.exc_info()[1])

        for handler in logger.handlers:
            if isinstance(handler, logging.FileHandler):
                handler.handleError = told  # type: ignore[method-assign]


def own_files(
    folder: str | os.PathLike[str], files: Iterable[str], folders: Iterable[str] = ()
) -> None:
    """See to it that a run writes what has these names in ``folder``, and nothing elsewhere.

    A link that stands in the place of one, or a pipe, is removed; what a link leads to stays.

    Raises:
        UserError: a folder stands in the place of a file or a file in that of a folder, or the
            place cannot be written.
    """
    kinds = [(name, stat.S_ISREG, stat.S_ISDIR, ("folder", "file")) for name in files]
    kinds += [(name, stat.S_ISDIR, stat.S_ISREG, ("file", "folder")) for name in folders]
    for name, is_own, is_other, (found, wanted) in kinds:
        path = Path(folder) / name
        try:
            mode = path.lstat().st_mode
            if is_other(mode):
                raise UserError(
                    f"{path} is a {found}, where the run writes a {wanted}: move it away."
                )
            if not is_own(mode):
                path.unlink()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise UserError(
                f"Cannot write {path}: {error.strerror or error}. Choose another --work-dir."
            ) from error
