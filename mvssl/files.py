"""Writing files so that a reader sees the old one or the new one, never a half."""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from mvssl.errors import UserError
from mvssl.process.running import is_running
from mvssl.process.signals import current

__all__ = [
    "NO_ROOM",
    "WriteError",
    "clear_leftovers",
    "disk_errors_told",
    "replacing",
    "make_folder",
    "write_bytes_atomically",
    "write_atomically",
]

NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
LEFTOVER = re.compile(r"\..+\.(\d+)\.tmp")


class WriteError(UserError):
    """The disk refuses: no room, no permission, a folder that is not there."""


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A temporary file beside ``path``, opened; at the end of the block it takes the place of
    ``path``.

    Then the disk has the new file, whatever happens to the machine. If anything fails, the old
    file stays and the temporary one goes, so too where a signal ends the process.

    Raises:
        WriteError: the disk refuses.
    """
    target = Path(path)
    # Not tempfile: its files are readable by the owner alone, whatever the umask says.
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    watch = current()

    def clear() -> None:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)

    if watch is not None:
        watch.cleanups.append(clear)
    try:
        with disk_errors_told(target):
            # A new file, not what a link of this name leads to.
            temporary.unlink(missing_ok=True)
            with open(temporary, "xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
            _synchronize(target.parent)
    finally:
        clear()
        if watch is not None:
            watch.cleanups.remove(clear)


def write_atomically(path: str | os.PathLike[str], write: Callable[[BinaryIO], object]) -> None:
    """Let ``write`` fill the file of :func:`replacing`.

    Raises:
        WriteError: the disk refuses.
    """
    with replacing(path) as file:
        write(file)


@contextmanager
def disk_errors_told(target: Path) -> Iterator[None]:
    """What a disk refuses while a file is written becomes a sentence.

    Raises:
        WriteError: the disk refuses.
    """
    before = sys.exc_info()[1]
    try:
        yield
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


def clear_leftovers(folder: Path, name: str | None = None) -> None:
    """Remove the temporary files of writers that were killed; call it before writing.

    Those of a living process stay.

    Args:
        folder: in which they are.
        name: of the file that they were to become; None: any.
    """
    begin = "." if name is None else f".{name}."
    with suppress(OSError):
        for file in folder.iterdir():
            match = LEFTOVER.fullmatch(file.name)
            if match is None or not file.name.startswith(begin):
                continue
            if not is_running(int(match[1]), file.stat().st_mtime):
                file.unlink(missing_ok=True)
