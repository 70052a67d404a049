"""What the folders below a data set's root stand for: splits, classes, or neither."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from mvssl.errors import UserError
from mvssl.words import count, some

__all__ = ["PARTS", "Chosen", "by_class", "by_split"]

PARTS: Final = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("test", "testing"), "test"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("unlabeled", "unlabelled"), "unlabelled"),
}
"""Usual names for parts of a data set, in lower case, and the part that each is."""


class Chosen(NamedTuple):
    """Which images belong to a split.

    Attributes:
        kept: (N,), of all images below the root.
        labels: of those that are kept; None where there are none.
        classes: their names, likewise.
        note: the end of the line that describes the data set.
        notes: sentences for the user.
    """

    kept: NDArray[np.bool_]
    labels: NDArray[np.int64] | None
    classes: list[str] | None
    note: str
    notes: list[str]


def by_split(root: Path, files: Sequence[str], split: str) -> Chosen:
    """Images without labels: of a folder for tests only where they are asked for.

    Raises:
        UserError: ``split`` is 'test', and no folder is for tests.
    """
    tops = _tops(files)
    parts = _parts(tops)
    kept = np.ones(len(tops), bool)
    if parts is None:
        if split == "test":
            raise UserError(
                f"{root}: the split 'test' takes labels, or a folder test/ or val/ beside train/; "
                "without either all images belong to the split 'train'."
            )
        return Chosen(kept, None, None, "", _odd_parts(tops, "all images are trained on"))
    held_out = np.isin(parts, ["test", "val"])
    folders = some(sorted({f"{name}/" for name in tops[held_out].tolist()}), 6)
    if split == "all":
        return Chosen(kept, None, None, f", {folders} included", [])
    kept = held_out if split == "test" else ~held_out
    notes = []
    if split == "train":
        notes = [
            f"{count(int(held_out.sum()), 'image')} in {folders} are held out, which "
            f"the split 'all' has too"
        ]
    return Chosen(kept, None, None, f", {folders} held out", notes)


def by_class(
    root: Path,
    files: Sequence[str],
    split: str,
    test_fraction: float,
    seed: int,
    per_class: int | None,
) -> Chosen:
    """Images with labels, by the folders that they are in.

    Raises:
        UserError: the folders do not make a labelled data set.
    """
    _check_inside(root, files)
    tops = _tops(files)
    parts = _parts(tops, alone=True)
    if parts is None:
        notes = _odd_parts(tops, "every folder is a class")
        names = tops
        inside = np.ones(len(names), bool)
        if split == "all":
            classes, held_out, note = _classes_of_all(root, names), ~inside, ""
        else:
            classes = _classes_to_split(root, names.tolist())
            held_out = _hold_out(names, classes, test_fraction, seed)
            note = f", {test_fraction:.0%} of every class held out for testing"
    elif split == "all":
        names, parts, notes = _below_splits(root, files, tops, parts)
        inside = parts != ""
        classes, held_out = _classes_of_all(root, names[inside]), np.zeros(len(names), bool)
        folders = some(sorted({f"{name}/" for name in tops[inside].tolist()}))
        note = f", of {folders}"
    else:
        names, parts, notes = _below_splits(root, files, tops, parts)
        inside, held_out, note = _of_parts(root, names, tops, parts, test_fraction, seed)
        classes = _classes_of_split(root, names, inside & ~held_out, held_out)
    kept = inside & {"train": ~held_out, "test": held_out, "all": inside}[split]
    if per_class is not None:
        kept &= _first_of_each(names.tolist(), kept, per_class)
        note += f", at most {per_class} of every class"
    labels = np.searchsorted(np.array(classes), names[kept]).astype(np.int64)
    return Chosen(kept, labels, classes, note, notes)


def _tops(files: Sequence[str]) -> NDArray[np.str_]:
    """The folder on the first level of each file, (N,); empty where it is in none."""
    return np.array([file.partition("/")[0] if "/" in file else "" for file in files])


def _parts(tops: NDArray[np.str_], alone: bool = False) -> NDArray[np.str_] | None:
    """The part of a data set that each image's folder on the first level is for, (N,), empty for
    loose files; None where these folders are no parts.

    They are if all are named like one, one of them for training and, unless ``alone``, one for
    tests.
    """
    names, numbers = np.unique(tops, return_inverse=True)
    known = [PARTS.get(name.lower(), "") for name in names.tolist()]
    if any(name and not part for name, part in zip(names.tolist(), known, strict=True)):
        return None
    if "train" not in known or not (alone or {"test", "val"} & set(known)):
        return None
    return np.array(known)[numbers]


def _odd_parts(tops: NDArray[np.str_], so: str) -> list[str]:
    """A note where folders are named like parts of a data set, and are none since others are not or
    since none is for training; ``so`` says what follows.
    """
    names = sorted(set(tops.tolist()) - {""})
    like = [name for name in names if name.lower() in PARTS]
    others = [f"{name}/" for name in names if name not in like]
    training = any(PARTS[name.lower()] == "train" for name in like)
    if not like or (training and not others):
        return []
    why = f"{some(others)} {_are(others)} not" if others else "none is for training"
    named = some([f"{name}/" for name in like])
    return [f"{named} {_are(like)} named like {_parts_named(like)} of a data set, but {why}: {so}"]


def _are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _parts_named(names: Sequence[str]) -> str:
    return "a part" if len(names) == 1 else "parts"


def _check_inside(root: Path, files: Sequence[str]) -> None:
    direct = [file for file in files if "/" not in file]
    if direct:
        raise UserError(
            f"{root}: with labels the folders on the first level are classes, but "
            f"{len(direct)} images lie outside of them (such as {direct[0]}). Move them into the "
            "folder of their class, or take the images without labels."
        )


def _below_splits(
    root: Path, files: Sequence[str], tops: NDArray[np.str_], parts: NDArray[np.str_]
) -> tuple[NDArray[np.str_], NDArray[np.str_], list[str]]:
    """The class of each image, the part that it belongs to (empty: it is left out), and notes.

    A folder other than that for training whose images are in no class folders is left out, as a
    competition's test images are.
    """
    words = [file.split("/", 2) for file in files]
    classed = np.array([len(word) == 3 for word in words])
    if not classed[parts == "train"].all():
        file = files[int(np.flatnonzero((parts == "train") & ~classed)[0])]
        top, name = file.split("/")
        raise UserError(
            f"{root}: the first level looks like a split (train, test), but {file} is in no class "
            f"folder. Expected {top}/<class>/{name}; or take the images without labels."
        )
    parts, notes = parts.astype("U10"), []
    for top in sorted(set(tops.tolist())):
        own = tops == top
        if (parts[own] == "unlabelled").all() or not classed[own].all():
            notes.append(
                f"{count(int(own.sum()), 'image')} in {top}/ are left out: no class folders"
            )
            parts[own] = ""
    names = np.array([word[1] if len(word) == 3 else "" for word in words])
    return names, parts, notes


def _of_parts(
    root: Path,
    names: NDArray[np.str_],
    tops: NDArray[np.str_],
    parts: NDArray[np.str_],
    test_fraction: float,
    seed: int,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], str]:
    """Which images are of the data set, and which of them are held out: those of a folder for
    tests, else of one for validation, else a share of every class.
    """
    train = parts == "train"
    trained = some(sorted({f"{name}/" for name in tops[train].tolist()}))
    for part in ("test", "val"):
        held_out = parts == part
        if held_out.any():
            folders = some(sorted({f"{name}/" for name in tops[held_out].tolist()}))
            return train | held_out, held_out, f", split as in {trained} and {folders}"
    held_out = np.zeros(len(parts), bool)
    classes = _classes_to_split(root, names[train].tolist())
    held_out[train] = _hold_out(names[train], classes, test_fraction, seed)
    return (
        train,
        held_out,
        f", {test_fraction:.0%} of every class in {trained} held out for testing",
    )


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


def _classes_of_all(root: Path, names: NDArray[np.str_]) -> list[str]:
    """Names of the classes, sorted, where nothing is held out: any number, of any size."""
    classes = sorted(set(names.tolist()))
    return (
        classes if len(classes) == 1 and not _is_part(classes[0]) else _at_least_two(root, classes)
    )


def _is_part(name: str) -> bool:
    return name.lower() in PARTS


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
        way = "Images without classes are for what needs no labels."
        if _is_part(classes[0]):
            way = (
                f"It is named like a part of a data set: give {root / classes[0]} where the "
                f"classes are inside."
            )
        raise UserError(
            f"{root}: labels need at least two folders with images, one per class, but there "
            f"is {classes[0]!r} alone. {way}"
        )
    return classes


def _hold_out(
    names: NDArray[np.str_], classes: list[str], test_fraction: float, seed: int
) -> NDArray[np.bool_]:
    """Draws a share of every class, at least one image and never all of them."""
    numbers = np.searchsorted(np.array(classes), names)
    # Neither side can have an image of every class with fewer images than there are classes.
    most = len(names) - len(classes)
    number_held = min(max(round(test_fraction * len(names)), len(classes)), most)
    chosen = train_test_split(
        np.arange(len(names)), test_size=number_held, random_state=seed, stratify=numbers
    )[1]
    in_test = np.zeros(len(names), dtype=bool)
    in_test[chosen] = True
    # Shares are rounded to add up to it: a small class may have got no image, or all.
    for number in range(len(classes)):
        members = np.flatnonzero(numbers == number)
        if in_test[members].all() or not in_test[members].any():
            in_test[members[0]] ^= True
    return in_test


def _first_of_each(names: list[str], kept: NDArray[np.bool_], most: int) -> NDArray[np.bool_]:
    """The first ``most`` of the kept files of every class."""
    seen: Counter[str] = Counter()
    first = np.zeros_like(kept)
    for number in np.flatnonzero(kept):
        seen[names[number]] += 1
        first[number] = seen[names[number]] <= most
    return first
