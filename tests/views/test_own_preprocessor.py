"""A preprocessor of one's own gives views alone, and a run loses nothing by it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import mvssl
from mvssl.apis import TrainOptions, train
from mvssl.errors import UserError
from mvssl.registry import MODELS
from mvssl.views import Preprocessor
from tests.mini import prepared, write_config


class Noisy(Preprocessor):
    """Two views of an image, each with noise that follows from the run's seed."""

    def __init__(self, size: int, noise: float = 0.1) -> None:
        super().__init__(size, num_views=2)
        self.noise = noise

    def make_views(self, data: dict[str, Any]) -> list[Tensor]:
        generator = torch.Generator().manual_seed(self.seed + int(data["epoch"][0]))
        images = self.cast_data(data["image"]).float() / 255
        noise = [torch.randn(images.shape, generator=generator) for _ in range(2)]
        return [(images + self.noise * x).clamp(0, 1) for x in noise]


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    MODELS.register_module(module=Noisy)
    yield
    MODELS.module_dict.pop("Noisy")


def options(tmp_path: Path, **more: Any) -> TrainOptions:
    own = {"model.data_preprocessor": {"_delete_": True, "type": "Noisy", "size": 32}}
    config = str(write_config(tmp_path, "byol_vit.py"))
    return TrainOptions(config, work_dir=str(tmp_path / "run"), cfg_options=own | more, seed=4)


def test_it_has_seed_picture_evaluation_and_preprocessing(tmp_path: Path) -> None:
    summary = train(options(tmp_path))
    assert summary is not None
    assert 0 < summary["knn_top1"] <= 1
    picture = np.asarray(Image.open(tmp_path / "run" / "views.png"))
    assert picture.std() > 10
    assert summary["backbone"]["preprocessing"]["size"] == 32
    loaded = mvssl.load_backbone(tmp_path / "run" / "backbone.safetensors")
    assert loaded.preprocessing == summary["backbone"]["preprocessing"]


def test_it_is_given_the_seed_of_the_run(tmp_path: Path) -> None:
    assert prepared(options(tmp_path)).model.data_preprocessor.seed == 4


def test_the_plan_tells_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = options(tmp_path)
    train(TrainOptions(given.config, cfg_options=given.cfg_options, dry_run=True))
    assert "2 of 32 px, made by Noisy" in capsys.readouterr().out


def test_its_views_are_checked_against_the_backbone_and_the_head(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"views of 48 px .* give a ViT img_size=48"):
        prepared(
            options(
                tmp_path,
                **{
                    "model.data_preprocessor.size": 48,
                    "model.backbone.model_args.dynamic_img_size": False,
                },
            )
        )
    with pytest.raises(UserError, match="num_targets is 3, but"):
        prepared(options(tmp_path, **{"model.num_targets": 3}))
