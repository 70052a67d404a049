"""A folder of images, with or without classes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from mvssl.arguments import check_count, check_seed, is_integer, is_number
from mvssl.datasets.base import ImageDataset, check_size, check_split
from mvssl.datasets.images import MOST_BYTES, MOST_PIXELS, read_image, why_unreadable
from mvssl.datasets.listing import ENDINGS, Found, find_images
from mvssl.errors import UserError
from mvssl.opencv import cv2
from mvssl.registry import DATASETS
from mvssl.words import some

LEAST_CROP = 0.01
_TEST_FOLDERS = ("test", "val")  # the first that is there is the test split


@DATASETS.register_module()
class ImageFolder(ImageDataset):
    """All images below a folder.

    Without labels, the split 'train' is everything, as 'all'. With labels, the folders on the
    first level are the classes, and a share of every class is held out as 'test'; or the first
    level is train/ and test/ (or val/) with the classes below, and is taken as the split.

    Args:
        root: The folder.
        split: 'train', 'test' (with labels only) or 'all'.
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
    ) -> None:
        check_split(split, test_fraction)
        check_size(size)
        check_seed("ImageFolder", seed=seed)
        _check_share(per_class, crop_pct)
        limits = {"max_pixels": max_pixels, "max_bytes": max_bytes}
        check_count("ImageFolder", at_most=2**53, **limits)
        self.root = Path(root).expanduser()
        self.split = split
        self.crop_pct = crop_pct
        self.per_class = per_class
        self._limits = {"max_pixels": max_pixels, "max_bytes": max_bytes}
        found = _find(self.root)
        self._files = found.files
        self._note = ""
        numbers, classes = None, None
        if labels:
            numbers, classes = self._classify(test_fraction, seed)
        elif split == "test":
            raise UserError(
                f"{self.root}: split='test' needs labels=True; without labels all images belong "
                "to the split 'train'."
            )
        elif per_class is not None:
            raise UserError(f"{self.root}: per_class={per_class} needs labels=True.")
        super().__init__(labels=numbers, classes=classes, size=size)
        self.notes = _left_out(self.root, found)

    def __len__(self) -> int:
        return len(self._files)

    def read(self, index: int) -> NDArray[np.uint8] | None:
        image = read_image(self.root / self._files[index], **self._limits)
        if image is None or self.size is None:
            return image
        return _centre(image, self.size, self.crop_pct)

    def fault(self, index: int) -> str:
        return why_unreadable(self.root / self._files[index], **self._limits)

    def path(self, index: int) -> str:
        return str(self.root / self._files[index])

    def names(self) -> list[str]:
        # Below the root, so that the folder may move.
        return list(self._files)

    def describe(self) -> str:
        return self._summary(str(self.root), self.split) + self._note

    def _classify(self, test_fraction: float, seed: int) -> tuple[NDArray[np.int64], list[str]]:
        """Finds the classes and keeps the files of the split; returns labels and names."""
        parts = [file.split("/") for file in self._files]
        held_out = _test_folder(self.root, parts)
        if held_out is None:
            names = [part[0] for part in parts]
            classes = _classes_to_split(self.root, names)
            in_train = ~_hold_out(np.array(names), test_fraction, seed)
            in_test = ~in_train
            self._note = f", {test_fraction:.0%} of every class held out for testing"
        else:
            names = [part[1] for part in parts]
            in_train = np.array([part[0] == "train" for part in parts])
            in_test = np.array([part[0] == held_out for part in parts])
            classes = _classes_of_split(self.root, np.array(names), in_train, in_test)
            self._note = f", split as in train/ and {held_out}/"
        kept = {"train": in_train, "test": in_test, "all": in_train | in_test}[self.split]
        if self.per_class is not None:
            kept &= _first_of_each(names, kept, self.per_class)
            self._note += f", at most {self.per_class} of every class"
        number_of = {name: number for number, name in enumerate(classes)}
        labels = [number_of[name] for name, keep in zip(names, kept, strict=True) if keep]
        self._files = [file for file, keep in zip(self._files, kept, strict=True) if keep]
        return np.array(labels, dtype=np.int64), classes


def _check_share(per_class: int | None, crop_pct: float) -> None:
    if per_class is not None and not (is_integer(per_class) and per_class >= 1):
        raise UserError(f"per_class must be a number of images or None, not {per_class!r}.")
    if not (is_number(crop_pct) and LEAST_CROP <= crop_pct <= 1):
        raise UserError(
            f"crop_pct must be above 0 (from {LEAST_CROP}) and at most 1, not {crop_pct!r}."
        )


def _find(root: Path) -> Found:
    if not root.exists():
        raise UserError(
            f"There is no folder {root}. Check the path (it is read from {Path.cwd()}), or "
            "give your own by --data FOLDER."
        )
    if not root.is_dir():
        raise UserError(f"{root} is a file. Give the folder that holds the images.")
    try:
        found = find_images(root)
    except OSError as error:
        raise UserError(f"{error.filename} cannot be read: {error.strerror}.") from error
    if not found.files:
        left_out = "".join(f" {text[0].upper()}{text[1:]}." for text in _left_out(root, found))
        raise UserError(
            f"There are no images in {root} or below (looked for {', '.join(ENDINGS)}).{left_out}"
        )
    return found


def _left_out(root: Path, found: Found) -> list[str]:
    """What a user may have taken for images, in a sentence each."""
    notes = []
    if found.runs:
        places = some([str(root / run) for run in found.runs])
        notes.append(f"pictures that training runs wrote are no images: left out in {places}")
    if found.odd:
        named = some([f"{root / name} is {kind}" for name, kind in found.odd.items()])
        notes.append(f"what is no regular file is left out: {named}")
    return notes


def _test_folder(root: Path, parts: list[list[str]]) -> str | None:
    """Name of the folder with the test split where the first level is train/ and test/ or val/."""
    direct = [part[0] for part in parts if len(part) == 1]
    if direct:
        raise UserError(
            f"{root}: labels=True takes the folders on the first level as classes, but "
            f"{len(direct)} images lie outside of them (such as {direct[0]}). Move them into the "
            "folder of their class, or use labels=False."
        )
    first_level = {part[0] for part in parts}
    if "train" not in first_level or not first_level - {"train"}:
        return None
    if first_level - {"train", *_TEST_FOLDERS}:
        return None
    for part in parts:
        if len(part) == 2:
            raise UserError(
                f"{root}: the first level looks like a split (train, test), but "
                f"{'/'.join(part)} is in no class folder. Expected {part[0]}/<class>/{part[1]}; "
                "or use labels=False."
            )
    return next(name for name in _TEST_FOLDERS if name in first_level)


def _classes_to_split(root: Path, names: list[str]) -> list[str]:
    """Names of the classes, sorted, of which every one is to be split."""
    counts = Counter(names)
    single = sorted(name for name, count in counts.items() if count < 2)
    if single:
        raise UserError(
            f"{root}: the class {single[0]!r} has 1 image; every class needs 2, one to train and "
            "one to test. Add images or remove the folder."
        )
    return _at_least_two(root, sorted(counts))


def _classes_of_split(
    root: Path, names: NDArray[np.str_], in_train: NDArray[np.bool_], in_test: NDArray[np.bool_]
) -> list[str]:
    """Names of the classes, sorted, where folders give the split."""
    classes = sorted(set(names[in_train].tolist()))
    unknown = sorted(set(names[in_test].tolist()) - set(classes))
    if unknown:
        raise UserError(
            f"{root}: the class {unknown[0]!r} is there to test, but train/ does not have it. "
            "Add it there or remove the folder."
        )
    return _at_least_two(root, classes)


def _at_least_two(root: Path, classes: list[str]) -> list[str]:
    if len(classes) < 2:
        raise UserError(
            f"{root}: labels=True needs at least two folders with images, one per class, but there "
            f"is {classes[0]!r} alone. Use labels=False for images without classes."
        )
    return classes


def _hold_out(names: NDArray[np.str_], test_fraction: float, seed: int) -> NDArray[np.bool_]:
    """Draws a share of every class, at least one image and never all of them."""
    classes, numbers = np.unique(names, return_inverse=True)
    # Neither side can have an image of every class with fewer images than there are classes.
    most = len(names) - len(classes)
    count = min(max(round(test_fraction * len(names)), len(classes)), most)
    chosen = train_test_split(
        np.arange(len(names)), test_size=count, random_state=seed, stratify=numbers
    )[1]
    in_test = np.zeros(len(names), dtype=bool)
    in_test[chosen] = True
    # Shares are rounded to add up to `count`: a small class may have got no image, or all.
    for number in range(len(classes)):
        members = np.flatnonzero(numbers == number)
        if in_test[members].all() or not in_test[members].any():
            in_test[members[0]] ^= True
    return in_test


def _centre(image: NDArray[np.uint8], size: int, crop_pct: float) -> NDArray[np.uint8]:
    """Resizes the short side to ``size / crop_pct`` and cuts the centre out."""
    height, width = image.shape[:2]
    short = max(round(size / crop_pct), size)
    scale = short / min(height, width)
    target = (max(round(width * scale), size), max(round(height * scale), size))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    resized = cv2.resize(image, target, interpolation=how)
    top, left = (target[1] - size) // 2, (target[0] - size) // 2
    return resized[top : top + size, left : left + size]


def _first_of_each(names: list[str], kept: NDArray[np.bool_], most: int) -> NDArray[np.bool_]:
    """The first ``most`` of the kept files of every class."""
    seen: Counter[str] = Counter()
    first = np.zeros_like(kept)
    for number in np.flatnonzero(kept):
        seen[names[number]] += 1
        first[number] = seen[names[number]] <= most
    return first
