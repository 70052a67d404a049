"""A folder of images: classes, splits, sizes, damaged files, and what is said about mistakes."""

from __future__ import annotations

import os
import pickle
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from mvssl.datasets import ImageFolder, listing
from mvssl.datasets.paths import Paths
from mvssl.errors import UserError
from mvssl.registry import DATASETS
from mvssl.views import HostViews, build_views


def _write(path: Path, level: int = 100, height: int = 20, width: int = 30) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((height, width, 3), level, dtype=np.uint8))


def _classes(root: Path, **counts: int) -> Path:
    for name, count in counts.items():
        for i in range(count):
            _write(root / name / f"{i:02}.png")
    return root


def _paths(data: ImageFolder) -> list[str]:
    return [Path(data.path(i)).relative_to(data.root).as_posix() for i in range(len(data))]


def test_without_labels_and_splits_everything_is_for_training(tmp_path: Path) -> None:
    _classes(tmp_path, x=2, test=1)
    _write(tmp_path / "top.jpg")
    for split in ("train", "all"):
        data = ImageFolder(tmp_path, split=split)
        assert _paths(data) == ["test/00.png", "top.jpg", "x/00.png", "x/01.png"]
        assert data.labels is None
        assert data.classes is None
    assert ImageFolder(tmp_path, size=8).describe() == f"{tmp_path} (train): 4 images 8x8"
    with pytest.raises(UserError, match="the split 'test' takes labels"):
        ImageFolder(tmp_path, split="test")


def test_without_labels_test_images_are_trained_on_where_asked_alone(tmp_path: Path) -> None:
    _classes(tmp_path, Training=2, testing=1, VAL=3, unlabeled=4)
    _write(tmp_path / "top.jpg")
    data = ImageFolder(tmp_path)
    assert sorted({p.split("/")[0] for p in _paths(data)}) == ["Training", "top.jpg", "unlabeled"]
    assert len(data) == 7
    assert any(
        "4 images in VAL/, testing/ are held out, which the split 'all' has" in x
        for x in data.notes
    )
    assert "held out" in data.describe()
    assert len(ImageFolder(tmp_path, split="all")) == 11
    held_out = ImageFolder(tmp_path, split="test")
    assert {p.split("/")[0] for p in _paths(held_out)} == {"VAL", "testing"}


@pytest.mark.parametrize(
    "names",
    [("train", "valid", "test"), ("train", "validation"), ("Train", "Test"), ("TRAINING", "val")],
)
def test_splits_are_known_by_their_usual_names(names: tuple[str, ...], tmp_path: Path) -> None:
    for number, name in enumerate(names):
        _classes(tmp_path / name, cat=2 + number, dog=2 + number)
    parts = {s: ImageFolder(tmp_path, s, labels=True) for s in ("train", "test", "all")}
    assert all(part.classes == ["cat", "dog"] for part in parts.values())
    assert {p.split("/")[0] for p in _paths(parts["train"])} == {names[0]}
    assert {p.split("/")[0] for p in _paths(parts["test"])} == {names[-1]}
    for part in parts.values():
        labels = part.labels
        assert labels is not None
        assert [part.classes[k] for k in labels] == [p.split("/")[1] for p in _paths(part)]  # type: ignore[index]
    assert f"split as in {names[0]}/ and {names[-1]}/" in parts["train"].describe()


def test_test_images_in_no_class_are_left_out_and_said_so(tmp_path: Path) -> None:
    """As of a competition, which keeps their classes to itself; a share of train/ is held out."""
    _classes(tmp_path / "train", cat=5, dog=5)
    _classes(tmp_path, test=7)
    train, test = (ImageFolder(tmp_path, s, labels=True) for s in ("train", "test"))
    assert train.classes == test.classes == ["cat", "dog"]
    assert (len(train), len(test)) == (8, 2)
    assert {p.split("/")[0] for p in _paths(train) + _paths(test)} == {"train"}
    assert any("7 images in test/ are left out: no class folders" in x for x in train.notes)


def test_a_folder_train_alone_holds_the_classes(tmp_path: Path) -> None:
    _classes(tmp_path / "train", cat=5, dog=5)
    assert ImageFolder(tmp_path, "all", labels=True).classes == ["cat", "dog"]
    assert len(ImageFolder(tmp_path)) == 10


def test_what_was_found_is_said_and_what_was_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _classes(tmp_path, a=2)
    _write(tmp_path / "a" / "x.JPG")
    for name, number in {"heic": 5, "avif": 2, "jp2": 3, "txt": 4}.items():
        for i in range(number):
            (tmp_path / f"{i}.{name}").write_bytes(b"")
    (tmp_path / "LICENSE").write_text("")
    monkeypatch.setattr(listing, "find_spec", lambda name: None)
    monkeypatch.setattr(listing.features, "check", lambda name: False)
    data = ImageFolder(tmp_path)
    assert len(data) == 3
    assert data.notes == [
        "found 2 .png and 1 .jpg; skipped 5 .heic (to read them: pip install pillow-heif), 3 .jp2 "
        "(not a kind that is read), 2 .avif (to read them: pip install 'pillow>=11.3') and 5 other "
        "files"
    ]
    only = tmp_path / "only"
    only.mkdir()
    (only / "a.heic").write_bytes(b"")
    with pytest.raises(UserError, match=r"no images in .*1 \.heic \(to read them: pip install"):
        ImageFolder(only)


def test_a_folder_that_cannot_be_listed_costs_the_others_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _classes(tmp_path, a=2, closed=3)
    real = os.scandir

    def scandir(path: Any) -> Any:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    data = ImageFolder(tmp_path)
    assert _paths(data) == ["a/00.png", "a/01.png"]
    assert data.notes[1] == f"1 folder cannot be read: {tmp_path}/closed (Permission denied)"
    with pytest.raises(UserError, match="closed cannot be read: Permission denied"):
        ImageFolder(tmp_path / "closed")


def test_paths_are_held_in_two_arrays() -> None:
    names = ["a/ü.jpg", "", "b\udcff.png", "c" * 300]
    paths = Paths(names)
    assert list(paths) == names == [paths[i] for i in range(4)]
    assert paths[-1] == names[-1]
    assert paths[1:3] == names[1:3]
    assert list(paths.keep(np.array([True, False, True, False]))) == [names[0], names[2]]
    assert list(Paths()) == []
    with pytest.raises(IndexError):
        paths[4]
    many = Paths(f"class_{i % 100}/image_{i}.jpg" for i in range(20_000))
    assert len(pickle.dumps(many)) < 20_000 * 40  # no object a path
    assert many[12_345] == "class_45/image_12345.jpg"


def test_first_level_folders_are_classes(tmp_path: Path) -> None:
    _classes(tmp_path, cat=10, ant=5, dog=2)
    _write(tmp_path / "dog" / "deep" / "er" / "x.png")
    whole = ImageFolder(tmp_path, "all", labels=True)
    assert whole.classes == ["ant", "cat", "dog"]
    assert whole.labels is not None
    assert whole.labels.dtype == np.int64
    assert [whole.classes[k] for k in whole.labels] == [p.split("/")[0] for p in _paths(whole)]
    assert np.bincount(whole.labels).tolist() == [5, 10, 3]


def test_a_share_of_every_class_is_held_out(tmp_path: Path) -> None:
    _classes(tmp_path, cat=10, ant=5, dog=2)
    splits = {s: ImageFolder(tmp_path, s, labels=True, seed=1) for s in ("train", "test", "all")}
    train, test = (set(_paths(splits[s])) for s in ("train", "test"))
    assert train.isdisjoint(test)
    assert train | test == set(_paths(splits["all"]))
    held_out = splits["test"].labels
    assert held_out is not None
    assert np.bincount(held_out).tolist() == [1, 2, 1]
    assert _paths(splits["test"]) == _paths(ImageFolder(tmp_path, "test", labels=True, seed=1))
    others = [_paths(ImageFolder(tmp_path, "test", labels=True, seed=s)) for s in range(2, 6)]
    assert any(other != _paths(splits["test"]) for other in others)
    assert "20% of every class held out" in splits["test"].describe()


@pytest.mark.parametrize("test_fraction", [0.01, 0.2, 0.5, 0.99])
def test_every_class_is_on_both_sides(test_fraction: float, tmp_path: Path) -> None:
    """Also where the share is smaller than the number of classes, or leaves none to train."""
    counts = dict(a=2, b=2, c=2, d=3, e=9, f=60)
    _classes(tmp_path, **counts)
    for seed in range(3):
        train, test = (
            ImageFolder(tmp_path, split, labels=True, test_fraction=test_fraction, seed=seed)
            for split in ("train", "test")
        )
        assert train.labels is not None
        assert test.labels is not None
        held_out = np.bincount(test.labels, minlength=6)
        assert (held_out + np.bincount(train.labels, minlength=6)).tolist() == [*counts.values()]
        for number, count in enumerate(counts.values()):
            wanted = min(max(test_fraction * count, 1), count - 1)
            assert 1 <= held_out[number] <= count - 1
            # No class gives or takes more than the rounding of a share, or the others' minimum.
            assert abs(held_out[number] - wanted) <= (1 if count < 60 else len(counts))


@pytest.mark.parametrize("name", ["test", "val"])
def test_train_and_test_folders_are_the_split(name: str, tmp_path: Path) -> None:
    _classes(tmp_path / "train", ant=3, bee=1)
    _classes(tmp_path / name, ant=1, bee=2)
    train = ImageFolder(tmp_path, "train", labels=True)
    test = ImageFolder(tmp_path, "test", labels=True)
    assert train.classes == test.classes == ["ant", "bee"]
    assert train.labels is not None
    assert test.labels is not None
    assert (train.labels.tolist(), test.labels.tolist()) == ([0, 0, 0, 1], [0, 1, 1])
    assert all(path.startswith(f"{name}/") for path in _paths(test))
    assert len(ImageFolder(tmp_path, "all", labels=True)) == 7
    assert f"split as in train/ and {name}/" in train.describe()
    assert not any("left out" in note for note in train.notes)


def test_val_is_left_alone_where_there_is_a_test_folder(tmp_path: Path) -> None:
    for split, count in (("train", 3), ("test", 2), ("val", 1)):
        _classes(tmp_path / split, ant=count, bee=count)
    sizes = {s: len(ImageFolder(tmp_path, s, labels=True)) for s in ("train", "test", "all")}
    assert sizes == {"train": 6, "test": 4, "all": 12}


def test_a_class_named_train_among_others_is_a_class(tmp_path: Path) -> None:
    data = ImageFolder(_classes(tmp_path, train=2, plane=2), "all", labels=True)
    assert data.classes == ["plane", "train"]


@pytest.mark.parametrize(
    ("folders", "told"),
    [
        (("train", "extra"), "train/ is named like a part of a data set, but extra/ is not: "),
        (("VAL", "Test"), "Test/, VAL/ are named like parts of a data set, but none is for train"),
        (("car", "plane", "train"), "train/ is named like a part of a data set, but car/, plane/"),
        (("car", "plane"), None),
    ],
)
@pytest.mark.parametrize("labels", [False, True])
def test_folders_of_which_some_are_named_like_parts_are_told(
    labels: bool, folders: tuple[str, ...], told: str | None, tmp_path: Path
) -> None:
    _classes(tmp_path, **dict.fromkeys(folders, 5))
    data = ImageFolder(tmp_path, "all", labels=labels)
    assert len(data) == 5 * len(folders)
    notes = [note for note in data.notes if "of a data set, but" in note]
    assert [note.startswith(told or "") for note in notes] == [True] * (told is not None)
    so = "every folder is a class" if labels else "all images are trained on"
    assert all(note.endswith(so) for note in notes)


def test_parts_as_they_should_be_are_no_reason_for_a_note(tmp_path: Path) -> None:
    for folder in ("train", "Dev"):
        _classes(tmp_path / folder, cat=5, dog=5)
    data = ImageFolder(tmp_path, "test", labels=True)
    assert data.classes == ["cat", "dog"]
    assert {path.split("/")[0] for path in _paths(data)} == {"Dev"}
    assert not any("of a data set, but" in note for note in data.notes)
    assert {path.split("/")[0] for path in _paths(ImageFolder(tmp_path))} == {"train"}
    alone = _classes(tmp_path / "alone" / "train", cat=5, dog=5).parent
    assert not any("of a data set, but" in note for note in ImageFolder(alone).notes)


def test_a_part_that_is_there_alone_is_told_as_one(tmp_path: Path) -> None:
    _classes(tmp_path / "val", cat=5, dog=5)
    with pytest.raises(
        UserError, match=r"'val' alone\. It is named like a part .* give .*/val where"
    ):
        ImageFolder(tmp_path, labels=True)
    assert ImageFolder(tmp_path / "val", labels=True).classes == ["cat", "dog"]
    notes = ImageFolder(tmp_path).notes
    assert any(note.startswith("val/ is named like a part") for note in notes)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("a.tar", "TarShards reads it"),
        ("a.NPY", "ArrayImages reads it"),
        ("a.b.csv", "ImageList reads it"),
        ("a.tar.gz", "Unpack it"),
        ("a.zip", "Unpack it"),
        ("a.jpg", "Give the folder"),
    ],
)
def test_a_file_in_the_place_of_a_folder_is_told_what_reads_it(
    name: str, told: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(UserError, match=rf"{re.escape(name)} is a file\. .*{told}"):
        ImageFolder(tmp_path / name)


def _no_folder(root: Path) -> dict[str, Any]:
    return {"root": root / "nowhere"}


def _a_file(root: Path) -> dict[str, Any]:
    _write(root / "a.png")
    return {"root": root / "a.png"}


def _no_images(root: Path) -> dict[str, Any]:
    (root / "notes.txt").write_text("")
    return {"root": root}


def _outside_of_classes(root: Path) -> dict[str, Any]:
    _write(_classes(root, a=2, b=2) / "loose.png")
    return {"root": root, "labels": True}


def _one_class(root: Path) -> dict[str, Any]:
    return {"root": _classes(root, only=3), "labels": True}


def _single_image(root: Path) -> dict[str, Any]:
    return {"root": _classes(root, a=2, lonely=1), "labels": True}


def _no_class_folders(root: Path) -> dict[str, Any]:
    return {"root": _classes(root, train=2, val=2), "labels": True}


def _unknown_test_class(root: Path) -> dict[str, Any]:
    _classes(root / "train", a=2, b=2)
    _classes(root / "test", a=2, zebra=2)
    return {"root": root, "labels": True}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_no_folder, "There is no folder .*nowhere"),
        (_a_file, "a.png is a file"),
        (_no_images, r"no images in .*\.jpg.*\.tiff"),
        (_outside_of_classes, "1 images lie outside of them .*loose.png"),
        (_one_class, "at least two folders.*'only'"),
        (_single_image, "'lonely' has 1 image"),
        (_no_class_folders, "train/00.png is in no class folder"),
        (_unknown_test_class, "'zebra'"),
    ],
)
def test_mistakes_are_named(make: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        ImageFolder(**make(tmp_path))


@pytest.mark.parametrize("wrong", [{"size": 0}, {"crop_pct": 0}, {"split": "val"}])
def test_arguments_out_of_range_are_named(wrong: dict[str, Any], tmp_path: Path) -> None:
    _write(tmp_path / "a.png")
    with pytest.raises(UserError, match=next(iter(wrong))):
        ImageFolder(tmp_path, **wrong)


@pytest.mark.parametrize(("height", "width"), [(64, 128), (128, 64), (50, 50), (9, 300)])
@pytest.mark.parametrize("crop_pct", [1.0, 0.875])
def test_the_centre_is_cut_out(height: int, width: int, crop_pct: float, tmp_path: Path) -> None:
    """A ramp along the long side shows which part of it is left."""
    ramp = np.linspace(0, 255, max(height, width))
    image = np.broadcast_to(ramp if width >= height else ramp[:, None], (height, width))
    cv2.imwrite(str(tmp_path / "a.png"), np.rint(image).astype(np.uint8))
    sample = ImageFolder(tmp_path, size=28, crop_pct=crop_pct)[0]
    assert sample["image"].shape == (3, 28, 28)
    out = sample["image"][0].double()
    line = out.mean(0) if width >= height else out.mean(1)
    share = crop_pct * min(height, width) / max(height, width)
    assert abs(line.mean().item() - 127.5) < 3
    assert abs((line[-1] - line[0]).item() - 255 * share * 27 / 28) < 6


def test_images_of_their_own_size_need_views(tmp_path: Path) -> None:
    _write(tmp_path / "a.png", height=20, width=30)
    _write(tmp_path / "b.png", height=50, width=10)
    data = ImageFolder(tmp_path)
    with pytest.raises(UserError, match="size=224"):
        data[0]
    data.view_transform = HostViews(build_views("byol", 16), seed=0)
    batch = next(iter(DataLoader(data, batch_size=2)))
    assert [view.shape for view in batch["views"]] == [(2, 3, 16, 16)] * 2
    assert batch["label"].tolist() == [-1, -1]


def _with_damage(root: Path) -> ImageFolder:
    for i in range(6):
        _write(root / "ab"[i % 2] / f"{i}.png", level=10 * i)
    (root / "a" / "2.png").write_bytes(b"")
    return ImageFolder(root, "all", labels=True, size=8)


def test_another_sample_stands_in_for_a_damaged_one(tmp_path: Path) -> None:
    data = _with_damage(tmp_path)
    damaged = _paths(data).index("a/2.png")
    sample, again = data[(damaged, 4)], data[damaged]
    shown = sample["index"]
    assert sample["replaced"] == damaged != shown
    assert data.path(sample["replaced"]).endswith("a/2.png")
    assert again["index"] == shown
    assert torch.equal(sample["image"], data[shown]["image"])
    assert sample["label"] == data[shown]["label"]
    assert sample["epoch"] == 4
    assert [data[i]["replaced"] for i in range(6) if i != damaged] == [-1] * 5


def test_damaged_samples_are_replaced_by_different_ones(tmp_path: Path) -> None:
    for i in range(40):
        _write(tmp_path / f"{i:02}.png")
    for i in range(0, 40, 2):
        (tmp_path / f"{i:02}.png").write_bytes(b"")
    data = ImageFolder(tmp_path, size=8)
    shown = [data[i]["index"] for i in range(0, 40, 2)]
    assert all(index % 2 == 1 for index in shown)
    assert len(set(shown)) > 5


def test_grey_where_nothing_can_be_read(tmp_path: Path) -> None:
    for name in ("a/1.jpg", "a/2.jpg", "b/3.jpg", "b/4.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("no image")
    data = ImageFolder(tmp_path, "all", labels=True, size=8)
    sample = data[3]
    assert (sample["index"], sample["replaced"], sample["label"]) == (3, 3, 1)
    assert sample["image"].shape == (3, 8, 8)
    assert sample["image"].unique().tolist() == [127]
    whole = ImageFolder(tmp_path)
    whole.view_transform = HostViews(build_views("gentle", 8), seed=0)
    assert whole[0]["views"][0].shape == (3, 8, 8)


def test_views_and_files_are_read_in_workers(tmp_path: Path) -> None:
    data = _with_damage(tmp_path)
    data.view_transform = HostViews(build_views("byol", 8), seed=3)
    here = [data[i] for i in range(6)]
    loader = DataLoader(data, batch_size=3, num_workers=1)
    there = [batch["views"][1] for batch in loader]
    assert torch.equal(torch.cat(there), torch.stack([sample["views"][1] for sample in here]))


def test_is_registered(tmp_path: Path) -> None:
    _write(tmp_path / "a.png")
    assert len(DATASETS.build({"type": "ImageFolder", "root": str(tmp_path)})) == 1


def test_pictures_of_runs_are_left_out_and_said_so(tmp_path: Path) -> None:
    _classes(tmp_path, cat=4, dog=4)
    for run in ("work_dirs/a/1", "cat/run"):
        _write(tmp_path / run / "views.png")
        (tmp_path / run / "train.log").touch()
    data = ImageFolder(tmp_path, split="all", labels=True)
    assert (data.classes, len(data)) == (["cat", "dog"], 8)
    (_, note) = data.notes
    assert f"left out in {tmp_path / 'work_dirs'}, {tmp_path / 'cat/run'}" in note
    with pytest.raises(UserError, match=r"no images in .*Pictures that training runs wrote"):
        ImageFolder(tmp_path / "cat" / "run")
    assert ImageFolder(tmp_path / "dog").notes == ["found 4 .png"]


def test_what_only_looks_like_an_image_is_left_out_and_said_so(tmp_path: Path) -> None:
    _classes(tmp_path, a=3)
    os.mkfifo(tmp_path / "a" / "pipe.jpg")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere")
    data = ImageFolder(tmp_path)
    assert len(data) == 3
    (_, note) = data.notes
    assert "pipe.jpg is a named pipe" in note
    assert "gone.png is a link that leads nowhere" in note


def test_another_image_stands_in_for_one_beyond_a_limit(tmp_path: Path) -> None:
    _classes(tmp_path, a=4)
    _write(tmp_path / "a" / "large.png", height=50, width=40)
    data = ImageFolder(tmp_path, size=8, max_pixels=1999)
    large = _paths(data).index("a/large.png")
    assert data[large]["replaced"] == large
    assert data.fault(large) == "has 40 x 50 pixels, more than max_pixels=1999 of the data set"
    assert ImageFolder(tmp_path, size=8, max_pixels=2000)[large]["replaced"] == -1
    small = ImageFolder(tmp_path, size=8, max_bytes=10)
    assert small[0]["replaced"] == 0
    assert "more than max_bytes=10" in small.fault(0)
    for name in ("max_pixels", "max_bytes"):
        with pytest.raises(UserError, match=f"ImageFolder: {name} is an integer"):
            DATASETS.build({"type": "ImageFolder", "root": tmp_path, name: 0})


def test_all_images_need_no_second_class_and_no_second_image(tmp_path: Path) -> None:
    """Where nothing is held out there is nothing to split."""
    data = ImageFolder(_classes(tmp_path / "one", owl=2), split="all", labels=True)
    assert data.classes == ["owl"]
    assert data.labels is not None
    assert data.labels.tolist() == [0, 0]
    data = ImageFolder(_classes(tmp_path / "single", owl=1, wren=3), split="all", labels=True)
    assert data.labels is not None
    assert data.labels.tolist() == [0, 1, 1, 1]
    root = tmp_path / "parts"
    for part, names in {"train": ("owl",), "val": ("owl",), "test": ("owl", "wren")}.items():
        _classes(root / part, **dict.fromkeys(names, 1))
    data = ImageFolder(root, split="all", labels=True)
    assert {path.split("/")[0] for path in _paths(data)} == {"test", "train", "val"}
    assert len(data) == 4
    assert data.classes == ["owl", "wren"]
