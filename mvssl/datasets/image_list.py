"""Images named by a list: a text, a table, or JSON lines."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
from mmengine import fileio
from numpy.typing import NDArray

from mvssl.datasets.encoded import EncodedImages, Reading
from mvssl.datasets.headers import MOST_BYTES, MOST_PIXELS, read_bytes
from mvssl.datasets.paths import Paths
from mvssl.errors import UserError
from mvssl.registry import DATASETS
from mvssl.words import each, either, in_words, shown

__all__ = ["ImageList", "numbered"]

_COLUMNS: Final = ("image", "path", "file", "filename", "file_name", "image_path", "img_path")

Rows = list[Mapping[str, Any]]


@DATASETS.register_module()
class ImageList(EncodedImages):
    """The images of a list; a list for each split.

    Args:
        file: The list. ``.txt``: one path a line, with ``label`` followed by a space and the label.
            ``.csv`` and ``.tsv``: with a line of names; ``.jsonl``: one object a line;
            ``.parquet`` (takes the package pyarrow).
        root: Folder that the paths are relative to; by default that of the list. Root, list and
            paths may begin with ``~``, or be addresses that mmengine's file backends read
            (``s3://``, ``http://``).
            Over HTTP ``max_bytes`` bounds what is fetched; other backends fetch an image whole
            before its size is known.
        image: Column of the paths; by default the first that is there of image, path, file,
            filename, file_name, image_path, img_path.
        label: Column of the labels, numbers or names; of a ``.txt`` any word. None: no labels.
        size, crop_pct, max_pixels, max_bytes, channels, value_range, rgb: As of ``ImageFolder``.

    Raises:
        UserError: There is no such list or column, it names no image, or a label is missing.
    """

    def __init__(
        self,
        file: str | Path,
        root: str | Path | None = None,
        image: str | None = None,
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
            "ImageList", size, crop_pct, max_pixels, max_bytes, channels, value_range, rgb
        )
        self.file = _at_home(str(file))
        self.root = self.file.rpartition("/")[0] if root is None else _at_home(str(root))
        self._beside_list = root is None
        rows = _rows(self.file, label is not None)
        self._files = Paths(_paths(self.file, rows, _named(self.file, rows, image)))
        labels, classes = None, None
        if label is not None:
            name = "label" if self.file.lower().endswith(".txt") else label
            labels, classes = numbered(self.file, _column(self.file, rows, name))
        super().__init__(labels, classes, self.spread_contents())

    def __len__(self) -> int:
        return len(self._files)

    def content(self, index: int) -> bytes:
        return read_bytes(self.path(index), self.reading.max_bytes)

    def path(self, index: int) -> str:
        name = _at_home(self._files[index])
        if "://" in name or name.startswith("/") or not self.root:
            return name
        return f"{self.root.rstrip('/')}/{name}"

    def remedy(self, missing: bool) -> str:
        name = _at_home(self._files[0])
        if not missing or "://" in name:
            return super().remedy(missing)
        if name.startswith("/"):
            return f"Write paths into {self.file} that exist, or relative ones and give root."
        own = ", the folder of the list" if self._beside_list else ""
        return (
            f"Paths are read relative to {self.root or '.'}{own}: set root in the data set to the "
            f"folder that they are relative to."
        )

    def names(self) -> list[str]:
        return list(self._files)

    def describe(self) -> str:
        return self._summary(self.file, "list")


def _at_home(path: str) -> str:
    return path if "://" in path else os.path.expanduser(path)


def numbered(owner: str, values: Iterable[Any]) -> tuple[NDArray[np.int64], list[str]]:
    """Labels as numbers from 0 on, and the names of the classes, in order.

    A number below 0 stands for no label, as in the data sets of others; a text such as '-1' is a
    name.

    Raises:
        UserError: One is missing, or is several values.
    """
    listed = list(values)
    for row, value in enumerate(listed, 1):
        if isinstance(value, Iterable) and not isinstance(value, str | bytes):
            raise UserError(
                f"{owner}: the label of row {row} is {shown(value)}: give one number or name."
            )
        if _is_missing(value):
            said = "" if value is None or value == "" else f" ({value} stands for none)"
            raise UserError(f"{owner}: row {row} has no label{said}: add it, or leave the row out.")
    texts = [
        value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
        for value in listed
    ]
    # In the order of numbers where all are numbers.
    plain = all(text.removeprefix("-").isdecimal() for text in texts)
    classes = sorted(set(texts), key=(lambda text: (int(text), text)) if plain else None)
    number_of = {name: number for number, name in enumerate(classes)}
    return np.array([number_of[text] for text in texts], np.int64), classes


def _is_missing(value: Any) -> bool:
    """Of a float, too, that is no number."""
    return value is None or value == "" or (isinstance(value, int | float) and not value >= 0)


def _rows(file: str, labelled: bool) -> Rows:
    ending = Path(file).suffix.lower()
    read: dict[str, Callable[[bytes], Rows]] = {
        ".txt": lambda data: _lines(data, labelled),
        ".csv": lambda data: list(csv.DictReader(io.StringIO(data.decode("utf-8-sig")))),
        ".tsv": lambda data: list(
            csv.DictReader(io.StringIO(data.decode("utf-8-sig")), delimiter="\t")
        ),
        ".jsonl": lambda data: [json.loads(line) for line in data.splitlines() if line.strip()],
        ".parquet": _parquet,
    }
    if ending not in read:
        raise UserError(f"{file} is no list that is read: it ends with {either(read)}.")
    if "://" not in file and not Path(file).is_file():
        raise UserError(f"There is no list {file}: give the path of a file that exists.")
    try:
        rows = read[ending](fileio.get(file))
    except UserError:
        raise
    except Exception as error:  # whatever a backend or a parser raises
        raise UserError(f"{file} cannot be read as a {ending} list: {in_words(error)}") from error
    if not rows:
        raise UserError(f"{file} names no image.")
    if not all(isinstance(row, Mapping) for row in rows):
        raise UserError(f"{file}: a line is an object with named values, such as {{'image': ...}}.")
    return rows


def _lines(data: bytes, labelled: bool) -> Rows:
    lines = [line.strip() for line in data.decode("utf-8-sig").splitlines() if line.strip()]
    if not labelled:
        return [{"image": line} for line in lines]
    pairs = [line.rsplit(None, 1) for line in lines]
    return [{"image": pair[0], "label": pair[1] if len(pair) > 1 else None} for pair in pairs]


def _parquet(data: bytes) -> Rows:
    if find_spec("pyarrow") is None:
        raise UserError("A .parquet list takes the package pyarrow: pip install pyarrow.")
    table = import_module("pyarrow.parquet").read_table(io.BytesIO(data))
    rows: Rows = table.to_pylist()
    return rows


def _named(file: str, rows: Rows, image: str | None) -> str:
    found = image or next((name for name in _COLUMNS if name in rows[0]), None)
    if found is None:
        raise UserError(
            f"{file} has no column {either(_COLUMNS)}, and has {each(rows[0])}: name that of the "
            f"paths, image='...'."
        )
    return found


def _column(file: str, rows: Rows, name: str) -> list[Any]:
    if name not in rows[0]:
        raise UserError(f"{file} has no column '{name}', and has {each(rows[0])}.")
    return [row.get(name) for row in rows]


def _paths(file: str, rows: Rows, column: str) -> list[str]:
    paths = _column(file, rows, column)
    for row, path in enumerate(paths, 1):
        if not isinstance(path, str) or not path.strip():
            said = "" if path is None or path == "" else f" ({column}: {shown(path)})"
            raise UserError(
                f"{file}: row {row} names no image{said}: give its path, or leave the row out."
            )
    return paths
