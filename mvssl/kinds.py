"""Which kinds of values an argument takes, read from its annotation."""

from __future__ import annotations

import collections.abc
import inspect
import math
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from numbers import Integral, Real
from typing import Any, Literal, Union, get_args, get_origin

from mvssl.words import either

__all__ = ["parameters_of", "unquoted", "wrong_kind"]

# Annotations that say all there is to a value.
PLAIN: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    str: "a text",
    type(None): "None",
}
LISTS = (list, tuple, collections.abc.Sequence, collections.abc.Iterable)
DICTS = (dict, collections.abc.Mapping)
UNIONS = (Union, types.UnionType)


def parameters_of(target: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """Arguments of a class or function by name, but ``*args``; annotations as objects where they
    can be resolved.
    """
    hashable: Any = target
    return _parameters_of(hashable)


@lru_cache(maxsize=1024)
def _parameters_of(target: Any) -> Mapping[str, inspect.Parameter]:
    try:
        signature = inspect.signature(target, eval_str=True)
    except Exception:  # an annotation may name what is imported for type checkers alone
        signature = inspect.signature(target)
    # What OptimWrapper and hooks pass on reaches no constructor of ours.
    return {
        name: parameter
        for name, parameter in signature.parameters.items()
        if parameter.kind is not inspect.Parameter.VAR_POSITIONAL
    }


def wrong_kind(value: Any, parameter: inspect.Parameter) -> str | None:
    """What a parameter takes, where ``value`` is of another kind; None where it may be right.

    Annotations of classes say nothing: a constructor may make one of what it is given.
    """
    default = parameter.default
    if type(value) is type(default) and value == default:
        return None  # `x: int = None`, as older code writes it
    annotation = _annotation(parameter)
    return None if _fits(value, annotation) else _told(annotation)


def unquoted(value: Any) -> str:
    """End of a sentence about a value: a number or a word of Python that was given as a text."""
    if not isinstance(value, str):
        return ""
    text = value.strip().lower()
    try:
        number = math.isfinite(float(text))
    except ValueError:
        number = False
    return "; leave out the quotes" if number or text in ("true", "false", "none") else ""


def _annotation(parameter: inspect.Parameter) -> Any:
    """Of an argument; without one, what its default value says."""
    annotation = parameter.annotation
    if isinstance(annotation, str):  # which could not be resolved: it is plain, or says nothing
        return next((kind for kind in PLAIN if kind.__name__ == annotation), Any)
    if annotation is not inspect.Parameter.empty:
        return annotation
    default = parameter.default
    if isinstance(default, bool | dict):
        return type(default)
    # 0 may stand for 0.0.
    return float if isinstance(default, int | float) else Any


def _fits(value: Any, annotation: Any) -> bool:
    if annotation in PLAIN:
        return _plain(value, annotation)
    origin, inner = get_origin(annotation), get_args(annotation)
    kind = origin or annotation
    if origin in UNIONS:
        return any(_fits(value, one) for one in _telling(inner))
    if origin is Literal:
        return any(type(value) is type(one) and value == one for one in inner)
    if kind in LISTS:
        return _fits_list(value, kind, inner)
    if kind in DICTS:
        return isinstance(value, Mapping)
    if kind is collections.abc.Callable:
        return callable(value) or isinstance(value, Mapping)
    return True


def _plain(value: Any, kind: Any) -> bool:
    if kind is bool or isinstance(value, bool):
        return kind is bool and isinstance(value, bool)
    if kind in (int, float):
        return isinstance(value, Integral if kind is int else Real)
    return isinstance(value, kind)


def _fits_list(value: Any, kind: Any, inner: Sequence[Any]) -> bool:
    if not isinstance(value, list | tuple):
        # Objects of other kinds may be iterable; a config holds none, or means them.
        return not (value is None or isinstance(value, str | bytes | Mapping | Real))
    if kind is tuple and inner and inner[-1] is not Ellipsis:
        return len(value) == len(inner) and all(map(_fits_member, value, inner))
    return not inner or all(_fits_member(one, inner[0]) for one in value)


def _fits_member(value: Any, annotation: Any) -> bool:
    """Whether one of a list fits, where that is plain: annotations of others are often wrong."""
    each = get_args(annotation) if get_origin(annotation) in UNIONS else (annotation,)
    return not any(one in PLAIN for one in each) or _fits(value, annotation)


def _telling(members: Sequence[Any]) -> list[Any]:
    """Members of a union by which a value of a config can be judged."""
    known = [one for one in members if _judged(one)]
    # Of a class beside plain kinds (a tensor, a path) a config holds none, or an object of it.
    others = [one for one in members if not _judged(one)]
    if any(one is Any or isinstance(one, typing.TypeVar) for one in others):
        return [Any]
    return known if any(one is not type(None) for one in known) else [Any]


def _judged(annotation: Any) -> bool:
    kind = get_origin(annotation) or annotation
    known = (*PLAIN, *LISTS, *DICTS, *UNIONS, Literal, collections.abc.Callable)
    return any(kind is one for one in known)


def _told(annotation: Any) -> str:
    """What a value is to be, in words."""
    if annotation in PLAIN:
        return PLAIN[annotation]
    origin, inner = get_origin(annotation), get_args(annotation)
    kind = origin or annotation
    if origin in UNIONS:
        return _joined(_told(one) for one in _telling(inner))
    if origin is Literal:
        return either(str(one) for one in inner)
    if kind in LISTS:
        fixed = kind is tuple and inner and inner[-1] is not Ellipsis
        members = [_told(one) for one in (inner if fixed else inner[:1])]
        return _list_told(members, fixed)
    if kind in DICTS:
        return "a dict"
    return "a function"


def _joined(words: Iterable[str]) -> str:
    """``True, False or None``."""
    each = list(dict.fromkeys(one for word in words for one in word.split(" or ")))
    return " or ".join([", ".join(each[:-1]), each[-1]]) if len(each) > 1 else each[0]


def _list_told(members: list[str], fixed: Any) -> str:
    plain = set(members)
    if len(plain) != 1 or next(iter(plain)) not in PLAIN.values():
        return f"a list of {len(members)}" if fixed else "a list"
    word = next(iter(plain)).removeprefix("a ")
    several = {"whole number": "whole numbers", "number": "numbers", "text": "texts"}.get(word)
    if several is None:
        return "a list"
    return f"a list of {len(members)} {several}" if fixed else f"a list of {several}"
