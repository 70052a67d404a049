"""A trained backbone as a file: plain weights, and what is needed to build it again."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from mvssl.checkpoint import write_safetensors
from mvssl.models.backbones.timm_backbone import TimmBackbone
from mvssl.registry import BACKBONES

__all__ = ["describe_backbone", "exported", "save_backbone", "weights_digest"]


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


def weights_digest(backbone: nn.Module) -> str:
    """Stands for a backbone's weights, by which numbers are known to be of these and no others.

    Equal weights have the same on every device; a single other bit gives another one.
    """
    digest = hashlib.blake2b(digest_size=16)
    for name, value in sorted(exported(backbone).state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.detach().cpu().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def describe_backbone(
    backbone: nn.Module, config: Mapping[str, Any], preprocessing: Mapping[str, Any] | None = None
) -> tuple[dict[str, Any], dict[str, str]]:
    """What is needed to build a backbone again, as values and as the texts that files hold."""
    timm_args = backbone.create_model_args() if isinstance(backbone, TimmBackbone) else None
    build = _registered(without_origin(config))
    description = {"create_model": timm_args, "build": build, "preprocessing": preprocessing}
    # An argument that no file can hold (a class, say) stands there as its text, which is refused
    # when the file is loaded: weights are not lost for want of it.
    texts = {key: json.dumps(value, default=str) for key, value in description.items()}
    return {key: json.loads(text) for key, text in texts.items()}, texts


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


def exported(backbone: nn.Module) -> nn.Module:
    """Whose weights a file holds: timm's own model, so that timm can load them, where it is one."""
    return backbone.model if isinstance(backbone, TimmBackbone) else backbone
