"""What networks may be given instead of red, green and blue."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from torch import Tensor

from mvssl.errors import UserError
from mvssl.views.color import rgb_to_lab, sobel_edges

__all__ = ["COLOR_SPACES", "IMAGENET_MEAN", "IMAGENET_STD", "ColorSpace", "color_space"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class ColorSpace(NamedTuple):
    """How images in [0, 1] RGB are turned into what a network is given."""

    convert: Callable[[Tensor], Tensor] | None
    mean: tuple[float, ...]
    std: tuple[float, ...]


COLOR_SPACES = {
    "rgb": ColorSpace(None, IMAGENET_MEAN, IMAGENET_STD),
    # L from 0 to 100 becomes -1 to 1; a and b reach about 108 from 0.
    "lab": ColorSpace(rgb_to_lab, (50.0, 0.0, 0.0), (50.0, 110.0, 110.0)),
    # Derivatives reach 4 at the sharpest edges, and are far smaller almost everywhere.
    "sobel": ColorSpace(sobel_edges, (0.5, 0.0, 0.0), (0.25, 0.5, 0.5)),
}


def color_space(name: str, mean: Sequence[float] | None, std: Sequence[float] | None) -> ColorSpace:
    """The colour space of a name, with a user's statistics.

    Raises:
        UserError: It is not known, or is not RGB and has statistics of its own.
    """
    if name not in COLOR_SPACES:
        listed = ", ".join(map(repr, COLOR_SPACES))
        raise UserError(f"data_preprocessor.color_space is one of {listed}, got {name!r}.")
    space = COLOR_SPACES[name]
    given = [key for key, value in (("mean", mean), ("std", std)) if value is not None]
    if given and name != "rgb":
        raise UserError(
            f"data_preprocessor.{' and '.join(given)} are for RGB, and color_space={name!r} has "
            f"its own: leave them out, or set them to None where a base config gives them."
        )
    return ColorSpace(space.convert, tuple(mean or space.mean), tuple(std or space.std))
