"""What a component raises while it is built, as a sentence for the user."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from mvssl.config.checks import Problem
from mvssl.errors import ComponentError, UserError
from mvssl.words import in_words

__all__ = ["as_user_error", "attempt"]

T = TypeVar("T")


def attempt(where: str, build: Callable[[], T], problems: list[Problem]) -> T | None:
    """What ``build`` makes, or None and one more of the ``problems``."""
    try:
        return build()
    except Exception as error:  # a component raises what it likes
        told = as_user_error(where, error)
        problems.append(Problem(where, str(told), told.__cause__))
        return None


def as_user_error(where: str, error: Exception) -> UserError:
    """The sentence of a fault that a component told, or one with what it raised, and where."""
    if isinstance(error, UserError) and not isinstance(error, ComponentError):
        return error
    told = UserError(f"{where}: {in_words(error)}")
    told.__cause__ = error.__cause__ if isinstance(error, ComponentError) else error
    return told
