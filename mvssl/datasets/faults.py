"""How many images of a data set may be unreadable, and how they are named."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Final

import numpy as np

from mvssl.datasets.base import ImageDataset
from mvssl.datasets.images import MISSING
from mvssl.errors import UserError
from mvssl.words import printable

__all__ = ["MINIMUM", "MOST_NAMED", "check_some", "check_unreadable", "told_unreadable"]

MINIMUM: Final = 3
"""So many unreadable images say nothing of the others."""

MOST_NAMED: Final = 10
"""Unreadable images that the console names; the log names all."""

TRIED: Final = 8
_MOST_REASONS = 2


def told_unreadable(dataset: ImageDataset, index: int) -> str:
    """A sentence on an image whose place another one takes."""
    where = printable(dataset.path(index))
    return f"{where} {dataset.fault(index)}: another one takes its place."


def check_unreadable(
    dataset: ImageDataset, found: Collection[int], minimum: int = MINIMUM, fraction: float = 0.01
) -> None:
    """Raises a UserError where more than ``max(minimum, fraction * N)`` of N images are among
    ``found``, those that cannot be read: then something is wrong with the data.
    """
    limit = max(minimum, fraction * len(dataset))
    if len(found) > limit:
        raise UserError(
            f"{len(found)} of {len(dataset)} images cannot be read, which is more than {limit:g}: "
            f"{_reasons(dataset, sorted(found))} The log names each."
        )


def check_some(dataset: ImageDataset, minimum: float = math.inf, fraction: float = 0.01) -> None:
    """Tries a few images, spread over all, before anything is made of them.

    Raises a UserError where none of them can be read, or more than ``max(minimum, fraction * n)``
    of the n that were tried cannot: the sentence says why, and what to do.
    """
    numbers = np.unique(np.linspace(0, len(dataset) - 1, TRIED).round().astype(int)).tolist()
    bad = [number for number in numbers if dataset.pixels(number, _all_but_a_pixel) is None]
    if bad == numbers or len(bad) > max(minimum, fraction * len(numbers)):
        how_many = "none" if bad == numbers else f"only {len(numbers) - len(bad)}"
        raise UserError(
            f"{printable(dataset.describe())}: {how_many} of {len(numbers)} that were tried can be "
            f"read: {_reasons(dataset, bad)}"
        )


def _all_but_a_pixel(height: int, width: int) -> float:
    """Whether an image can be read is known from its smallest version too, in less time."""
    return float(min(height, width))


def _reasons(dataset: ImageDataset, found: Sequence[int]) -> str:
    """Why images cannot be read, the most frequent reasons with an image each, and what to do."""
    by_reason = defaultdict[str, list[int]](list)
    for index in found[:100]:  # a look into each file
        by_reason[dataset.fault(index)].append(index)
    parts = []
    for reason, indices in sorted(by_reason.items(), key=lambda pair: -len(pair[1])):
        more = f" ({len(indices) - 1} more likewise)" if len(indices) > 1 else ""
        parts.append(f"{printable(dataset.path(indices[0]))} {reason}{more}")
    remedy = dataset.remedy(missing=set(by_reason) == {MISSING})
    return f"{'; '.join(parts[:_MOST_REASONS])}. {remedy}"
