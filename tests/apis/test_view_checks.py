"""What is said before training where the backbone cannot take the views."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from timm.layers import PatchEmbed

from mvssl.apis import TrainOptions
from mvssl.engine import Job
from mvssl.errors import UserError
from mvssl.models.backbones import Backbone
from mvssl.views import View, build_views
from tests.mini import prepared, write_config

VIT = {"img_size": 32, "patch_size": 8, "embed_dim": 16, "depth": 1, "num_heads": 2}


def prepare(folder: Path, model: dict[str, Any], **cfg_options: Any) -> Job:
    """The digits' BYOL, its ViT for views of one size, with other values below ``model``."""
    if "backbone" not in model:
        model = {"backbone.model_args.dynamic_img_size": False} | model
    options = {f"model.{name}": value for name, value in model.items()}
    return prepared(
        TrainOptions(str(write_config(folder, "byol_vit.py")), cfg_options=options | cfg_options)
    )


def test_a_vit_of_one_size_cannot_take_local_views(tmp_path: Path) -> None:
    crops = {"data_preprocessor.views": "gentle_multicrop"}
    with pytest.raises(UserError) as caught:
        prepare(tmp_path, crops)
    told = str(caught.value)
    assert "model.backbone cannot take views of 16 px (Input height" in told
    assert "give a ViT dynamic_img_size=True in its model_args" in told
    assert "32 px" not in told
    job = prepare(tmp_path, crops | {"backbone.model_args.dynamic_img_size": True})
    assert job.model.training
    assert all(part.training for part in job.model.backbone.modules())


def test_a_remedy_that_is_there_is_not_told_again(tmp_path: Path) -> None:
    crops = {
        "data_preprocessor.views": [{"size": 32}, {"size": 32}, {"size": 12}],
        "backbone.model_args.dynamic_img_size": True,
    }
    with pytest.raises(UserError) as caught:
        prepare(tmp_path, crops)
    told = str(caught.value)
    assert "its patches of 8 px do not divide that: choose views of 8 or 16 px, or" in told
    assert "dynamic_img_size=True" not in told


def test_a_vit_of_another_size_is_told_the_size(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"views of 64 px .* give a ViT img_size=64 in its model_args"
    ):
        prepare(tmp_path, {"data_preprocessor.size": 64})


def test_what_views_lack_is_told_with_other_faults(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has 2 faults") as caught:
        prepare(
            tmp_path,
            {"data_preprocessor.views": "gentle_multicrop"},
            **{"default_hooks.information.kappa": -1.0},
        )
    assert "views of 16 px" in str(caught.value)
    assert "kappa" in str(caught.value)


def test_views_of_some_channels_need_a_network_for_each(tmp_path: Path) -> None:
    cmc = {"data_preprocessor.views": "gentle_cmc", "data_preprocessor.color_space": "sobel"}
    with pytest.raises(UserError) as caught:
        prepare(tmp_path, cmc)
    assert "in_chans=3, and is given views of 1 and views of 2 channels: set" in str(caught.value)
    assert "type='SplitBackbone' with a part for each" in str(caught.value)
    name = "vit_tiny_patch16_224"
    parts = [
        {"type": "TimmBackbone", "name": name, "model_args": VIT | {"in_chans": channels}}
        for channels in (1, 2)
    ]
    split = {"backbone": {"type": "SplitBackbone", "_delete_": True, "parts": parts}}
    job = prepare(tmp_path, cmc | split)
    assert job.model.backbone.num_features == 32
    assert job.model.backbone(torch.zeros(1, 3, 32, 32)).shape == (1, 32)
    parts[1]["nam"] = parts[1].pop("name")
    with pytest.raises(UserError, match=r"model\.backbone\.parts\.1\.nam: TimmBackbone takes no"):
        prepare(tmp_path, cmc | split)


def test_evaluation_gives_whole_images(tmp_path: Path) -> None:
    one = {
        "data_preprocessor.views": [{"channels": [0]}, {"channels": [0]}],
        "backbone.model_args.in_chans": 1,
    }
    with pytest.raises(UserError, match=r"in_chans=1, and is given whole images .* of 3 chan"):
        prepare(tmp_path, one)
    assert prepare(tmp_path, one, evaluation=None)


def test_the_plan_tells_channels_and_draws() -> None:
    lightness, color = map(View.describe, build_views("cmc", 32))
    assert lightness == "32 px, crop 0.2-1 of the area, flip p 0.5, channel 0 alone"
    assert color.endswith("flip p 0.5, channels 1 and 2 alone, the same draw as view 1")


def _border_counts(job: Job, side: int) -> bool:
    """Whether the last row and column of pixels have an effect on the features."""
    backbone = job.model.backbone.eval()
    images = torch.rand(1, 3, side, side, requires_grad=True)
    backbone(images).square().sum().backward()
    assert images.grad is not None
    return bool(images.grad[..., -1, :].any() and images.grad[..., -1].any())


@pytest.mark.parametrize("side", [28, 33, 37])
def test_pixels_that_no_patch_holds_are_refused(side: int, tmp_path: Path) -> None:
    size = {"data_preprocessor.size": side, "backbone.model_args.img_size": side}
    with pytest.raises(UserError) as caught:
        prepare(tmp_path, size)
    told = str(caught.value)
    assert f"views of {side} px (the last {side % 8} px of each side would have no effect)" in told
    assert f"choose views of {side // 8 * 8} or {side // 8 * 8 + 8} px (--image-size)" in told


def test_pixels_that_patches_hold_have_an_effect(tmp_path: Path) -> None:
    """All sides that are taken are seen to their borders, padded ones too."""
    size = {"data_preprocessor.size": 40, "backbone.model_args.img_size": 40}
    assert _border_counts(prepare(tmp_path, size), 40)
    size = {"data_preprocessor.size": 36, "backbone.model_args.img_size": 36}
    padded = {"backbone.model_args.dynamic_img_size": True}
    padded["backbone.model_args.dynamic_img_pad"] = True
    assert _border_counts(prepare(tmp_path, size | padded), 36)


def test_the_command_line_s_sizes_are_refused_too(tmp_path: Path) -> None:
    config = str(write_config(tmp_path, "byol_vit.py"))
    with pytest.raises(UserError, match=r"choose views of 24 or 32 px \(--image-size\)"):
        prepared(TrainOptions(config, image_size=30))
    with pytest.raises(UserError, match=r"patches of 14 px .* choose views of 28 or 42 px"):
        prepared(TrainOptions(config, backbone="vit_small_patch14_dinov2"))


def test_patches_of_a_network_of_one_s_own_are_seen(tmp_path: Path) -> None:
    class Own(Backbone):
        num_features = 8
        in_channels = 3

        def __init__(self) -> None:
            super().__init__()
            self.cut = PatchEmbed(img_size=None, patch_size=12, embed_dim=8)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.cut(images).mean(1)

    with pytest.raises(UserError, match="the last 8 px of each side would have no effect"):
        prepare(tmp_path, {"backbone": {"_delete_": True, "type": Own}})
