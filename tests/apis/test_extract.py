"""Features of a folder: what they are, how they are written, on one process and on several."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pyarrow import parquet
from sklearn.datasets import load_sample_images

import mvssl
from mvssl.apis.extract import Extracted, extract
from mvssl.errors import UserError
from mvssl.models.backbones import TimmBackbone, save_backbone
from tests.gloo_pool import GlooPool
from tests.mini import load_tool

VIT = {
    "type": "TimmBackbone",
    "name": "vit_tiny_patch16_224",
    "model_args": {"img_size": 32, "patch_size": 8, "embed_dim": 16, "depth": 1, "num_heads": 2},
}
EXPECTED = {"size": 32, "color_space": "rgb", "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.4]}


@pytest.fixture
def backbone(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    made = TimmBackbone(VIT["name"], VIT["model_args"])  # type: ignore[arg-type]
    save_backbone(made, tmp_path / "backbone.safetensors", VIT, EXPECTED)
    return tmp_path / "backbone.safetensors"


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Two classes of three squares each, and a broken file."""
    for name, image in zip(("china", "flower"), load_sample_images().images, strict=True):
        folder = tmp_path / "photographs" / name
        folder.mkdir(parents=True)
        for number in range(3):
            square = image[40 * number : 40 * number + 32, :32]
            Image.fromarray(square).save(folder / f"{number}.png")
    return tmp_path / "photographs"


def test_features_are_those_of_normalised_images(backbone: Path, photographs: Path) -> None:
    found = extract(backbone, photographs, labels=True)
    assert found.names == [f"{k}/{n}.png" for k in ("china", "flower") for n in range(3)]
    assert found.classes == ["china", "flower"]
    assert found.labels is not None
    assert found.labels.tolist() == [0, 0, 0, 1, 1, 1]
    images = [np.asarray(Image.open(photographs / name)) for name in found.names]
    x = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2) / 255.0
    mean, std = (torch.tensor(EXPECTED[name]).view(1, 3, 1, 1) for name in ("mean", "std"))
    with torch.no_grad():
        expected = mvssl.load_backbone(backbone)((x - mean) / std)
    np.testing.assert_allclose(found.x, expected.numpy(), rtol=1e-5, atol=1e-6)
    again = mvssl.extract(mvssl.load_backbone(backbone), np.stack(images), batch_size=4)
    np.testing.assert_allclose(again.x, found.x, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("limits", [None, (-1.0, 4.0)])
@pytest.mark.parametrize(("channels", "means"), [(1, 1), (2, 2), (3, 1), (5, 5)])
def test_channels_are_those_of_the_backbone(
    tmp_path: Path, channels: int, means: int, limits: tuple[float, float] | None
) -> None:
    torch.manual_seed(0)
    args: dict[str, Any] = {**VIT["model_args"], "in_chans": channels}  # type: ignore[dict-item]
    made = TimmBackbone("vit_tiny_patch16_224", args)
    mean, std = [0.3, 0.4, 0.5, 0.6, 0.7][:means], [0.2, 0.3, 0.4, 0.5, 0.6][:means]
    expected = {**EXPECTED, "mean": mean, "std": std, "value_range": limits}
    save_backbone(made, tmp_path / "b", {**VIT, "model_args": args}, expected)
    rng = np.random.default_rng(0)
    images = rng.random((4, 32, 32, channels), np.float32)
    low, high = limits or (0, 1)
    found = extract(tmp_path / "b", low + (high - low) * images)
    x = torch.from_numpy(images).permute(0, 3, 1, 2)
    with torch.no_grad():
        wanted = made.eval()(
            (x - torch.tensor(mean).view(1, -1, 1, 1)) / torch.tensor(std).view(1, -1, 1, 1)
        )
    np.testing.assert_allclose(found.x, wanted.numpy(), rtol=1e-4, atol=1e-5)


def test_bfloat16_is_near_and_not_the_same(backbone: Path, photographs: Path) -> None:
    exact, rough = (extract(backbone, photographs, amp=amp).x for amp in (False, True))
    assert rough.dtype == np.float32
    assert 0 < np.abs(exact - rough).max() < 0.1


def test_what_cannot_be_read_has_no_row(backbone: Path, photographs: Path) -> None:
    whole = extract(backbone, photographs)
    (photographs / "china/9.png").write_bytes(b"no image")
    found = extract(backbone, photographs)
    assert list(found.unreadable) == ["china/9.png"]
    assert found.names == whole.names
    np.testing.assert_array_equal(found.x, whole.x)


def test_values_of_deep_images_are_those_of_training(tmp_path: Path, backbone: Path) -> None:
    made = mvssl.load_backbone(backbone)
    deep = EXPECTED | {"value_range": [0, 4095]}
    save_backbone(made, tmp_path / "deep.safetensors", VIT, deep)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 2048, (4, 32, 32, 3), np.uint16)  # half of the range of training
    found = extract(tmp_path / "deep.safetensors", images)
    bytes_ = np.round(images / 4095 * 255).astype(np.uint8)
    near = extract(backbone, bytes_)
    np.testing.assert_allclose(found.x, near.x, atol=0.05)


def test_every_ending_holds_the_same(
    backbone: Path, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tool = load_tool("extract")
    given = [str(backbone), "--data", str(photographs), "--labels", "--workers", "0", "--out"]
    for ending in ("npz", "npy", "parquet"):
        assert tool.main([*given, str(tmp_path / f"f.{ending}")]) == 0
    assert "6 images x 16 numbers, 2 classes" in capsys.readouterr().out
    expected = extract(backbone, photographs, labels=True)
    packed = np.load(tmp_path / "f.npz")
    np.testing.assert_array_equal(packed["features"], expected.x)
    assert packed["names"].tolist() == expected.names
    assert packed["labels"].tolist() == [0, 0, 0, 1, 1, 1]
    mapped = np.load(tmp_path / "f.npy", mmap_mode="r")
    np.testing.assert_array_equal(mapped, expected.x)
    beside = json.loads((tmp_path / "f.json").read_text())
    assert beside == {
        "names": expected.names,
        "labels": [0, 0, 0, 1, 1, 1],
        "classes": ["china", "flower"],
    }
    table = parquet.read_table(tmp_path / "f.parquet").to_pydict()
    np.testing.assert_array_equal(np.array(table["features"], np.float32), expected.x)
    assert table["class"] == ["china"] * 3 + ["flower"] * 3


def test_an_image_without_a_label_is_of_no_class(tmp_path: Path) -> None:
    features = np.zeros((3, 2), np.float32)
    labels = np.array([1, -1, 0])
    made = Extracted(features, ["a", "b", "c"], labels, ["cat", "dog"], {})
    made.save(tmp_path / "f.parquet")
    table = parquet.read_table(tmp_path / "f.parquet").to_pydict()
    assert table["class"] == ["dog", None, "cat"]
    assert table["label"] == [1, -1, 0]


def on_a_rank(backbone: str, folder: str) -> Any:
    found = extract(backbone, folder, labels=True, batch_size=2)
    return found.x, found.names, found.labels, found.unreadable


def test_several_processes_give_what_one_gives(
    backbone: Path, photographs: Path, run_distributed: GlooPool
) -> None:
    (photographs / "china/9.png").write_bytes(b"no image")
    expected = extract(backbone, photographs, labels=True)
    for x, names, labels, unreadable in run_distributed(
        on_a_rank, 2, str(backbone), str(photographs)
    ):
        np.testing.assert_allclose(x, expected.x, rtol=1e-5, atol=1e-6)
        assert names == expected.names
        assert labels.tolist() == [0, 0, 0, 1, 1, 1]
        assert unreadable == expected.unreadable


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"--out": "f.txt"}, "ends in .npz, .npy, .parquet"),
        ({"--out": "../photographs/china/0.png/f.npz"}, "0.png is a file, no folder"),
        ({"--out": ".."}, "ends in .npz, .npy, .parquet"),
        ({"--data": "nowhere"}, "There is no folder nowhere"),
        ({"source": "nowhere"}, "nowhere"),
        ({"--image-size": "30"}, "do not divide"),
        ({"--batch-size": "0"}, "--batch-size is"),
        ({"--workers": "-1"}, "--workers is"),
        ({"--image-size": "0"}, "--image-size is"),
        ({"--which": "teacher"}, "holds one backbone"),
    ],
)
def test_bad_input_is_one_sentence_and_writes_nothing(
    backbone: Path,
    photographs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    change: dict[str, str],
    said: str,
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    given = {"source": str(backbone), "--data": str(photographs), "--out": "f.npz"} | change
    words = [given.pop("source"), *(word for pair in given.items() for word in pair)]
    assert load_tool("extract").main(words) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert list(Path().iterdir()) == []


def test_images_of_other_channels_are_refused(backbone: Path) -> None:
    with pytest.raises(UserError, match="5 channels, and the backbone was trained on images of 3"):
        extract(backbone, np.zeros((2, 32, 32, 5), np.uint8))


def test_what_is_found_is_shown_in_a_line(backbone: Path, photographs: Path) -> None:
    assert repr(extract(backbone, photographs, labels=True)) == "Extracted(6 x 16, 2 classes)"
    (photographs / "china/0.png").write_bytes(b"")
    assert repr(extract(backbone, photographs)) == "Extracted(5 x 16, no labels, 1 unreadable)"


def test_what_is_no_source_is_told_with_what_is(
    backbone: Path, photographs: Path, tmp_path: Path
) -> None:
    page = tmp_path / "report.html"
    page.write_text("<html>" * 100)
    sources = "the folder of a run, its backbone.safetensors, a checkpoint of it, or timm:NAME"
    with pytest.raises(UserError, match=f"holds no weights: give {sources}"):
        extract(page, photographs)
    with pytest.raises(UserError, match=f"There is no nothere: give {sources}"):
        extract("nothere", photographs)
    with pytest.raises(UserError, match=r"did you mean 'backbone\.safetensors'\?"):
        extract(backbone.with_name("backbone.safetensor"), photographs)
    backbone.write_bytes(backbone.read_bytes()[:-9])
    with pytest.raises(UserError, match="not a safetensors file, or it is damaged"):
        extract(backbone, photographs)
