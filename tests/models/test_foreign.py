"""Files that other programs write, made from real models of timm and torchvision."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import timm
import torch
import torchvision
from torch import Tensor, nn

from mvssl.apis import TrainOptions
from mvssl.errors import UserError
from mvssl.models.backbones import TimmBackbone, load_backbone, save_backbone
from tests.mini import ROOT, prepared

VIT = "vit_tiny_patch16_224"
SMALL: dict[str, Any] = {
    "img_size": 32,
    "patch_size": 8,
    "embed_dim": 16,
    "depth": 2,
    "num_heads": 2,
}
Weights = Mapping[str, Tensor]


def drawn(model: nn.Module) -> Any:
    """With weights and statistics unlike those of any fresh model; in evaluation mode."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                noise = torch.randn(value.shape, generator=generator) * 0.05
                value.copy_(noise.abs() + 0.5 if "var" in name else value + noise)
    return model.eval()


def named(prefix: str, weights: Weights) -> dict[str, Tensor]:
    return {prefix + key: value for key, value in weights.items()}


def other(weights: Weights) -> dict[str, Tensor]:
    return {key: torch.zeros_like(value) for key, value in weights.items()}


LAYOUTS: dict[str, Callable[[Weights], Any]] = {
    "plain": lambda w: dict(w),
    "DDP": lambda w: named("module.", w),
    "MoCo": lambda w: {
        "epoch": 3,
        "state_dict": named("module.encoder_k.", other(w))
        | named("module.encoder_q.", w)
        | {"module.queue": torch.ones(4, 2)},
        "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}},
    },
    "MoCo v3": lambda w: {
        "state_dict": named("module.momentum_encoder.", other(w))
        | named("module.base_encoder.", w)
        | {"module.predictor.0.weight": torch.ones(3)}
    },
    "DINO": lambda w: {
        "student": named("module.backbone.", other(w)),
        "teacher": named("backbone.", w) | {"head.mlp.0.weight": torch.ones(2, 2)},
    },
    "solo-learn": lambda w: {
        "state_dict": named("momentum_backbone.", other(w))
        | named("backbone.", w)
        | {"projector.0.weight": torch.ones(2, 2)}
    },
    "mmselfsup": lambda w: {"meta": {}, "state_dict": named("backbone.", w)},
    "Lightning": lambda w: {"state_dict": named("model.backbone.", w), "callbacks": {}},
    "BYOL": lambda w: {
        "state_dict": named("target_encoder.net.", other(w)) | named("online_encoder.net.", w)
    },
    "deep": lambda w: {"model": {"ema": named("encoder.", w)}},
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("ending", [".pth", ".ckpt"])
def test_a_resnet_in_every_layout(layout: str, ending: str, tmp_path: Path) -> None:
    source = drawn(torchvision.models.resnet18())  # with fc
    file = tmp_path / f"w{ending}"
    torch.save(LAYOUTS[layout](source.state_dict()), file)
    backbone = TimmBackbone("resnet18", checkpoint=str(file)).eval()
    source.fc = nn.Identity()
    images = torch.randn(2, 3, 48, 48)
    torch.testing.assert_close(backbone(images), source(images))
    assert backbone.origin is not None
    assert " gives 100 of 100 tensors of the backbone" in backbone.origin
    assert "fc.weight" in backbone.origin
    assert "\n" not in backbone.origin


def test_lightlys_sequential(tmp_path: Path) -> None:
    source = drawn(torchvision.models.resnet18())
    trunk = nn.Sequential(*list(source.children())[:-1])
    weights = named("backbone.", trunk.state_dict()) | {"projection_head.w": torch.ones(2)}
    torch.save({"state_dict": weights}, tmp_path / "a.ckpt")
    backbone = TimmBackbone("resnet18", checkpoint=str(tmp_path / "a.ckpt")).eval()
    images = torch.randn(2, 3, 48, 48)
    torch.testing.assert_close(backbone(images), trunk(images).flatten(1))


def test_torchvisions_vit(tmp_path: Path) -> None:
    source = drawn(
        torchvision.models.VisionTransformer(
            image_size=32, patch_size=8, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=64
        )
    )
    torch.save(source.state_dict(), tmp_path / "a.pth")
    source.heads = nn.Identity()
    backbone = TimmBackbone(VIT, SMALL, checkpoint=str(tmp_path / "a.pth")).eval()
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(backbone(images), source(images), atol=1e-5, rtol=1e-4)


def mm_name(key: str) -> str:
    """A name of timm's ViT as mmselfsup writes it."""
    for old, new in (
        (r"^patch_embed\.proj", "patch_embed.projection"),
        (r"^blocks\.", "layers."),
        (r"\.norm([12])\.", r".ln\1."),
        (r"\.mlp\.fc1\.", ".ffn.layers.0.0."),
        (r"\.mlp\.fc2\.", ".ffn.layers.1."),
        (r"^norm\.", "ln1."),
    ):
        key = re.sub(old, new, key)
    return key


def chunked(key: str) -> str:
    """A name as DINOv2 has it while it trains, a chunk for each block."""
    return re.sub(r"^blocks\.(\d+)\.", r"blocks.\1.\1.", key)


@pytest.mark.parametrize("name", [mm_name, chunked])
def test_vits_whose_names_differ(name: Callable[[str], str], tmp_path: Path) -> None:
    source = drawn(timm.create_model(VIT, num_classes=3, **SMALL))
    weights = {f"backbone.{name(key)}": value for key, value in source.state_dict().items()}
    torch.save({"teacher": weights}, tmp_path / "a.pth")
    backbone = TimmBackbone(VIT, SMALL, checkpoint=str(tmp_path / "a.pth")).eval()
    images = torch.randn(2, 3, 32, 32)
    expected = source.forward_head(source.forward_features(images), pre_logits=True)
    torch.testing.assert_close(backbone(images), expected)


def test_dinov2_with_its_mask_token_and_another_size(tmp_path: Path) -> None:
    big: dict[str, Any] = {**SMALL, "img_size": 48, "init_values": 1e-5}
    source = drawn(timm.create_model(VIT, num_classes=0, **big))
    torch.save(dict(source.state_dict()) | {"mask_token": torch.ones(1, 16)}, tmp_path / "a.pth")
    backbone = TimmBackbone(VIT, {**big, "img_size": 32}, checkpoint=str(tmp_path / "a.pth"))
    source.set_input_size(img_size=32)  # timm's own way
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(backbone.eval()(images), source(images))
    assert backbone.origin is not None
    assert "resized: pos_embed" in backbone.origin


def test_average_pooling_takes_the_norm_of_the_class_token(tmp_path: Path) -> None:
    source = drawn(timm.create_model(VIT, num_classes=0, **SMALL))
    torch.save(source.state_dict(), tmp_path / "a.pth")
    pooled = TimmBackbone(VIT, {**SMALL, "global_pool": "avg"}, checkpoint=f"{tmp_path}/a.pth")
    images = torch.randn(2, 3, 32, 32)
    pooled.eval()
    x = source.patch_embed(images)
    x = source.blocks(source._pos_embed(x))[:, 1:].mean(dim=1)
    torch.testing.assert_close(pooled(images), source.norm(x))


def test_one_channel_of_three(tmp_path: Path) -> None:
    source = drawn(timm.create_model("resnet10t", num_classes=0))
    safetensors.torch.save_file(source.state_dict(), tmp_path / "a.safetensors")
    gray = TimmBackbone("resnet10t", {"in_chans": 1}, checkpoint=f"{tmp_path}/a.safetensors")
    images = torch.randn(2, 1, 32, 32)
    torch.testing.assert_close(gray.eval()(images), source(images.expand(-1, 3, -1, -1)))


@pytest.mark.parametrize("content", ["resnet50", "other", "part"])
def test_what_does_not_fit_is_refused_and_changes_nothing(content: str, tmp_path: Path) -> None:
    own = timm.create_model("resnet18", num_classes=0).state_dict()
    weights = {
        "resnet50": timm.create_model("resnet50").state_dict(),
        "other": {f"x{number}": torch.ones(3) for number in range(200)},
        "part": {key: value for key, value in own.items() if key.startswith("layer1")},
    }[content]
    torch.save({"state_dict": weights}, tmp_path / "a.pth")
    with pytest.raises(UserError, match=rf"{tmp_path}/a\.pth"):
        TimmBackbone("resnet18", checkpoint=f"{tmp_path}/a.pth")


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    weights = timm.create_model("resnet18", num_classes=0).state_dict()
    weights["conv1.weight"] = weights["conv1.weight"] * float("nan")
    torch.save(weights, tmp_path / "a.pth")
    with pytest.raises(UserError, match=r"numbers that are not finite \(conv1.weight\)"):
        TimmBackbone("resnet18", checkpoint=f"{tmp_path}/a.pth")


def test_what_is_missing_is_told(tmp_path: Path) -> None:
    weights = timm.create_model(VIT, num_classes=0, **SMALL).state_dict()
    del weights["norm.weight"]
    torch.save(weights, tmp_path / "a.pth")
    origin = TimmBackbone(VIT, SMALL, checkpoint=f"{tmp_path}/a.pth").origin
    assert origin is not None
    assert origin.endswith("; not in it, so drawn anew: norm.weight")


def test_a_saved_backbone_takes_another_size(tmp_path: Path) -> None:
    backbone = drawn(TimmBackbone(VIT, SMALL))
    config = {"type": "TimmBackbone", "name": VIT, "model_args": SMALL}
    save_backbone(backbone, tmp_path / "b.safetensors", config, {"size": 32})
    larger: Any = load_backbone(tmp_path / "b.safetensors", img_size=48)
    assert larger.preprocessing["size"] == 48
    backbone.model.set_input_size(img_size=48)
    images = torch.randn(2, 3, 48, 48)
    assert torch.equal(larger(images), backbone(images))
    with pytest.raises(UserError, match="images of 50 px: its patches of 8 px do not divide that"):
        load_backbone(tmp_path / "b.safetensors", img_size=50)


CONFIG = str(ROOT / "configs" / "byol_er_vit.py")


def test_a_run_begins_from_a_file_and_says_so(tmp_path: Path) -> None:
    source = drawn(torchvision.models.resnet18())
    torch.save(source.state_dict(), tmp_path / "tv.pth")
    job = prepared(
        TrainOptions(config=CONFIG, backbone="resnet18", init_from=str(tmp_path / "tv.pth"))
    )
    begun: Any = job.model.backbone
    assert torch.equal(begun.model.conv1.weight, source.conv1.weight)
    assert any("tv.pth gives 100 of 100 tensors" in note for note in job.notes)


def test_a_name_of_timm_is_the_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    read = TrainOptions(config=CONFIG, init_from="resnet18.tv_in1k").read()
    assert read.model.backbone.to_dict() == {
        "type": "TimmBackbone",
        "name": "resnet18.tv_in1k",
        "model_args": {},
        "pretrained": True,
    }
    with pytest.raises(UserError, match="leave one of them out"):
        TrainOptions(config=CONFIG, init_from="resnet18", backbone="resnet50").read()

    def unreachable(*_: Any, pretrained: bool = False, **__: Any) -> nn.Module:
        raise OSError("we couldn't connect")

    monkeypatch.setattr(timm, "create_model", unreachable)
    with pytest.raises(UserError, match=r"published weights of 'resnet18\.tv_in1k' cannot be had"):
        prepared(TrainOptions(config=CONFIG, init_from="resnet18.tv_in1k"))


def test_what_is_no_source_is_told() -> None:
    with pytest.raises(UserError, match=r"--init-from resnet81 is neither a file nor a model"):
        TrainOptions(config=CONFIG, init_from="resnet81").read()
