"""A trained backbone as a file: plain weights, and what is needed to build it again."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from mvssl.arguments import check_count
from mvssl.checkpoint import load_weights_strictly, open_safetensors, write_safetensors
from mvssl.errors import UserError
from mvssl.models.backbones.described import build_described, parse_plain
from mvssl.models.backbones.timm_backbone import TimmBackbone
from mvssl.registry import BACKBONES

__all__ = ["load_backbone", "save_backbone"]


def save_backbone(
    backbone: nn.Module,
    path: str | os.PathLike[str],
    config: Mapping[str, Any],
    preprocessing: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write a backbone's weights as safetensors, with what is needed to build it again.

    Args:
        backbone: a member of BACKBONES.
        path: of the file.
        config: from which BACKBONES built it.
        preprocessing: what it expects of images (size, color_space, mean, std).

    Returns:
        ``create_model``: arguments for ``timm.create_model``, None where timm alone cannot build
        it; ``build``: the config without its sources of weights; ``preprocessing``. The file's
        metadata holds them as JSON.
    """
    timm_args = backbone.create_model_args() if isinstance(backbone, TimmBackbone) else None
    build = _registered(without_origin(config))
    description = {"create_model": timm_args, "build": build, "preprocessing": preprocessing}
    # An argument that no file can hold (a class, say) stands there as its text, which is refused
    # when the file is loaded: weights are not lost for want of it.
    metadata = {key: json.dumps(value, default=str) for key, value in description.items()}
    weights = _exported(backbone).state_dict()
    # Copies, since safetensors refuses tensors that share memory.
    tensors = {key: value.detach().cpu().clone().contiguous() for key, value in weights.items()}
    write_safetensors(path, tensors, metadata)
    return {key: json.loads(text) for key, text in metadata.items()}


def without_origin(config: Mapping[str, Any]) -> dict[str, Any]:
    """A component's config without where its weights, and those of its parts, came from."""
    sources = ("pretrained", "checkpoint")
    kept = {key: value for key, value in config.items() if key not in sources}
    return _parts_changed(kept, without_origin)


def _registered(config: Mapping[str, Any]) -> dict[str, Any]:
    """A backbone's config with its type, and those of its parts, as ``BACKBONES`` calls them: a
    config may name them otherwise (``mvssl.TimmBackbone``), or hold the classes themselves.
    """
    kind = config["type"]
    kind = BACKBONES.get(kind) if isinstance(kind, str) else kind
    name = next((name for name, one in BACKBONES.module_dict.items() if one is kind), None)
    return _parts_changed({**config, "type": name or config["type"]}, _registered)


def _parts_changed(
    config: Mapping[str, Any], change: Callable[[Mapping[str, Any]], dict[str, Any]]
) -> dict[str, Any]:
    """A component's config with ``change`` applied to each component that it holds."""

    def changed(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [changed(item) for item in value]
        return change(value) if isinstance(value, Mapping) and "type" in value else value

    return {key: changed(value) for key, value in config.items()}


def load_backbone(path: str | os.PathLike[str], img_size: int | None = None) -> nn.Module:
    """The backbone in a ``backbone.safetensors`` file, built and loaded strictly, in eval mode.

    It takes images in [0, 1] that were normalised by the mean and std of its attribute
    ``preprocessing`` (None where the file does not say), which ``summary.json`` shows as well.

    A backbone of one's own is built by its name, so import the module that registers it first.
    Nothing else that the file says is imported, run or fetched, whoever wrote it.

    Args:
        path: of the file.
        img_size: side in pixels of the images that it is to take, where that is not what it was
            trained with; a ViT's position embeddings are resized as timm does it.

    Raises:
        UserError: the file is missing, is not one that mvssl wrote, describes anything but a
            registered backbone with plain arguments, or does not match; or the backbone cannot be
            made to take images of ``img_size``.
    """
    weights, metadata = open_safetensors(path)
    if "build" not in metadata:
        raise UserError(
            f"{path} does not say how its backbone is built: give the backbone.safetensors of a "
            f"run of mvssl."
        )
    preprocessing = parse_plain(metadata.get("preprocessing", "null"), "preprocessing", path)
    backbone: Any = build_described(metadata["build"], weights, path, _exported)
    load_weights_strictly(_exported(backbone), weights, path)
    if img_size is not None:
        check_count("load_backbone", img_size=img_size)
        for part in backbone.modules():
            if isinstance(part, TimmBackbone):
                part.resize(img_size)
        if isinstance(preprocessing, dict):
            preprocessing["size"] = img_size
    backbone.preprocessing = preprocessing
    loaded: nn.Module = backbone.eval()
    return loaded


def _exported(backbone: nn.Module) -> nn.Module:
    """Whose weights a file holds: timm's own model, so that timm can load them, where it is one."""
    return backbone.model if isinstance(backbone, TimmBackbone) else backbone
