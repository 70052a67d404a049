"""Images of a data set of Hugging Face's package ``datasets``, on the disk."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mvssl.datasets.encoded import EncodedImages, Reading
from mvssl.datasets.headers import MOST_BYTES, MOST_PIXELS, UnreadableError, check_bytes, read_bytes
from mvssl.datasets.image_list import numbered
from mvssl.errors import UserError
from mvssl.registry import DATASETS
from mvssl.words import either, in_words

__all__ = ["HuggingFaceImages"]


@DATASETS.register_module()
class HuggingFaceImages(EncodedImages):
    """A data set that ``save_to_disk`` wrote, or parquet files; it takes the package ``datasets``.

    Args:
        path: Folder that ``save_to_disk`` wrote, a parquet file, or a folder of those, of which
            names that begin with ``split`` are taken (``train-00000-of-00002.parquet``).
        split: Which of its splits; of one that has none, it is not looked at.
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
        reading = Reading(size, crop_pct, max_pixels, max_bytes, channels, value_range, rgb)
        reading.check("HuggingFaceImages")
        self.reading = reading
        if find_spec("datasets") is None:
            raise UserError("HuggingFaceImages takes the package datasets: pip install datasets.")
        package: Any = import_module("datasets")
        self.root, self.split = Path(path).expanduser(), split
        rows: Any = _load(package, self.root, split)
        for name in (image, label):
            if name is not None and name not in rows.column_names:
                raise UserError(
                    f"{path} has no column '{name}', and has {either(rows.column_names)}."
                )
        if not len(rows):
            raise UserError(f"{path} ({split}) holds no image.")
        labels, classes = None, None
        if label is not None:
            labels, classes = numbered(str(path), rows[label])
            names = getattr(rows.features[label], "names", None)
            if names is not None:
                # The numbers are those of all classes, also of such that do not occur here.
                labels, classes = (
                    numbered(str(path), range(len(names)))[0][rows[label]],
                    list(names),
                )
        # Encoded as they are: the package would decode them without a look at their size.
        self._rows = rows.select_columns([image]).cast_column(image, package.Image(decode=False))
        self._image = image
        super().__init__(labels, classes, reading, self.spread_contents())

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


def _load(package: Any, path: Path, split: str) -> Any:
    if not path.exists():
        raise UserError(f"There is no data set {path}: give what save_to_disk wrote, or parquet.")
    files = [path] if path.is_file() else sorted(path.rglob("*.parquet"))
    own = [str(file) for file in files if file.name.startswith(split)]
    try:
        if files:
            return package.Dataset.from_parquet(own or [str(file) for file in files])
        loaded = package.load_from_disk(str(path))
    except Exception as error:  # whatever the package raises
        raise UserError(
            f"{path} cannot be read by the package datasets: {in_words(error)}"
        ) from error
    if not isinstance(loaded, package.DatasetDict):
        return loaded
    if split not in loaded:
        raise UserError(f"{path} has no split '{split}', and has {either(loaded)}.")
    return loaded[split]
