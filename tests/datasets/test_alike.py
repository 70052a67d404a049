"""Whether the images of a data set differ, and what is said where hardly any can be read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mvssl.datasets import ImageDataset, images_differ


class Levels(ImageDataset):
    """Grey images of one level each; None: one that cannot be read."""

    def __init__(self, levels: list[int | None]) -> None:
        super().__init__(None, None, 8)
        self.levels = levels

    def __len__(self) -> int:
        return len(self.levels)

    def read(self, index: int) -> Any:
        level = self.levels[index]
        return None if level is None else np.full((8, 8, 3), level, np.uint8)

    def path(self, index: int) -> str:
        return str(index)

    def describe(self) -> str:
        return "levels"


@pytest.mark.parametrize(
    ("levels", "differ"),
    [
        ([5] * 10, False),
        ([5] * 9 + [20], True),
        ([5] * 9 + [7], False),  # as much as JPEG changes
        ([5, 5] + [None] * 8, False),
        ([None] * 9 + [5], True),  # of one alone nothing is known
        ([None] * 10, True),
        ([5], True),
    ],
)
def test_equal_images_are_told_from_unreadable_ones(levels: list[int | None], differ: bool) -> None:
    assert images_differ(Levels(levels)) is differ
