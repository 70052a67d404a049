"""How many images of a data set may be unreadable, and how they are named."""

from __future__ import annotations

from collections.abc import Collection

from mvssl.datasets.base import ImageDataset
from mvssl.errors import UserError
from mvssl.words import printable

__all__ = ["check_unreadable", "told_unreadable"]


def told_unreadable(dataset: ImageDataset, index: int) -> str:
    """A sentence on an image whose place another one takes."""
    where = printable(dataset.path(index))
    return f"{where} {dataset.fault(index)}: another one takes its place."


def check_unreadable(
    dataset: ImageDataset, found: Collection[int], minimum: int = 3, fraction: float = 0.01
) -> None:
    """Raises a UserError where more than ``max(minimum, fraction * N)`` of N images are among
    ``found``, those that cannot be read: then something is wrong with the data.
    """
    limit = max(minimum, fraction * len(dataset))
    if len(found) > limit:
        first = ", ".join(dataset.path(index) for index in sorted(found)[:3])
        raise UserError(
            f"{len(found)} of {len(dataset)} images cannot be read ({first}, ...), "
            f"which is more than {limit:g}: remove or mend them; the log names each."
        )
