"""Checks of constructor arguments that components share."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral

from mvssl.errors import UserError

__all__ = [
    "check_choice",
    "check_count",
    "check_not_negative",
    "check_positive",
    "check_width",
    "is_integer",
    "is_number",
]


def check_positive(owner: str, **values: float) -> None:
    """Raises a UserError that names the argument unless each is a finite number over 0."""
    for name, value in values.items():
        if not (is_number(value) and 0 < value < float("inf")):
            raise UserError(f"{owner}: {name} is a number greater than 0, got {value!r}.")


def check_not_negative(owner: str, **values: float) -> None:
    """Raises a UserError that names the argument unless each is a finite number, 0 or more."""
    for name, value in values.items():
        if not (is_number(value) and 0 <= value < float("inf")):
            raise UserError(f"{owner}: {name} is a number that is not negative, got {value!r}.")


def check_count(owner: str, at_least: int = 1, **values: int) -> None:
    """Raises a UserError that names the argument unless each is an integer of ``at_least``."""
    for name, value in values.items():
        if not is_integer(value) or value < at_least:
            raise UserError(
                f"{owner}: {name} is an integer and at least {at_least}, got {value!r}."
            )


def check_choice(owner: str, name: str, value: str, known: Iterable[str]) -> None:
    """Raises a UserError that names the argument and lists ``known`` unless it holds ``value``."""
    listed = list(known)
    if value not in listed:
        raise UserError(f"{owner}: {name} is one of {', '.join(listed)}, got {value!r}.")


def check_width(part: object, name: str, told: str) -> None:
    """Raises a UserError that says what ``told`` is unless ``part.name`` is there, an integer."""
    owner, value = type(part).__name__, getattr(part, name, None)
    if value is None:
        raise UserError(f"{owner} lacks {name}, {told} (an int); see docs/custom_component.md.")
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise UserError(
            f"{owner}: {name}, {told}, is an int, got {value!r}; see docs/custom_component.md."
        )


def is_number(value: object) -> bool:
    """Whether it is one, and not a bool or, as a config or a command line may have it, a text."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_integer(value: object) -> bool:
    """Whether it is an int and not a bool."""
    return isinstance(value, int) and not isinstance(value, bool)
