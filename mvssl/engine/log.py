"""The log of a run: a file of its own, in which every record begins with its time."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from mvssl.errors import UserError
from mvssl.words import printable

__all__ = ["PrintableRecords", "own_files"]


class PrintableRecords(logging.Filter):
    """Shows what cannot be printed as an escape, and indents what follows a record's first line.

    So no name of a file, which may hold line breaks and a terminal's commands, makes a line that
    looks like a record.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        lines = record.getMessage().split("\n")
        record.msg, record.args = "\n    ".join(map(printable, lines)), ()
        return True


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
