"""Operations by short names: ``flip=0.5`` for the argument ``prob`` of ``HorizontalFlip``."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mvssl.errors import UserError
from mvssl.registry import VIEW_OPS
from mvssl.views.ops.base import Operation
from mvssl.words import each, either, near_names

__all__ = ["by_operation", "change", "flat_names", "usual_operations"]


def _operations() -> list[type[Operation]]:
    """Every registered class once, in the order in which they are applied."""
    registered = dict.fromkeys(VIEW_OPS.module_dict.values())
    found = [one for one in registered if inspect.isclass(one) and issubclass(one, Operation)]
    return sorted(found, key=lambda operation: operation.place)


def usual_operations() -> list[Operation]:
    """What a view has that says nothing else."""
    return [operation() for operation in _operations() if operation.usual]


def flat_names() -> dict[str, type[Operation]]:
    """Every short name and whose it is.

    Raises:
        UserError: Two operations claim one name.
    """
    found: dict[str, type[Operation]] = {}
    for operation in _operations():
        for name in operation.flat:
            if name in found:
                raise UserError(
                    f"Two operations of views claim the short name {name!r}: "
                    f"{found[name].__name__} and {operation.__name__}. Rename it in one of them."
                )
            found[name] = operation
    return found


def by_operation(named: Mapping[str, Any]) -> dict[type[Operation], dict[str, Any]]:
    """Short names with their values, sorted by whose they are, in the order of application.

    Raises:
        UserError: A name is not known.
    """
    known = flat_names()
    for name in named:
        if name not in known:
            hint = near_names(str(name), known, f"; known are {each(sorted(known), most=40)}.")
            raise UserError(f"no operation of a view has {name!r}{hint}")
    return {
        operation: {name: named[name] for name in operation.flat if name in named}
        for operation in _operations()
        if not named.keys().isdisjoint(operation.flat)
    }


def change(operations: Iterable[Operation], named: Mapping[str, Any]) -> list[Operation]:
    """The operations with arguments changed by their short names.

    What is not among them is added in its usual place.

    Raises:
        UserError: A name or a value is not right, or it would change nothing.
    """
    changed = list(operations)
    for kind, values in by_operation(named).items():
        if any(type(one) is kind for one in changed):
            changed = [_changed(one, values) if type(one) is kind else one for one in changed]
            continue
        added = _added(kind, values)
        if added is not None:
            after = [n for n, one in enumerate(changed, start=1) if one.place <= kind.place]
            changed.insert(max(after, default=0), added)
    return changed


def _arguments(kind: type[Operation], values: Mapping[str, Any]) -> dict[str, Any]:
    return {kind.flat[name]: value for name, value in values.items()}


def _spelled(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in values.items())


def _changed(operation: Operation, values: Mapping[str, Any]) -> Operation:
    try:
        return dataclasses.replace(operation, **_arguments(type(operation), values))
    except UserError as error:
        raise UserError(f"{_spelled(values)}: {error}") from error


def _added(kind: type[Operation], values: Mapping[str, Any]) -> Operation | None:
    """An operation made from its short names, None where they say that there is to be none."""
    arguments = _arguments(kind, values)
    missing = _required(kind) - arguments.keys()
    try:
        added = None if missing else kind(**arguments)
    except UserError as error:
        raise UserError(f"{_spelled(values)}: {error}") from error
    if added is not None and not added.idle:
        return added
    if 0 in values.values():
        return None
    others = [name for name in kind.flat if name not in values]
    raise UserError(
        f"{_spelled(values)} changes nothing, since the view has no {kind.__name__}: "
        f"give {either(others)} too, or leave it out."
    )


def _required(kind: type[Operation]) -> set[str]:
    parameters: Sequence[inspect.Parameter] = [*inspect.signature(kind).parameters.values()]
    return {p.name for p in parameters if p.default is inspect.Parameter.empty}
