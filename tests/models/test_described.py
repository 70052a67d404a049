"""What a file of weights may say of its backbone: nothing that runs, imports or fetches."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
import safetensors.torch
import torch
from torch import nn

import mvssl
from mvssl.errors import UserError
from mvssl.models.backbones import SplitBackbone, TimmBackbone, save_backbone
from mvssl.registry import BACKBONES

SMALL = {"img_size": 16, "patch_size": 8, "embed_dim": 8, "depth": 1, "num_heads": 2}
VIT: dict[str, Any] = {
    "type": "TimmBackbone",
    "name": "vit_tiny_patch16_224",
    "model_args": SMALL,
}


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """No network, no other program, no import that was not there."""
    tried: list[str] = []

    def refuse(name: str) -> Any:
        def refused(*_: Any, **__: Any) -> NoReturn:
            tried.append(name)
            raise OSError(f"{name} was called")

        return refused

    monkeypatch.setattr(socket, "socket", refuse("socket"))
    monkeypatch.setattr(socket, "getaddrinfo", refuse("getaddrinfo"))
    monkeypatch.setattr(subprocess, "Popen", refuse("Popen"))
    monkeypatch.setattr(os, "system", refuse("system"))
    before = set(sys.modules)
    yield tried
    assert tried == []
    new = {name.split(".")[0] for name in set(sys.modules) - before}
    assert not new & {"antigravity", "mmpretrain", "this"}


def _write(folder: Path, build: Any, weights: dict[str, torch.Tensor] | None = None) -> Path:
    if weights is None:
        weights = BACKBONES.build(VIT).model.state_dict()
    text = build if isinstance(build, str) else json.dumps(build)
    file = folder / "b.safetensors"
    safetensors.torch.save_file(weights, file, {"build": text})
    return file


def _vit(**more: Any) -> dict[str, Any]:
    return {**VIT, **more}


def _args(**more: Any) -> dict[str, Any]:
    return _vit(model_args={**SMALL, **more})


COMPONENTS: dict[str, Any] = {
    "function": {"type": "os.system", "command": "touch trap"},
    "dotted": {"type": "mvssl.models.backbones.TimmBackbone", "name": "resnet18"},
    "module": {"type": "antigravity.x"},
    "scoped": {"type": "mmpretrain.ResNet", "depth": 18},
    "mmengine's": {"type": "mmengine.BaseModel"},
    "another registry": {"type": "MLPNeck"},
    "scope": _vit(_scope_="mmpretrain"),
    "torch": {"type": "torch.hub.load", "repo_or_dir": "a/b", "model": "x"},
    "no type": {"name": "resnet18"},
    "type of another kind": {"type": ["os.system"]},
    "pretrained": _vit(pretrained=True),
    "not even false": _vit(pretrained=False),
    "checkpoint": _vit(checkpoint="/etc/passwd"),
    "hub": _vit(name="hf-hub:someone/model"),
    "old hub": _vit(name="hf_hub:someone/model"),
    "folder": _vit(name="local-dir:/tmp"),
    "address": _vit(name="https://example.com/resnet18"),
    "path": _vit(name="../resnet18"),
    "name with a break": _vit(name="resnet18\n"),
    "unknown model": _vit(name="no_model"),
    "model args as text": _vit(model_args="img_size"),
    "stem": _vit(stem="/etc/passwd"),
    **{
        key: _args(**{key: value})
        for key, value in {
            "pretrained_cfg": "vit.augreg",
            "pretrained_cfg_overlay": {"file": "/tmp/a.pkl"},
            "checkpoint_path": "x.pth",
            "cache_dir": "x",
            "scriptable": True,
            "exportable": True,
            "no_jit": True,
            "features_only": True,
            "pretrained_strict": False,
            "pretrained_filter_fn": "x",
            "num_classes": 7,
            "model_name": "resnet18",
            "no_such_argument": 1,
            "embed_layer": {"type": "os.system", "command": "touch trap"},
            "norm_layer": "os.system",
            "act_layer": ["gelu", "../x"],
            "device": "cuda",
        }.items()
    },
}


@pytest.mark.parametrize("depth", ["top", "part", "part of a part"])
@pytest.mark.parametrize("name", COMPONENTS)
def test_only_registered_backbones_with_plain_arguments_are_built(
    name: str, depth: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    build = COMPONENTS[name]
    if depth != "top":
        build = {"type": "SplitBackbone", "parts": [VIT, build]}
    if depth == "part of a part":
        build = {"type": "SplitBackbone", "parts": [build, VIT]}
    file = _write(tmp_path, build)
    with pytest.raises(
        UserError, match=r"b\.safetensors: its .*(so nothing was|cannot be) built"
    ) as caught:
        mvssl.load_backbone(file)
    assert "\n" not in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["b.safetensors"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[" * 9999,
        "null",
        "7",
        '"os.system"',
        "[]",
        '{"type": NaN}',
        "{" + " " * 10**6 + "}",
    ],
)
def test_what_is_no_description_is_refused(text: str, tmp_path: Path) -> None:
    file = _write(tmp_path, text, {"w": torch.ones(1)})
    with pytest.raises(UserError, match=r"b\.safetensors: its"):
        mvssl.load_backbone(file)


@pytest.mark.parametrize(
    "more",
    [
        {"depth": 10**9},
        {"img_size": 10**6},
        {"depth": 60_000},
        {"embed_dim": 60_000},
        {"mlp_ratio": 60_000},
        {"img_size": 60_000},
        {"depth": 1e999},
        {"depth": -3},
        {"patch_size": 0},
        {"num_heads": 0},
        {"embed_dim": "wide"},
        {"embed_dim": [[[[[[[[[[1]]]]]]]]]]},
        {"img_size": None, "depth": None, "embed_dim": 6},
    ],
)
def test_absurd_sizes_and_kinds_end_in_a_sentence(more: dict[str, Any], tmp_path: Path) -> None:
    file = _write(tmp_path, _args(**more))
    with pytest.raises(UserError, match=r"b\.safetensors"):
        mvssl.load_backbone(file)


def test_a_large_model_is_not_made_for_small_weights(tmp_path: Path) -> None:
    file = _write(tmp_path, {"type": "TimmBackbone", "name": "vit_gigantic_patch14_224"})
    with pytest.raises(UserError, match=r"larger than the weights|are not this model's"):
        mvssl.load_backbone(file)


@pytest.mark.parametrize(
    "config",
    [
        VIT,
        _args(global_pool="avg", drop_path_rate=0.1, dynamic_img_size=True, act_layer="relu"),
        {"type": "TimmBackbone", "name": "resnet10t", "stem": "default"},
        {"type": "TimmBackbone", "name": "resnet18.a1_in1k", "stem": "cifar"},
        {"type": "TimmBackbone", "name": "swin_tiny_patch4_window7_224",
         "model_args": {"img_size": 56, "embed_dim": 24, "depths": [1, 1], "num_heads": [1, 2]}},
        {"type": "SplitBackbone", "parts": [_args(in_chans=1), _args(in_chans=2)]},
        VIT | {"type": "mvssl.TimmBackbone"},
        {"type": SplitBackbone, "parts": [
            _args(in_chans=1) | {"type": "mvssl.TimmBackbone"},
            _args(in_chans=2) | {"type": TimmBackbone},
        ]},
    ],
)  # fmt: skip
def test_what_a_run_exports_is_loaded(config: dict[str, Any], tmp_path: Path) -> None:
    backbone = BACKBONES.build(config).eval()
    save_backbone(backbone, tmp_path / "b.safetensors", config, {"size": 16, "mean": [0.5]})
    loaded = mvssl.load_backbone(tmp_path / "b.safetensors")
    side = 56 if "swin" in str(config) else 16
    images = torch.randn(2, backbone.in_channels, side, side)
    assert torch.equal(loaded(images), backbone(images))
    assert loaded.preprocessing == {"size": 16, "mean": [0.5]}


def test_weights_are_kept_where_an_argument_cannot_be_told(tmp_path: Path) -> None:
    config = _args(norm_layer=nn.LayerNorm)
    file, backbone = tmp_path / "b.safetensors", BACKBONES.build(config)
    described = save_backbone(backbone, file, config)
    assert json.loads(json.dumps(described)) == described  # for the summary
    with pytest.raises(UserError, match=r"build\.model_args\.norm_layer is .* no plain name"):
        mvssl.load_backbone(file)
    weights = safetensors.torch.load_file(file)
    assert weights.keys() == backbone.model.state_dict().keys()


def test_a_config_is_told_that_timms_own_arguments_are_none_of_the_models() -> None:
    for key in ("pretrained_cfg", "checkpoint_path", "pretrained_cfg_overlay", "cache_dir"):
        with pytest.raises(UserError, match=f"model_args holds {key}, which TimmBackbone sets"):
            BACKBONES.build(_args(**{key: "x"}))
