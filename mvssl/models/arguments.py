"""Checks of constructor arguments that losses and assigners share."""

from __future__ import annotations

from mvssl.errors import UserError

__all__ = ["check_count", "check_not_negative", "check_positive"]


def check_positive(owner: str, **values: float) -> None:
    """Raises a UserError that names the argument unless each is a finite number over 0."""
    for name, value in values.items():
        if not (_is_number(value) and 0 < value < float("inf")):
            raise UserError(f"{owner}: {name} is a number greater than 0, got {value!r}.")


def check_not_negative(owner: str, **values: float) -> None:
    """Raises a UserError that names the argument unless each is a finite number, 0 or more."""
    for name, value in values.items():
        if not (_is_number(value) and 0 <= value < float("inf")):
            raise UserError(f"{owner}: {name} is a number that is not negative, got {value!r}.")


def check_count(owner: str, at_least: int = 1, **values: int) -> None:
    """Raises a UserError that names the argument unless each is an integer of ``at_least``."""
    for name, value in values.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < at_least:
            raise UserError(
                f"{owner}: {name} is an integer and at least {at_least}, got {value!r}."
            )


def _is_number(value: object) -> bool:
    # Configs come from text and command lines: 0.1 may arrive as '0.1'.
    return isinstance(value, (int, float)) and not isinstance(value, bool)
