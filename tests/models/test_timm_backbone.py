from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch

from mvssl.errors import UserError
from mvssl.models.backbones import TimmBackbone

TINY_VIT = {"img_size": 16, "patch_size": 8, "embed_dim": 16, "depth": 1, "num_heads": 2}
VIT = "vit_tiny_patch16_224"

MODELS: list[tuple[str, dict[str, Any], int]] = [
    (VIT, TINY_VIT, 16),
    (VIT, TINY_VIT | {"global_pool": "avg"}, 16),
    ("resnet18", {}, 512),
    # 1024 after the layer between pooling and classifier; timm's num_features is 288.
    ("mobilenetv3_small_050", {}, 1024),
    ("convnext_atto", {}, 320),
]


@pytest.mark.parametrize(("name", "model_args", "width"), MODELS)
def test_features_are_pooled_and_num_features_says_how_wide(
    name: str, model_args: dict[str, Any], width: int
) -> None:
    backbone = TimmBackbone(name, model_args).eval()
    size = model_args.get("img_size", 32)
    features = backbone(torch.randn(2, 3, size, size))
    assert features.shape == (2, width)
    assert backbone.num_features == width


@pytest.mark.parametrize(("name", "model_args", "width"), MODELS)
def test_timm_builds_it_again_from_create_model_args(
    name: str, model_args: dict[str, Any], width: int
) -> None:
    backbone = TimmBackbone(name, model_args).eval()
    arguments = backbone.create_model_args()
    assert arguments is not None
    assert arguments["num_classes"] == 0
    assert isinstance(arguments["global_pool"], str)
    model = timm.create_model(**arguments).eval()
    model.load_state_dict(backbone.model.state_dict(), strict=True)
    images = torch.randn(2, 3, 32, 32) if name != VIT else torch.randn(2, 3, 16, 16)
    assert torch.equal(model(images), backbone(images))


def test_the_cifar_stem_keeps_the_resolution() -> None:
    adapted = TimmBackbone("resnet18", stem="cifar").eval()
    shapes: list[torch.Size] = []
    adapted.model.layer1.register_forward_pre_hook(  # type: ignore[union-attr]
        lambda _, inputs: shapes.append(inputs[0].shape)
    )
    assert adapted(torch.randn(1, 3, 32, 32)).shape == (1, 512)
    assert shapes == [torch.Size([1, 64, 32, 32])]
    assert adapted.create_model_args() is None


def test_the_cifar_stem_is_for_resnets() -> None:
    with pytest.raises(UserError, match=r"stem='cifar' is for ResNets .* use stem='default'"):
        TimmBackbone(VIT, TINY_VIT, stem="cifar")


def test_an_unknown_stem_lists_those_there_are() -> None:
    with pytest.raises(UserError, match=r"stem is one of default, cifar, got 'imagenet'"):
        TimmBackbone("resnet10t", stem="imagenet")


def test_an_unknown_model_is_told_with_near_names() -> None:
    with pytest.raises(UserError, match=r"has no model 'resnet81'; did you mean .*resnet18"):
        TimmBackbone("resnet81")
    with pytest.raises(UserError, match=r"timm\.list_models\(\) shows them all"):
        TimmBackbone("§§§")


@pytest.mark.parametrize(
    ("name", "model_args"),
    [
        (VIT, {"image_size": 32}),
        (VIT, {"img_size": 32, "embed_dim": 10, "num_heads": 3}),
        ("resnet18", {"img_size": 32}),
        ("resnet18", {"global_pool": "nonsense"}),
    ],
)
def test_arguments_that_timm_refuses_are_told_in_one_sentence(
    name: str, model_args: dict[str, Any]
) -> None:
    with pytest.raises(UserError) as caught:
        TimmBackbone(name, model_args)
    told = str(caught.value)
    assert told.startswith(f"timm cannot build '{name}' with model_args {model_args}: ")
    assert "\n" not in told


@pytest.mark.parametrize(
    ("argument", "value", "taken"),
    [
        ("img_size", "large", "a whole number or a list of 2 whole numbers here, got 'large'."),
        ("depth", "3", "a whole number here, got '3'; leave out the quotes."),
        ("mlp_ratio", [], "a number here, got []."),
        ("global_pool", "sum", "'', 'avg', 'avgmax'"),
    ],
)
def test_kinds_that_timm_does_not_check_are_told_by_name(
    argument: str, value: Any, taken: str
) -> None:
    with pytest.raises(UserError) as caught:
        TimmBackbone(VIT, {argument: value})
    assert f"model.backbone.model_args.{argument}: {VIT} takes {taken}" in str(caught.value)


@pytest.mark.parametrize("argument", ["num_classes", "pretrained", "features_only"])
def test_arguments_that_the_backbone_sets_itself_are_refused(argument: str) -> None:
    with pytest.raises(UserError, match=f"holds {argument}, which TimmBackbone sets itself"):
        TimmBackbone(VIT, {argument: True})


def test_a_checkpoint_of_its_own_is_loaded(tmp_path: Path) -> None:
    source = TimmBackbone(VIT, TINY_VIT)
    torch.save(source.model.state_dict(), tmp_path / "w.pth")
    loaded = TimmBackbone(VIT, TINY_VIT, checkpoint=str(tmp_path / "w.pth"))
    for key, value in source.state_dict().items():
        assert torch.equal(value, loaded.state_dict()[key])


def test_a_checkpoint_of_another_model_lists_the_keys(tmp_path: Path) -> None:
    torch.save(TimmBackbone(VIT, TINY_VIT).model.state_dict(), tmp_path / "w.pth")
    with pytest.raises(UserError) as caught:
        TimmBackbone(VIT, TINY_VIT | {"embed_dim": 32, "depth": 2}, checkpoint=f"{tmp_path}/w.pth")
    told = str(caught.value)
    assert f"{tmp_path}/w.pth" in told
    assert "missing: blocks.1." in told
    assert "of another shape: cls_token (1, 1, 16) for (1, 1, 32)" in told


def test_model_args_given_are_not_changed() -> None:
    given = dict(TINY_VIT)
    TimmBackbone(VIT, given).model_args["depth"] = 9
    assert given == TINY_VIT
