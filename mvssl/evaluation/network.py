"""What is evaluated: a whole model, or a backbone alone with the preprocessing of its images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mvssl.errors import UserError
from mvssl.models import MultiView
from mvssl.registry import MODELS
from mvssl.words import near_names

__all__ = ["Network", "as_network", "evaluation_mode"]

PREPROCESSING = ("color_space", "crop_pct", "mean", "size", "std", "value_range")


@dataclass(frozen=True)
class Network:
    """A backbone, what prepares its images, and the model around it where there is one.

    Attributes:
        backbone: normalised images (B, c, s, s) to features (B, C).
        preprocessor: a loader's batch to ``{"inputs": normalised images}``.
        model: which makes records of several views; None for a backbone alone. Its own backbone
            may be another copy of the same.
        amp: whether features are computed in bfloat16.
    """

    backbone: nn.Module
    preprocessor: nn.Module
    model: MultiView | None = None
    amp: bool = False

    @property
    def whole(self) -> nn.Module:
        """The outermost module."""
        return self.backbone if self.model is None else self.model

    def features(self, batch: dict[str, Any]) -> Tensor:
        """Features (B, C) of a loader's batch of images."""
        images = self.preprocessor(batch)["inputs"]
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.amp):
            features: Tensor = self.backbone(images)
        return features


def as_network(
    model: nn.Module | Network, preprocessing: Mapping[str, Any] | None = None
) -> Network:
    """Args:
        model: a ``MultiView``, or a backbone, such as what ``mvssl.load_backbone`` returns.
        preprocessing: what a backbone expects of images: ``mean`` and ``std`` of values in [0, 1],
            ``color_space``, ``size``; and, for who reads them, ``value_range``, the values of files
            that become 0 and 1, and ``crop_pct``, the share of the side that is shown. By default
            what ``load_backbone`` read with the weights.

    Raises:
        UserError: a backbone whose preprocessing is not known.
    """
    if isinstance(model, Network):
        return model
    if isinstance(model, MultiView):
        if model.data_preprocessor is None:
            raise UserError(
                "The model has no data_preprocessor, which prepares the images: build it with one."
            )
        return Network(model.backbone, model.data_preprocessor, model)
    known = preprocessing or getattr(model, "preprocessing", None)
    if known is None:
        raise UserError(
            f"{type(model).__name__} does not say how its images are normalised: load it by "
            f"mvssl.load_backbone, or give preprocessing=dict(mean=..., std=..., size=...)."
        )
    return Network(model, _preprocessor(model, known))


def _preprocessor(backbone: nn.Module, known: Mapping[str, Any]) -> nn.Module:
    for name in known:
        if name not in PREPROCESSING:
            raise UserError(f"preprocessing has no '{name}'{near_names(name, PREPROCESSING)}")
    space = known.get("color_space", "rgb")
    # Other colour spaces have statistics of their own, which the file repeats.
    statistics = {key: known.get(key) for key in ("mean", "std")} if space == "rgb" else {}
    preprocessor: nn.Module = MODELS.build(
        {
            "type": "MultiViewPreprocessor",
            "views": "gentle",  # no views are made of single images
            "size": known.get("size") or 224,
            "color_space": space,
            "in_channels": _channels(backbone, known) if space == "rgb" else 3,
            **statistics,
        }
    )
    parameter = next(backbone.parameters(), None)
    return preprocessor if parameter is None else preprocessor.to(parameter.device)


def _channels(backbone: nn.Module, known: Mapping[str, Any]) -> int:
    """Those that the backbone says, else as many as there are means: one may be of three alike."""
    said = getattr(backbone, "in_channels", None)
    return said if isinstance(said, int) else len(known.get("mean") or ()) or 3


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Evaluation mode; the former mode of every part comes back afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
