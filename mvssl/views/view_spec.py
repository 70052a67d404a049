"""What one random view of an image is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mvssl.arguments import is_integer, is_number
from mvssl.errors import UserError

__all__ = ["NUM_CHANNELS", "View"]

NUM_CHANNELS = 3


@dataclass(frozen=True)
class View:
    """One random view of an image: crop, flip, colour jitter, greyscale, blur, solarisation.

    The operations come in this order. Colour jitter applies its four operations in an order drawn
    for every sample, as torchvision's ``ColorJitter`` does.

    Args:
        size: Side of the square view in pixels.
        crop_scale: Range of the crop's area, as a fraction of the image's.
        crop_ratio: Range of the crop's width / height, drawn uniformly on a logarithmic scale.
        flip: Probability of a horizontal flip.
        brightness: Strength b: the factor is uniform on ``[max(0, 1 - b), 1 + b]``; 0 is off.
        contrast: As ``brightness``.
        saturation: As ``brightness``.
        hue: Strength h <= 0.5: the shift is uniform on ``[-h, h]`` turns of the colour circle.
        jitter_prob: Probability that the colour jitter is applied.
        gray: Probability of greyscale.
        blur: Probability of a Gaussian blur.
        blur_sigma: Range of the blur's standard deviation in pixels of the view.
        solarize: Probability that pixels from the middle of the range on are inverted.
        channels: Which channels of the finished view the network is given, such as ``(0,)`` for
            the lightness of a preprocessor with ``color_space='lab'``; None for all three.
        draw_as: Number of the view whose random numbers this one uses, so that with equal crops
            the two show the same pixels; None for random numbers of its own.

    Raises:
        UserError: A value is outside its range.
    """

    size: int
    crop_scale: tuple[float, float] = (0.08, 1.0)
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = 0.5
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    jitter_prob: float = 1.0
    gray: float = 0.0
    blur: float = 0.0
    blur_sigma: tuple[float, float] = (0.1, 2.0)
    solarize: float = 0.0
    channels: tuple[int, ...] | None = None
    draw_as: int | None = None

    def __post_init__(self) -> None:
        if not is_integer(self.size) or self.size < 2:
            raise UserError(
                f"View: size must be an integer of at least 2 pixels, not {self.size!r}."
            )
        for name in ("crop_scale", "crop_ratio", "blur_sigma"):
            # Configs write lists; a frozen, hashable View holds tuples.
            object.__setattr__(self, name, _interval(name, getattr(self, name)))
        if self.crop_scale[1] > 1:
            raise UserError(f"View: crop_scale must end at 1 or below, not {self.crop_scale}.")
        for name in ("flip", "jitter_prob", "gray", "blur", "solarize"):
            _check_range(name, getattr(self, name), 1.0, "a probability from 0 to 1")
        for name in ("brightness", "contrast", "saturation"):
            _check_range(name, getattr(self, name), float("inf"), "a strength of at least 0")
        _check_range("hue", self.hue, 0.5, "a strength from 0 to 0.5")
        if self.channels is not None:
            object.__setattr__(self, "channels", _some_channels(self.channels))
        if self.draw_as is not None and not (is_integer(self.draw_as) and self.draw_as >= 0):
            raise UserError(f"View: draw_as is the number of a view, not {self.draw_as!r}.")

    @property
    def blur_kernel(self) -> int:
        """Taps of the blur: about a tenth of the size, odd, at least 3 (SimCLR, BYOL)."""
        return max(3, self.size // 10 | 1)

    @property
    def num_channels(self) -> int:
        """How many channels the network is given."""
        return NUM_CHANNELS if self.channels is None else len(self.channels)

    @property
    def jitter_strengths(self) -> tuple[float, float, float, float]:
        """Strengths of brightness, contrast, saturation and hue, in this order."""
        return (self.brightness, self.contrast, self.saturation, self.hue)


def _some_channels(value: Any) -> tuple[int, ...]:
    channels = tuple(value) if isinstance(value, (tuple, list)) else ()
    known = all(is_integer(c) and 0 <= c < NUM_CHANNELS for c in channels)
    if not channels or not known or len(set(channels)) < len(channels):
        raise UserError(
            f"View: channels must be different numbers from 0 to {NUM_CHANNELS - 1}, such as "
            f"(1, 2), or None, not {value!r}."
        )
    return channels


def _interval(name: str, value: Any) -> tuple[float, float]:
    pair = tuple(value) if isinstance(value, (tuple, list)) else ()
    if len(pair) != 2 or not all(map(is_number, pair)) or not 0 < pair[0] <= pair[1] < float("inf"):
        raise UserError(f"View: {name} must be two numbers, 0 < low <= high, not {value!r}.")
    return (float(pair[0]), float(pair[1]))


def _check_range(name: str, value: Any, high: float, wanted: str) -> None:
    if not is_number(value) or not 0 <= value <= high or value == float("inf"):
        raise UserError(f"View: {name} must be {wanted}, not {value!r}.")
