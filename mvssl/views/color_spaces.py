"""What networks may be given instead of red, green and blue."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from torch import Tensor

from mvssl.arguments import check_number, is_number
from mvssl.errors import UserError
from mvssl.views.color import rgb_to_lab, sobel_edges

__all__ = [
    "COLOR_SPACES",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "ColorSpace",
    "check_statistics",
    "color_space",
]

LEAST_STD = 1e-4
"""Below it a pixel's 256 levels would lie tens apart for the network."""

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


def check_statistics(
    owner: str, mean: Sequence[float], std: Sequence[float], channels: int = 3
) -> None:
    """Raises a UserError unless these can be the mean and the standard deviation of ``channels``,
    as of red, green and blue, in [0, 1], or are those of a colour space.
    """
    what = "three numbers, of red, green and blue" if channels == 3 else f"{channels} numbers"
    for name, values in (("mean", mean), ("std", std)):
        listed = list(values) if isinstance(values, list | tuple) else []
        if len(listed) not in (1, channels) or not all(map(is_number, listed)):
            auto = "" if isinstance(values, list | tuple) else ", or 'auto'"
            raise UserError(f"{owner}: {name} is {what}{auto}, got {values!r}.")
        check_number(owner, **{f"{name}[{n}]": one for n, one in enumerate(listed)})
    if any((*mean,) == space.mean and (*std,) == space.std for space in COLOR_SPACES.values()):
        return
    if max(*mean, *std) > 1 and min(mean) >= 0 and min(std) > 0 and max(*mean, *std) <= 255:
        raise UserError(
            f"{owner}: mean and std are of pixel values from 0 to 1, and {_listed(mean)} and "
            f"{_listed(std)} look like those of 0 to 255: give mean={_listed(mean, 255)}, "
            f"std={_listed(std, 255)}."
        )
    for n, one in enumerate(mean):
        check_number(owner, 0.0, 1.0, **{f"mean[{n}]": one})
    for n, one in enumerate(std):
        # What a value from 0 to 1 deviates is at most a half; 1 leaves values as they are.
        check_number(owner, LEAST_STD, 1.0, **{f"std[{n}]": one})


def _listed(values: Sequence[float], divisor: float = 1.0) -> str:
    return f"[{', '.join(f'{value / divisor:.4g}' for value in values)}]"


def color_space(
    name: str,
    mean: Sequence[float] | str | None,
    std: Sequence[float] | str | None,
    channels: int = 3,
    rgb: tuple[int, ...] = (0, 1, 2),
) -> ColorSpace:
    """The colour space of a name, with a user's statistics.

    Args:
        name: In ``COLOR_SPACES``.
        mean, std: The user's; None: those of the colour space.
        channels: Of the images.
        rgb: Which of them are red, green and blue; empty: none.

    Raises:
        UserError: It is not known, or is not RGB and has statistics of its own or is given other
            channels than red, green and blue.
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
    if channels != 3 and name != "rgb":
        raise UserError(
            f"data_preprocessor.color_space={name!r} is made of red, green and blue, and the "
            f"images have {channels} channels: leave it out."
        )
    if rgb != (0, 1, 2) and name != "rgb":
        held = f"where these are channels {', '.join(map(str, rgb))}" if rgb else "which have none"
        raise UserError(
            f"data_preprocessor.color_space={name!r} is made of red, green and blue in this order, "
            f"and the images are of 3 channels {held} (rgb={rgb}): leave it out, or give images "
            f"that are RGB."
        )
    if channels != 3 and (mean is None or std is None):
        raise UserError(
            f"data_preprocessor: images of {channels} channels have a mean and a std of their own: "
            f"give mean='auto', which measures both, or {channels} numbers each."
        )
    means: Any = space.mean if mean is None else mean
    stds: Any = space.std if std is None else std
    check_statistics("data_preprocessor", means, stds, channels)
    return ColorSpace(space.convert, tuple(means), tuple(stds))
