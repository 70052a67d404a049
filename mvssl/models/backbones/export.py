"""A trained backbone as a file: plain weights, and what is needed to build it again."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from torch import nn

from mvssl.checkpoint import write_safetensors
from mvssl.models.backbones.timm_backbone import TimmBackbone

__all__ = ["describe_backbone", "exported", "save_backbone"]


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
    description, metadata = describe_backbone(backbone, config, preprocessing)
    weights = exported(backbone).state_dict()
    # Copies, since safetensors refuses tensors that share memory.
    tensors = {key: value.detach().cpu().clone().contiguous() for key, value in weights.items()}
    write_safetensors(path, tensors, metadata)
    return description


def describe_backbone(
    backbone: nn.Module, config: Mapping[str, Any], preprocessing: Mapping[str, Any] | None = None
) -> tuple[dict[str, Any], dict[str, str]]:
    """What is needed to build a backbone again, as values and as the texts that files hold."""
    timm_args = backbone.create_model_args() if isinstance(backbone, TimmBackbone) else None
    build = without_origin(config)
    description = {"create_model": timm_args, "build": build, "preprocessing": preprocessing}
    return description, {key: json.dumps(value) for key, value in description.items()}


def without_origin(config: Mapping[str, Any]) -> dict[str, Any]:
    """A component's config without where its weights, and those of its parts, came from."""

    def clean(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [clean(item) for item in value]
        is_component = isinstance(value, Mapping) and "type" in value
        return without_origin(value) if is_component else value

    sources = ("pretrained", "checkpoint")
    return {key: clean(value) for key, value in config.items() if key not in sources}


def exported(backbone: nn.Module) -> nn.Module:
    """Whose weights a file holds: timm's own model, so that timm can load them, where it is one."""
    return backbone.model if isinstance(backbone, TimmBackbone) else backbone
