"""The components of a config: what stands at a path, and which arguments it takes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from mvssl.config.slots import Slot, slot_of
from mvssl.errors import UserError
from mvssl.kinds import parameters_of
from mvssl.words import shown

__all__ = [
    "accepted_arguments",
    "as_mapping",
    "component_at",
    "default_at",
    "needs_type",
    "takes_anything",
    "takes_text",
    "target_of",
]


def accepted_arguments(where: str, node: Mapping[str, Any]) -> set[str] | None:
    """Names that the component at path ``where`` takes; None where that may be anything: outside
    of components, for a constructor with ``**kwargs``, and where the type is not known.
    """
    slot, parameters = slot_of(where), _parameters_at(where, node)
    if slot is None or parameters is None or takes_anything(parameters):
        return None
    return {"type", *slot.extra, *parameters}


def takes_text(where: str, node: Mapping[str, Any], key: str) -> bool:
    """Whether argument ``key`` of the component at path ``where`` is a text and nothing else."""
    parameter = (_parameters_at(where, node) or {}).get(key)
    return parameter is not None and parameter.annotation in ("str", str)


def default_at(where: str, node: Mapping[str, Any], key: str) -> Any:
    """What argument ``key`` of the component at path ``where`` is if it is not given;
    ``inspect.Parameter.empty`` where that is not known.
    """
    parameter = (_parameters_at(where, node) or {}).get(key)
    return inspect.Parameter.empty if parameter is None else parameter.default


def _parameters_at(where: str, node: Mapping[str, Any]) -> Mapping[str, inspect.Parameter] | None:
    """Of the component at a path; None where there is none, or its type is not known."""
    target = component_at(where, node)
    return None if target is None else parameters_of(target)


def component_at(where: str, node: Mapping[str, Any]) -> Callable[..., Any] | None:
    """The class or function that ``node`` describes at path ``where``, however it is spelled; None
    where there is none, or its type is not known.
    """
    slot = slot_of(where)
    if slot is None:
        return None
    try:
        return target_of(node, slot)
    except UserError:
        return None


def needs_type(where: str) -> bool:
    """Whether path ``where`` is that of a component which must say its type."""
    slot = slot_of(where)
    return slot is not None and slot.default is None


def target_of(node: Mapping[str, Any], slot: Slot) -> Callable[..., Any] | None:
    """The class or function of a component, None where the config does not say."""
    named = node.get("type", slot.default)
    if named is not None and not isinstance(named, str) and not callable(named):
        raise UserError(f"type is the name of a component, got {shown(named)}.")
    if not isinstance(named, str):
        return named
    if slot.registry is None:
        raise UserError(f"it is always the same, so it takes no type (found '{named}').")
    return slot.registry.find(named)


def as_mapping(node: Any) -> Any:
    """``node`` where it is a dict, else an empty one; what else it may be is told by the config's
    check.
    """
    return node if isinstance(node, Mapping) else {}


def takes_anything(parameters: Mapping[str, inspect.Parameter]) -> bool:
    """Whether there is a ``**kwargs`` among them."""
    return any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
