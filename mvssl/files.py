"""Writing files so that a reader sees the old one or the new one, never a half."""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from mvssl.errors import UserError
from mvssl.process.running import is_running
from mvssl.process.signals import current

__all__ = [
    "WriteError",
    "clear_leftovers",
    "make_folder",
    "write_bytes_atomically",
    "write_atomically",
]

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
LEFTOVER = re.compile(r"\..+\.(\d+)\.tmp")


class WriteError(UserError):
    """The disk refuses: no room, no permission, a folder that is not there."""


def write_atomically(path: str | os.PathLike[str], write: Callable[[BinaryIO], object]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, then put it in the place of ``path``.

    When it returns, the disk has the new file, whatever happens to the machine. If anything fails,
    the old file stays and the temporary one goes, so too where a signal ends the process.

    Raises:
        WriteError: the disk refuses.
    """
    target = Path(path)
    # Not tempfile: its files are readable by the owner alone, whatever the umask says.
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    before, watch = sys.exc_info()[1], current()

    def clear() -> None:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)

    if watch is not None:
        watch.cleanups.append(clear)
    try:
        # A new file, not what a link of this name leads to.
        temporary.unlink(missing_ok=True)
        with open(temporary, "xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
        _synchronize(target.parent)
    except BaseException as error:
        cause = _cause(error, before)
        if isinstance(cause, OSError):
            why, way = cause.strerror or cause, "Choose another folder."
            if isinstance(cause, FileNotFoundError) and not target.parent.is_dir():
                why = f"there is no folder {target.parent}"
                way = "Make it, or choose another folder."
            elif cause.errno in NO_ROOM:
                way = "Make room, or choose another folder."
            raise WriteError(f"Cannot write {target}: {why}. {way}") from error
        if cause is not error:
            raise cause from error
        raise
    finally:
        clear()
        if watch is not None:
            watch.cleanups.remove(clear)


def _cause(error: BaseException, before: BaseException | None) -> BaseException:
    """What stopped a writer. Writers in C++ say something else of what our file told them."""
    one: BaseException | None = error
    while one is not None and one is not before:
        if isinstance(one, OSError | KeyboardInterrupt):
            return one
        one = one.__cause__ or one.__context__
    return error


def _synchronize(folder: Path) -> None:
    """Have the names in a folder written out, where a folder can be opened."""
    with suppress(OSError):
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def make_folder(folder: Path) -> None:
    """Make a folder for results, with those above it.

    Raises:
        WriteError: the disk refuses.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(f"{folder} cannot be made: {error.strerror}. Choose another.") from error


def write_bytes_atomically(path: str | os.PathLike[str], data: bytes) -> None:
    """:func:`write_atomically` for what is in memory."""
    write_atomically(path, lambda file: file.write(data))


def clear_leftovers(folder: Path) -> None:
    """Remove the temporary files of writers that were killed; call it before writing.

    Those of a living process stay.
    """
    with suppress(OSError):
        for file in folder.iterdir():
            match = LEFTOVER.fullmatch(file.name)
            if match and not is_running(int(match[1]), file.stat().st_mtime):
                file.unlink(missing_ok=True)
