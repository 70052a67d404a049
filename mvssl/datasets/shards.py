"""Images in tar files, as webdataset writes them, read at any place."""

from __future__ import annotations

import copy
import glob
import os
import re
import tarfile
from collections.abc import Sequence
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mvssl.datasets.encoded import EncodedImages, Reading
from mvssl.datasets.headers import MOST_BYTES, MOST_PIXELS, UnreadableError, check_bytes
from mvssl.datasets.image_list import numbered
from mvssl.datasets.listing import ENDINGS
from mvssl.datasets.paths import Paths
from mvssl.errors import UserError
from mvssl.registry import DATASETS
from mvssl.words import count

__all__ = ["TarShards"]

_IMAGES: Final = frozenset(ending.removeprefix(".") for ending in ENDINGS)
_MOST_LABEL = 1000  # bytes


class _Shard(NamedTuple):
    """The images of a tar file: where each lies, and the text of its label or None."""

    names: tuple[str, ...]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    labels: tuple[str | None, ...]


@DATASETS.register_module()
class TarShards(EncodedImages):
    """Images in tar files; a sample is all files of one name up to its first dot.

    The tar files are gone through once, header by header, when the data set is built; then any
    image is read where it lies. So shuffling is exact, without a buffer (``shuffle_window`` of the
    loader has one where disks want to be read in order), and ids, the length,
    resuming, and the split by process and worker are those of any other data set. A sample's id
    stands for its shard and its position in that.

    Args:
        shards: Pattern of the tar files, with braces (``train-{000..146}.tar``, which takes the
            package braceexpand, as webdataset does) or as a shell takes it (``train-*.tar``); or a
            list of these.
        label: Ending of the file that holds a sample's label, such as ``cls``, in any case; None:
            no labels.
        size, crop_pct, max_pixels, max_bytes, channels, value_range, rgb: As of ``ImageFolder``.

    Raises:
        UserError: There is no such file, it is compressed as a whole or no tar file, it holds no
            image, or a label is missing.
    """

    def __init__(
        self,
        shards: str | Sequence[str],
        label: str | None = None,
        size: int | None = None,
        crop_pct: float = 1.0,
        max_pixels: int = MOST_PIXELS,
        max_bytes: int = MOST_BYTES,
        channels: int | None = None,
        value_range: Sequence[float] | None = None,
        rgb: Sequence[int] | None = None,
    ) -> None:
        self.reading = Reading(
            "TarShards", size, crop_pct, max_pixels, max_bytes, channels, value_range, rgb
        )
        label = None if label is None else label.lower().removeprefix(".")
        patterns = [shards] if isinstance(shards, str) else list(shards)
        self.files = [file for pattern in patterns for file in _expanded(pattern)]
        read = [_listed(file, label) for file in self.files]
        self._shard = np.repeat(np.arange(len(read)), [len(one.names) for one in read])
        self._first = np.searchsorted(self._shard, np.arange(len(read)))
        self._starts = np.concatenate([one.starts for one in read])
        self._lengths = np.concatenate([one.lengths for one in read])
        self._names = Paths(chain.from_iterable(one.names for one in read))
        self._pattern = patterns[0] if len(patterns) == 1 else f"{len(patterns)} patterns"
        if not len(self._names):
            raise UserError(f"{self._pattern}: there is no image in {len(read)} tar files.")
        labels, classes = None, None
        if label is not None:
            texts = list(chain.from_iterable(one.labels for one in read))
            if None in texts:
                missing = texts.index(None)
                raise UserError(
                    f"{self.path(missing)} has no label beside it, .{label}: add it, or give "
                    f"another ending, label='...'."
                )
            labels, classes = numbered(self._pattern, texts)
        super().__init__(labels, classes, self.spread_contents())

    def __len__(self) -> int:
        return len(self._names)

    @property
    def shard_starts(self) -> NDArray[np.int64]:
        return np.unique(self._first[self._first < len(self)])  # without tar files that hold none

    def place(self, index: int) -> tuple[int, int]:
        """Number of the shard that holds sample ``index``, and its position among the samples."""
        shard = int(self._shard[index])
        return shard, index - int(self._first[shard])

    def content(self, index: int) -> bytes:
        length = int(self._lengths[index])
        check_bytes(length, self.reading.max_bytes)
        with open(self.files[self._shard[index]], "rb", buffering=0) as file:
            data = os.pread(file.fileno(), length, int(self._starts[index]))
        if len(data) < length:
            raise UnreadableError("is cut off: its tar file is shorter than it was")
        return data

    def path(self, index: int) -> str:
        return f"{self.files[self._shard[index]]}/{self._names[index]}"

    def names(self) -> list[str]:
        shards = [Path(file).name for file in self.files]
        return [f"{shards[k]}/{x}" for k, x in zip(self._shard, self._names, strict=True)]

    def describe(self) -> str:
        return self._summary(self._pattern, count(len(self.files), "shard"))


def _expanded(pattern: str) -> list[str]:
    if "://" in pattern or pattern.startswith("pipe:"):
        raise UserError(
            f"{pattern}: shards are read where they lie, in files of this machine: copy or mount "
            f"them, or name single images by ImageList."
        )
    patterns = [os.path.expanduser(pattern)]
    if os.path.isfile(patterns[0]):
        return patterns  # brackets and braces are a part of its name
    if "{" in pattern:
        if find_spec("braceexpand") is None:
            raise UserError(
                f"{pattern}: braces take the package braceexpand: pip install braceexpand, or give "
                f"a pattern with *."
            )
        patterns = list(import_module("braceexpand").braceexpand(patterns[0]))
    files: list[str] = []
    for one in patterns:
        is_pattern = re.search(r"[*?\[]", one) and not os.path.isfile(one)
        found = sorted(glob.glob(one)) if is_pattern else [one]
        missing = [file for file in found if not os.path.isfile(file)]
        if missing or not found:
            raise UserError(f"There is no file {(missing or [one])[0]} of the shards {pattern}.")
        files += found
    return files


def _listed(file: str, label: str | None) -> _Shard:
    status = os.stat(file)
    return _go_through(file, label, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=4096)  # the data sets of an evaluation are most often the same
def _go_through(file: str, label: str | None, size: int, changed: int) -> _Shard:
    try:
        with tarfile.open(file, "r:") as archive:
            members = _files(file, archive)
            texts = {_key(one.name)[0]: _text(archive, one) for one in members if _is(one, label)}
    except (tarfile.TarError, OSError, EOFError) as error:
        raise UserError(
            f"{file} cannot be read as a tar file ({error}); one that is compressed as a whole "
            f"(.tar.gz) is to be unpacked to a plain .tar first."
        ) from error
    members = [one for one in members if one.offset_data + one.size <= size]  # of a cut one
    images = [one for one in members if _key(one.name)[1] in _IMAGES]
    return _Shard(
        tuple(one.name for one in images),
        np.array([one.offset_data for one in images], np.int64),
        np.array([one.size for one in images], np.int64),
        tuple(texts.get(_key(one.name)[0]) for one in images),
    )


def _files(file: str, archive: tarfile.TarFile) -> list[tarfile.TarInfo]:
    """All files; of one that is stored as a link to another, under its own name what that holds."""
    files: list[tarfile.TarInfo] = []
    known: dict[str, tarfile.TarInfo] = {}
    for one in archive:
        if one.islnk():  # as GNU tar stores further names of a file
            if one.linkname not in known:
                raise UserError(
                    f"{file}: {one.name} is a link to {one.linkname}, which is not there before "
                    f"it: pack the files anew, with --hard-dereference."
                )
            name, one = one.name, copy.copy(known[one.linkname])
            one.name = name
        if one.isreg():
            files.append(one)
            known[one.name] = one
    return files


def _key(name: str) -> tuple[str, str]:
    """What a sample's files share, and the ending of this one, in lower case: webdataset's rule."""
    folder, slash, base = name.rpartition("/")
    stem, _, ending = base.partition(".")
    return f"{folder}{slash}{stem}", ending.lower()


def _is(member: tarfile.TarInfo, label: str | None) -> bool:
    return label is not None and _key(member.name)[1] == label and member.size <= _MOST_LABEL


def _text(archive: tarfile.TarFile, member: tarfile.TarInfo) -> str | None:
    file: Any = archive.extractfile(member)
    return file.read().decode("utf-8", "replace").strip() or None
