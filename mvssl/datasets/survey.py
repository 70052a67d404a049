"""What image files hold, by a sample of them: channels, depth and the range of values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mvssl.arguments import check_count
from mvssl.datasets.headers import MOST_COLORS, MOST_PIXELS, Kind, kind_of_image
from mvssl.datasets.images import decode_image, why_undecodable
from mvssl.datasets.values import MOST_CHANNELS, check_value_range, range_of, resized
from mvssl.errors import UserError
from mvssl.words import count

__all__ = ["FileValues", "centre", "spread", "survey"]

LOOKED_AT: Final = 64
_WHITE: Final = 255


@dataclass
class FileValues:
    """How the values of files are read.

    Attributes:
        channels: of every image.
        value_range: of values that are not those of 8 bits.
        own_range: whether files of 8 bits have one of their own, 0 to 255, beside it.
        notes: what a user is told.
    """

    channels: int
    value_range: tuple[float, float] | None
    own_range: bool = False
    notes: list[str] = field(default_factory=list)

    def fitted(self, image: NDArray[Any], size: int | None, crop_pct: float) -> NDArray[Any] | None:
        """An image as the data set gives it; None where its depth is not that of the others."""
        if image.dtype != np.uint8:
            if self.value_range is None:
                return None
            image = image.astype(np.float32)  # of which OpenCV resizes every kind
        elif self.value_range is not None and self.own_range:
            low, high = self.value_range
            image = image.astype(np.float32) * np.float32((high - low) / 255.0) + np.float32(low)
        return image if size is None else centre(image, size, crop_pct)


def spread(total: int) -> list[int]:
    """At most 64 of ``total`` numbers, evenly spaced."""
    if not total:
        return []
    numbers: list[int] = np.linspace(0, total - 1, LOOKED_AT).round().astype(int).tolist()
    return sorted(set(numbers))


def survey(
    owner: str,
    contents: Sequence[Callable[[], bytes]],
    channels: int | None,
    value_range: Sequence[float] | None,
    max_pixels: int = MOST_PIXELS,
) -> FileValues:
    """Looks at a sample of the files of a data set.

    Args:
        owner: for messages.
        contents: give the bytes of a file each, or fail.
        channels, value_range: as a user gave them; None: by the files.
        max_pixels: an image with more is not decoded.

    Raises:
        UserError: an argument is out of its range, or values have no range.
    """
    if channels is not None:
        check_count(owner, at_most=MOST_CHANNELS, channels=channels)
    given = check_value_range(owner, value_range)
    kinds, deep, flat = list[Kind](), list[Callable[[], bytes]](), list[Callable[[], bytes]]()
    for content in contents:
        with suppress(Exception):  # what cannot be read is told when it is asked for
            kind = kind_of_image(content())
            if kind is not None:
                kinds.append(kind)
                (deep if kind.deep else flat).append(content)
    number = channels or _usual_bands(kinds)
    notes = _channel_notes(kinds, number, channels is None)
    if given is not None:
        return FileValues(number, given, _is_beside(given, flat, max_pixels, number), notes)
    if not deep:
        return FileValues(number, None, notes=notes)
    # One by one: files of so many bits are large.
    found = range_of(_decoded(deep, max_pixels, number))
    if found is None:
        raise UserError(_without_range(owner, deep, max_pixels, number))
    notes.append(
        f"values of more than 8 bits: {found[0]:g} is taken for black and {found[1]:g} for white, "
        f"by {count(len(deep), 'image')}; value_range in the data set sets them"
    )
    # What files of 8 bits hold, of whole numbers, is on one scale with them.
    return FileValues(number, found, not 1 < found[1] <= _WHITE, notes)


def _without_range(
    owner: str, deep: Sequence[Callable[[], bytes]], max_pixels: int, channels: int
) -> str:
    """Why files of more than 8 bits say no range of values, and what to do."""
    files = count(len(deep), "such file")
    if any(True for _ in _decoded(deep, max_pixels, channels)):
        return (
            f"{owner}: images have more than 8 bits, and {files} hold no two values: give "
            f"value_range=(black, white)."
        )
    why = why_undecodable(deep[0], max_pixels, channels)
    return (
        f"{owner}: images have more than 8 bits, and of {files} none can be read: the first {why}."
    )


def _is_beside(
    given: tuple[float, float],
    flat: Sequence[Callable[[], bytes]],
    max_pixels: int,
    channels: int,
) -> bool:
    """Whether a range that a user gave is that of deeper files than these, of 8 bits: one that
    none of 8 bits has, or one of fractions, where their values are none.
    """
    if given[1] > 1:
        return given[1] > _WHITE
    return any(image.max() > 1 for image in _decoded(flat, max_pixels, channels))


def _decoded(
    contents: Sequence[Callable[[], bytes]], max_pixels: int, channels: int
) -> Iterator[NDArray[Any]]:
    for content in contents:
        with suppress(Exception):  # it has gone since
            image = decode_image(content(), max_pixels, channels)
            if image is not None:
                yield image


def _usual_bands(kinds: Sequence[Kind]) -> int:
    """3 for greys and colours with or without alpha; else what most files have, in one image or in
    pages of one band.
    """
    bands = [one.pages if one.pages > 1 else one.bands for one in kinds if not one.alpha]
    several = Counter(number for number in bands if number not in (1, 3))
    most = several.most_common(1)
    return most[0][0] if most and most[0][1] * 2 > len(kinds) else 3


def _channel_notes(kinds: Sequence[Kind], number: int, chosen: bool) -> list[str]:
    beside = [one for one in kinds if number < one.bands <= MOST_COLORS]
    notes = list[str]()
    if beside and number == 3:
        what = "transparency" if all(one.alpha for one in beside) else "channels after the third"
        notes.append(
            f"{_some(len(beside), kinds)} {what}, which is left out; channels={beside[0].bands} in "
            f"the data set keeps it"
        )
    notes += _page_notes(kinds, number)
    if chosen and number != 3:
        notes.append(f"images have {number} channels; channels in the data set sets another number")
    if chosen and number == 3 and kinds and all(one.bands == 1 and one.pages != 3 for one in kinds):
        notes.append("images are grey, shown as three equal channels; channels=1 keeps one")
    return notes


def _some(number: int, kinds: Sequence[Kind]) -> str:
    verb = "has" if number == 1 else "have"
    return f"of {len(kinds)} images that were looked at {number} {verb}"


def _page_notes(kinds: Sequence[Kind], number: int) -> list[str]:
    stacks = [one.pages for one in kinds if one.pages > 1]
    read, others = stacks.count(number), [pages for pages in stacks if pages != number]
    notes = list[str]()
    if read:
        notes.append(
            f"{_some(read, kinds)} {number} pages of one band each, which are read as channels"
        )
    if others and number in (1, 3):
        notes.append(
            f"{_some(len(others), kinds)} several pages of one band each, of which the first is "
            f"read; channels={others[0]} in the data set reads {others[0]} as channels"
        )
    return notes


def centre(image: NDArray[Any], size: int, crop_pct: float) -> NDArray[Any]:
    """Resizes the short side to ``size / crop_pct`` and cuts the centre out."""
    height, width = image.shape[:2]
    short = max(round(size / crop_pct), size)
    scale = short / min(height, width)
    target = (max(round(width * scale), size), max(round(height * scale), size))
    made = resized(image, *target)
    top, left = (target[1] - size) // 2, (target[0] - size) // 2
    return made[top : top + size, left : left + size]
