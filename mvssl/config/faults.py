"""What a component raises while it is built, as a sentence for the user."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Mapping
from typing import TypeVar

from mvssl.config.checks import Problem
from mvssl.errors import UserError
from mvssl.registry import Registry

__all__ = ["COMPONENT_ERRORS", "as_user_error", "attempt"]

T = TypeVar("T")

# What a component of the config may raise while it is built.
COMPONENT_ERRORS = (
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)


def attempt(where: str, build: Callable[[], T], problems: list[Problem]) -> T | None:
    """What ``build`` makes, or None and one more of the ``problems``."""
    try:
        return build()
    except COMPONENT_ERRORS as error:
        told = as_user_error(where, error)
        problems.append(Problem(where, str(told), told.__cause__))
        return None


def as_user_error(where: str, error: Exception) -> UserError:
    """The sentence of a fault that a component told, or one with what it raised, and where."""
    if isinstance(error, UserError):
        return error
    text = " ".join(str(error).split())
    if not text or not isinstance(error, ValueError | AssertionError):
        text = f"{type(error).__name__}: {text or 'no message'}"
    told = UserError(f"{where}: {_component(error)}{text}")
    told.__cause__ = error
    return told


def _component(error: Exception) -> str:
    """The innermost component that was being built: a model is built with all its parts."""
    found = ""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code is Registry.build.__code__:
            cfg = frame.f_locals["cfg"]
            kind = cfg.get("type") if isinstance(cfg, Mapping) else None
            if inspect.isroutine(kind) or isinstance(kind, type):
                found = f"{kind.__name__}: "
    return found
