"""Lists, arrays, tar files and data sets of others' packages, each beside what wrote it."""

from __future__ import annotations

import csv
import gc
import hashlib
import io
import json
import pickle
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine import fileio
from PIL import Image

from mvssl.datasets import (
    ArrayImages,
    HuggingFaceImages,
    ImageDataset,
    ImageList,
    TarShards,
    TorchvisionImages,
)
from mvssl.engine.loaders import build_loader
from mvssl.errors import UserError

FASHION = Path("/usr/share/datasets/fashion-mnist")
SMALL = {"train": 5, "test": 2}  # images


def _pixels(number: int) -> Any:
    return np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)


def _png(number: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(_pixels(number)).save(buffer, "PNG")
    return buffer.getvalue()


def _folder(root: Path, number: int = 6) -> list[str]:
    (root / "pics").mkdir(parents=True)
    names = [f"pics/ü {i}.png" for i in range(number)]
    for i, name in enumerate(names):
        (root / name).write_bytes(_png(i))
    return names


def _check(data: ImageDataset, number: int = 6) -> None:
    assert len(data) == number
    for i in range(number):
        np.testing.assert_array_equal(data.read(i), _pixels(i))
        assert data[i]["index"] == i
    assert len(set(data.names())) == number


def _write_list(file: Path, names: list[str], labels: list[str]) -> None:
    if file.suffix == ".txt":
        lines = [f"{name} {label}" for name, label in zip(names, labels, strict=True)]
        file.write_text("\n".join(lines) + "\n\n")
    elif file.suffix == ".jsonl":
        rows = [{"path": n, "kind": k} for n, k in zip(names, labels, strict=True)]
        file.write_text("\n".join(map(json.dumps, rows)))
    elif file.suffix == ".parquet":
        pyarrow = pytest.importorskip("pyarrow", reason="pip install pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        parquet.write_table(pyarrow.table({"path": names, "kind": labels}), file)
    else:
        with file.open("w", newline="") as opened:
            writer = csv.writer(opened, delimiter="," if file.suffix == ".csv" else "\t")
            writer.writerows([["kind", "path"], *zip(labels, names, strict=True)])


@pytest.mark.parametrize("ending", ["txt", "csv", "tsv", "jsonl", "parquet"])
def test_a_list_names_images_and_labels(ending: str, tmp_path: Path) -> None:
    names = _folder(tmp_path)
    labels = ["10", "9", "9", "10", "-1", "9"]
    file = tmp_path / f"list.{ending}"
    _write_list(file, names, labels)
    data = ImageList(file, label="kind", size=8)
    _check(data)
    assert data.classes == ["-1", "9", "10"]  # in the order of numbers
    assert data.labels is not None
    assert [data.classes[k] for k in data.labels] == labels
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    file.rename(elsewhere / file.name)
    _check(ImageList(elsewhere / file.name, tmp_path, label="kind", size=8))


def test_a_list_of_paths_alone(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("\n".join(_folder(tmp_path)))
    data = ImageList(tmp_path / "list.txt", size=8)
    _check(data)
    assert data.labels is None


def test_lists_and_images_may_be_remote() -> None:
    @fileio.register_backend("shelf", prefixes="shelf", force=True)
    class Shelf(fileio.LocalBackend):
        def get(self, filepath: str | Path) -> bytes:
            name = str(filepath)
            assert name.startswith("shelf://bucket/")
            if name.endswith("list.csv"):
                return b"image\na/0.png\na/1.png\n"
            return _png(int(name[-5]))

    data = ImageList("shelf://bucket/list.csv", size=8)
    assert data.path(1) == "shelf://bucket/a/1.png"
    _check(data, 2)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("list.csv", "a,b\n1,2\n", "has no column 'image'.*has 'a' and 'b'"),
        ("list.csv", "image,label\nx.png,\n", "row 1 has no label"),
        ("list.csv", "image\nx.png\n", "has no column 'label'"),
        ("list.jsonl", '{"image": ', "cannot be read as a .jsonl list"),
        ("list.jsonl", "[1, 2]", "a line is an object"),
        ("list.txt", "\n", "names no image"),
        ("list.txt", "x.png\n", "row 1 has no label"),
        ("list.xml", "", "is no list that is read"),
        (None, "", "There is no list"),
    ],
)
def test_a_bad_list_is_refused(name: str, text: str, message: str, tmp_path: Path) -> None:
    if name is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=message):
        ImageList(tmp_path / (name or "gone.csv"), label="label")


def test_an_image_of_a_list_that_is_gone_is_named_and_replaced(tmp_path: Path) -> None:
    names = _folder(tmp_path)
    (tmp_path / "list.txt").write_text("\n".join([*names, "pics/gone.png"]))
    data = ImageList(tmp_path / "list.txt", size=8)
    assert data[6]["replaced"] == 6
    assert data.path(6).endswith("pics/gone.png")
    assert data.fault(6) == "does not exist"


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4", "f8"])
@pytest.mark.parametrize("ending", ["npy", "npz", "memory"])
def test_arrays_are_images(dtype: str, ending: str, tmp_path: Path) -> None:
    top = {"u1": 255, "u2": 1023, "f4": 1.0, "f8": 1.0}[dtype]
    images = (np.random.default_rng(0).random((9, 12, 12, 5)) * top).astype(dtype)
    images[0, 0, 0] = top
    labels = np.array(list("abcabcabc"))
    source: Any = tmp_path / f"x.{ending}"
    if ending == "npy":
        np.save(source, images)
        np.save(tmp_path / "y.npy", labels)
    elif ending == "npz":
        np.savez(source, x=images, y=labels)
    else:
        source = images
    given: Any = {"npy": tmp_path / "y.npy", "npz": "y", "memory": labels}[ending]
    data = ArrayImages(source, given, key="x" if ending == "npz" else None)
    assert (data.size, data.channels, data.classes) == (12, 5, ["a", "b", "c"])
    sample = data[4]
    assert sample["label"] == 1
    expected = images[4].transpose(2, 0, 1)
    if dtype == "u1":
        assert torch.equal(sample["image"], torch.from_numpy(expected.copy()))
    else:
        np.testing.assert_allclose(sample["image"], expected / top, atol=1e-6)
        assert any("is taken for black" in note for note in data.notes)
    first = ArrayImages(images.transpose(0, 3, 1, 2), channels_first=True)
    assert torch.equal(first[4]["image"], sample["image"])
    assert ArrayImages(images, size=6)[0]["image"].shape == (5, 6, 6)


def test_a_file_of_arrays_is_mapped_and_not_copied(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((200, 64, 64, 3), np.uint8))
    data = ArrayImages(tmp_path / "x.npy")
    assert isinstance(data._images, np.memmap)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: {"images": root / "gone.npy"}, "There is no file"),
        (lambda root: {"images": root / "two.npz"}, "holds 'a' and 'b': say which"),
        (lambda root: {"images": root / "bad.npy"}, "cannot be read as arrays"),
        (lambda root: {"images": root / "object.npy"}, "cannot be read as arrays"),
        (lambda root: {"images": np.zeros((3, 4))}, r"is an array \(3, 4\) of float64"),
        (lambda root: {"images": np.zeros((3, 4, 4))}, "all values are alike"),
        (
            lambda root: {"images": np.zeros((3, 4, 4), np.uint8), "labels": np.arange(2)},
            "3 images, and there are 2 labels",
        ),
    ],
)
def test_bad_arrays_are_refused(make: Any, message: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "two.npz", a=np.zeros(1), b=np.zeros(1))
    (tmp_path / "bad.npy").write_bytes(b"\x93NUMPY rubbish")
    np.save(tmp_path / "object.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match=message):
        ArrayImages(**make(tmp_path))


@pytest.mark.skipif(not FASHION.is_dir(), reason="needs Debian's package dataset-fashion-mnist")
def test_fashion_mnist_of_debian() -> None:
    train, test = (TorchvisionImages("FashionMNIST", FASHION, split) for split in ("train", "test"))
    assert (len(train), len(test)) == (60_000, 10_000)
    assert train.labels is not None
    assert np.bincount(train.labels).tolist() == [6000] * 10
    assert train.classes is not None
    assert (train.classes[0], train.classes[9]) == ("T-shirt/top", "Ankle boot")
    assert train.labels[0] == 9
    sample = test[17]
    assert sample["image"].shape == (3, 28, 28)
    assert torch.equal(sample["image"][0], sample["image"][2])
    assert TorchvisionImages("FashionMNIST", FASHION, size=32)[0]["image"].shape == (3, 32, 32)


def test_cifar_as_torchvision_stores_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    images = np.random.default_rng(0).integers(0, 256, (10, 3, 32, 32), dtype=np.uint8)
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]:
        batch = {"data": images.reshape(10, -1), "labels": list(range(10))}
        (folder / name).write_bytes(pickle.dumps(batch))
    meta = {"label_names": [f"class {i}" for i in range(10)]}
    (folder / "batches.meta").write_bytes(pickle.dumps(meta))
    # The sums of the real files are not those of these.
    monkeypatch.setattr("torchvision.datasets.CIFAR10._check_integrity", lambda self: True)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    data = TorchvisionImages("CIFAR10", tmp_path, "test")
    assert len(data) == 10
    assert torch.equal(data[3]["image"], torch.from_numpy(images[3]))
    assert data.labels is not None
    assert data.labels.tolist() == list(range(10))
    assert data.classes == meta["label_names"]


def _sums(folder: Path, *names: str) -> list[list[str]]:
    """As torchvision lists its files, with the sums of these, which it checks as always."""
    return [[name, hashlib.md5((folder / name).read_bytes()).hexdigest()] for name in names]


def test_cifar_100_has_its_fine_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    rng = np.random.default_rng(0)
    images = {name: rng.integers(0, 256, (n, 3, 32, 32), np.uint8) for name, n in SMALL.items()}
    for name, part in images.items():
        fine, coarse = [99 - 7 * i for i in range(len(part))], [i % 20 for i in range(len(part))]
        batch = {"data": part.reshape(-1, 3072), "fine_labels": fine, "coarse_labels": coarse}
        (folder / name).write_bytes(pickle.dumps(batch))
    meta = {
        "fine_label_names": [f"fine {i}" for i in range(100)],
        "coarse_label_names": [f"coarse {i}" for i in range(20)],
    }
    (folder / "meta").write_bytes(pickle.dumps(meta))
    owner = "torchvision.datasets.CIFAR100"
    monkeypatch.setattr(f"{owner}.train_list", _sums(folder, "train"))
    monkeypatch.setattr(f"{owner}.test_list", _sums(folder, "test"))
    ((_, md5),) = _sums(folder, "meta")
    key = {"filename": "meta", "key": "fine_label_names", "md5": md5}
    monkeypatch.setattr(f"{owner}.meta", key)
    for split, part in images.items():
        data = TorchvisionImages("CIFAR100", tmp_path, split)
        assert len(data) == len(part)
        assert data.labels is not None
        for number, image in enumerate(part):
            assert torch.equal(data[number]["image"], torch.from_numpy(image))
            assert data.labels[number] == data[number]["label"] == 99 - 7 * number
        assert data.classes == meta["fine_label_names"]
    (folder / "test").write_bytes((folder / "test").read_bytes()[:-1])
    with pytest.raises(UserError, match=r"CIFAR100 is not in .*corrupted"):
        TorchvisionImages("CIFAR100", tmp_path)


def test_stl_10_is_upright_counts_from_0_and_has_unlabelled_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its files hold planes of colours column by column, and classes from 1 to 10."""
    folder = tmp_path / "stl10_binary"
    folder.mkdir()
    rng = np.random.default_rng(0)
    sizes = {**SMALL, "unlabeled": 3}
    images = {name: rng.integers(0, 256, (n, 96, 96, 3), np.uint8) for name, n in sizes.items()}
    labels = {name: rng.integers(1, 11, n, np.uint8) for name, n in SMALL.items()}
    for name, part in images.items():
        columns = [plane.T for image in part for plane in np.moveaxis(image, -1, 0)]
        (folder / f"{name}_X.bin").write_bytes(b"".join(plane.tobytes() for plane in columns))
    for name, numbers in labels.items():
        (folder / f"{name}_y.bin").write_bytes(numbers.tobytes())
    owner = "torchvision.datasets.STL10"
    listed = _sums(folder, "train_X.bin", "train_y.bin", "unlabeled_X.bin")
    monkeypatch.setattr(f"{owner}.train_list", listed)
    monkeypatch.setattr(f"{owner}.test_list", _sums(folder, "test_X.bin", "test_y.bin"))
    with pytest.raises(UserError, match=r"lacks class_names\.txt"):
        TorchvisionImages("STL10", tmp_path)
    names = ["airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"]
    (folder / "class_names.txt").write_text("\n".join(names) + "\n")
    for split, part in images.items():
        data = TorchvisionImages("STL10", tmp_path, split)
        assert len(data) == len(part)
        assert data.describe().startswith(f"STL10 ({split}): {len(part)} images 96x96")
        for number, image in enumerate(part):
            np.testing.assert_array_equal(data.pixels(number), image)
            assert torch.equal(data[number]["image"], torch.from_numpy(image).permute(2, 0, 1))
        if split == "unlabeled":
            assert data.labels is None
            assert data[0]["label"] == -1
        else:
            assert data.labels is not None
            assert data.labels.tolist() == (labels[split].astype(int) - 1).tolist()
            assert data.classes == names
    assert TorchvisionImages("STL10", tmp_path, size=32)[0]["image"].shape == (3, 32, 32)


@pytest.mark.parametrize("name", ["CIFAR10", "CIFAR100", "STL10", "FashionMNIST"])
def test_what_torchvision_has_not_there_is_said(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"{name} is not in .*download=True"):
        TorchvisionImages(name, tmp_path)
    with pytest.raises(UserError, match="split is one of"):
        TorchvisionImages(name, tmp_path, "val")


def _shards(root: Path, label: bool = True) -> str:
    """Two shards of three samples, by webdataset's own writer."""
    webdataset = pytest.importorskip("webdataset", reason="pip install webdataset")
    for shard in range(2):
        with webdataset.TarWriter(str(root / f"s-{shard:03}.tar")) as writer:
            for i in range(3):
                number = 3 * shard + i
                sample = {"__key__": f"deep/{number:06}", "png": _png(number), "json": {"a": 1}}
                writer.write({**sample, **({"cls": number % 2} if label else {})})
    return str(root / "s-{000..001}.tar")


# It leaves the files to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
def test_shards_hold_what_webdataset_reads_of_them(tmp_path: Path) -> None:
    pattern = _shards(tmp_path)
    data = TarShards(pattern, label="cls", size=8)
    _check(data)
    webdataset = pytest.importorskip("webdataset")
    theirs = list(webdataset.WebDataset(pattern, shardshuffle=False).decode("rgb8"))
    gc.collect()
    assert data.labels is not None
    for i, sample in enumerate(theirs):
        np.testing.assert_array_equal(data.read(i), sample["png"])
        assert data.labels[i] == sample["cls"]
        assert data.names()[i].endswith(f"{sample['__key__']}.png")
    assert [data.place(i) for i in range(6)] == [(s, i) for s in range(2) for i in range(3)]
    assert len(TarShards(str(tmp_path / "s-*.tar"))) == 6
    assert len(TarShards([str(tmp_path / "s-001.tar")])) == 3


def test_a_shard_is_found_by_a_name_with_brackets_and_braces(tmp_path: Path) -> None:
    folder = tmp_path / "old [1] {a,b}"
    folder.mkdir()
    _shards(tmp_path)
    (tmp_path / "s-001.tar").rename(folder / "s[01].tar")
    assert len(TarShards(str(folder / "s[01].tar"))) == 3
    (folder / "s[01].tar").rename(tmp_path / "s[01].tar")
    assert len(TarShards(str(tmp_path / "s[[]0*.tar"))) == 3  # a pattern still is one


def test_a_hard_link_in_a_shard_is_the_file_that_it_links_to(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(_png(3))
    (tmp_path / "a.cls").write_text("one")
    (tmp_path / "b.png").hardlink_to(tmp_path / "a.png")
    (tmp_path / "b.cls").hardlink_to(tmp_path / "a.cls")
    names = ["a.png", "a.cls", "b.png", "b.cls"]
    subprocess.run(["tar", "-cf", "s.tar", *names], cwd=tmp_path, check=True)
    data = TarShards(str(tmp_path / "s.tar"), label="cls")
    assert [name.rpartition("/")[2] for name in data.names()] == ["a.png", "b.png"]
    np.testing.assert_array_equal(data.read(1), data.read(0))
    assert data.classes == ["one"]
    with tarfile.open(tmp_path / "broken.tar", "w") as archive:
        link = tarfile.TarInfo("b.png")
        link.type, link.linkname = tarfile.LNKTYPE, "a.png"
        archive.addfile(link)
    with pytest.raises(UserError, match=r"broken.tar: b.png is a link to a.png, which is not"):
        TarShards(str(tmp_path / "broken.tar"))


def test_shards_are_the_same_with_workers_and_after_a_resume(tmp_path: Path) -> None:
    data = TarShards(_shards(tmp_path), label="cls", size=8)
    batches = {}
    for workers in (0, 2):
        loader = build_loader(data, batch_size=2, seed=3, num_workers=workers)
        loader.sampler.set_epoch(1)  # type: ignore[attr-defined]
        batches[workers] = list(loader)
    assert sorted(torch.cat([b["index"] for b in batches[0]]).tolist()) == list(range(6))
    for one, other in zip(batches[0], batches[2], strict=True):
        assert torch.equal(one["image"], other["image"])
        assert torch.equal(one["index"], other["index"])
    loader = build_loader(data, batch_size=2, seed=3)
    loader.sampler.set_epoch(1)  # type: ignore[attr-defined]
    loader.sampler.skip = 2  # type: ignore[attr-defined]
    assert [b["index"].tolist() for b in loader] == [b["index"].tolist() for b in batches[0][1:]]


def test_shards_can_be_read_nearly_in_order(tmp_path: Path) -> None:
    """One without images in between."""
    _shards(tmp_path)
    (tmp_path / "s-001.tar").rename(tmp_path / "s-002.tar")
    with tarfile.open(tmp_path / "s-001.tar", "w"):
        pass
    data = TarShards(str(tmp_path / "s-{000..002}.tar"), label="cls", size=8)
    assert data.shard_starts.tolist() == [0, 3]
    orders = set()
    for epoch in range(30):
        loader = build_loader(data, batch_size=1, seed=3, shuffle_window=1)
        loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        orders.add(tuple(torch.cat([batch["index"] for batch in loader]).tolist()))
    assert orders == {(0, 1, 2, 3, 4, 5), (3, 4, 5, 0, 1, 2)}
    for window in (0, -1, 1.5):
        with pytest.raises(UserError, match="shuffle_window"):
            build_loader(data, batch_size=1, seed=3, shuffle_window=window)  # type: ignore[arg-type]


def test_braces_say_what_they_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pattern = _shards(tmp_path)
    assert [Path(file).name for file in TarShards(pattern).files] == ["s-000.tar", "s-001.tar"]
    mixed = str(tmp_path / "{s,t}-00[01].tar")
    with pytest.raises(UserError, match=r"There is no file .*t-00\[01\].tar of the shards"):
        TarShards(mixed)
    with pytest.raises(UserError, match=r"There is no file .*s-002.tar of the shards"):
        TarShards(pattern.replace("001", "002"))
    monkeypatch.setattr("mvssl.datasets.shards.find_spec", lambda name: None)
    with pytest.raises(UserError, match="braces take the package braceexpand: pip install"):
        TarShards(pattern)


@pytest.mark.parametrize(
    "address", ["http://x/y.tar", "https://x/y-{0..3}.tar", "s3://x/y.tar", "gs://x/y-*.tar"]
)
def test_shards_elsewhere_are_refused_without_a_look(address: str) -> None:
    with pytest.raises(UserError, match="copy or mount them"):
        TarShards(address)


def test_bad_shards_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.tar").write_text("no tar file" * 100)
    with tarfile.open(tmp_path / "packed.tar.gz", "w:gz"):
        pass
    with tarfile.open(tmp_path / "empty.tar", "w"):
        pass
    for name in ("text.tar", "packed.tar.gz"):
        with pytest.raises(UserError, match=r"cannot be read as a tar file"):
            TarShards(str(tmp_path / name))
    with pytest.raises(UserError, match="no image in 1 tar files"):
        TarShards(str(tmp_path / "empty.tar"))
    with pytest.raises(UserError, match=r"There is no file .*gone"):
        TarShards(str(tmp_path / "gone-*.tar"))
    with pytest.raises(UserError, match="in files of this machine"):
        TarShards("pipe:curl -s http://x/y.tar")
    with pytest.raises(UserError, match=r"has no label beside it, \.cls"):
        TarShards(_shards(tmp_path, label=False), label="cls")


def test_a_shard_that_shrank_costs_its_images_alone(tmp_path: Path) -> None:
    data = TarShards(_shards(tmp_path), label="cls", size=8)
    with (tmp_path / "s-001.tar").open("r+b") as file:
        file.truncate(600)
    assert data.read(0) is not None
    assert data.read(5) is None
    assert "cut off" in data.fault(5)


@pytest.mark.parametrize("form", ["arrow", "splits", "parquet", "folder"])
def test_data_sets_of_hugging_face(form: str, tmp_path: Path) -> None:
    package = pytest.importorskip("datasets", reason="pip install datasets")
    features = package.Features(
        {"image": package.Image(), "label": package.ClassLabel(names=["cat", "dog", "yak"])}
    )
    entries = {
        "image": [{"bytes": _png(i), "path": None} for i in range(6)],
        "label": [i % 2 for i in range(6)],
    }
    rows = package.Dataset.from_dict(entries, features=features)
    path = tmp_path / "data"
    if form == "arrow":
        rows.save_to_disk(str(path))
    elif form == "splits":
        package.DatasetDict({"train": rows, "test": rows.select([0])}).save_to_disk(str(path))
        with pytest.raises(UserError, match="no split 'val', and has 'train' and 'test'"):
            HuggingFaceImages(path, "val")
        assert len(HuggingFaceImages(path, "test")) == 1
    else:
        path = tmp_path / "train-00000.parquet"
        rows.to_parquet(str(path))
        path = path if form == "parquet" else tmp_path
    data = HuggingFaceImages(path, label="label", size=8)
    _check(data)
    assert data.classes == ["cat", "dog", "yak"]
    assert data.labels is not None
    assert data.labels.tolist() == [0, 1, 0, 1, 0, 1]
    with pytest.raises(UserError, match="no column 'kind', and has 'image' and 'label'"):
        HuggingFaceImages(path, label="kind")
    assert HuggingFaceImages(path, max_bytes=10).read(0) is None


def test_what_a_file_says_reaches_no_network(tmp_path: Path) -> None:
    pytest.importorskip("datasets", reason="pip install datasets")
    arrow = pytest.importorskip("pyarrow", reason="pip install pyarrow")
    kind = arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])
    entry = {"bytes": None, "path": "http://127.0.0.1:1/a.png"}
    table = arrow.table({"image": arrow.array([entry], kind)})
    pytest.importorskip("pyarrow.parquet").write_table(table, str(tmp_path / "train-00000.parquet"))
    data = HuggingFaceImages(tmp_path / "train-00000.parquet")
    assert data.read(0) is None
    assert data.fault(0) == "lies at an address, and not in the data set"
