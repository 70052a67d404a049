"""Every model of timm as a backbone."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import timm
import torch
from torch import Tensor, nn

from mvssl.arguments import check_choice
from mvssl.distributed import rank
from mvssl.errors import UserError
from mvssl.kinds import parameters_of, unquoted, wrong_kind
from mvssl.models.backbones.base import Backbone
from mvssl.models.backbones.foreign import load_foreign
from mvssl.models.backbones.sizes import check_model_args, check_patches
from mvssl.registry import BACKBONES
from mvssl.words import near_names, shown

__all__ = ["TimmBackbone", "arguments_of", "patch_of"]

STEMS = ("default", "cifar")
# What timm.create_model takes itself, above all where weights come from, is none of a model's.
OWN_ARGUMENTS = {"num_classes", "features_only", *inspect.signature(timm.create_model).parameters}


@BACKBONES.register_module()
class TimmBackbone(Backbone):
    """A timm model without its classifier, giving pooled features (N, C).

    Args:
        name: timm's name of the model.
        model_args: arguments of ``timm.create_model`` (``img_size``, ``global_pool``, ...).
        pretrained: load timm's published weights (needs network access).
        checkpoint: a local file with weights of this network, in any of the layouts that
            :func:`load_foreign` knows.
        stem: ``default``, or ``cifar`` for the variant of a ResNet for 32-pixel images (3x3
            convolution of stride 1, no max-pooling; He et al. 2016, section 4.2).

    Attributes:
        num_features: C, read from the model.
        in_channels: channels of its images (``model_args['in_chans']``).
        origin: a line about the weights that it began with; None where they were drawn.

    Raises:
        UserError: unknown model, arguments it does not take, a stem it has not, or a checkpoint
            of another network.
    """

    def __init__(
        self,
        name: str,
        model_args: dict[str, Any] | None = None,
        pretrained: bool = False,
        checkpoint: str | None = None,
        stem: str = "default",
    ) -> None:
        super().__init__()
        check_choice("TimmBackbone", "stem", stem, STEMS)
        check_model_args("TimmBackbone", model_args or {})
        self.name = name
        self.model_args = dict(model_args or {})
        self.in_channels = int(self.model_args.get("in_chans", 3))
        self.stem = stem
        self.model = _create(name, self.model_args, pretrained)
        check_patches("TimmBackbone", self.model)
        if stem == "cifar":
            _adapt_stem(self.model, name)
        # Some models (MobileNetV3, ...) have a layer between pooling and the classifier.
        width: Any = getattr(self.model, "head_hidden_size", self.model.num_features)
        self.num_features = int(width)
        self.origin = f"timm gives the published weights of {name}" if pretrained else None
        if checkpoint is not None:
            self.origin = load_foreign(self.model, checkpoint)

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images (N, in_channels, s, s) to pooled features (N, C)."""
        return self.model(images)

    def resize(self, img_size: int) -> None:
        """Let it take images of another side in pixels; a network without sizes does anyway.

        Raises:
            UserError: its patches do not divide that.
        """
        if "img_size" not in parameters_of(type(self.model)):
            return
        patch = patch_of(self.name, self.model_args)
        set_size = getattr(self.model, "set_input_size", None)
        if set_size is None or (patch is not None and img_size % patch):
            why = f"its patches of {patch} px do not divide that" if patch else "timm cannot"
            raise UserError(f"{self.name} cannot be resized to images of {img_size} px: {why}.")
        set_size(img_size=img_size)
        self.model_args["img_size"] = img_size

    def create_model_args(self) -> dict[str, Any] | None:
        """Complete arguments with which ``timm.create_model`` builds this model, or None where
        timm alone cannot (adapted stem).
        """
        if self.stem != "default":
            return None
        return {
            "model_name": self.name,
            **self.model_args,
            "num_classes": 0,
            "global_pool": self.model_args.get("global_pool", _global_pool(self.model)),
        }


def _create(name: str, model_args: dict[str, Any], pretrained: bool) -> nn.Module:
    clash = OWN_ARGUMENTS & set(model_args)
    if clash:
        raise UserError(
            f"model.backbone.model_args holds {', '.join(sorted(clash))}, which TimmBackbone sets "
            f"itself: remove it (weights come by pretrained or checkpoint)."
        )
    if not timm.is_model(name.split(":")[-1].split("/")[-1]):
        near = near_names(name, timm.list_models(), "; timm.list_models() shows them all.")
        raise UserError(f"timm {timm.__version__} has no model '{name}'{near}")
    # Which tells of every attempt; the last one's fault is told below.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    if pretrained and rank() == 0:
        print(f"fetching the weights of {name} from the Hugging Face hub, or its cache", flush=True)
    try:
        model = timm.create_model(name, pretrained=pretrained, num_classes=0, **model_args)
    except Exception as error:  # timm's models check little themselves
        told = _wrong_kinds(name, model_args, arguments_of(name))
        if told:
            raise UserError(" ".join(told)) from error
        why = " ".join(str(error).split())[:300]
        told_args = f" with model_args {model_args}" if model_args else ""
        if pretrained:
            raise UserError(
                f"The published weights of '{name}'{told_args} cannot be had: is there a network, "
                f"and does it let through to the Hugging Face hub? Without one give what lies "
                f"here: a run or its backbone.safetensors, or, to begin training with, a file of "
                f"weights by --init-from FILE. It said: {why}"
            ) from error
        raise UserError(f"timm cannot build '{name}'{told_args}: {why}") from error
    # What was built may have been given nonsense, such as 'no', which is true.
    taken = parameters_of(type(model))
    sure = {key: one for key, one in taken.items() if one.annotation in (int, float, bool, str)}
    given = {key: value for key, value in model_args.items() if value is not None}
    told = _wrong_kinds(name, given, sure)  # None is left out by timm
    if told:
        raise UserError(" ".join(told))
    return model


def arguments_of(name: str) -> Mapping[str, inspect.Parameter]:
    """Arguments of the class of a timm model; none where it cannot be made without memory."""
    model = _outline(name, {})
    return {} if model is None else parameters_of(type(model))


def patch_of(name: str, model_args: Mapping[str, Any]) -> int | None:
    """Side in pixels of the patches that a timm model cuts images into; None where it does not."""
    patch = getattr(getattr(_outline(name, model_args), "patch_embed", None), "patch_size", None)
    patch = patch[0] if isinstance(patch, Sequence) and patch else patch
    return patch if isinstance(patch, int) else None


def _outline(name: str, model_args: Mapping[str, Any]) -> nn.Module | None:
    """A model without memory for its weights; None where it cannot be made so."""
    try:
        with torch.device("meta"):
            return timm.create_model(name, num_classes=0, **model_args)
    except Exception:  # some models read values while they are built
        return None


def _wrong_kinds(
    name: str, model_args: dict[str, Any], parameters: Mapping[str, inspect.Parameter]
) -> list[str]:
    """Arguments of a model that are of another kind than its class takes."""
    found = {
        key: wrong_kind(value, parameters[key])
        for key, value in model_args.items()
        if key in parameters
    }
    return [
        f"model.backbone.model_args.{key}: {name} takes {told} here, got "
        f"{shown(model_args[key])}{unquoted(model_args[key])}."
        for key, told in found.items()
        if told is not None
    ]


def _global_pool(model: nn.Module) -> str:
    """The pooling that a model was built with: an attribute, a pooling layer or its default."""
    head = getattr(model, "head", None)
    for owner in (model, head):
        pool = getattr(owner, "global_pool", None)
        if isinstance(pool, str) and pool:
            return pool
        pool_type = getattr(pool, "pool_type", None)
        if isinstance(pool_type, str) and pool_type:
            return pool_type
    default = inspect.signature(type(model).__init__).parameters.get("global_pool")
    return default.default if default is not None else "avg"


def _adapt_stem(model: nn.Module, name: str) -> None:
    conv = getattr(model, "conv1", None)
    if not isinstance(conv, nn.Conv2d) or not isinstance(
        getattr(model, "maxpool", None), nn.Module
    ):
        raise UserError(
            f"TimmBackbone: stem='cifar' is for ResNets (a convolution conv1 and a maxpool), and "
            f"'{name}' has none: use stem='default'."
        )
    model.conv1 = nn.Conv2d(conv.in_channels, conv.out_channels, 3, 1, 1, bias=False)
    nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")
    model.maxpool = nn.Identity()
