"""A folder of images, with or without classes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from mvssl.arguments import check_seed, is_integer
from mvssl.datasets.base import check_split
from mvssl.datasets.encoded import EncodedImages, Reading
from mvssl.datasets.headers import MOST_BYTES, MOST_PIXELS, read_bytes
from mvssl.datasets.listing import ENDINGS, Found, find_images
from mvssl.datasets.splits import by_class, by_split
from mvssl.datasets.survey import spread
from mvssl.errors import UserError
from mvssl.process.places import given_path
from mvssl.registry import DATASETS
from mvssl.words import count, some


@DATASETS.register_module()
class ImageFolder(EncodedImages):
    """All images below a folder.

    Folders on the first level that are all named like parts of a data set, in any case (train,
    training; val, valid, validation, dev; test, testing; unlabeled), are taken as the split.
    Without labels, 'train' is then all but the images for validation and tests, and 'all' is
    everything; without such folders both are everything. With labels, the folders below are the
    classes, and the folder for tests, else that for validation, is 'test'. Without such folders
    those on the first level are the classes, and a share of every class is held out as 'test'.

    Args:
        root: The folder.
        split: 'train', 'test' or 'all'.
        labels: Whether folders stand for classes.
        test_fraction: Share of every class that is held out, at least one image of each.
        seed: Decides which ones.
        size: Side in pixels of the square images. The short side is resized to
            ``size / crop_pct`` and the centre is cut out. None: images keep their sizes, which
            takes a ``view_transform``.
        crop_pct: Share of the short side that the centre crop keeps.
        per_class: The most images of a class, the first by name, for a trial on a part of the data;
            with labels only.
        max_pixels: An image with more is not decoded; another one takes its place.
        max_bytes: A file that is larger is not read; likewise.
        channels: Of every image; by default 3, RGB, or as many as the files have where those are
            neither greys nor colours.
        value_range: The value of black and that of white; by default that of 8 bits, or what a
            sample of deeper files holds.
        rgb: Which channels are red, green and blue, where there are more than 3; () for none.

    What training runs wrote below the folder (``work_dirs``, for one) is left out.

    Raises:
        UserError: The folder is missing or holds no image, its classes do not make a labelled
            data set, or an argument is out of its range.
    """

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        labels: bool = False,
        test_fraction: float = 0.2,
        seed: int = 0,
        size: int | None = None,
        crop_pct: float = 1.0,
        per_class: int | None = None,
        max_pixels: int = MOST_PIXELS,
        max_bytes: int = MOST_BYTES,
        channels: int | None = None,
        value_range: Sequence[float] | None = None,
        rgb: Sequence[int] | None = None,
    ) -> None:
        check_split(split, test_fraction)
        check_seed("ImageFolder", seed=seed)
        if per_class is not None and not (is_integer(per_class) and per_class >= 1):
            raise UserError(f"per_class must be a number of images or None, not {per_class!r}.")
        self.reading = Reading(
            "ImageFolder", size, crop_pct, max_pixels, max_bytes, channels, value_range, rgb
        )
        self.root = given_path(root)
        self.split = split
        found = _find(self.root)
        listed = list(found.files)
        if labels:
            chosen = by_class(self.root, listed, split, test_fraction, seed, per_class)
        elif per_class is not None:
            raise UserError(f"{self.root}: per_class={per_class} needs labels=True.")
        else:
            chosen = by_split(self.root, listed, split)
        self._files = found.files.keep(chosen.kept)
        self._note = chosen.note
        # Of the whole folder, so that all of its splits are read alike.
        sample = [
            partial(read_bytes, self.root / listed[number], max_bytes)
            for number in spread(len(listed))
        ]
        super().__init__(chosen.labels, chosen.classes, sample)
        left_out = _left_out(self.root, found)
        self.notes = [f"found {found.told()}", *left_out, *chosen.notes, *self.notes]

    def __len__(self) -> int:
        return len(self._files)

    def content(self, index: int) -> bytes:
        return read_bytes(self.root / self._files[index], self.reading.max_bytes)

    def path(self, index: int) -> str:
        return str(self.root / self._files[index])

    def remedy(self, missing: bool) -> str:
        if missing:
            return super().remedy(missing)
        return f"python tools/check_data.py {self.root} tells of each file what is wrong."

    def names(self) -> list[str]:
        # Below the root, so that the folder may move.
        return list(self._files)

    def describe(self) -> str:
        return self._summary(str(self.root), self.split) + self._note


def _find(root: Path) -> Found:
    if not root.exists():
        raise UserError(
            f"There is no folder {root}. Check the path, which is read from {Path.cwd()}; a run "
            f"takes another one by --data FOLDER."
        )
    if not root.is_dir():
        raise UserError(f"{root} is a file. {_reader(root)}")
    try:
        found = find_images(root)
    except OSError as error:
        raise UserError(f"{error.filename} cannot be read: {error.strerror}.") from error
    if not found.files:
        left_out = "".join(f" {text[0].upper()}{text[1:]}." for text in _left_out(root, found))
        skipped = f" Found {found.told()}." if found.skipped else ""
        raise UserError(
            f"There are no images in {root} or below (looked for {', '.join(ENDINGS)})."
            f"{skipped}{left_out}"
        )
    return found


def _reader(file: Path) -> str:
    """What to do with a file where a folder is asked for."""
    endings = "".join(file.suffixes[-2:]).lower()
    readers = {"TarShards": (".tar",), "ArrayImages": (".npy", ".npz")}
    readers |= {"ImageList": (".txt", ".csv", ".tsv", ".jsonl", ".parquet")}
    for kind, known in readers.items():
        if endings.endswith(known):
            return f"In a config, {kind} reads it: type='{kind}' in train_dataloader.dataset."
    if endings.endswith((".zip", ".tgz", ".tar.gz", ".tar.xz", ".7z", ".rar")):
        return "Unpack it, and give the folder that holds the images."
    return "Give the folder that holds the images."


def _left_out(root: Path, found: Found) -> list[str]:
    """What a user may have taken for images, in a sentence each."""
    notes = []
    if found.runs:
        places = some([str(root / run) for run in found.runs])
        notes.append(f"pictures that training runs wrote are no images: left out in {places}")
    if found.odd:
        named = some([f"{root / name} is {kind}" for name, kind in found.odd.items()])
        notes.append(f"what is no regular file is left out ({len(found.odd):,}): {named}")
    if found.closed:
        named = some([f"{root / name} ({why})" for name, why in found.closed.items()])
        notes.append(f"{count(len(found.closed), 'folder')} cannot be read: {named}")
    return notes
