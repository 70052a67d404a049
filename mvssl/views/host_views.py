"""Views of one image at a time, in the workers of a data loader."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mvssl.opencv import cv2
from mvssl.views.draws import numbers, sample_keys, stream_keys
from mvssl.views.ops.base import Image, Operation
from mvssl.views.view import View

__all__ = ["HostViews"]


class _Step(NamedTuple):
    """An operation as it acts in one of the views."""

    view: int
    operation: Operation
    own: slice


class HostViews:
    """Makes all views of one image; the same seed gives the same views as ``DeviceViews``.

    Args:
        views: What to make; one tensor each.
        seed: Seed of the draws.
    """

    def __init__(self, views: Sequence[View], seed: int) -> None:
        self.views = tuple(views)
        self.seed = seed
        # What a draw takes is NumPy's calls for the most part, so that one serves several views.
        self._streams = np.array([view.stream(n) for n, view in enumerate(self.views)], np.int64)
        self._places_vn = _padded([view.places for view in self.views])
        self._stages = [_alike(self.views, place) for place in range(_most_steps(self.views))]

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
        u_vn = self._random_numbers(index, epoch)
        made = [image] * len(self.views)
        for stage in self._stages:
            for alike in stage:
                _apply(alike, made, u_vn)
        for one, view in zip(made, self.views, strict=True):
            view.check_result(*one.shape[:2])
        return [_channels_first(one) for one in made]

    def spare(self, height: int, width: int, index: int, epoch: int) -> float:
        """By how much the sides of an image may be divided, and its views are as sharp; 1 and less:
        by nothing.
        """
        first = [step for stage in self._stages[:1] for alike in stage for step in alike]
        if not first or any(type(one.operation).spare is Operation.spare for one in first):
            return 1.0
        # No crop has more than the image, and drawing takes a while.
        most = min(height, width) / max(view.size for view in self.views)
        if most < 2:
            return most
        u_vn = self._random_numbers(index, epoch)
        return min(
            one.operation.spare(
                one.operation.draw(u_vn[one.view : one.view + 1, one.own], height, width)
            )
            for one in first
        )

    def _random_numbers(self, index: int, epoch: int) -> NDArray[np.float64]:
        """What the operations of each view draw from, (V, N), as ``View.random_numbers``."""
        key_1 = sample_keys(self.seed, np.array([epoch]), np.array([index]))
        return numbers(stream_keys(key_1, self._streams), self._places_vn)


def _padded(places: Sequence[NDArray[np.uint64]]) -> NDArray[np.uint64]:
    """Rows of one length, (V, N), the shorter ones with something at their ends."""
    longest = max(map(len, places), default=0)
    rows = [np.concatenate([row, np.zeros(longest - len(row), np.uint64)]) for row in places]
    return np.array(rows, dtype=np.uint64).reshape(len(places), longest)


def _most_steps(views: Iterable[View]) -> int:
    return max((len(view.operations) for view in views), default=0)


def _alike(views: Sequence[View], place: int) -> list[list[_Step]]:
    """What is done to the views at this place of their lists, equal operations together."""
    found: dict[Hashable, list[_Step]] = {}
    for number, view in enumerate(views):
        if place < len(view.steps):
            step = _Step(number, *view.steps[place])
            found.setdefault(_identity(step.operation), []).append(step)
    return list(found.values())


def _identity(operation: Operation) -> Hashable:
    """What equal operations share; one of a user's own may hold lists, which have no hash."""
    try:
        hash(operation)
    except TypeError:
        return id(operation)
    return operation


def _apply(alike: Sequence[_Step], made: list[Image], u_vn: NDArray[np.float64]) -> None:
    """Does one operation to several views, of which those of one size are drawn for at once."""
    by_size: dict[tuple[int, ...], list[_Step]] = {}
    for step in alike:
        by_size.setdefault(made[step.view].shape[:2], []).append(step)
    for size, steps in by_size.items():
        drawn = steps[0].operation.draw(np.stack([u_vn[one.view, one.own] for one in steps]), *size)
        for number, step in enumerate(steps):
            if drawn["on"][number]:
                row = {name: values[number] for name, values in drawn.items()}
                image = step.operation.host(made[step.view], row)
                # OpenCV leaves the dimension of a single channel out.
                made[step.view] = image if image.ndim == 3 else image[..., None]


def _channels_first(image: Image) -> Tensor:
    # A copy always: a view that nothing touched would show the data set's own pixels.
    height, width, channels = image.shape
    planes = np.empty((channels, height, width), image.dtype)
    cv2.split(image, list(planes))
    return torch.from_numpy(planes)
