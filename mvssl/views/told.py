"""What was drawn for the views of one image, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mvssl.views.draws import sample_keys
from mvssl.views.ops.base import Image
from mvssl.views.ops.crop import RandomResizedCrop
from mvssl.views.view import View

__all__ = ["Box", "Told", "tell_views"]


class Box(NamedTuple):
    """A piece of the image, in its pixels."""

    top: int
    left: int
    height: int
    width: int


class Told(NamedTuple):
    """What was drawn for a view.

    Attributes:
        words: a few for each operation that touched the image, in their order.
        box: what was cropped, where a crop is the view's first operation.
    """

    words: list[str]
    box: Box | None


def tell_views(
    views: Sequence[View], seed: int, image: Image, index: int, epoch: int
) -> list[Told]:
    """What ``HostViews`` and ``DeviceViews`` of this seed draw for an image, view by view.

    Args:
        image: uint8 or float32 in [0, 1], (H, W, C); what an operation draws may follow from the
            size that those before it leave, so that they are applied here once more.
    """
    key_1 = sample_keys(seed, np.array([epoch]), np.array([index]))
    return [
        _tell(view, view.random_numbers(key_1, number), image) for number, view in enumerate(views)
    ]


def _tell(view: View, u_1n: NDArray[np.float64], image: Image) -> Told:
    words, box = list[str](), None
    for number, (operation, own) in enumerate(view.steps):
        height, width = image.shape[:2]
        drawn = operation.draw(u_1n[:, own], height, width)
        if not drawn["on"][0]:
            continue
        row = {name: values[0] for name, values in drawn.items()}
        if number == 0 and isinstance(operation, RandomResizedCrop):
            box = Box(*(int(row[name]) for name in Box._fields))
        made = operation.host(image, row)
        if made is not image:
            words.append(operation.told(row, height, width))
        image = made if made.ndim == 3 else made[..., None]
    return Told(words, box)
