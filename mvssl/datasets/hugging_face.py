"""Images of a data set of Hugging Face's package ``datasets``, on the disk."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path, PurePath
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mvssl.datasets.encoded import EncodedImages, Reading
from mvssl.datasets.headers import MOST_BYTES, MOST_PIXELS, UnreadableError, check_bytes, read_bytes
from mvssl.datasets.image_list import numbered
from mvssl.datasets.splits import PARTS
from mvssl.errors import UserError
from mvssl.process.places import given_path
from mvssl.registry import DATASETS
from mvssl.words import count, each, in_words

__all__ = ["HuggingFaceImages"]

_NUMBERED: Final = re.compile(r"-\d+-of-\d+$")
_BETWEEN_WORDS: Final = re.compile(r"[\W\d_]+")


@DATASETS.register_module()
class HuggingFaceImages(EncodedImages):
    """A data set that ``save_to_disk`` wrote, or parquet files; it takes the package ``datasets``.

    Args:
        path: Folder that ``save_to_disk`` wrote, a parquet file, or a folder of those, of which
            the ones of ``split`` are taken, by their names (``train-00000-of-00002.parquet``) or
            those of folders (``train/0000.parquet``).
        split: Which of its splits; where there are none, it is not looked at.
        image: Column of the images.
        label: Column of the labels; None: no labels.
        size, crop_pct, max_pixels, max_bytes, channels, value_range, rgb: As of ``ImageFolder``.

    Raises:
        UserError: The package is missing, there is no such data set, split or column, or a label
            is missing.
    """

    def __init__(
        self,
        path: str | Path,
        split: str = "train",
        image: str = "image",
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
            "HuggingFaceImages", size, crop_pct, max_pixels, max_bytes, channels, value_range, rgb
        )
        if find_spec("datasets") is None:
            raise UserError("HuggingFaceImages takes the package datasets: pip install datasets.")
        package: Any = import_module("datasets")
        self.root, self.split = given_path(path), split
        # As Python has them: a data set may be saved with the wish to give tensors.
        rows: Any = _load(package, self.root, split).with_format(None)
        for name in (image, label):
            if name is not None and name not in rows.column_names:
                raise UserError(
                    f"{path} has no column '{name}', and has {each(rows.column_names)}."
                )
        if not len(rows):
            raise UserError(f"{path} ({split}) holds no image.")
        labels, classes = None, None
        if label is not None:
            values = list(rows[label])
            labels, classes = numbered(str(path), values)
            names = getattr(rows.features[label], "names", None)
            if names is not None:
                # The numbers are those of all classes, also of such that do not occur here.
                labels, classes = _of_classes(str(path), values, names), list(names)
        # Encoded as they are: the package would decode them without a look at their size.
        self._rows = rows.select_columns([image]).cast_column(image, package.Image(decode=False))
        self._image = image
        super().__init__(labels, classes, self.spread_contents())

    def __len__(self) -> int:
        return len(self._rows)

    def content(self, index: int) -> bytes:
        entry = self._rows[index][self._image] or {}
        data: bytes | None = entry.get("bytes")
        if data is None:
            if not entry.get("path"):
                raise UnreadableError("holds no image")
            if "://" in entry["path"]:  # what a file says reaches no network
                raise UnreadableError("lies at an address, and not in the data set")
            return read_bytes(entry["path"], self.reading.max_bytes)
        check_bytes(len(data), self.reading.max_bytes)
        return data

    def path(self, index: int) -> str:
        return f"{self.root}[{index}]"

    def names(self) -> list[str]:
        return [f"[{index}]" for index in range(len(self))]

    def describe(self) -> str:
        return self._summary(str(self.root), self.split)


def _of_classes(path: str, values: Sequence[int], names: Sequence[str]) -> NDArray[np.int64]:
    labels = np.array(values, np.int64)
    row = int(labels.argmax())
    if labels[row] >= len(names):
        raise UserError(
            f"{path}: the label of row {row + 1} is {labels[row]}, and there are "
            f"{count(len(names), 'class')}, from 0 on: write the data set anew."
        )
    return labels


def _load(package: Any, path: Path, split: str) -> Any:
    if not path.exists():
        raise UserError(f"There is no data set {path}: give what save_to_disk wrote, or parquet.")
    files = [path] if path.is_file() else _of_split(path, split)
    try:
        if files:
            return package.Dataset.from_parquet(list(map(str, files)))
        loaded = package.load_from_disk(str(path))
    except Exception as error:  # whatever the package raises
        raise UserError(
            f"{path} cannot be read by the package datasets: {in_words(error)}"
        ) from error
    if not isinstance(loaded, package.DatasetDict):
        return loaded
    if split not in loaded:
        raise UserError(f"{path} has no split '{split}', and has {each(loaded)}.")
    return loaded[split]


def _of_split(root: Path, split: str) -> list[Path]:
    """The parquet files of a split; all of them where none says of which split it is."""
    files = sorted(root.rglob("*.parquet"))
    splits = [_splits_of(file.relative_to(root), split.lower()) for file in files]
    if not any(splits):
        return files
    own = [file for file, names in zip(files, splits, strict=True) if split.lower() in names]
    if not own:
        # Of all that a name may mean, the usual word.
        told = {
            next((one for one in names if one in PARTS), names[-1]) for names in splits if names
        }
        raise UserError(f"{root} has no files of a split '{split}', and has {each(sorted(told))}.")
    return own


def _splits_of(file: PurePath, asked: str) -> list[str]:
    """What the split of a file may be called, by its own name, or else by that of the nearest
    folder that says it; nothing where none does.
    """
    for part in (file.stem, *reversed(file.parts[:-1])):
        name, pieces = _NUMBERED.subn("", part.lower())
        words = _BETWEEN_WORDS.split(name)
        # Of numbered files the name before is that of the split: train_gen is not train.
        names = [name, *name.rsplit("-", 1)[1:]] if pieces else [name, *words]
        if asked in names or not PARTS.keys().isdisjoint(words):
            return names
    return []
