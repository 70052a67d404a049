"""What the parts of a run's checkpoint must be, so that a run can go on from them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from types import UnionType
from typing import Any, TypeGuard

import torch
from torch import Tensor

from mvssl.arguments import is_number
from mvssl.words import shown

__all__ = ["fault_of_optimizer", "faults_of_run"]

# What ``meta`` holds: numbers, with the least that each can be, and others.
LEAST = {
    "epoch": 0,
    "iter": 0,
    "epoch_images": 0,
    "seed": 0,
    "max_epochs": 1,
    "steps_per_epoch": 1,
    "world_size": 1,
}
KINDS: dict[str, type | UnionType] = {
    "epoch_means": Mapping,
    "names": Tensor,
    "options": Mapping,
    "seconds": int | float,
    "stop_training": bool,
    "values": Mapping,
}
# What was said when the run began.
OPTIONS: dict[str, type | UnionType] = {
    "amp": bool,
    "backbone": str | None,
    "batch_size": int | None,
    "cfg_options": Mapping,
    "config": str,
    "data": str | None,
    "fitted": Mapping,
    "folder": str,
    "image_size": int | None,
    "labels": bool,
    "objective": str,
}
FACTS = frozenset({"channels", "mean", "rgb", "std", "value_range"})
MOST_CHANNELS = 512
MOST_COUNTED, MOST_SEED = 2**53, 2**32 - 1
LIKE_PARAMETER = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer")
"""State that torch's optimisers hold of each parameter, of its shape."""


def faults_of_run(content: Mapping[str, Any]) -> list[str]:
    """What is wrong with the parts that are there, each by its name."""
    faults = [
        f"its {name} {fault}"
        for name, check in PARTS.items()
        if name in content and (fault := next(check(content[name]), None)) is not None
    ]
    if not faults and {"history", "meta"} <= content.keys():
        curves = [one["steps"] for one in content["history"]["series"].values()]
        if any(len(steps) and steps[-1] > content["meta"]["iter"] for steps in curves):
            faults.append("its history goes beyond the iteration of its meta")
    return faults


def _state_dict(part: Any) -> Iterator[str]:
    if not isinstance(part, Mapping):
        yield _kind(part, "a dict of tensors")
        return
    for name, value in part.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            yield f"has at {name!r} {_a(value)}, not a tensor"


def _meta(part: Any) -> Iterator[str]:
    if not isinstance(part, Mapping):
        yield _kind(part, "a dict")
        return
    missing = [name for name in (*LEAST, *KINDS) if name not in part]
    if missing:
        yield f"lacks {', '.join(missing)}"
        return
    for name, least in LEAST.items():
        most = MOST_SEED if name == "seed" else MOST_COUNTED
        if type(part[name]) is not int or not least <= part[name] <= most:
            yield f"has {name}={shown(part[name], 40)}, not a number from {least} to {most}"
    for name, kind in KINDS.items():
        if not isinstance(part[name], kind):
            yield f"has a {name} {_a(part[name])}"
    names = part["names"]
    if isinstance(names, Tensor) and (names.ndim != 1 or names.dtype != torch.int64):
        yield "has names that are no whole numbers in a row"
    seconds, means, options = part["seconds"], part["epoch_means"], part["options"]
    if not is_number(seconds) or not 0 <= seconds < math.inf:
        yield f"has seconds={shown(seconds, 40)}, not a duration"
    if isinstance(means, Mapping) and not all(map(is_number, means.values())):
        yield "has epoch_means that are no numbers"
    yield from _facts(part.get("facts", {}))
    if isinstance(options, Mapping):
        wrong = [
            name for name, one in OPTIONS.items() if not isinstance(options.get(name, ...), one)
        ]
        if wrong:
            yield f"has options without {', '.join(wrong)}, or of another kind"


def _facts(part: Any) -> Iterator[str]:
    """What the images of the run said: numbers, and lists of them."""
    if not isinstance(part, Mapping) or not part.keys() <= FACTS:
        yield f"has facts that are no dict of {', '.join(sorted(FACTS))}"
        return
    channels = part.get("channels", 3)
    if type(channels) is not int or not 1 <= channels <= MOST_CHANNELS:
        yield f"has channels={shown(channels, 40)}, not a number from 1 to {MOST_CHANNELS}"
    for name in FACTS - {"channels"}:
        values = part.get(name, [])
        most = MOST_CHANNELS
        if (
            not isinstance(values, list | tuple)
            or len(values) > most
            or not all(is_number(one) and math.isfinite(one) for one in values)
        ):
            yield f"has a {name} that is no list of numbers"


def _optimizer(part: Any) -> Iterator[str]:
    if not isinstance(part, Mapping):
        yield _kind(part, "an optimiser's state")
        return
    groups, state = part.get("param_groups"), part.get("state")
    if not isinstance(groups, list) or not isinstance(state, Mapping):
        yield "lacks param_groups or state"
        return
    for number, group in enumerate(groups):
        held = isinstance(group, Mapping) and isinstance(group.get("params"), list)
        if not held:
            yield f"has no parameters in group {number}"
        elif not is_number(group.get("lr")):
            yield f"has no learning rate in group {number}"
    if not all(isinstance(one, Mapping) for one in state.values()):
        yield "has a state of another kind"
        return
    filled = [one for one in state.values() if one]
    if any(one.keys() != filled[0].keys() for one in filled):
        yield "has not the same state of all parameters"
    steps = [one["step"] for one in filled if "step" in one]
    if not all(is_number(step) or _is_single(step) for step in steps):
        yield "has a step that is no number"


def _history(part: Any) -> Iterator[str]:
    series = part.get("series") if isinstance(part, Mapping) else None
    if not isinstance(series, Mapping):
        yield "lacks series"
        return
    for name, one in series.items():
        held = one if isinstance(one, Mapping) else {}
        steps, values = held.get("steps"), held.get("values")
        if not _is_curve(steps) or not _is_curve(values) or len(steps) != len(values):
            yield f"has no steps and values of equal length for {name!r}"
        elif values.is_complex() or steps.is_complex():
            yield f"has no real numbers for {name!r}"
        elif steps.is_floating_point() or bool((steps.diff() <= 0).any()):
            yield f"has steps for {name!r} that do not go up"


def _message_hub(part: Any) -> Iterator[str]:
    if not isinstance(part, Mapping):
        yield _kind(part, "a dict")
        return
    for name, pair in part.items():
        lengths = [len(x) for x in pair if _is_curve(x)] if isinstance(pair, list) else []
        if len(lengths) != 2 or lengths[0] != lengths[1]:
            yield f"has no values and counts for {name!r}"


def _list_of_dicts(part: Any) -> Iterator[str]:
    if not isinstance(part, list) or not all(isinstance(one, Mapping) for one in part):
        yield _kind(part, "a list of dicts")


def _dict_of_dicts(part: Any) -> Iterator[str]:
    if not isinstance(part, Mapping) or not all(isinstance(x, Mapping) for x in part.values()):
        yield _kind(part, "a dict of dicts")


PARTS: dict[str, Callable[[Any], Iterator[str]]] = {
    "state_dict": _state_dict,
    "meta": _meta,
    "optimizer": _optimizer,
    "history": _history,
    "message_hub": _message_hub,
    "param_schedulers": _list_of_dicts,
    "random": _list_of_dicts,
    "scalars": _list_of_dicts,
    "gradients": _list_of_dicts,
    "hooks": _dict_of_dicts,
}


def fault_of_optimizer(state: Mapping[str, Any], optimizer: torch.optim.Optimizer) -> str | None:
    """What keeps an optimiser from taking a state; None where it can."""
    saved, own = state["param_groups"], optimizer.param_groups
    sizes = [[len(group["params"]) for group in groups] for groups in (saved, own)]
    if sizes[0] != sizes[1]:
        told = " and ".join(f"{sum(one)} parameters in {len(one)} groups" for one in sizes)
        return f"is of other parameters than those that are trained now ({told})"
    for number, (group, now) in enumerate(zip(saved, own, strict=True)):
        for name, value in now.items():
            if name not in group:
                return f"lacks {name} in group {number}"
            if is_number(value) != is_number(group[name]) or _length(value) != _length(group[name]):
                return f"has {name}={shown(group[name], 40)} in group {number}"
    numbers = [number for group in saved for number in group["params"]]
    parameters = [parameter for group in own for parameter in group["params"]]
    for number, parameter in zip(numbers, parameters, strict=True):
        held = state["state"].get(number, {})
        for name in LIKE_PARAMETER:
            value = held.get(name)
            if value is not None and getattr(value, "shape", None) != parameter.shape:
                shape = tuple(value.shape) if isinstance(value, Tensor) else _a(value)
                return f"has a {name} of {shape} for a parameter of {tuple(parameter.shape)}"
    return None


def _length(value: Any) -> int | None:
    return len(value) if isinstance(value, list | tuple) else None


def _is_single(value: Any) -> bool:
    return isinstance(value, Tensor) and value.numel() == 1 and not value.is_complex()


def _is_curve(value: Any) -> TypeGuard[Tensor]:
    return isinstance(value, Tensor) and value.ndim == 1


def _kind(part: Any, wanted: str) -> str:
    return f"is {_a(part)}, not {wanted}"


def _a(value: Any) -> str:
    return "None" if value is None else f"of kind {type(value).__name__}"
