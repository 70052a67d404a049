"""What a view draws and shows, for tests to look at."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from mvssl.views import DeviceViews, HostViews, Operation, View
from mvssl.views.draws import sample_keys
from mvssl.views.ops import (
    ColorJitter,
    Drawn,
    GaussianBlur,
    Grayscale,
    HorizontalFlip,
    RandomResizedCrop,
    Solarize,
)

PHOTO = np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)


def whole(size: int, **named: Any) -> View:
    """A view of the whole square image, so that its pixels stay as they are."""
    crop: dict[str, Any] = {"crop_scale": (1.0, 1.0), "crop_ratio": (1.0, 1.0), "flip": 0.0}
    return View.flat(size, **crop, **named)


def both_engines(view: View, index: int) -> tuple[np.ndarray, np.ndarray]:
    """A view of ``PHOTO`` by each engine, (H, W, 3) in levels."""
    (host,) = HostViews([view], 3)(PHOTO, index, 0)
    pixels = torch.from_numpy(PHOTO).permute(2, 0, 1)[None]
    (device,) = DeviceViews([view], 3)(pixels, torch.tensor([index]), torch.tensor([0]))
    return host.permute(1, 2, 0).numpy(), (255 * device[0]).permute(1, 2, 0).numpy()


def draws(
    view: View,
    number: int,
    seed: int,
    epoch_b: np.ndarray,
    index_b: np.ndarray,
    height: int,
    width: int,
) -> list[tuple[Operation, Drawn]]:
    """Every operation of a view and what it draws for samples of these ids."""
    u_bn = view.random_numbers(sample_keys(seed, epoch_b, index_b), number)
    found = []
    for operation, own in view.steps:
        found.append((operation, operation.draw(u_bn[:, own], height, width)))
        if isinstance(operation, RandomResizedCrop):
            height = width = view.size
    return found


def draw(*arguments: Any) -> SimpleNamespace:
    """The same of the operations that come with mvssl, by name; None of one that is not there."""
    found: dict[type, Drawn] = {type(one): drawn for one, drawn in draws(*arguments)}
    return SimpleNamespace(
        crop=found[RandomResizedCrop],
        flip=found.get(HorizontalFlip),
        jitter=found.get(ColorJitter),
        gray=found.get(Grayscale),
        blur=found.get(GaussianBlur),
        solarize=found.get(Solarize),
    )


def operation(view: View, kind: Any) -> Any:
    """The operation of a kind that a view has, None where it has none."""
    return next((one for one in view.operations if isinstance(one, kind)), None)


def short(view: View) -> dict[str, Any]:
    """A view by its short names, with what is off at 0."""
    crop, jitter = operation(view, RandomResizedCrop), operation(view, ColorJitter)
    told: dict[str, Any] = {"crop_scale": crop.scale, "crop_ratio": crop.ratio}
    told["jitter"] = (0.0,) * 4 if jitter is None else jitter.strengths
    told["jitter_prob"] = 1.0 if jitter is None else jitter.prob
    kinds: dict[str, Any] = {
        "flip": HorizontalFlip,
        "gray": Grayscale,
        "blur": GaussianBlur,
        "solarize": Solarize,
    }
    for name, kind in kinds.items():
        one = operation(view, kind)
        told[name] = 0.0 if one is None else one.prob
    return told
