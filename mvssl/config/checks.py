"""Says everything that is wrong in a config before training starts, all at once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from mmengine.runner import IterBasedTrainLoop

from mvssl.config.slots import KINDS, REQUIRED, TOP_LEVEL, Slot, slot_of
from mvssl.errors import LIST_ITEM, UserError, near_names
from mvssl.registry import public_name

__all__ = [
    "Problem",
    "accepted_arguments",
    "check_config",
    "complain",
    "needs_type",
    "takes_text",
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
                f"'{name}' is no name that a config knows (a helper of your own starts with "
                f"'_'){near_names(name, TOP_LEVEL)}"
            )
            problems.append(Problem(name, text))
        elif value is not None and not isinstance(value, kind):
            problems.append(Problem(name, f"{name} is {told}, got {value!r}."))
    for where, node in _dicts(cfg):
        slot = slot_of(where)
        if slot is not None and (node or not slot.optional):
            problems += [Problem(where, text) for text in _check_component(where, node, slot)]
    return problems


def complain(where: str, problems: Iterable[Problem]) -> None:
    """Raise what was found, if anything, as one ``UserError``; each sentence once."""
    found = {problem.text: problem.cause for problem in problems}
    cause = next((cause for cause in found.values() if cause is not None), None)
    if len(found) == 1:
        raise UserError(f"{where}: {next(iter(found))}") from cause
    if found:
        listed = "".join(f"{LIST_ITEM}{text}" for text in found)
        raise UserError(f"{where} has {len(found)} faults:{listed}") from cause


def accepted_arguments(where: str, node: Mapping[str, Any]) -> set[str] | None:
    """Names that the component at path ``where`` takes; None where that may be anything: outside
    of components, for a constructor with ``**kwargs``, and where the type is not known.
    """
    slot, parameters = slot_of(where), _parameters_at(where, node)
    if slot is None or parameters is None or _takes_anything(parameters):
        return None
    return {"type", *slot.extra, *parameters}


def takes_text(where: str, node: Mapping[str, Any], key: str) -> bool:
    """Whether argument ``key`` of the component at path ``where`` is a text and nothing else."""
    parameter = (_parameters_at(where, node) or {}).get(key)
    return parameter is not None and parameter.annotation in ("str", str)


def _parameters_at(where: str, node: Mapping[str, Any]) -> dict[str, inspect.Parameter] | None:
    """Of the component at a path; None where there is none, or its type is not known."""
    slot = slot_of(where)
    if slot is None:
        return None
    try:
        target = _target(node, slot)
    except UserError:
        return None
    return None if target is None else _parameters(target)


def needs_type(where: str) -> bool:
    """Whether path ``where`` is that of a component which must say its type."""
    slot = slot_of(where)
    return slot is not None and slot.default is None


def _dicts(node: Any, where: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every dict below ``node`` with its dotted path, outermost first."""
    if isinstance(node, Mapping):
        if where:
            yield where, node
        items: Iterable[tuple[Any, Any]] = node.items()
    elif isinstance(node, list | tuple):
        items = enumerate(node)
    else:
        return
    for key, inner in items:
        if not str(key).startswith("_"):
            yield from _dicts(inner, f"{where}.{key}" if where else str(key))


def _target(node: Mapping[str, Any], slot: Slot) -> Callable[..., Any] | None:
    """The class or function of a component, None where the config does not say."""
    named = node.get("type", slot.default)
    if not isinstance(named, str):
        return named
    if slot.registry is None:
        raise UserError(f"it is always the same, so it takes no type (found '{named}').")
    return slot.registry.find(named)


def _check_component(where: str, node: Mapping[str, Any], slot: Slot) -> list[str]:
    try:
        target = _target(node, slot)
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
    parameters = _parameters(target)
    if _takes_anything(parameters):
        return problems  # a component from elsewhere that takes anything
    name = target.__name__
    for key in node:
        if key not in parameters and key not in ("type", "_delete_", "_scope_", *slot.extra):
            problems.append(
                f"{where}.{key}: {name} takes no '{key}'{near_names(key, parameters)} If it was "
                f"inherited from a base config, did you forget _delete_=True?"
            )
        elif told := _wrong_type(node[key], parameters.get(key)):
            problems.append(f"{where}.{key}: {name} takes {told} here, got {node[key]!r}.")
    required = [
        key
        for key, p in parameters.items()
        if p.default is inspect.Parameter.empty
        and key not in slot.filled
        and (key not in node or _absent(node[key], f"{where}.{key}", p))
    ]
    if required:
        listed = ", ".join(f"'{key}'" for key in required)
        problems.append(f"{where}: {name} needs {listed}, which the config does not give.")
    return problems


def _absent(value: Any, where: str, parameter: inspect.Parameter) -> bool:
    """Whether a required component was set to None, which its parameter does not provide for."""
    return value is None and slot_of(where) is not None and "None" not in str(parameter.annotation)


def _unsupported(where: str, node: Mapping[str, Any], target: Callable[..., Any]) -> list[str]:
    """What mmengine has and a run of mvssl has not."""
    by_epoch = node.get("by_epoch", True)
    if where == "train_cfg":
        epochs = node.get("max_epochs")
        if isinstance(epochs, int) and epochs < 1:
            return [f"train_cfg.max_epochs: a run has at least 1 epoch, got {epochs}."]
        if not by_epoch or (isinstance(target, type) and issubclass(target, IterBasedTrainLoop)):
            return [
                "train_cfg: a run is counted in epochs, so that it can be resumed; give only "
                "max_epochs."
            ]
    views = node.get("data_preprocessor")
    if where == "model" and views is None and "data_preprocessor" in _parameters(target):
        return [
            "model.data_preprocessor is missing, and nothing else makes views: give one, "
            "such as dict(type='MultiViewPreprocessor', views='byol', size=224)."
        ]
    return []


# Annotations that say all there is to a value; others are left to the constructor.
PLAIN_TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    "int": ((int,), "a whole number"),
    "float": ((int, float), "a number"),
    "bool": ((bool,), "True or False"),
    "str": ((str,), "a text"),
}


def _wrong_type(value: Any, parameter: inspect.Parameter | None) -> str | None:
    """What a parameter takes, where it is plain and ``value`` is something else."""
    if parameter is None:
        return None
    annotation = parameter.annotation
    name = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    if name not in PLAIN_TYPES:
        return None
    types, told = PLAIN_TYPES[name]
    if type(value) is type(parameter.default) and value == parameter.default:
        return None  # `x: int = None`, as older code writes it
    right = isinstance(value, types) and (name == "bool" or not isinstance(value, bool))
    return None if right else told


def _parameters(target: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    parameters = dict(inspect.signature(target).parameters)
    # What OptimWrapper and hooks pass on reaches no constructor of ours.
    return {k: p for k, p in parameters.items() if p.kind is not inspect.Parameter.VAR_POSITIONAL}


def _takes_anything(parameters: Mapping[str, inspect.Parameter]) -> bool:
    return any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
