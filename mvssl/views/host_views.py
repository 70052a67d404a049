"""Views of one image at a time, in the workers of a data loader."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mvssl.views.draws import sample_keys
from mvssl.views.ops.base import Image
from mvssl.views.view import View

__all__ = ["HostViews"]


class HostViews:
    """Makes all views of one image; the same seed gives the same views as ``DeviceViews``.

    Args:
        views: What to make; one tensor each.
        seed: Seed of the draws.
    """

    def __init__(self, views: Sequence[View], seed: int) -> None:
        self.views = tuple(views)
        self.seed = seed

    def __call__(self, image: Image, index: int, epoch: int) -> list[Tensor]:
        """Makes the views of ``image``, uint8 or float32 in [0, 1], (H, W, C): one (C, s, s) of
        the same kind per view.

        Raises:
            ValueError: The image is of another kind.
            UserError: A view does not end at its size.
        """
        if image.dtype not in (np.uint8, np.float32) or image.ndim != 3:
            raise ValueError(
                "HostViews takes an image (H, W, C) of uint8 or float32, "
                f"not {image.dtype} of shape {image.shape}."
            )
        key_1 = sample_keys(self.seed, np.array([epoch]), np.array([index]))
        made = [
            _make_view(image, view, view.random_numbers(key_1, number))
            for number, view in enumerate(self.views)
        ]
        return [torch.from_numpy(_channels_first(one)) for one in made]


def _make_view(image: Image, view: View, u_1n: NDArray[np.float64]) -> Image:
    for operation, own in view.steps:
        drawn = operation.draw(u_1n[:, own], *image.shape[:2])
        if drawn["on"][0]:
            row = {name: values[0] for name, values in drawn.items()}
            made = operation.host(image, row)
            # OpenCV leaves the dimension of a single channel out.
            image = made if made.ndim == 3 else made[..., None]
    view.check_result(*image.shape[:2])
    return image


def _channels_first(image: Image) -> Image:
    # A copy always: a view that nothing touched would show the data set's own pixels.
    return image.transpose(2, 0, 1).copy(order="C")
