"""Images of other depths and channels than RGB of 8 bits, through whole runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mvssl.apis import TrainOptions, train
from mvssl.datasets import ArrayImages, ImageDataset, ImageFolder
from mvssl.errors import UserError
from mvssl.registry import DATASETS
from tests.mini import prepared, write_config

MORE = """
model['data_preprocessor'] = dict(size=32, engine={engine!r}, views='byol'{more})
train_dataloader.update(batch_size=8)
train_cfg = dict(max_epochs=1)
"""


@DATASETS.register_module(force=True)
class Bands(ImageDataset):
    """Noise of any channels and depth, with labels."""

    def __init__(
        self, channels: int = 5, kind: str = "uint16", size: int = 32, **more: Any
    ) -> None:
        ranges = {"uint8": None, "uint16": (0, 4095), "float64": (-1.0, 1.0)}
        super().__init__(
            np.arange(32) % 2, ["a", "b"], size, channels, ranges[kind], more.get("rgb")
        )
        self.kind, self.side = kind, size

    def __len__(self) -> int:
        return 32

    def path(self, index: int) -> str:
        return f"bands {index}"

    def describe(self) -> str:
        return self._summary("bands", "all")

    def read(self, index: int) -> Any:
        noise = np.random.default_rng(index).random((self.side, self.side, self.channels))
        if self.kind == "float64":
            return 2 * noise - 1
        return (noise * (255 if self.kind == "uint8" else 4095)).astype(self.kind)


def _options(folder: Path, engine: str, dataset: dict[str, Any], more: str = "") -> TrainOptions:
    text = MORE.format(engine=engine, more=more)
    text += f"train_dataloader['dataset'] = {{'_delete_': True, **{dataset!r}}}\n"
    text += f"evaluation = dict(_delete_=True, train={dataset!r}, test={dataset!r}, "
    text += "evaluators=dict(knn=dict(type='KNN')))\n"
    config = write_config(folder, base="byol_er_vit.py", more=text)
    return TrainOptions(config=str(config), work_dir=str(folder / "run"))


@pytest.mark.parametrize("engine", ["host", "device"])
@pytest.mark.parametrize(("channels", "kind"), [(1, "uint8"), (5, "uint16"), (13, "float64")])
def test_a_run_follows_its_images(channels: int, kind: str, engine: str, tmp_path: Path) -> None:
    options = _options(tmp_path, engine, dict(type="Bands", channels=channels, kind=kind))
    job = prepared(options)
    assert job.model.backbone.in_channels == channels
    preprocessor = job.model.data_preprocessor
    assert preprocessor.mean.shape == (1, channels, 1, 1)
    torch.testing.assert_close(
        preprocessor.mean, torch.full_like(preprocessor.mean, 0.5), atol=0.01, rtol=0
    )
    torch.testing.assert_close(
        preprocessor.std, torch.full_like(preprocessor.std, 12**-0.5), atol=0.01, rtol=0
    )
    assert any(
        "hue of ColorJitter (brightness and contrast stay), Grayscale." in note
        for note in job.notes
    )
    summary = train(options)
    assert summary is not None
    assert summary["image_values"]["channels"] == channels
    assert 0 <= summary["knn_top1"] <= 1
    stored = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (
        stored["image_values"]["value_range"]
        == {"uint8": None, "uint16": [0, 4095], "float64": [-1, 1]}[kind]
    )


def test_a_resumed_run_keeps_what_was_measured(tmp_path: Path) -> None:
    options = _options(tmp_path, "device", dict(type="Bands", channels=4), ", mean='auto'")
    train(options)
    written = torch.load(tmp_path / "run" / "epoch_1.pth", weights_only=True)["meta"]["facts"]
    assert written["channels"] == 4
    assert len(written["mean"]) == len(written["std"]) == 4
    again = TrainOptions(
        config=options.config,
        resume=str(tmp_path / "run" / "epoch_1.pth"),
        cfg_options={"train_cfg.max_epochs": 2},
    )
    assert train(again) is not None


def test_mean_and_std_are_measured_where_asked_for(tmp_path: Path) -> None:
    job = prepared(
        _options(tmp_path, "device", dict(type="Bands", channels=3, kind="uint8"), ", mean='auto'")
    )
    read = [job.dataset.pixels(i) for i in range(32)]
    images = np.stack([image for image in read if image is not None]) / 255.0
    preprocessor = job.model.data_preprocessor
    np.testing.assert_allclose(preprocessor.mean.flatten(), images.mean((0, 1, 2)), atol=1e-4)
    np.testing.assert_allclose(preprocessor.std.flatten(), images.std((0, 1, 2)), atol=1e-4)
    assert any("measured mean" in note for note in job.notes)


def test_a_color_space_is_refused_where_a_data_set_says_that_its_images_are_not_rgb(
    tmp_path: Path,
) -> None:
    bgr = dict(type="Bands", channels=3, kind="uint8", rgb=(2, 1, 0))
    with pytest.raises(UserError, match=r"color_space='sobel' is made of red.* channels 2, 1, 0"):
        prepared(_options(tmp_path, "device", bgr, ", color_space='sobel'"))


def test_images_of_other_channels_are_refused_in_evaluation(tmp_path: Path) -> None:
    options = _options(tmp_path, "device", dict(type="Bands", channels=5))
    text = Path(options.config).read_text()
    Path(options.config).write_text(
        f"{text}\nevaluation['test'] = dict(type='Bands', channels=4)\n"
    )
    with pytest.raises(UserError, match="evaluation have 5 and 4 channels"):
        train(options)
    text = text.replace(
        "train={'type': 'Bands', 'channels': 5}", "train=dict(type='Bands', channels=4)"
    )
    Path(options.config).write_text(
        f"{text}\nevaluation['test'] = dict(type='Bands', channels=4)\n"
    )
    with pytest.raises(UserError, match="have 4 channels, and the model takes 5"):
        train(options)


def _twelve_bits(folder: Path, number: int = 8) -> Path:
    folder.mkdir()
    for i in range(number):
        values = np.random.default_rng(i).integers(0, 4096, (40, 40), dtype=np.uint16)
        Image.fromarray(values).save(folder / f"{i}.png")
    return folder


def test_the_range_of_a_folder_is_read_told_and_given(tmp_path: Path) -> None:
    root = _twelve_bits(tmp_path / "deep")
    data = ImageFolder(root, size=40)
    assert data.value_range == (0, 4095)
    assert any("0 is taken for black and 4095 for white" in note for note in data.notes)
    values = np.asarray(Image.open(root / "3.png"))
    image = data[3]["image"]
    assert image.dtype == torch.float32
    np.testing.assert_allclose(image[0], values / 4095.0, atol=1e-6)
    given = ImageFolder(root, size=40, value_range=(1000, 3000), channels=1)
    np.testing.assert_allclose(
        given[3]["image"][0], ((values - 1000.0) / 2000).clip(0, 1), atol=1e-6
    )
    assert given[0]["image"].shape == (1, 40, 40)
    # A photograph among them keeps its own range, whether theirs is found or given.
    Image.fromarray(np.full((40, 40), 255, np.uint8)).save(root / "9.png")
    for value_range in (None, (0, 4095), (200, 3000)):
        white = ImageFolder(root, size=40, value_range=value_range)[8]["image"]
        torch.testing.assert_close(white, torch.ones_like(white))


@pytest.mark.parametrize("top", [1, 3, 100, 255])
def test_a_range_that_is_given_is_that_of_files_of_8_bits(top: int, tmp_path: Path) -> None:
    """As of the same pixels in an array."""
    pixels = np.random.default_rng(0).integers(0, top + 1, (3, 8, 8, 3), np.uint8)
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    files = ImageFolder(tmp_path, size=8, value_range=(0, top))
    array = ArrayImages(pixels, value_range=(0, top))
    for number, image in enumerate(pixels):
        torch.testing.assert_close(files[number]["image"], array[number]["image"])
        np.testing.assert_allclose(
            files[number]["image"], image.transpose(2, 0, 1) / top, atol=1e-6
        )


def test_of_fractions_files_of_8_bits_keep_their_own_range(tmp_path: Path) -> None:
    """Where photographs are evaluated beside fractions that were trained on, say."""
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    Image.fromarray(image).save(tmp_path / "a.png")
    data = ImageFolder(tmp_path, size=8, value_range=(0.0, 1.0))
    np.testing.assert_allclose(data[0]["image"], image.transpose(2, 0, 1) / 255, atol=1e-6)


def test_a_fourth_band_is_never_dropped_silently(tmp_path: Path) -> None:
    rgba = np.random.default_rng(0).integers(0, 256, (20, 20, 4), dtype=np.uint8)
    for i in range(3):
        Image.fromarray(rgba).save(tmp_path / f"{i}.png")
    data = ImageFolder(tmp_path)
    assert data.channels == 3
    assert any("3 have transparency, which is left out; channels=4" in x for x in data.notes)
    kept = ImageFolder(tmp_path, channels=4)
    np.testing.assert_array_equal(kept.read(0), rgba)
    assert kept.rgb == (0, 1, 2)
    bands = tmp_path / "bands"
    bands.mkdir()
    # Four bands that are no transparency, as of a satellite: extra samples of unknown meaning.
    Image.fromarray(rgba).save(bands / "a.tif")
    data_of_alpha = (bands / "a.tif").read_bytes()
    tag = b"\x52\x01\x03\0\x01\0\0\0"
    assert data_of_alpha.count(tag + b"\2") == 1
    (bands / "a.tif").write_bytes(data_of_alpha.replace(tag + b"\2", tag + b"\0"))
    several = ImageFolder(bands)
    assert several.channels == 4
    np.testing.assert_array_equal(several.read(0), rgba)


@pytest.mark.parametrize(
    "wrong", [{"value_range": (1, 1)}, {"value_range": 5}, {"channels": 0}, {"rgb": (0, 0, 1)}]
)
def test_wrong_depths_and_channels_are_named(wrong: dict[str, Any], tmp_path: Path) -> None:
    root = _twelve_bits(tmp_path / "deep", 2)
    with pytest.raises(UserError, match=f"ImageFolder: {next(iter(wrong))}"):
        ImageFolder(root, **wrong)
