"""Operations that mean colour, on images that have other channels beside, or no colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from mvssl.arguments import is_integer
from mvssl.errors import UserError
from mvssl.views.ops.base import Drawn, Image, Operation
from mvssl.views.view import NUM_CHANNELS, View

__all__ = ["check_rgb", "fit_to_channels"]


@dataclass(frozen=True, kw_only=True)
class _OnSome(Operation):
    """An operation on three channels of more; it draws what it would draw of three."""

    inner: Operation
    channels: tuple[int, ...]

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def first_of_its_own(self) -> int | None:
        return self.inner.first_of_its_own

    @property
    def numbers(self) -> int:  # type: ignore[override]
        return self.inner.numbers

    @property
    def has_device_form(self) -> bool:
        return self.inner.has_device_form

    def sized(self, size: int) -> Operation:
        return replace(self, inner=self.inner.sized(size))

    def draw(self, u_bn: NDArray[np.float64], height: int, width: int) -> Drawn:
        return self.inner.draw(u_bn, height, width)

    def host(self, image: Image, drawn: Mapping[str, Any]) -> Image:
        changed = image.copy()
        some = np.ascontiguousarray(image[..., self.channels])
        changed[..., self.channels] = self.inner.host(some, drawn)
        return changed

    def device(self, images: Tensor, drawn: Drawn) -> Tensor:
        some = list(self.channels)
        images[:, some] = self.inner.device(images[:, some], drawn)
        return images

    def describe(self) -> str:
        return f"{self.inner.describe()} on channels {', '.join(map(str, self.channels))}"

    def told(self, drawn: Mapping[str, Any], height: int, width: int) -> str:
        return self.inner.told(drawn, height, width)


def check_rgb(owner: str, rgb: Any, channels: int) -> tuple[int, int, int] | None:
    """Three different channels, or None; by default the first three of three or four.

    Raises:
        UserError: they are something else.
    """
    if rgb is None:
        return (0, 1, 2) if channels in (3, 4) else None
    listed = tuple(rgb) if isinstance(rgb, tuple | list) else (None,)
    if not listed:
        return None
    known = all(is_integer(one) and 0 <= one < channels for one in listed)
    if len(listed) != 3 or not known or len(set(listed)) < 3:
        raise UserError(
            f"{owner}: rgb is the numbers of the red, green and blue among {channels} channels, "
            f"counted from 0, such as (2, 1, 0), or () where none of them is; got {rgb!r}."
        )
    return listed


def fit_to_channels(
    views: Sequence[View], in_channels: int, rgb: tuple[int, ...]
) -> tuple[list[View], list[str]]:
    """The views as they act on images of ``in_channels``, and what is left out, in words.

    Args:
        rgb: which channels are red, green and blue; empty: none.

    Raises:
        UserError: a view shows channels of three to the network, and there are others.
    """
    if in_channels == NUM_CHANNELS and rgb == (0, 1, 2):
        return list(views), []
    left_out: dict[str, None] = {}
    fitted = []
    for view in views:
        if view.channels is not None and in_channels != NUM_CHANNELS:
            raise UserError(
                f"View: channels={view.channels} are some of three, and the images have "
                f"{in_channels}: leave them out."
            )
        operations = []
        for one in view.operations:
            if not one.means_color:
                operations.append(one)
            elif rgb:
                operations.append(_OnSome(inner=one, channels=rgb))
            else:
                lost = one.lost_without_color()
                left_out |= {lost: None} if lost else {}
                less = one.without_color()
                operations += [] if less is None else [less]
        fitted.append(replace(view, operations=operations))
    return fitted, list(left_out)
