"""The digits that come with scikit-learn: a data set that is always there."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from mvssl.arguments import check_count, check_seed
from mvssl.datasets.base import ImageDataset, check_split
from mvssl.opencv import cv2
from mvssl.registry import DATASETS
from mvssl.views.view import MOST_SIDE


@DATASETS.register_module()
class Digits(ImageDataset):
    """1,797 handwritten digits of 8x8 pixels (``sklearn.datasets.load_digits``), enlarged.

    Args:
        split: 'train', 'test' or 'all'.
        size: Side in pixels to which the images are resized.
        test_fraction: Share of the digits that is held out, the same of every class.
        seed: Decides which ones.

    Raises:
        UserError: ``split``, ``size`` or ``test_fraction`` is out of its range.
    """

    def __init__(
        self,
        split: str = "train",
        size: int = 32,
        test_fraction: float = 0.2,
        seed: int = 0,
    ) -> None:
        check_split(split, test_fraction)
        check_count("Digits", at_most=MOST_SIDE, size=size)
        check_seed("Digits", seed=seed)
        digits = load_digits()
        chosen = np.arange(len(digits.target))
        if split != "all":
            train, test = train_test_split(
                chosen, test_size=test_fraction, random_state=seed, stratify=digits.target
            )
            chosen = np.sort(train if split == "train" else test)
        super().__init__(
            labels=digits.target[chosen].astype(np.int64),
            classes=[str(name) for name in digits.target_names],
            size=size,
        )
        self.split = split
        self._chosen = chosen
        self._images = _enlarge(digits.images[chosen], size)

    def __len__(self) -> int:
        return len(self._chosen)

    def read(self, index: int) -> NDArray[np.uint8]:
        return cv2.cvtColor(self._images[index], cv2.COLOR_GRAY2RGB)

    def path(self, index: int) -> str:
        return f"digits[{self._chosen[index]}]"

    def describe(self) -> str:
        return self._summary("digits", self.split)


def _enlarge(images: NDArray[np.float64], size: int) -> NDArray[np.uint8]:
    """Grey images (N, 8, 8) of 0 to 16 as uint8 (N, size, size) of 0 to 255."""
    how = cv2.INTER_LINEAR if size >= images.shape[1] else cv2.INTER_AREA
    pixels = np.rint(images * (255.0 / 16.0)).astype(np.uint8)
    return np.stack([cv2.resize(image, (size, size), interpolation=how) for image in pixels])
