"""Says everything that is wrong in a config before training starts, all at once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from mmengine.runner import IterBasedTrainLoop

from mvssl.config.components import takes_anything, target_of
from mvssl.config.search import meant
from mvssl.config.slots import KINDS, REQUIRED, TOP_LEVEL, Slot, slot_of
from mvssl.errors import UserError
from mvssl.kinds import parameters_of, unquoted, wrong_kind
from mvssl.registry import public_name
from mvssl.words import LIST_ITEM, near_names, shown

__all__ = [
    "Problem",
    "check_config",
    "complain",
]


class Problem(NamedTuple):
    """Something that is wrong in a config."""

    path: str
    """Dotted, of the component where it is."""
    text: str
    """A sentence for the user."""
    cause: BaseException | None = None
    """What a component raised."""


def check_config(cfg: Mapping[str, Any]) -> list[Problem]:
    """Every fault that can be found without building anything, a sentence each.

    Unknown and missing top-level names, unknown types, arguments that a constructor does not take
    or lacks. Names that start with ``_`` are helpers of the config's author and are left alone.
    """
    problems = [
        Problem(name, f"'{name}' is missing.") for name in REQUIRED if cfg.get(name) is None
    ]
    for name, value in cfg.items():
        kind, told = KINDS.get(name, (object, ""))
        if name not in TOP_LEVEL and not name.startswith("_"):
            text = (
                f"'{name}' is no name that a config knows (a helper of your own starts with '_')"
                f"{meant(cfg, name, TOP_LEVEL)}"
            )
            if name.startswith(("val_", "test_")):
                text = (
                    f"'{name}' is of a validation or test loop, which a run has not: held-out "
                    f"images are measured by evaluation = dict(train=..., test=..., "
                    f"evaluators=...)."
                )
            problems.append(Problem(name, text))
        elif value is not None and not isinstance(value, kind):
            problems.append(Problem(name, f"{name} is {told}, got {shown(value)}."))
    for where, node in _nodes(cfg):
        slot = slot_of(where)
        if slot is None or node is None or (not node and slot.optional):
            continue
        if isinstance(node, Mapping):
            problems += [Problem(where, text) for text in _check_component(where, node, slot)]
        elif where not in KINDS and _is_plain(node) and not isinstance(node, slot.also):
            problems.append(Problem(where, f"{where} is a dict, got {shown(node)}."))
    return problems


def _is_plain(value: Any) -> bool:
    """Whether it is a value that describes nothing, and no object of the config's author."""
    return isinstance(value, str | int | float | list | tuple)


def complain(where: str, problems: Iterable[Problem]) -> None:
    """Raise what was found, if anything, as one ``UserError``; each sentence once."""
    found = {problem.text: problem.cause for problem in problems}
    cause = next((cause for cause in found.values() if cause is not None), None)
    if len(found) == 1:
        raise UserError(f"{where}: {next(iter(found))}") from cause
    if found:
        listed = "".join(f"{LIST_ITEM}{text}" for text in found)
        raise UserError(f"{where} has {len(found)} faults:{listed}") from cause


def _nodes(node: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """Everything below ``node`` with its dotted path, outermost first."""
    if where:
        yield where, node
    if isinstance(node, Mapping):
        items: Iterable[tuple[Any, Any]] = node.items()
    elif isinstance(node, list | tuple):
        items = enumerate(node)
    else:
        return
    for key, inner in items:
        if not str(key).startswith("_"):
            yield from _nodes(inner, f"{where}.{key}" if where else str(key))


def _check_component(where: str, node: Mapping[str, Any], slot: Slot) -> list[str]:
    try:
        target = target_of(node, slot)
    except UserError as error:
        return [f"{where}: {error}"]
    if target is None:
        own = sorted(slot.registry.module_dict) if slot.registry is not None else []
        return [f"{where} has no type; choose one of {', '.join(own[:12])}."]
    problems = _unsupported(where, node, target)
    if where == "train_cfg" and problems:
        return problems  # that another loop is another class, with other arguments, is no news
    base = slot.base or (None if slot.registry is None else slot.registry.base)
    if isinstance(target, type) and base is not None and not issubclass(target, base):
        problems.append(
            f"{where}: {target.__name__} is not derived from {public_name(base)}; see "
            f"docs/custom_component.md."
        )
    parameters = parameters_of(target)
    anything = takes_anything(parameters)  # as a component from elsewhere may
    name = target.__name__
    for key in node:
        if key in ("type", "_delete_", "_scope_", *slot.extra):
            continue
        if key not in parameters and not anything:
            problems.append(
                f"{where}.{key}: {name} takes no '{key}'{near_names(str(key), parameters)} If it "
                f"was inherited from a base config, did you forget _delete_=True?"
            )
        elif key in parameters and (told := _misfit(f"{where}.{key}", node[key], parameters[key])):
            given = f"{shown(node[key])}{unquoted(node[key])}"
            problems.append(f"{where}.{key}: {name} takes {told} here, got {given}.")
    missing = [] if anything else _missing(where, node, slot, parameters)
    if missing:
        listed = ", ".join(f"'{key}'" for key in missing)
        problems.append(f"{where}: {name} needs {listed}, which the config does not give.")
    return problems


def _missing(
    where: str, node: Mapping[str, Any], slot: Slot, parameters: Mapping[str, inspect.Parameter]
) -> list[str]:
    """Arguments without a default that neither the config nor anything else gives."""
    return [
        key
        for key, one in parameters.items()
        if one.default is inspect.Parameter.empty
        and key not in slot.filled
        and (key not in node or _absent(node[key], f"{where}.{key}", one))
    ]


def _misfit(where: str, value: Any, parameter: inspect.Parameter) -> str | None:
    """What an argument takes, where ``value`` is of another kind; components are told by others."""
    return None if slot_of(where) is not None else wrong_kind(value, parameter)


def _absent(value: Any, where: str, parameter: inspect.Parameter) -> bool:
    """Whether a required component was set to None, which its parameter does not provide for."""
    return value is None and slot_of(where) is not None and "None" not in str(parameter.annotation)


def _unsupported(where: str, node: Mapping[str, Any], target: Callable[..., Any]) -> list[str]:
    """What mmengine has and a run of mvssl has not."""
    by_iters = isinstance(target, type) and issubclass(target, IterBasedTrainLoop)
    if where == "train_cfg" and (by_iters or not node.get("by_epoch", True)):
        return [
            "train_cfg: a run is counted in epochs, so that it can be resumed; give only "
            "max_epochs."
        ]
    views = node.get("data_preprocessor")
    if where == "model" and views is None and "data_preprocessor" in parameters_of(target):
        return [
            "model.data_preprocessor is missing, and nothing else makes views: give one, "
            "such as dict(type='MultiViewPreprocessor', views='byol', size=224)."
        ]
    return []
