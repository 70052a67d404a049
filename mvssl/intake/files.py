"""What is checked of a file of others before it is read: its kind, its size, what it unpacks to.

Nothing here imports, runs or allocates what a file asks for.
"""

from __future__ import annotations

import contextlib
import errno
import io
import mmap
import os
import stat
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from mvssl.errors import DamageError, UserError
from mvssl.intake.pickles import PickleContent, describe_pickle

__all__ = ["ZIP_START", "check_file", "check_torch_file", "kind_of_file"]

MOST_UNPACKED: Final = (4, 2**28)
"""A file may unpack to so many times its size, and so many bytes more."""

_MOST_HOLES = 20  # a file that takes so much less room on the disk than its size is mostly holes
_LEGACY_PICKLES = 5  # of a file as torch < 1.6 wrote it
_MOST_PICKLE = 2**30
ZIP_START: Final = b"PK\3\4"  # of every file of torch >= 1.6
_ZIP_END = b"PK\5\6"
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
    if size > 2**26 and status.st_blocks * 512 * _MOST_HOLES < size and _is_mostly_holes(path):
        raise UserError(
            f"{path} is not a {what}: of the {_bytes(size)} that it claims, nearly all are holes "
            f"(a sparse file). Give the file as it was written."
        )
    _check_memory(path, size)
    return size


def _is_mostly_holes(path: str | os.PathLike[str]) -> bool:
    """Whether less than a part in 20 of a file is data; some file systems count no blocks."""
    try:
        with open(path, "rb") as file:
            descriptor, size = file.fileno(), os.fstat(file.fileno()).st_size
            data = end = 0
            while end < size and data * _MOST_HOLES <= size:
                start = os.lseek(descriptor, end, os.SEEK_DATA)
                end = os.lseek(descriptor, start, os.SEEK_HOLE)
                data += end - start
    except OSError as error:
        return error.errno == errno.ENXIO  # there is no more data
    return data * _MOST_HOLES < size


def check_torch_file(path: Path, file: BinaryIO) -> None:
    """That loading a file of ``torch.save`` takes memory in proportion to it, and runs nothing.

    Args:
        path: its name.
        file: the file, opened.

    Raises:
        UserError: it is none, holds objects whose loading would run code, or unpacks to far more
            than its size.
        OSError: it cannot be read.
    """
    size = os.fstat(file.fileno()).st_size
    with _mapped(file, size) as data:
        zipped = data[:4] == ZIP_START
        pickles = _check_zip(path, file, data, size) if zipped else _legacy(data, size)
        _check_pickles(path, pickles, size)


@contextlib.contextmanager
def _mapped(file: BinaryIO, size: int) -> Iterator[mmap.mmap | bytes]:
    if size == 0:  # which cannot be mapped
        yield b""
        return
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield data


def _legacy(data: mmap.mmap | bytes, size: int) -> list[PickleContent]:
    """The pickles that follow each other at the start of a file."""
    file = io.BytesIO(data) if isinstance(data, bytes) else data
    pickles = [describe_pickle(file, _most_unpacked(size))]
    while pickles[-1].whole and len(pickles) < _LEGACY_PICKLES:
        pickles.append(describe_pickle(file, _most_unpacked(size)))
    return pickles


def _check_zip(
    path: Path, file: BinaryIO, data: mmap.mmap | bytes, size: int
) -> list[PickleContent]:
    """The pickles of an archive that unpacks to no more than it should."""
    if _ZIP_END not in data[-_ZIP_END_BYTES:]:
        raise DamageError.of(path, "the directory at its end is missing, so it was cut off")
    try:
        with zipfile.ZipFile(file) as archive:
            return _members(path, archive, size)
    except (
        zipfile.BadZipFile,
        NotImplementedError,
        RuntimeError,
        ValueError,
        EOFError,
        zlib.error,
    ) as error:
        if isinstance(error, UserError):
            raise
        raise DamageError.of(path, str(error)) from error


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
    # torch finds a member whatever the case of its name.
    sizes = {one.filename.lower(): one.file_size for one in members}
    if len(sizes) < len(members):
        raise DamageError.of(path, "two parts of it have one name")
    pickles: list[PickleContent] = []
    for one in members:
        folder, _, name = one.filename.lower().rpartition("/")
        # Tensors, which are most of the file, lie in a folder data/ without an ending.
        if not name.endswith(_PICKLE_ENDINGS):
            continue
        inner = _read_member(path, archive, one)
        if inner.startswith(ZIP_START) and depth < _NESTED:
            with zipfile.ZipFile(io.BytesIO(inner)) as nested:
                pickles += _members(path, nested, size, depth + 1)
            continue
        content = describe_pickle(io.BytesIO(inner), _most_unpacked(size))
        for key, wanted in content.storages.items():
            held = sizes.get(f"{folder}/data/{key.lower()}", 0)
            if wanted > held and not content.foreign:
                why = "a tensor in it is larger than what the file holds of it"
                raise DamageError.of(path, why)
        pickles.append(content)
        _check_unpacked(path, sum(one.made for one in pickles), size)
    return pickles


def _read_member(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """A pickle of an archive, of which no more is unpacked than it says that there is."""
    if member.file_size > _MOST_PICKLE:
        raise DamageError.of(path, f"its description takes {_bytes(member.file_size)}")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DamageError.of(path, "it is packed in a way that torch does not know")
    with archive.open(member) as file:
        return file.read(member.file_size + 1)


def _check_pickles(path: Path, pickles: list[PickleContent], size: int) -> None:
    foreign = {name for one in pickles if one.whole or one.calls for name in one.foreign}
    if foreign:
        names = ", ".join(sorted(foreign)[:3])
        raise UserError(
            f"{path} holds Python objects beside tensors and plain containers ({names}); loading "
            f"it could run code, so it is refused: give a file that mvssl wrote, or weights alone."
        )
    wanted = max(
        sum(sum(one.storages.values()) for one in pickles),
        sum(one.tensor_bytes for one in pickles),
        sum(one.made for one in pickles),
    )
    _check_unpacked(path, wanted, size)
    broken = next((one for one in pickles if not one.whole), None)
    if broken is not None:
        raise DamageError.of(path, broken.why)


def _most_unpacked(size: int) -> int:
    times, more = MOST_UNPACKED
    return times * size + more


def _check_unpacked(path: Path, unpacked: int, size: int) -> None:
    if unpacked > _most_unpacked(size):
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
