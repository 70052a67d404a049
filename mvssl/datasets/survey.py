"""What image files hold, by a sample of them: channels, depth and the range of values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mvssl.arguments import check_count
from mvssl.datasets.headers import Kind, kind_of_image
from mvssl.datasets.images import read_image
from mvssl.datasets.values import MOST_CHANNELS, check_value_range, range_of, resized
from mvssl.errors import UserError
from mvssl.words import count

__all__ = ["FileValues", "centre", "spread", "survey"]

LOOKED_AT: Final = 64


@dataclass
class FileValues:
    """How the values of files are read.

    Attributes:
        channels: of every image.
        value_range: of values that are not those of 8 bits.
        given: whether a user gave it.
        notes: what a user is told.
    """

    channels: int
    value_range: tuple[float, float] | None
    given: bool
    notes: list[str] = field(default_factory=list)

    def fitted(self, image: NDArray[Any], size: int | None, crop_pct: float) -> NDArray[Any] | None:
        """An image as the data set gives it; None where its depth is not that of the others."""
        if image.dtype != np.uint8:
            if self.value_range is None:
                return None
            image = image.astype(np.float32)  # of which OpenCV resizes every kind
        elif self.value_range is not None and not self.given:
            # A file of 8 bits among deeper ones: its own range is the whole one.
            low, high = self.value_range
            image = image.astype(np.float32) * np.float32((high - low) / 255.0) + np.float32(low)
        return image if size is None else centre(image, size, crop_pct)


def spread(names: Sequence[str]) -> list[str]:
    """At most 64 of them, evenly spaced."""
    numbers = np.unique(np.linspace(0, len(names) - 1, LOOKED_AT).round().astype(int))
    return [names[number] for number in numbers.tolist()] if len(names) else []


def survey(
    owner: str,
    files: Sequence[str],
    channels: int | None,
    value_range: Sequence[float] | None,
    max_bytes: int,
) -> FileValues:
    """Looks at files, which are a sample of a data set.

    Args:
        owner: for messages.
        channels, value_range: as a user gave them; None: by the files.

    Raises:
        UserError: an argument is out of its range, or values have no range.
    """
    if channels is not None:
        check_count(owner, at_most=MOST_CHANNELS, channels=channels)
    given = check_value_range(owner, value_range)
    looked = {file: kind_of_image(file, max_bytes) for file in files}
    kinds = {file: kind for file, kind in looked.items() if kind is not None}
    bands = _usual_bands(list(kinds.values()))
    number = channels or bands
    notes = _channel_notes(list(kinds.values()), number, channels is None)
    deep = [file for file, kind in kinds.items() if kind.deep]
    if given is not None or not deep:
        return FileValues(number, given, given is not None, notes)
    read = [read_image(file, max_bytes=max_bytes, channels=number) for file in deep]
    found = range_of(image for image in read if image is not None)
    if found is None:
        raise UserError(
            f"{owner}: {deep[0]} has more than 8 bits, and of {count(len(deep), 'such file')} no "
            f"range of values can be read: give value_range=(black, white)."
        )
    notes.append(
        f"values of more than 8 bits: {found[0]:g} is taken for black and {found[1]:g} for white, "
        f"by {count(len(deep), 'image')}; value_range in the data set sets them"
    )
    return FileValues(number, found, False, notes)


def _usual_bands(kinds: Sequence[Kind]) -> int:
    """3 for greys and colours with or without alpha; else what most files have."""
    several = Counter(one.bands for one in kinds if one.bands not in (1, 3) and not one.alpha)
    most = several.most_common(1)
    return most[0][0] if most and most[0][1] * 2 > len(kinds) else 3


def _channel_notes(kinds: Sequence[Kind], number: int, chosen: bool) -> list[str]:
    beside = [one for one in kinds if one.bands > number]
    notes = []
    if beside and number == 3:
        what = "transparency" if all(one.alpha for one in beside) else "channels after the third"
        notes.append(
            f"of {len(kinds)} images {len(beside)} have {what}, which is left out; channels="
            f"{beside[0].bands} in the data set keeps it"
        )
    if chosen and number != 3:
        notes.append(f"images have {number} channels; channels in the data set sets another number")
    if chosen and number == 3 and kinds and all(one.bands == 1 for one in kinds):
        notes.append("images are grey, shown as three equal channels; channels=1 keeps one")
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
