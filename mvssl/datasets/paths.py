"""Very many paths in two arrays, which forked workers share as long as they only read them."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

__all__ = ["Paths"]


class Paths(Sequence[str]):
    """A list of paths, held as one array of bytes and one of where each path ends.

    A list of Python strings is copied into every worker bit by bit, since counting references
    writes into each of them; arrays stay shared.

    Args:
        paths: In their order; bytes that are no text are kept, as ``os.fsencode`` does.
    """

    def __init__(self, paths: Iterable[str] = ()) -> None:
        encoded = [os.fsencode(path) for path in paths]
        lengths = np.fromiter(map(len, encoded), np.int64, len(encoded))
        self._set(np.frombuffer(b"".join(encoded), np.uint8), lengths)

    def _set(self, characters: NDArray[np.uint8], lengths: NDArray[np.int64]) -> None:
        self._bytes = characters
        self._starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])

    def __len__(self) -> int:
        return len(self._starts) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        number = range(len(self))[index]
        start, end = self._starts[number : number + 2]
        return os.fsdecode(self._bytes[start:end].tobytes())

    def __iter__(self) -> Iterator[str]:
        whole, starts = self._bytes.tobytes(), self._starts.tolist()
        for start, end in itertools.pairwise(starts):
            yield os.fsdecode(whole[start:end])

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Sequence) and not isinstance(other, str):
            return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def keep(self, kept: NDArray[np.bool_]) -> Paths:
        """Those for which ``kept``, (N,), is true, in their order."""
        lengths = np.diff(self._starts)
        chosen = Paths()
        chosen._set(self._bytes[np.repeat(kept, lengths)], lengths[kept])
        return chosen
