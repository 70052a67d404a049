"""What is checked of a file of others before it is read: its kind, its size, what it unpacks to.

Nothing here imports, runs or allocates what a file asks for.
"""

from __future__ import annotations

import contextlib
import io
import mmap
import os
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mvssl.errors import DamageError, UserError
from mvssl.pickles import PickleContent, describe_pickle

__all__ = ["check_file", "check_torch_file", "kind_of_file"]

MOST_UNPACKED: Final = (4, 2**28)
"""A file may unpack to so many times its size, and so many bytes more."""

_MOST_HOLES = 20  # a file that takes so much less room on the disk than its size is mostly holes
_LEGACY_PICKLES = 5  # of a file as torch < 1.6 wrote it
_MOST_PICKLE = 2**30
_ZIP_START, _ZIP_END = b"PK\3\4", b"PK\5\6"
_ZIP_END_BYTES = 22 + 100  # with a short comment
_NESTED = 3
_PICKLE_ENDINGS = (".pkl", ".pickle", ".pth", ".pt", ".bin", ".ckpt", ".tar")

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISLNK, "a link that leads nowhere"),
)


def kind_of_file(path: str | os.PathLike[str]) -> str | None:
    """What ``path`` is where it is no regular file: ``a named pipe``, ...; None for one, and where
    there is nothing. Links are followed.
    """
    try:
        mode = os.stat(path).st_mode
    except OSError:
        try:
            mode = os.lstat(path).st_mode
        except OSError:
            return None
    return next((told for test, told in _KINDS if test(mode)), None)


def check_file(path: str | os.PathLike[str], what: str = "file") -> int:
    """Size of a regular file whose content fits into memory.

    Raises:
        UserError: there is none, it is something else, or it is too large.
    """
    kind = kind_of_file(path)
    if kind is not None:
        raise UserError(f"{path} is {kind}, not a {what}: give the path of a regular file.")
    try:
        status = os.stat(path)
    except OSError as error:
        raise UserError(f"No {what} at {path}: give the path of a file that exists.") from error
    size = status.st_size
    if size > 2**26 and status.st_blocks * 512 * _MOST_HOLES < size:
        raise UserError(
            f"{path} is not a {what}: of the {_bytes(size)} that it claims, nearly all are holes "
            f"(a sparse file). Give the file as it was written."
        )
    _check_memory(path, size)
    return size


def check_torch_file(path: Path) -> None:
    """That opening a file of ``torch.save`` takes memory in proportion to it, and runs nothing.

    Raises:
        UserError: it is no regular file, holds objects whose loading would run code, or unpacks
            to far more than its size.
    """
    size = check_file(path, "checkpoint")
    try:
        with open(path, "rb") as file, _mapped(file, size) as data:
            content = _check_zip(path, data, size) if data[:4] == _ZIP_START else None
            pickles = _legacy(data) if content is None else content
            _check_pickles(path, pickles, size)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from error


@contextlib.contextmanager
def _mapped(file: io.BufferedReader, size: int) -> Iterator[mmap.mmap | bytes]:
    if size == 0:  # which cannot be mapped
        yield b""
        return
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield data


def _legacy(data: mmap.mmap | bytes) -> list[PickleContent]:
    """The pickles that follow each other at the start of a file."""
    file = io.BytesIO(data) if isinstance(data, bytes) else data
    pickles = [describe_pickle(file)]
    while pickles[-1].whole and len(pickles) < _LEGACY_PICKLES:
        pickles.append(describe_pickle(file))
    return pickles


def _check_zip(path: Path, data: mmap.mmap | bytes, size: int) -> list[PickleContent]:
    """The pickles of an archive that unpacks to no more than it should."""
    if _ZIP_END not in data[-_ZIP_END_BYTES:]:
        raise DamageError(path, "the directory at its end is missing, so it was cut off")
    try:
        with zipfile.ZipFile(path) as archive:
            return _members(path, archive, size)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, EOFError) as error:
        raise DamageError(path, str(error)) from error


def _members(
    path: Path, archive: zipfile.ZipFile, size: int, depth: int = 0
) -> list[PickleContent]:
    members = archive.infolist()
    _check_unpacked(path, sum(one.file_size for one in members), size)
    if any("/code/" in f"/{one.filename}" for one in members):
        raise UserError(
            f"{path} is a TorchScript archive, which holds a program beside its weights, so it is "
            f"refused: give the weights alone (torch.save of a state_dict)."
        )
    sizes = {one.filename: one.file_size for one in members}
    pickles = []
    for one in members:
        folder, _, name = one.filename.rpartition("/")
        # Tensors, which are most of the file, lie in a folder data/ without an ending.
        if not name.lower().endswith(_PICKLE_ENDINGS) or one.file_size > _MOST_PICKLE:
            continue
        inner = archive.read(one)
        if inner.startswith(_ZIP_START) and depth < _NESTED:
            with zipfile.ZipFile(io.BytesIO(inner)) as nested:
                pickles += _members(path, nested, size, depth + 1)
            continue
        content = describe_pickle(io.BytesIO(inner))
        for key, wanted in content.storages.items():
            if wanted > sizes.get(f"{folder}/data/{key}", 0) and not content.foreign:
                why = "a tensor in it is larger than what the file holds of it"
                raise DamageError(path, why)
        pickles.append(content)
    return pickles


def _check_pickles(path: Path, pickles: list[PickleContent], size: int) -> None:
    foreign = {
        name for one in pickles if one.whole or one.calls for name in one.foreign if name[-1] != ")"
    }
    if foreign:
        names = ", ".join(sorted(foreign)[:3])
        raise UserError(
            f"{path} holds Python objects beside tensors and plain containers ({names}); loading "
            f"it could run code, so it is refused: give a file that mvssl wrote, or weights alone."
        )
    wanted = max(
        sum(sum(one.storages.values()) for one in pickles),
        sum(one.tensor_bytes for one in pickles),
    )
    _check_unpacked(path, wanted, size)


def _check_unpacked(path: Path, unpacked: int, size: int) -> None:
    times, more = MOST_UNPACKED
    if unpacked > times * size + more:
        raise UserError(
            f"{path} has {_bytes(size)} and would unpack to {_bytes(unpacked)}, so it is refused: "
            f"give a file as mvssl or torch.save wrote it, which is about as large as its tensors."
        )
    _check_memory(path, unpacked)


def _check_memory(path: str | os.PathLike[str], needed: int) -> None:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > memory:
        raise UserError(
            f"{path} holds {_bytes(needed)}, more than the {_bytes(memory)} of memory of this "
            f"machine: use one with more memory, or give another file."
        )


def _bytes(count: int) -> str:
    """``2.0 GB``, for a person."""
    for unit, factor in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} bytes"
