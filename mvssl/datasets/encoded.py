"""What data sets of encoded image files share, wherever the files lie."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvssl.arguments import check_count, is_number
from mvssl.datasets.base import ImageDataset, check_size
from mvssl.datasets.headers import MOST_BYTES, MOST_PIXELS
from mvssl.datasets.images import Spare, decode_image, why_undecodable
from mvssl.datasets.survey import spread, survey
from mvssl.errors import UserError

__all__ = ["EncodedImages", "Reading"]

LEAST_CROP = 0.01


@dataclass(frozen=True)
class Reading:
    """How files become images.

    Args:
        owner: Of these arguments, for messages.
        size: Side in pixels of the square images. The short side is resized to
            ``size / crop_pct`` and the centre is cut out. None: images keep their sizes, which
            takes a ``view_transform``.
        crop_pct: Share of the short side that the centre crop keeps.
        max_pixels: An image with more is not decoded; another one takes its place.
        max_bytes: A file that is larger is not read; likewise.
        channels: Of every image; by default 3, RGB, or as many as the files have where those are
            neither greys nor colours.
        value_range: The value of black and that of white; by default that of 8 bits, or what a
            sample of deeper files holds.
        rgb: Which channels are red, green and blue, where there are more than 3; () for none.

    Raises:
        UserError: What is said of the square or the limits is out of its range; the rest is checked
            by what the files hold.
    """

    owner: str
    size: int | None = None
    crop_pct: float = 1.0
    max_pixels: int = MOST_PIXELS
    max_bytes: int = MOST_BYTES
    channels: int | None = None
    value_range: Sequence[float] | None = None
    rgb: Sequence[int] | None = None

    def __post_init__(self) -> None:
        check_size(self.size)
        limits = {"max_pixels": self.max_pixels, "max_bytes": self.max_bytes}
        check_count(self.owner, at_most=2**53, **limits)
        if not (is_number(self.crop_pct) and LEAST_CROP <= self.crop_pct <= 1):
            raise UserError(
                f"crop_pct must be above 0 (from {LEAST_CROP}) and at most 1, not "
                f"{self.crop_pct!r}."
            )


class EncodedImages(ImageDataset):
    """Image files, decoded when they are asked for.

    A subclass gives ``content``, and sets ``reading`` before anything else: ``content`` asks for it
    while the sample is looked at.

    Args:
        labels, classes: As of an ``ImageDataset``.
        sample: Give the bytes of some files, for a look at what all of them hold.

    Attributes:
        reading: How files become images.
    """

    reading: Reading

    def __init__(
        self,
        labels: NDArray[np.int64] | None,
        classes: list[str] | None,
        sample: Sequence[Callable[[], bytes]],
    ) -> None:
        reading = self.reading
        self._values = survey(
            type(self).__name__,
            sample,
            reading.channels,
            reading.value_range,
            reading.max_pixels,
        )
        super().__init__(
            labels=labels,
            classes=classes,
            size=reading.size,
            channels=self._values.channels,
            value_range=self._values.value_range,
            rgb=reading.rgb,
        )
        self.notes = list(self._values.notes)

    def spread_contents(self) -> list[Callable[[], bytes]]:
        """A sample that is spread over all files."""
        return [partial(self.content, number) for number in spread(len(self))]

    @abstractmethod
    def content(self, index: int) -> bytes:
        """The bytes of file ``index``.

        Raises:
            UnreadableError: It cannot be read, with the reason.
            OSError: Likewise.
        """

    def read(self, index: int) -> NDArray[Any] | None:
        return self._decoded(index, None if self.size is None else self._spare_of_square)

    def read_for(self, index: int, spare: Spare) -> NDArray[Any] | None:
        return self.read(index) if self.size is not None else self._decoded(index, spare)

    def _spare_of_square(self, height: int, width: int) -> float:
        """What a square of the data set's size leaves unused."""
        # Half of it: an average of pixels keeps more of fine structures than a crop's filter.
        return min(height, width) * self.reading.crop_pct / (self.size or 1) / 2

    def _decoded(self, index: int, spare: Spare | None) -> NDArray[Any] | None:
        try:
            data = self.content(index)
        except Exception:  # whatever a file system or a backend raises
            return None
        return self._decode(data, spare)

    def _decode(self, data: bytes, spare: Spare | None) -> NDArray[Any] | None:
        image = decode_image(data, self.reading.max_pixels, self.channels, spare)
        if image is None:
            return None
        return self._values.fitted(image, self.size, self.reading.crop_pct)

    def pixels_of(self, data: bytes) -> NDArray[Any] | None:
        """`pixels` of a file of these bytes, for those who look at the bytes as well."""
        image = self._decode(data, None)
        return None if image is None else self._prepared(image)

    def fault(self, index: int) -> str:
        return why_undecodable(partial(self.content, index), self.reading.max_pixels, self.channels)
