"""Parts of one's own that do not fit are told in a sentence, before anything is written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from mvssl.apis import TrainOptions
from mvssl.datasets import ImageDataset
from mvssl.errors import UserError
from mvssl.models import Embeddings
from mvssl.models.backbones import Backbone
from mvssl.models.necks import Neck
from mvssl.registry import BACKBONES, DATASETS, NECKS, Registry
from tests.mini import prepared, write_config


class Maps(Backbone):
    """Forgets to pool."""

    num_features = 8
    in_channels = 3

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, 8)

    def forward(self, images: Tensor) -> Tensor:
        return self.conv(images)


class Narrow(Maps):
    """Has fewer features than it says."""

    def forward(self, images: Tensor) -> Tensor:
        return self.conv(images).mean(dim=(2, 3))[:, :5]


class Fails(Neck):
    """Raises something of its own."""

    out_channels = 4

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(7, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


class Two(Neck):
    """Returns two things."""

    out_channels = 4

    def forward(self, x: Tensor) -> Any:
        return x, x


class Listed(ImageDataset):
    """100 images, of a kind that a subclass gives."""

    def __init__(self) -> None:
        super().__init__(labels=None, classes=None, size=32)

    def __len__(self) -> int:
        return 600

    def path(self, index: int) -> str:
        return f"image {index}"

    def describe(self) -> str:
        return "a list of images"


class Pillow(Listed):
    def read(self, index: int) -> Any:
        return Image.new("RGB", (32, 32))


class Floats(Listed):
    def read(self, index: int) -> Any:
        return np.zeros((32, 32, 3), np.float32)


class Planes(Listed):
    def read(self, index: int) -> Any:
        return np.zeros((3, 32, 32), np.uint8)


class Grey(Listed):
    def read(self, index: int) -> Any:
        return np.zeros((32, 32), np.uint8)


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    pairs: list[tuple[Registry, type]] = [
        (BACKBONES, Maps),
        (BACKBONES, Narrow),
        (NECKS, Fails),
        (NECKS, Two),
    ]
    pairs += [(DATASETS, one) for one in (Pillow, Floats, Planes, Grey)]
    for registry, one in pairs:
        registry.register_module(module=one)
    yield
    for registry, one in pairs:
        registry.module_dict.pop(one.__name__)


@pytest.mark.parametrize(
    ("place", "kind", "told"),
    [
        (
            "model.backbone",
            "Maps",
            r"model\.backbone: Maps gives a tensor \(2, 8, 4, 4\) of two images, not \(2, 8\), "
            r"where 8 is its num_features\. Average feature maps",
        ),
        ("model.backbone", "Narrow", r"Narrow gives a tensor \(2, 5\) of two images, not \(2, 8\)"),
        (
            "model.neck",
            "Fails",
            r"model\.neck: Fails fails on images of the data set: RuntimeError: mat1 and",
        ),
        ("model.neck", "Two", r"model\.neck: Two gives a tuple, not a tensor \(N, 4\)"),
        (
            "train_dataloader.dataset",
            "Pillow",
            r"Pillow\.read gives Image, not an array \(H, W, 3\) of uint8, RGB: .*np\.asarray",
        ),
        ("train_dataloader.dataset", "Floats", r"gives an array \(32, 32, 3\) of float32"),
        ("train_dataloader.dataset", "Planes", r"gives an array \(3, 32, 32\) of uint8, not"),
        ("train_dataloader.dataset", "Grey", r"gives an array \(32, 32\) of uint8, not"),
    ],
)
def test_what_does_not_fit_is_told(tmp_path: Path, place: str, kind: str, told: str) -> None:
    part = {place: {"_delete_": True, "type": kind}}
    before = torch.get_rng_state()
    with pytest.raises(UserError, match=told):
        prepared(TrainOptions(str(write_config(tmp_path, "byol_vit.py")), cfg_options=part))
    assert not torch.equal(before, torch.get_rng_state())  # weights were drawn


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (torch.tensor(1.0), r"returns a Tensor, not losses and scalars by their names"),
        ({"lss": torch.tensor(1.0)}, "returns nothing that is named loss"),
        ({"loss": torch.ones(4)}, r"returns 'loss', which is no scalar tensor but \(4,\)"),
        ({"loss": 1.0}, "returns 'loss', which is no scalar tensor but float"),
    ],
)
def test_a_head_returns_losses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: Any, told: str
) -> None:
    monkeypatch.setattr("mvssl.models.heads.PairHead.compare", lambda *_, **__: made)
    with pytest.raises(UserError, match=rf"model\.head: PairHead {told}"):
        prepared(TrainOptions(str(write_config(tmp_path, "byol_vit.py"))))


def test_what_a_head_raises_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def five_nearest(_head: Any, record: Embeddings) -> dict[str, Tensor]:
        assert len(record.z[0]) > 5  # as many as a batch has
        return {"loss": record.z[0].topk(5).values @ torch.ones(3)}

    monkeypatch.setattr("mvssl.models.heads.PairHead.compare", five_nearest)
    with pytest.raises(
        UserError, match=r"model\.head: PairHead fails on images of the data set: .*size mismatch"
    ):
        prepared(TrainOptions(str(write_config(tmp_path, "byol_vit.py"))))


def test_the_trial_changes_neither_weights_nor_statistics_nor_random_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = TrainOptions(str(write_config(tmp_path, "byol_vit.py")))
    torch.manual_seed(3)
    tried = prepared(options)
    after = torch.rand(4)
    monkeypatch.setattr("mvssl.apis.prepare.try_sample", lambda *_: None)
    monkeypatch.setattr("mvssl.apis.prepare.check_views", lambda *_, **__: None)
    torch.manual_seed(3)
    untried = prepared(options)
    assert torch.equal(after, torch.rand(4))
    for name, value in untried.model.state_dict().items():
        assert torch.equal(value, tried.model.state_dict()[name]), name
    assert tried.model.training
