from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors
import torch
from torch import Tensor, nn

from mvssl.errors import UserError
from mvssl.models.backbones import (
    Backbone,
    SplitBackbone,
    TimmBackbone,
    load_backbone,
    save_backbone,
)
from mvssl.registry import BACKBONES

VIT = {"img_size": 16, "patch_size": 8, "depth": 1, "num_heads": 2}


def part(channels: int, width: int) -> dict[str, Any]:
    return {
        "type": "TimmBackbone",
        "name": "vit_tiny_patch16_224",
        "model_args": VIT | {"embed_dim": width, "in_chans": channels},
    }


def split(*parts: dict[str, Any]) -> SplitBackbone:
    return SplitBackbone(list(parts) or [part(1, 8), part(2, 12)]).eval()


def test_a_modality_has_its_own_features_and_zeros_elsewhere() -> None:
    backbone = split()
    assert (backbone.in_channels, backbone.num_features) == (3, 20)
    lightness, color = torch.randn(2, 1, 16, 16), torch.randn(2, 2, 16, 16)
    first, second = backbone.parts
    torch.testing.assert_close(backbone(lightness)[:, :8], first(lightness))
    torch.testing.assert_close(backbone(color)[:, 8:], second(color))
    assert backbone(lightness)[:, 8:].count_nonzero() == 0
    assert backbone(color)[:, :8].count_nonzero() == 0
    whole = backbone(torch.cat([lightness, color], dim=1))
    torch.testing.assert_close(whole, torch.cat([first(lightness), second(color)], dim=1))


def test_a_linear_layer_behind_it_is_one_for_each_modality() -> None:
    backbone, neck = split(), nn.Linear(20, 5)
    lightness, color = torch.randn(2, 1, 16, 16), torch.randn(2, 2, 16, 16)
    neck(backbone(lightness)).sum().backward()
    assert neck.weight.grad is not None
    assert neck.weight.grad[:, 8:].count_nonzero() == 0
    assert all(p.grad is None for p in backbone.parts[1].parameters())
    # The parts of a sum: what the whole image gives, less the bias counted twice.
    both = neck(backbone(lightness)) + neck(backbone(color)) - neck.bias
    torch.testing.assert_close(both, neck(backbone(torch.cat([lightness, color], dim=1))))


def test_three_parts_of_different_widths_are_told_by_their_channels() -> None:
    backbone = split(part(2, 4), part(1, 8), part(4, 12))
    assert backbone(torch.randn(1, 7, 16, 16)).shape == (1, 24)
    features = backbone(torch.randn(1, 1, 16, 16))
    assert features[0].nonzero().flatten().tolist() == list(range(4, 12))


def test_images_of_another_number_of_channels_are_refused() -> None:
    with pytest.raises(UserError, match="parts for 1, 2 channels, 3 in all, and got images of 4"):
        split()(torch.randn(1, 4, 16, 16))


@pytest.mark.parametrize("channels", [(1, 1), (3,), ()])
def test_parts_must_differ_in_their_channels(channels: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match="two parts or more that take different numbers"):
        SplitBackbone([part(c, 8) for c in channels])


class Silent(Backbone):
    num_features = 4

    def forward(self, images: Tensor) -> Tensor:
        return images.mean(dim=(2, 3))


def test_a_part_must_say_its_channels() -> None:
    BACKBONES.register_module(module=Silent)
    try:
        with pytest.raises(UserError, match="Silent lacks in_channels, the channels of its images"):
            SplitBackbone([{"type": "Silent"}, part(2, 8)])
    finally:
        BACKBONES.module_dict.pop("Silent")


def test_timm_backbones_know_their_channels() -> None:
    assert TimmBackbone("resnet10t").in_channels == 3
    backbone = TimmBackbone("resnet10t", {"in_chans": 2})
    assert backbone.in_channels == 2
    assert backbone(torch.randn(2, 2, 32, 32)).shape == (2, 512)


def test_an_exported_one_is_built_again_without_its_sources(tmp_path: Path) -> None:
    first = split().parts[0]
    assert isinstance(first, TimmBackbone)
    torch.save(first.model.state_dict(), tmp_path / "part.pth")
    config = {
        "type": "SplitBackbone",
        "parts": [part(1, 8) | {"checkpoint": str(tmp_path / "part.pth")}, part(2, 12)],
    }
    backbone = BACKBONES.build(config).eval()
    described = save_backbone(backbone, tmp_path / "backbone.safetensors", config)
    assert described["create_model"] is None
    assert described["build"] == {"type": "SplitBackbone", "parts": [part(1, 8), part(2, 12)]}
    (tmp_path / "part.pth").unlink()
    loaded = load_backbone(tmp_path / "backbone.safetensors")
    images = torch.randn(2, 3, 16, 16)
    assert torch.equal(loaded(images), backbone(images))
    with safetensors.safe_open(tmp_path / "backbone.safetensors", framework="pt") as file:
        assert json.loads(file.metadata()["build"]) == described["build"]
