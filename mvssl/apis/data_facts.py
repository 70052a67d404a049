"""What the images of a run say of its config: channels, range of values, mean and deviation."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from mmengine.config import Config

from mvssl.config.adapt import is_timm
from mvssl.datasets import ImageDataset
from mvssl.datasets.values import mean_and_std, moments
from mvssl.errors import UserError
from mvssl.kinds import parameters_of
from mvssl.registry import DATASETS, MODELS
from mvssl.views.view import NUM_CHANNELS

__all__ = ["data_facts", "with_facts"]

AUTO: Final = "auto"
MEASURED = 256
LEAST_STD = 1e-3  # of a channel that is the same everywhere


def data_facts(cfg: Mapping[str, Any], dataset: ImageDataset) -> dict[str, Any]:
    """What is not as of RGB images of 8 bits with ImageNet's statistics, by name.

    Args:
        cfg: the config, as a plain dict.
        dataset: what is trained on.

    Returns:
        Any of ``channels``, ``rgb``, ``value_range``, ``mean`` and ``std``.

    Raises:
        UserError: mean and std are to be measured, and no image can be read.
    """
    facts: dict[str, Any] = {}
    if dataset.channels != NUM_CHANNELS or dataset.rgb != (0, 1, 2):
        facts = {"channels": dataset.channels, "rgb": list(dataset.rgb or ())}
    if dataset.value_range is not None:
        facts["value_range"] = list(dataset.value_range)
    if _measures(_preprocessor(cfg), dataset.channels):
        facts["mean"], facts["std"] = _statistics(dataset)
    return facts


def with_facts(cfg: Config, facts: Mapping[str, Any]) -> Config:
    """A copy of a config, completed by what its images say; what it says itself stays.

    The backbone gets as many input channels, the preprocessor channels and statistics, and the data
    sets of the evaluation are read as the training images are.
    """
    if not facts:
        return cfg
    cfg = copy.deepcopy(cfg)
    model = cfg.get("model") or {}
    preprocessor: Any = model.get("data_preprocessor")
    backbone: Any = model.get("backbone")
    if preprocessor is not None and isinstance(preprocessor, Mapping):
        taken = _parameters(MODELS, preprocessor)
        given = {"in_channels": facts.get("channels"), "rgb": facts.get("rgb")}
        _fill(preprocessor, {key: value for key, value in given.items() if key in taken})
        if "mean" in facts:
            preprocessor.update(mean=list(facts["mean"]), std=list(facts["std"]))  # type: ignore[attr-defined]
    channels = facts.get("channels", NUM_CHANNELS)
    if channels != NUM_CHANNELS and is_timm(backbone):
        backbone["model_args"] = {"in_chans": channels, **(backbone.get("model_args") or {})}
    for dataset in _datasets(cfg):
        taken = _parameters(DATASETS, dataset)
        _fill(dataset, {k: facts.get(k) for k in ("channels", "rgb", "value_range") if k in taken})
    return cfg


def _preprocessor(cfg: Mapping[str, Any]) -> Mapping[str, Any]:
    model = cfg.get("model")
    found = model.get("data_preprocessor") if isinstance(model, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _measures(preprocessor: Mapping[str, Any], channels: int) -> bool:
    """Whether mean and std are to be measured: where that is asked for, and of other channels
    where nothing is said.
    """
    given = [preprocessor.get(name) for name in ("mean", "std")]
    rgb = preprocessor.get("color_space", "rgb") == "rgb"
    return AUTO in [x for x in given if isinstance(x, str)] or (
        channels != NUM_CHANNELS and given == [None, None] and rgb and bool(preprocessor)
    )


def _datasets(cfg: Config) -> list[Any]:
    evaluation = cfg.get("evaluation") or {}
    found = [(cfg.get("train_dataloader") or {}).get("dataset")]
    found += [evaluation.get(name) for name in ("train", "test")]
    return [one for one in found if isinstance(one, Mapping)]


def _parameters(registry: Any, node: Mapping[str, Any]) -> Mapping[str, Any]:
    """Arguments of the component that a node describes; none where there is no such component."""
    try:
        kind = registry.find(node["type"])
    except (UserError, KeyError):
        return {}
    return parameters_of(kind) if isinstance(kind, type) else {}


def _fill(node: Any, values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        if value is not None and node.get(key) is None:
            node[key] = value


def _statistics(dataset: ImageDataset) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of every channel, over at most 256 images, evenly spread.

    Every image counts the same, however large it is.
    """
    numbers = np.unique(np.linspace(0, len(dataset) - 1, MEASURED).round().astype(int))
    measured = []
    for number in numbers.tolist():
        image = dataset.pixels(number)
        if image is not None:
            measured.append(moments(image))
    if not measured:
        raise UserError(
            f"{dataset.describe()}: none of {len(numbers)} images can be read, so mean and std "
            f"cannot be measured."
        )
    mean, std = mean_and_std(measured)
    return [round(float(x), 5) for x in mean], [round(float(x), 5) for x in std.clip(LEAST_STD)]
