"""Checks of the arguments of operations."""

from __future__ import annotations

from typing import Any

from mvssl.arguments import is_number
from mvssl.errors import UserError

__all__ = ["check_probability", "check_strength", "positive_interval"]


def check_probability(owner: str, **values: Any) -> None:
    """Raises a UserError unless each is a number from 0 to 1."""
    for name, value in values.items():
        _check_range(owner, name, value, 1.0, "a probability from 0 to 1")


def check_strength(owner: str, most: float = 100.0, **values: Any) -> None:
    """Raises a UserError unless each is a number from 0 to ``most``."""
    for name, value in values.items():
        _check_range(owner, name, value, most, f"a strength from 0 to {most:g}")


def _check_range(owner: str, name: str, value: Any, most: float, wanted: str) -> None:
    if not is_number(value) or not 0 <= value <= most:
        raise UserError(f"{owner}: {name} must be {wanted}, not {value!r}.")


def positive_interval(
    owner: str, name: str, value: Any, least: float, most: float
) -> tuple[float, float]:
    """Two numbers, as a tuple, where a config may have written a list.

    Raises:
        UserError: They are not numbers with least <= low <= high <= most.
    """
    pair = tuple(value) if isinstance(value, (tuple, list)) else ()
    if len(pair) != 2 or not all(map(is_number, pair)) or not 0 < pair[0] <= pair[1]:
        raise UserError(f"{owner}: {name} must be two numbers, 0 < low <= high, not {value!r}.")
    if not least <= pair[0] <= pair[1] <= most:
        raise UserError(
            f"{owner}: {name} must be two numbers from {least:g} to {most:g}, not {value!r}."
        )
    return (float(pair[0]), float(pair[1]))
