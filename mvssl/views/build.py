"""Views from a config: the name of a set or a list, and options that change all of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mvssl.errors import UserError
from mvssl.registry import VIEW_OPS, VIEW_SETS, build_part
from mvssl.views.flat import by_operation, flat_names
from mvssl.views.ops.base import Operation
from mvssl.views.view import View
from mvssl.words import either, near_names

__all__ = ["ViewsConfig", "build_views", "find_set"]

ViewsConfig = str | Mapping[str, Any] | Sequence[Mapping[str, Any]]
"""The name of a set, ``dict(type=name, ...)`` with its arguments, or one dict per view."""

_OWN = ("size", "channels", "draw_as")


def build_views(
    views: ViewsConfig, size: int, view_options: Mapping[str, Any] | None = None
) -> list[View]:
    """Makes the list of views from a config.

    Args:
        views: A name in ``VIEW_SETS``, a dict with that name as ``type`` and further arguments of
            the set, or a dict for each view: either short names of operations, ``dict(flip=0)``, or
            the operations themselves, ``dict(operations=[dict(type='RandomResizedCrop'), ...])``.
        size: Side in pixels, for every view that does not state its own.
        view_options: Short names of operations. An operation is changed in every view that has it,
            and where none has, added to all.

    Raises:
        UserError: A name, an argument or a value is not right.
    """
    if isinstance(views, str | Mapping):
        built = _from_set({"type": views} if isinstance(views, str) else views, size)
    elif not views or not all(isinstance(spec, Mapping) for spec in views):
        raise UserError(
            f"views must be the name of a view set ({', '.join(sorted(VIEW_SETS.module_dict))}) "
            f"or a list of dicts, one per view, not {views!r}."
        )
    else:
        built = [_from_dict(number, spec, size) for number, spec in enumerate(views)]
    _check_draws(built)
    return _changed(built, view_options or {})


def find_set(views: Any) -> Callable[..., list[View]] | None:
    """The function of the view set that a config names; None where it names none, or lists views.

    Args:
        views: As ``build_views`` takes them, or anything.
    """
    name = views.get("type") if isinstance(views, Mapping) else views
    return VIEW_SETS.get(name) if isinstance(name, str) else None


def _from_set(spec: Mapping[str, Any], size: int) -> list[View]:
    name = spec.get("type")
    if not isinstance(name, str):
        raise UserError(f"views: a dict names its view set, dict(type='byol'), not {dict(spec)!r}.")
    make = VIEW_SETS.get(name)
    if make is None:
        listed = ", ".join(sorted(VIEW_SETS.module_dict))
        near = near_names(name, VIEW_SETS.module_dict)
        raise UserError(f"There is no view set {name!r}{near} Known: {listed}.")
    arguments = {"size": size, **{key: value for key, value in spec.items() if key != "type"}}
    signature = inspect.signature(make)
    known = signature.parameters
    for argument in arguments:
        if argument not in known:
            raise UserError(
                f"views: the set {name!r} takes no {argument!r}{near_names(argument, known)} "
                f"It takes {either(known)}."
            )
    try:
        signature.bind(**arguments)
    except TypeError as error:
        raise UserError(
            f"views: the set {name!r}: {error}; give dict(type={name!r}, ...)."
        ) from error
    made = list(make(**arguments))
    if not made or not all(isinstance(view, View) for view in made):
        raise UserError(f"views: the set {name!r} must give a list of mvssl.views.View.")
    return made


def _from_dict(number: int, spec: Mapping[str, Any], size: int) -> View:
    spec = {"size": size, **spec}
    named = {name: value for name, value in spec.items() if name not in _OWN}
    own = {name: spec[name] for name in _OWN if name in spec}
    try:
        if "operations" not in named:
            _check_names(named)
            return View.flat(**own, **named)
        listed = named.pop("operations")
        if named:
            raise UserError(
                f"operations and {either(named)} cannot both be given: an operation's arguments "
                f"stand in its own dict(type=...)."
            )
        if not isinstance(listed, list | tuple):
            raise UserError(
                f"operations is a list, such as [dict(type='RandomResizedCrop')], not {listed!r}."
            )
        return View(operations=[_operation(one) for one in listed], **own)
    except UserError as error:
        raise UserError(f"views[{number}]: {error}") from error


def _operation(spec: Any) -> Operation:
    if isinstance(spec, Operation):
        return spec
    if not isinstance(spec, Mapping) or "type" not in spec:
        raise UserError(f"an operation is dict(type='RandomResizedCrop', ...), not {spec!r}.")
    try:
        return build_part(VIEW_OPS, dict(spec))
    except TypeError as error:
        raise UserError(f"operations: {error}") from error


def _check_names(named: Mapping[str, Any]) -> None:
    known = [*_OWN, "operations", *flat_names()]
    for name in named:
        if name not in known:
            near, listed = near_names(str(name), known), ", ".join(sorted(known))
            raise UserError(f"a view has no {name!r}{near} Known: {listed}.")


def _check_draws(views: Sequence[View]) -> None:
    """That every ``draw_as`` names a view which has random numbers of its own."""
    for number, view in enumerate(views):
        if view.draw_as is None:
            continue
        if view.draw_as >= len(views) or views[view.draw_as].draw_as is not None:
            raise UserError(
                f"views[{number}].draw_as is {view.draw_as}, but that is no view (from 0 to "
                f"{len(views) - 1}) with random numbers of its own."
            )


def _changed(views: list[View], options: Mapping[str, Any]) -> list[View]:
    if not isinstance(options, Mapping):
        raise UserError(
            f"view_options is a dict of short names, such as dict(flip=0), not {options!r}."
        )
    try:
        for kind, values in by_operation(options).items():
            having = [any(type(one) is kind for one in view.operations) for view in views]
            views = [
                view.but(**values) if has or not any(having) else view
                for has, view in zip(having, views, strict=True)
            ]
    except UserError as error:
        raise UserError(f"view_options: {error}") from error
    return views
