"""What is shown is what training sees: the same pixels, bit for bit, and what was drawn."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from matplotlib.image import imread

from mvssl.apis import TrainOptions
from mvssl.apis.browse_views import BrowsedViews, browse_views, draw
from mvssl.datasets import encoded
from mvssl.engine import Job
from mvssl.errors import UserError
from mvssl.views import Preprocessor
from tests.mini import ROOT, prepared, write_config

SEED, EPOCH = 5, 3
VIEWS = "model.data_preprocessor.views"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Twelve colour images, higher than wide."""
    return images(tmp_path / "photos", 3)


def images(folder: Path, channels: int, deep: bool = False) -> Path:
    rng = np.random.default_rng(0)
    folder.mkdir()
    for number in range(12):
        pixels = rng.integers(0, 65536 if deep else 256, (70 + number, 50, channels))
        path, kind = folder / f"{number:02}.png", np.uint16 if deep else np.uint8
        assert cv2.imwrite(str(path), pixels.astype(kind))
    return folder


def config(folder: Path, engine: str, more: str = "") -> str:
    text = f"\nmodel['data_preprocessor'] = dict(engine={engine!r}, {more})\n"
    text += "model['backbone']['model_args'].update(dynamic_img_size=True, dynamic_img_pad=True)\n"
    text += "train_dataloader['batch_size'] = 6\n"
    return str(write_config(folder / "configs", "photos/byol_small.py", text))


def by_run(job: Job, epoch: int) -> dict[int, list[torch.Tensor]]:
    """The views of every image in an epoch, as the run makes them, by index."""
    preprocessor, found = job.model.data_preprocessor, {}
    sampler: Any = job.loader.sampler
    sampler.set_epoch(epoch - 1)
    for batch in job.loader:
        for row, index in enumerate(batch["index"].tolist()):
            found[index] = [view[row] for view in preprocessor.make_views(batch)]
    return found


def assert_as_in_training(browsed: BrowsedViews, options: TrainOptions) -> None:
    made = by_run(prepared(options), browsed.epoch)
    for row, index in enumerate(browsed.batch["index"].tolist()):
        for shown, seen in zip(browsed.views, made[index], strict=True):
            assert torch.equal(shown[row], seen)


@pytest.mark.parametrize("engine", ["host", "device"])
@pytest.mark.parametrize("views", ["'byol'", "dict(_delete_=True, type='dino', num_local=3)"])
def test_views_are_those_of_training(tmp_path: Path, photos: Path, engine: str, views: str) -> None:
    given: dict[str, Any] = dict(data=str(photos), seed=SEED)
    more = f"views={views}, size=32" if "byol" in views else f"views={views}, size=48"
    options = TrainOptions(config(tmp_path, engine, more), **given)
    browsed = browse_views(options, 12, EPOCH)
    assert browsed.batch["index"].tolist() == list(range(12))
    assert_as_in_training(browsed, options)
    others = [
        browse_views(options, 12, EPOCH + 1),
        browse_views(TrainOptions(options.config, **(given | {"seed": SEED + 1})), 12, EPOCH),
    ]
    for other in others:
        assert not torch.equal(other.views[0], browsed.views[0])


def test_workers_make_the_same(tmp_path: Path, photos: Path) -> None:
    """Also what draws from the global generators, which workers seed for each sample."""
    other = "dict(type='TorchvisionOp', transform=dict(type='ElasticTransform'))"
    operations = f"[dict(type='RandomResizedCrop'), {other}]"
    more = f"views=[dict(operations={operations})] * 2, size=32"
    options = TrainOptions(
        config(tmp_path, "host", more),
        data=str(photos),
        cfg_options={"train_dataloader.num_workers": 2},
    )
    assert_as_in_training(browse_views(options, 12, EPOCH), options)


def test_the_generators_of_a_notebook_stay(tmp_path: Path, photos: Path) -> None:
    path = config(tmp_path, "host", "size=32")
    before = torch.random.get_rng_state(), random.getstate(), str(np.random.get_state())
    browse_views(TrainOptions(path, data=str(photos)), 2)
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert (random.getstate(), str(np.random.get_state())) == before[1:]


def test_originals_are_upright_and_words_are_of_the_views(tmp_path: Path, photos: Path) -> None:
    path = config(tmp_path, "host", "views=[dict(flip=0.5), dict(flip=0, solarize=0.5)], size=32")
    browsed = browse_views(TrainOptions(path, data=str(photos)), 12)
    for row in range(12):
        read = cv2.imread(str(photos / f"{row:02}.png"))
        assert read is not None
        np.testing.assert_array_equal(browsed.original(row), read[..., ::-1])
        told = browsed.told(row)
        assert told is not None
        box = told[1].box
        assert box is not None
        piece = read[box.top : box.top + box.height, box.left : box.left + box.width, ::-1]
        wanted = torch.nn.functional.interpolate(
            torch.from_numpy(piece.copy()).permute(2, 0, 1)[None].float(),
            size=(32, 32),
            mode="bilinear",
            antialias=True,
        )[0]
        if "solarised" in told[1].words:
            wanted = torch.where(wanted.round() >= 128, 255 - wanted, wanted)
        assert (browsed.views[1][row] * 255 - wanted).abs().max() < 1.01


def test_boxes_are_of_whole_images_where_less_is_decoded(tmp_path: Path) -> None:
    """A JPEG is decoded at half its sides or less where views are small."""
    rough = np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8)
    photo = cv2.resize(rough, (901, 603), interpolation=cv2.INTER_CUBIC)
    (tmp_path / "photos").mkdir()
    assert cv2.imwrite(str(tmp_path / "photos" / "a.jpg"), photo, [cv2.IMWRITE_JPEG_QUALITY, 98])
    path = config(tmp_path, "host", "views=[dict(flip=0)] * 4, size=32")
    options = TrainOptions(path, data=str(tmp_path / "photos"))
    spared = 0
    for epoch in range(1, 9):
        browsed = browse_views(options, 1, epoch)
        spare = browsed.dataset.spare(0, epoch - 1)
        decoded = browsed.dataset.pixels(0, spare)
        assert decoded is not None
        spared += decoded.shape[0] < 603
        told = browsed.told(0)
        assert told is not None
        for number, one in enumerate(told):
            assert one.box is not None
            top, left, height, width = one.box
            assert 0 <= top <= 603 - height
            assert 0 <= left <= 901 - width
            piece = browsed.original(0)[top : top + height, left : left + width]
            wanted = cv2.resize(piece, (32, 32), interpolation=cv2.INTER_AREA)
            seen = browsed.views[number][0].permute(1, 2, 0).numpy()
            assert np.abs(seen - wanted / 255).mean() < 0.03
    assert spared


@pytest.mark.parametrize(("engine", "times"), [("host", [2, 1]), ("device", [1, 1])])
def test_an_image_is_decoded_once_and_whole_beside_where_views_need_less(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str, times: list[int]
) -> None:
    """Of a large JPEG, of which views are drawn at a part of its sides, and of a PNG."""
    (tmp_path / "photos").mkdir()
    rough = np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8)
    photo = cv2.resize(rough, (1201, 803), interpolation=cv2.INTER_CUBIC)
    for name in ("a.jpg", "b.png"):
        assert cv2.imwrite(str(tmp_path / "photos" / name), photo)
    views = "views=[dict(flip=0, crop_scale=(0.9, 1.0))] * 2, size=32"
    options = TrainOptions(config(tmp_path, engine, views), data=str(tmp_path / "photos"))
    decoded, own = list[int](), encoded.decode_image

    def counted(data: bytes, *args: Any) -> Any:
        decoded.append(0 if data.startswith(b"\xff\xd8") else 1)
        return own(data, *args)

    monkeypatch.setattr(encoded, "decode_image", counted)
    browsed = browse_views(options, 2)
    draw(browsed, tmp_path / "views.png")
    assert [decoded.count(number) for number in (0, 1)] == times
    if engine == "host":
        assert browsed.name(0)[1] == browsed.name(1)[1] == "1201 × 803"
        assert browsed.original(0).shape == browsed.original(1).shape == photo.shape


def test_where_no_image_can_be_read_a_sentence_names_one(tmp_path: Path, photos: Path) -> None:
    for file in photos.iterdir():
        file.write_bytes(b"no image")
    options = TrainOptions(config(tmp_path, "host", "size=32"), data=str(photos))
    with pytest.raises(UserError, match=r"none of \d+ that were tried .*00\.png cannot be read as"):
        browse_views(options, 1)


@pytest.mark.parametrize(
    ("channels", "deep", "more", "told"),
    [
        (1, False, "train_dataloader['dataset'] = dict(channels=1)", "one channel, shown in grey"),
        (4, False, "train_dataloader['dataset'] = dict(channels=4)", "0, 1, 2 of 4 are shown"),
        (3, True, "", "epoch 1"),
        (3, False, "model['data_preprocessor'].update(color_space='lab')", "turned into lab"),
        (3, False, "model['data_preprocessor'].update(color_space='sobel')", "turned into sobel"),
        (3, False, "train_dataloader['dataset'] = dict(rgb=(2, 0, 1))", "2, 0, 1 of 3 are shown"),
    ],
)
@pytest.mark.parametrize("engine", ["host", "device"])
def test_any_channels_depth_and_colour_space(
    tmp_path: Path, engine: str, channels: int, deep: bool, more: str, told: str
) -> None:
    folder = images(tmp_path / "images", channels, deep)
    path = Path(config(tmp_path, engine, "size=32"))
    text = f"{path.read_text()}{more}\n"
    if channels == 4:
        text = text.replace("dict(channels=4)", "dict(channels=4, rgb=(2, 1, 0))")
        told = told.replace("0, 1, 2", "2, 1, 0")
    path.write_text(text)
    options = TrainOptions(str(path), data=str(folder))
    browsed = browse_views(options, 3)
    assert any(told in line for line in browsed.lines()), browsed.lines()
    assert all(view.shape == (3, channels, 32, 32) for view in browsed.views)
    draw(browsed, tmp_path / "views.png")
    assert imread(tmp_path / "views.png").shape[2] == 4


def test_names_and_shapes_of_any_kind_are_drawn(tmp_path: Path, photos: Path) -> None:
    shapes = {"写真 $x_1$.png": (3, 400), "tall.png": (400, 3), "a\nb.png": (1, 1)}
    for name, shape in shapes.items():
        pixels = np.full((*shape, 3), 99, np.uint8)
        assert cv2.imwrite(str(photos / "new.png"), pixels)
        (photos / "new.png").rename(photos / name)
    browsed = browse_views(TrainOptions(config(tmp_path, "host", "size=32"), data=str(photos)), 15)
    names = {browsed.name(row)[0]: browsed.name(row)[1] for row in range(15)}
    assert names["写真 $x_1$.png"] == "400 × 3"
    assert names["a\\nb.png"] == "1 × 1"
    draw(browsed, tmp_path / "views.png")


def test_an_image_that_cannot_be_read_is_named(tmp_path: Path, photos: Path) -> None:
    (photos / "00.png").write_bytes(b"no image")
    browsed = browse_views(TrainOptions(config(tmp_path, "host", "size=32"), data=str(photos)), 1)
    assert browsed.batch["replaced"].tolist() == [0]
    assert "in place of 00.png, which cannot be read" in browsed.name(0)


def test_a_preprocessor_of_ones_own_shows_views_without_words(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "halves_of_images.py").write_text(HALVES)
    monkeypatch.syspath_prepend(str(tmp_path))
    path = Path(config(tmp_path, "device"))
    text = path.read_text() + (
        "custom_imports = dict(imports=['halves_of_images'])\n"
        "model['data_preprocessor'] = dict(_delete_=True, type='Halves', size=32)\n"
    )
    path.write_text(text)
    options = TrainOptions(
        str(path), data=str(photos), cfg_options={"train_dataloader.dataset.size": 64}
    )
    browsed = browse_views(options, 2)
    assert isinstance(browsed.preprocessor, Preprocessor)
    assert browsed.told(0) is None
    draw(browsed, tmp_path / "views.png")
    assert torch.equal(browsed.views[0], browsed.batch["image"][..., :32, :32] / 255)


HALVES = """
from mvssl.registry import MODELS
from mvssl.views import Preprocessor

@MODELS.register_module()
class Halves(Preprocessor):
    def make_views(self, data):
        images = self.cast_data(data["image"]).float() / 255
        return [images[..., :32, :32], images[..., -32:, -32:]]
"""


def test_many_views_stand_on_several_lines(tmp_path: Path, photos: Path) -> None:
    more = "size=32, views=dict(_delete_=True, type='dino', num_local=10)"
    options = TrainOptions(config(tmp_path, "host", more), data=str(photos))
    sizes = []
    for local in (8, 10):
        browsed = browse_views(
            TrainOptions(
                options.config, data=str(photos), cfg_options={f"{VIEWS}.num_local": local}
            ),
            2,
        )
        draw(browsed, tmp_path / "views.png")
        sizes.append(imread(tmp_path / "views.png").shape)
    assert sizes[0][1] == sizes[1][1] < 2200
    assert sizes[1][0] > 1.6 * sizes[0][0]


def test_a_picture_that_would_be_too_high_is_refused(tmp_path: Path, photos: Path) -> None:
    more = "size=32, views=dict(_delete_=True, type='dino', num_local=1000)"
    options = TrainOptions(config(tmp_path, "host", more), data=str(photos))
    browsed = browse_views(options, 12)
    with pytest.raises(UserError, match="pixels high: show fewer images"):
        draw(browsed, tmp_path / "views.png")


@pytest.mark.parametrize(("num", "epoch"), [(0, 1), (65, 1), (1, 0), (1, 2**40)])
def test_numbers_out_of_range_are_refused(num: int, epoch: int) -> None:
    options = TrainOptions(str(ROOT / "configs" / "byol_vit.py"))
    with pytest.raises(UserError, match="browse_views"):
        browse_views(options, num, epoch)
