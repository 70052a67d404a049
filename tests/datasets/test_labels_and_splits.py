"""Labels that are none, and which files belong to a split, by what others write."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mvssl.datasets import ArrayImages, HuggingFaceImages, ImageList, TarShards
from mvssl.datasets.image_list import numbered
from mvssl.errors import UserError

NAMES = ["cat", "dog", "yak"]


def _image(number: int) -> dict[str, Any]:
    buffer = io.BytesIO()
    Image.fromarray(np.full((8, 8, 3), number, np.uint8)).save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": None}


def _rows(package: Any, labels: list[Any], kind: Any = None) -> Any:
    features = package.Features(
        {"image": package.Image(), "label": kind or package.ClassLabel(names=NAMES)}
    )
    images = [_image(number) for number in range(len(labels))]
    return package.Dataset.from_dict({"image": images, "label": labels}, features=features)


@pytest.mark.parametrize("named", [True, False])
def test_what_hugging_face_marks_as_without_label_is_no_class(named: bool, tmp_path: Path) -> None:
    package = pytest.importorskip("datasets", reason="pip install datasets")
    rows = _rows(package, [2, 0, -1, -1], None if named else package.Value("int64"))
    rows.save_to_disk(str(tmp_path / "data"))
    with pytest.raises(UserError, match=r"row 3 has no label \(-1 stands for none\)"):
        HuggingFaceImages(tmp_path / "data", label="label")
    assert len(HuggingFaceImages(tmp_path / "data")) == 4
    rows.select([0, 1]).save_to_disk(str(tmp_path / "good"))
    data = HuggingFaceImages(tmp_path / "good", label="label")
    assert data.labels is not None
    assert data.labels.tolist() == ([2, 0] if named else [1, 0])
    assert data.classes == (NAMES if named else ["0", "2"])


def test_several_labels_of_an_image_are_refused(tmp_path: Path) -> None:
    package = pytest.importorskip("datasets", reason="pip install datasets")
    kind = package.Sequence(package.ClassLabel(names=NAMES))
    _rows(package, [[0], [1, 2]], kind).save_to_disk(str(tmp_path / "data"))
    with pytest.raises(UserError, match=r"label of row 1 is \[0\]: give one number or name"):
        HuggingFaceImages(tmp_path / "data", label="label")


def test_a_label_beyond_the_classes_is_refused(tmp_path: Path) -> None:
    package = pytest.importorskip("datasets", reason="pip install datasets")
    rows = _rows(package, [0, 1, 2])
    few = package.Features({**rows.features, "label": package.ClassLabel(names=NAMES[:2])})
    rows.info.features = rows._info.features = few
    rows.save_to_disk(str(tmp_path / "data"))
    with pytest.raises(UserError, match="label of row 3 is 2, and there are 2 classes"):
        HuggingFaceImages(tmp_path / "data", label="label")


def test_a_data_set_that_gives_tensors_is_read_as_any_other(tmp_path: Path) -> None:
    package = pytest.importorskip("datasets", reason="pip install datasets")
    rows = _rows(package, [2, 0], package.Value("int64")).with_format("torch")
    rows.save_to_disk(str(tmp_path / "data"))
    assert package.load_from_disk(str(tmp_path / "data")).format["type"] == "torch"
    data = HuggingFaceImages(tmp_path / "data", label="label", size=8)
    assert data.classes == ["0", "2"]
    assert data.read(1) is not None
    assert (data[1]["image"] == 1).all()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["a", None], "row 2 has no label: add"),
        (["", "a"], "row 1 has no label: add"),
        ([1, -1], r"row 2 has no label \(-1 stands"),
        ([0.0, -1.0], r"row 2 has no label \(-1.0 stands"),
        ([0.0, float("nan")], r"row 2 has no label \(nan stands"),
        ([[0, 1], [1, 0]], r"label of row 1 is \[0, 1\]"),
        ([{"a": 1}], "label of row 1 is {'a': 1}"),
        ([np.eye(2)[0]], "label of row 1 is array"),
    ],
)
def test_labels_that_are_none_are_refused(values: list[Any], message: str) -> None:
    with pytest.raises(UserError, match=f"here: .*{message}"):
        numbered("here", values)


def test_texts_are_names() -> None:
    labels, classes = numbered("here", ["1", "-1", "1"])
    assert (labels.tolist(), classes) == ([1, 0, 1], ["-1", "1"])
    assert numbered("here", ["--5", "-"])[1] == ["-", "--5"]
    assert numbered("here", [True, False])[1] == ["False", "True"]


def test_a_list_of_objects_may_hold_no_number(tmp_path: Path) -> None:
    lines = [{"image": "a.png", "kind": 1.0}, {"image": "b.png", "kind": float("nan")}]
    (tmp_path / "list.jsonl").write_text("\n".join(map(json.dumps, lines)))
    with pytest.raises(UserError, match="row 2 has no label"):
        ImageList(tmp_path / "list.jsonl", label="kind")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("list.jsonl", '{"image": "a.png"}\n{"kind": 1}', "row 2 names no image: give its path"),
        ("list.jsonl", '{"image": null}', "row 1 names no image:"),
        ("list.jsonl", '{"image": 7}', r"row 1 names no image \(image: 7\)"),
        ("list.jsonl", '{"image": {"bytes": null}}', "row 1 names no image"),
        ("list.csv", "image,kind\na.png,1\n,2\n", "row 2 names no image:"),
        ("list.csv", "image,kind\n  ,2\n", "row 1 names no image"),
        ("list.csv", "kind,image\n2\n", "row 1 names no image:"),
    ],
)
def test_a_row_without_an_image_is_refused(
    name: str, text: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=message):
        ImageList(tmp_path / name)


def test_a_list_its_root_and_its_paths_may_lie_at_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "pics").mkdir()
    (tmp_path / "pics" / "a.png").write_bytes(_image(7)["bytes"])
    (tmp_path / "list.txt").write_text("a.png\n~/pics/a.png\n")
    for root in ("~/pics", Path("~/pics")):
        data = ImageList("~/list.txt", root)
        for number in range(2):
            image = data.read(number)
            assert image is not None
            assert (image == 7).all()
        assert data.names() == ["a.png", "~/pics/a.png"]
    assert ImageList("~/list.txt", "s3://a/b").path(0) == "s3://a/b/a.png"


IMAGES = np.arange(3 * 6 * 6 * 3, dtype=np.uint8).reshape(3, 6, 6, 3)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.eye(3), r"labels are an array \(3, 3\).*labels.argmax\(axis=1\)"),
        (np.zeros((3, 1), int), r"labels are an array \(3, 1\)"),
        (np.array([0, 1, np.nan]), "row 3 has no label"),
        (np.array([0, -1, 1]), "row 2 has no label"),
        (np.array(["a", None, "b"], object), "row 2 has no label"),
        ([0, 1, 2], r"labels is an array of NumPy or a file, got list: give np.asarray"),
    ],
)
def test_arrays_of_labels_that_are_none_are_refused(labels: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        ArrayImages(IMAGES, labels)


@pytest.mark.parametrize(
    ("shape", "first", "message"),
    [
        ((5, 3, 32, 32), False, r"as it seems \(N, C, H, W\): give channels_first=True"),
        ((5, 1, 28, 28), False, r"as it seems \(N, C, H, W\)"),
        ((5, 32, 32, 3), True, r"as it seems \(N, H, W, C\): give channels_first=False"),
        ((5, 32, 32), True, "without channels: leave out channels_first"),
        ((5, 32, 24, 13), False, None),
        ((5, 13, 32, 24), True, None),
        ((5, 3, 4, 4), False, None),  # as well three rows of four pixels
    ],
)
def test_axes_are_those_that_are_said(
    shape: tuple[int, ...], first: bool, message: str | None
) -> None:
    images = np.zeros(shape, np.uint8)
    if message is None:
        assert ArrayImages(images, channels_first=first).channels == shape[1 if first else 3]
        return
    with pytest.raises(UserError, match=message):
        ArrayImages(images, channels_first=first)


def test_what_an_array_does_not_use_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", IMAGES)
    np.savez(tmp_path / "x.npz", x=IMAGES, y=np.arange(3))
    assert len(ArrayImages(tmp_path / "x.npz", "y", key="x")) == 3
    for images in (IMAGES, tmp_path / "x.npy"):
        with pytest.raises(UserError, match=r"key='x' names an array of an \.npz"):
            ArrayImages(images, key="x")
    with pytest.raises(UserError, match="images is an array of NumPy or a file, got list"):
        ArrayImages(IMAGES.tolist())


@pytest.mark.parametrize("given", ["cls", ".cls", "CLS", ".Cls"])
@pytest.mark.parametrize("stored", ["cls", "CLS"])
def test_the_ending_of_a_label_is_taken_in_any_spelling(
    given: str, stored: str, tmp_path: Path
) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for number in range(2):
            for ending, data in (("png", _image(number)["bytes"]), (stored, b"ab"[number:][:1])):
                member = tarfile.TarInfo(f"{number}.{ending}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    assert TarShards(str(tmp_path / "a.tar"), label=given).classes == ["a", "b"]
    with pytest.raises(UserError, match=r"has no label beside it, \.txt:"):
        TarShards(str(tmp_path / "a.tar"), label=".TXT")


LAYOUTS: dict[str, tuple[list[str], dict[str, list[int]], str]] = {
    "numbered files": (
        ["train-00000-of-00002", "train-00001-of-00002", "validation-00000-of-00001"],
        {"train": [0, 1], "validation": [2]},
        "'train' and 'validation'",
    ),
    "folders": (
        ["train/0000", "train/0001", "test/0000"],
        {"train": [0, 1], "test": [2]},
        "'test' and 'train'",
    ),
    "a folder for all": (
        ["data/set-train-00000-of-00001", "data/set-test-00000-of-00001"],
        {"train": [0], "test": [1]},
        "'test' and 'train'",
    ),
    "the file's own name before that of a folder": (
        ["test/train-0000", "test/test-0000"],
        {"train": [0], "test": [1]},
        "'test' and 'train'",
    ),
    "words": (
        ["flowers_train", "flowers_train2", "flowers_TEST"],
        {"train": [0, 1], "test": [2]},
        "'test' and 'train'",
    ),
    "names of one's own": (
        ["train_gen-00000-of-00001", "train_sft-00000-of-00001"],
        {"train_gen": [0], "train_sft": [1]},
        "'train_gen' and 'train_sft'",
    ),
    "one part": (["train-0"], {"train": [0]}, "'train'"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_files_of_a_split_are_taken_and_a_missing_one_is_said(layout: str, tmp_path: Path) -> None:
    package = pytest.importorskip("datasets", reason="pip install datasets")
    files, splits, known = LAYOUTS[layout]
    for number, name in enumerate(files):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        images = {"image": [_image(number)]}
        features = package.Features({"image": package.Image()})
        rows = package.Dataset.from_dict(images, features=features)
        rows.to_parquet(str(tmp_path / f"{name}.parquet"))
    for split, numbers in splits.items():
        data = HuggingFaceImages(tmp_path, split)
        found = [
            int(image[0, 0, 0]) for n in range(len(data)) if (image := data.read(n)) is not None
        ]
        assert sorted(found) == numbers, split
    with pytest.raises(UserError, match=f"no files of a split 'val', and has {known}"):
        HuggingFaceImages(tmp_path, "val")
    if "train" not in splits:
        with pytest.raises(UserError, match="no files of a split 'train'"):
            HuggingFaceImages(tmp_path, "train")


@pytest.mark.parametrize(
    "names", [["0000", "0001"], ["images-00000-of-00002", "b"], ["trains", "x"]]
)
def test_where_no_name_is_that_of_a_split_all_files_are_read(
    names: list[str], tmp_path: Path
) -> None:
    package = pytest.importorskip("datasets", reason="pip install datasets")
    for number, name in enumerate(names):
        features = package.Features({"image": package.Image()})
        rows = package.Dataset.from_dict({"image": [_image(number)]}, features=features)
        rows.to_parquet(str(tmp_path / f"{name}.parquet"))
    assert len(HuggingFaceImages(tmp_path, "test")) == 2
    assert len(HuggingFaceImages(tmp_path / f"{names[0]}.parquet", "test")) == 1


def test_bytes_are_names_of_classes() -> None:
    images = np.zeros((3, 4, 4), np.uint8)
    names = np.array(["ä".encode(), b"b", "ä".encode()])
    assert ArrayImages(images, labels=names).classes == ["b", "ä"]
