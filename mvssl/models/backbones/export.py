"""A trained backbone as a file: plain weights, and what is needed to build it again."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from torch import nn

from mvssl.arguments import check_count
from mvssl.checkpoint import load_weights_strictly, open_safetensors, write_safetensors
from mvssl.errors import UserError
from mvssl.models.backbones.described import build_described, parse_plain
from mvssl.models.backbones.timm_backbone import TimmBackbone

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
    build = without_origin(config)
    description = {"create_model": timm_args, "build": build, "preprocessing": preprocessing}
    metadata = {key: json.dumps(value) for key, value in description.items()}
    weights = _exported(backbone).state_dict()
    # Copies, since safetensors refuses tensors that share memory.
    tensors = {key: value.detach().cpu().clone().contiguous() for key, value in weights.items()}
    write_safetensors(path, tensors, metadata)
    return description


def without_origin(config: Mapping[str, Any]) -> dict[str, Any]:
    """A component's config without where its weights, and those of its parts, came from."""

    def clean(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [clean(item) for item in value]
        is_component = isinstance(value, Mapping) and "type" in value
        return without_origin(value) if is_component else value

    sources = ("pretrained", "checkpoint")
    return {key: clean(value) for key, value in config.items() if key not in sources}


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
