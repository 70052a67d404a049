"""What one random view of an image is."""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mvssl.arguments import check_count, is_integer
from mvssl.errors import UserError
from mvssl.views.draws import first_place, numbers, places, stream_keys
from mvssl.views.flat import change, usual_operations
from mvssl.views.ops.base import Operation

__all__ = ["MOST_SIDE", "NUM_CHANNELS", "Step", "View"]

MOST_SIDE = 2**15
"""Pixels, beyond which a batch of images fits in no memory."""

NUM_CHANNELS = 3


class Step(NamedTuple):
    """An operation as it acts in a view, and which of the view's random numbers are its own."""

    operation: Operation
    own: slice


@dataclass(frozen=True)
class View:
    """One random view of an image: operations in their order, and what the network is given of it.

    Args:
        size: Side of the square view in pixels.
        operations: What is done to an image; those that never change it are left out.
        channels: Which channels of the finished view the network is given, such as ``(0,)`` for
            the lightness of a preprocessor with ``color_space='lab'``; None for all of them.
        draw_as: Number of the view whose random numbers this one uses, so that with equal crops
            the two show the same pixels; None for random numbers of its own.

    Raises:
        UserError: A value is outside its range.
    """

    size: int
    operations: Sequence[Operation]
    channels: tuple[int, ...] | None = None
    draw_as: int | None = None

    def __post_init__(self) -> None:
        check_count("View", 2, MOST_SIDE, size=self.size)
        for operation in self.operations:
            if not isinstance(operation, Operation):
                raise UserError(
                    f"View: operations holds {operation!r}, which is not derived from "
                    f"mvssl.views.Operation."
                )
        kept = tuple(operation for operation in self.operations if not operation.idle)
        object.__setattr__(self, "operations", kept)
        if self.channels is not None:
            object.__setattr__(self, "channels", _some_channels(self.channels))
        if self.draw_as is not None and not (is_integer(self.draw_as) and self.draw_as >= 0):
            raise UserError(f"View: draw_as is the number of a view, not {self.draw_as!r}.")

    @classmethod
    def flat(
        cls,
        size: int,
        channels: Sequence[int] | None = None,
        draw_as: int | None = None,
        **named: Any,
    ) -> View:
        """A view by short names: ``View.flat(32, flip=0, gray=0.2)``.

        It has the usual operations, a crop and a flip, and those that a name asks for; the names
        are what ``Operation.flat`` of the registered operations says.

        Raises:
            UserError: A name is not known, or a value is outside its range.
        """
        operations = change(usual_operations(), named)
        return cls(size, operations, channels, draw_as)  # type: ignore[arg-type]

    def but(self, size: int | None = None, **named: Any) -> View:
        """This view with another size, or with operations changed or added by their short names.

        Raises:
            UserError: As ``flat`` does.
        """
        operations = change(self.operations, named)
        return replace(self, size=self.size if size is None else size, operations=operations)

    @functools.cached_property
    def steps(self) -> tuple[Step, ...]:
        """Operations as they act at this size, with their share of ``numbers``."""
        ends = list(itertools.accumulate(one.numbers for one in self.operations))
        return tuple(
            Step(one.sized(self.size), slice(end - one.numbers, end))
            for one, end in zip(self.operations, ends, strict=True)
        )

    @functools.cached_property
    def places(self) -> NDArray[np.uint64]:
        """Where the numbers of all operations stand in the view's sequences, one after the other.

        They follow from what an operation is and not from what surrounds it: adding another leaves
        its draws as they were.
        """
        seen: Counter[str] = Counter()
        found = [np.empty(0, dtype=np.uint64)]
        for operation in self.operations:
            name = operation.name
            seen[name] += 1
            first = operation.first_of_its_own
            if first is None or seen[name] > 1:
                first = first_place(name if seen[name] == 1 else f"{name} {seen[name]}")
            found.append(places(first, operation.numbers))
        return np.concatenate(found)

    def stream(self, number: int) -> int:
        """Which of a sample's sequences is its own; ``number``: its place in the list of views."""
        return number if self.draw_as is None else self.draw_as

    def random_numbers(self, key_b: NDArray[np.uint64], number: int) -> NDArray[np.float64]:
        """All that the operations draw from, (B, N), for samples of these keys.

        ``number`` is the place of this view in the list of views.
        """
        return numbers(stream_keys(key_b, self.stream(number)), self.places)

    def check_result(self, height: int, width: int) -> None:
        """Raises a UserError unless that is the size of the view."""
        if (height, width) != (self.size, self.size):
            listed = ", ".join(operation.name for operation in self.operations) or "none"
            raise UserError(
                f"A view of {self.size} px ends with an image of {height} x {width} px. Its "
                f"operations are {listed}: let RandomResizedCrop be the first of them, and none "
                f"after it change the size."
            )

    def describe(self) -> str:
        """``32 px, crop 0.3-1 of the area, ...``: what is drawn, and how often."""
        parts = [f"{self.size} px", *(operation.describe() for operation in self.operations)]
        if self.channels is not None:
            plural = "s" if len(self.channels) > 1 else ""
            parts.append(f"channel{plural} {' and '.join(map(str, self.channels))} alone")
        if self.draw_as is not None:
            parts.append(f"the same draw as view {self.draw_as + 1}")
        return ", ".join(parts)


def _some_channels(value: Any) -> tuple[int, ...]:
    channels = tuple(value) if isinstance(value, (tuple, list)) else ()
    known = all(is_integer(c) and 0 <= c < NUM_CHANNELS for c in channels)
    if not channels or not known or len(set(channels)) < len(channels):
        raise UserError(
            f"View: channels must be different numbers from 0 to {NUM_CHANNELS - 1}, such as "
            f"(1, 2), or None, not {value!r}."
        )
    return channels
