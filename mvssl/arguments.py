"""Checks of constructor arguments that components share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from numbers import Integral
from typing import Any, overload

from mvssl.errors import UserError

__all__ = [
    "LEAST",
    "MOST",
    "Number",
    "check_choice",
    "check_count",
    "check_fraction",
    "check_momentum",
    "check_not_negative",
    "check_number",
    "check_positive",
    "check_seed",
    "check_temperature",
    "check_width",
    "each_of",
    "is_integer",
    "is_number",
    "read_count",
]

MOST = 1e6
"""Weights and factors beyond it, squared in a gradient's norm, leave what float32 can count in."""
LEAST = 1e-8
"""Factors below it vanish beside 1 in float32."""
# Of cosines, which lie in [-1, 1] and are known to 6e-8 in float32: divided by less, logits are
# rounding errors; by more, all alike.
COLDEST, HOTTEST = 1e-4, 1e4
MOST_COUNTED = 2**31 - 1


def check_number(
    owner: str, low: float = float("-inf"), high: float = float("inf"), **values: float
) -> None:
    """Raises a UserError that names the argument unless each is a finite number in [low, high]."""
    for name, value in values.items():
        if not (is_number(value) and math.isfinite(value) and low <= value <= high):
            raise UserError(f"{owner}: {name} is {_between(low, high)}, got {value!r}.")


def _between(low: float, high: float) -> str:
    if math.isfinite(low) and math.isfinite(high):
        return f"a number from {low:g} to {high:g}"
    if math.isfinite(low):
        return f"a finite number of at least {low:g}"
    return f"a finite number of at most {high:g}" if math.isfinite(high) else "a finite number"


def check_positive(
    owner: str, at_least: float = LEAST, at_most: float = MOST, **values: float
) -> None:
    """Raises a UserError that names the argument unless each is a number over 0 with which float32
    can count: from ``at_least`` to ``at_most``.
    """
    for name, value in values.items():
        if not (is_number(value) and at_least <= value <= at_most):
            raise UserError(
                f"{owner}: {name} is a number greater than 0 ({at_least:g} to {at_most:g}), got "
                f"{value!r}."
            )


def check_not_negative(owner: str, at_most: float = MOST, **values: float) -> None:
    """Raises a UserError that names the argument unless each is a number from 0 to ``at_most``."""
    for name, value in values.items():
        if not (is_number(value) and 0 <= value <= at_most):
            raise UserError(
                f"{owner}: {name} is a number that is not negative (0 to {at_most:g}), got "
                f"{value!r}."
            )


def check_fraction(owner: str, **values: float) -> None:
    """Raises a UserError that names the argument unless each is a number in [0, 1]."""
    check_number(owner, 0.0, 1.0, **values)


def check_momentum(owner: str, **values: float) -> None:
    """Raises a UserError that names the argument unless each is a number in [0, 1], the fraction
    that is kept.
    """
    for name, value in values.items():
        if not (is_number(value) and 0 <= value <= 1):
            raise UserError(
                f"{owner}: {name} is the fraction that is kept, so it lies in [0, 1]; got "
                f"{value!r}."
            )


def check_temperature(owner: str, **values: float) -> None:
    """Raises a UserError that names the argument unless each is a temperature (or a concentration,
    its inverse) with which float32 can count.
    """
    check_positive(owner, COLDEST, HOTTEST, **values)


def check_count(owner: str, at_least: int = 1, at_most: int = MOST_COUNTED, **values: int) -> None:
    """Raises a UserError that names the argument unless each is an integer of ``at_least``, and of
    ``at_most``.
    """
    for name, value in values.items():
        if not is_integer(value) or value < at_least:
            raise UserError(
                f"{owner}: {name} is an integer and at least {at_least}, got {value!r}."
            )
        if value > at_most:
            raise UserError(f"{owner}: {name} is an integer and at most {at_most}, got {value!r}.")


def check_seed(owner: str, **values: int) -> None:
    """Raises a UserError that names the argument unless each is an integer that seeds a generator,
    NumPy's too.
    """
    check_count(owner, 0, 2**32 - 1, **values)


def each_of(
    owner: str, check: Callable[..., None], least: int = 1, **values: float | Sequence[float]
) -> list[Any]:
    """One number, or several that differ, as a list.

    Args:
        check: of each, as those above.
        least: as many at the least.
        values: one argument, by its name.

    Raises:
        UserError: ``check`` refuses one, or one is there twice.
    """
    ((name, value),) = values.items()
    several = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    for one in several:
        check(owner, **{name: one})
    if len(several) < least or len(set(several)) < len(several):
        raise UserError(f"{owner}: {name} is a number or several that differ, got {value!r}.")
    return several


class Number:
    """An attribute that holds a number of its range alone, whoever sets it: a constructor, or a
    schedule while it trains::

        temperature = Number(check_temperature)

    Args:
        check: is called with the name of the owner's class and ``name=value``; raises a UserError.
        optional: whether it may be None.
    """

    def __init__(self, check: Callable[..., None], optional: bool = False) -> None:
        self.check = check
        self.optional = optional
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Number: ...
    @overload
    def __get__(self, instance: object, owner: type) -> float: ...
    def __get__(self, instance: object | None, owner: type) -> Number | float:
        if instance is None:
            return self
        try:
            value: float = vars(instance)[self.name]
        except KeyError:
            raise AttributeError(self.name) from None
        return value

    def __set__(self, instance: object, value: float | None) -> None:
        if value is not None or not self.optional:
            self.check(type(instance).__name__, **{self.name: value})
        vars(instance)[self.name] = value


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


def read_count(name: str, text: str, least: int, most: int | None, what: str) -> int:
    """The whole number that a word of a command line or an environment variable holds.

    Args:
        name: of the variable.
        text: what it holds.
        least: the smallest allowed.
        most: the largest; None where there is none.
        what: it counts, for the message.

    Raises:
        UserError: it is no such number.
    """
    word = text.strip()
    value = int(word) if word.removeprefix("-").isdecimal() else None
    if value is None or value < least or (most is not None and value > most):
        limits = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise UserError(f"{name} is '{word}'; it has to be a whole number {limits} ({what}).")
    return value


def is_number(value: object) -> bool:
    """Whether it is one, and not a bool or, as a config or a command line may have it, a text."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_integer(value: object) -> bool:
    """Whether it is an int and not a bool."""
    return isinstance(value, int) and not isinstance(value, bool)
