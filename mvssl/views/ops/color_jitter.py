"""Colour jitter: brightness, contrast, saturation and hue in an order drawn for every sample."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from mvssl.opencv import cv2
from mvssl.registry import VIEW_OPS
from mvssl.views.color import brightness_contrast_, saturate, shift_hue
from mvssl.views.ops.base import Drawn, Image, Operation, RandomOperation
from mvssl.views.ops.ranges import check_strength
from mvssl.views.upload import put, take, upload

CHANGES = ("brightness", "contrast", "saturation", "hue")
BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)

_ORDERS = np.array(list(itertools.permutations(range(4))), dtype=np.int64)
_TURN = np.float32(360.0)
_SAME = np.eye(3)
_GRAY = np.array([(0.2989, 0.587, 0.114)] * 3)


@VIEW_OPS.register_module()
@dataclass(frozen=True, kw_only=True)
class ColorJitter(RandomOperation):
    """Four changes of colour in random order, as torchvision's ``ColorJitter`` makes them.

    Args:
        prob: Probability that they are made at all.
        brightness: Strength b: the factor is uniform on ``[max(0, 1 - b), 1 + b]``; 0 is off.
        contrast: As ``brightness``.
        saturation: As ``brightness``.
        hue: Strength h <= 0.5: the shift is uniform on ``[-h, h]`` turns of the colour circle.

    Raises:
        UserError: A value is outside its range.
    """

    numbers: ClassVar[int] = 6
    first_number: ClassVar[int | None] = 23
    flat: ClassVar[Mapping[str, str]] = {
        "brightness": "brightness",
        "contrast": "contrast",
        "saturation": "saturation",
        "hue": "hue",
        "jitter_prob": "prob",
    }
    place: ClassVar[int] = 20
    means_color: ClassVar[bool] = True

    prob: float = 1.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_strength(
            self.name,
            brightness=self.brightness,
            contrast=self.contrast,
            saturation=self.saturation,
        )
        check_strength(self.name, 0.5, hue=self.hue)

    @property
    def strengths(self) -> tuple[float, float, float, float]:
        """Of brightness, contrast, saturation and hue."""
        return (self.brightness, self.contrast, self.saturation, self.hue)

    @property
    def idle(self) -> bool:
        return super().idle or not any(self.strengths)

    def draw(self, u_bn: NDArray[np.float64], height: int, width: int) -> Drawn:
        """Factors and shift by name, (B,), and ``order`` (B, k): which of the k changes that the
        view makes comes when, by their places in ``CHANGES``.
        """
        drawn = super().draw(u_bn, height, width)
        for change, strength in enumerate(self.strengths):
            low, high = max(0.0, 1.0 - strength), 1.0 + strength
            if change == HUE:
                low, high = -strength, strength
            drawn[CHANGES[change]] = low + (high - low) * u_bn[:, 1 + change]
        order_b4 = _ORDERS[(u_bn[:, 5] * len(_ORDERS)).astype(np.int64)]
        used = np.array(self.strengths) > 0
        drawn["order"] = order_b4[used[order_b4]].reshape(len(u_bn), used.sum())
        return drawn

    def without_color(self) -> Operation | None:
        left = BrightnessContrast(
            prob=self.prob, brightness=self.brightness, contrast=self.contrast
        )
        return None if left.idle else left

    def lost_without_color(self) -> str:
        lost = [CHANGES[n] for n in (SATURATION, HUE) if self.strengths[n]]
        kept = [CHANGES[n] for n in (BRIGHTNESS, CONTRAST) if self.strengths[n]]
        if not lost or not kept:
            return self.name if lost else ""
        stay = "stays" if len(kept) == 1 else "stay"
        return f"{' and '.join(lost)} of {self.name} ({' and '.join(kept)} {stay})"

    def host(self, image: Image, drawn: Mapping[str, Any]) -> Image:
        for change in drawn["order"]:
            image = _change(image, change, float(drawn[CHANGES[change]]))
        return image

    def device(self, images: Tensor, drawn: Drawn) -> Tensor:
        for turn_b in drawn["order"].T:
            brighten, contrast = turn_b == BRIGHTNESS, turn_b == CONTRAST
            if brighten.any() or contrast.any():
                factor = np.where(brighten, drawn["brightness"], drawn["contrast"])
                gain = np.where(brighten | contrast, factor, 1.0)
                pull = np.where(contrast, 1.0 - drawn["contrast"], 0.0)
                gain_b, pull_b = upload(np.stack([gain, pull]), images.device).unbind()
                images = brightness_contrast_(images, gain_b, pull_b)
            for change, turn in ((SATURATION, saturate), (HUE, shift_hue)):
                rows = np.flatnonzero(turn_b == change)
                if rows.size:
                    strength = upload(drawn[CHANGES[change]][rows], images.device)
                    images = put(images, rows, turn(take(images, rows), strength))
        return images

    def describe(self) -> str:
        made = zip(CHANGES, self.strengths, strict=True)
        told = " ".join(f"{name} {strength:g}" for name, strength in made if strength)
        return f"{told} p {self.prob:g}"

    def told(self, drawn: Mapping[str, Any], height: int, width: int) -> str:
        return ", ".join(_told(change, drawn) for change in drawn["order"])


@VIEW_OPS.register_module()
@dataclass(frozen=True, kw_only=True)
class BrightnessContrast(RandomOperation):
    """Brightness and contrast of images with any channels, in random order, as ``ColorJitter``.

    What contrast blends with is the mean over all channels. It takes the place of ``ColorJitter``
    where no channels are red, green and blue.

    Args:
        prob: Probability that they are changed at all.
        brightness: Strength b: the factor is uniform on ``[max(0, 1 - b), 1 + b]``; 0 is off.
        contrast: As ``brightness``.

    Raises:
        UserError: A value is outside its range.
    """

    numbers: ClassVar[int] = 4

    prob: float = 1.0
    brightness: float = 0.0
    contrast: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_strength(self.name, brightness=self.brightness, contrast=self.contrast)

    @property
    def idle(self) -> bool:
        return super().idle or not (self.brightness or self.contrast)

    def draw(self, u_bn: NDArray[np.float64], height: int, width: int) -> Drawn:
        """Factors by name, (B,), and ``contrast_first``, (B,) of bool."""
        drawn = super().draw(u_bn, height, width)
        for number, name in enumerate(("brightness", "contrast"), start=1):
            strength = getattr(self, name)
            low, high = max(0.0, 1.0 - strength), 1.0 + strength
            drawn[name] = low + (high - low) * u_bn[:, number]
        return drawn | {"contrast_first": u_bn[:, 3] < 0.5}

    def host(self, image: Image, drawn: Mapping[str, Any]) -> Image:
        order = (CONTRAST, BRIGHTNESS) if drawn["contrast_first"] else (BRIGHTNESS, CONTRAST)
        for change in order:
            strength = float(drawn[CHANGES[change]])
            image = _blend(image, strength, float(image.mean()) if change == CONTRAST else 0.0)
        return image

    def device(self, images: Tensor, drawn: Drawn) -> Tensor:
        first = drawn["contrast_first"]
        for contrast in (first, ~first):
            factor = np.where(contrast, drawn["contrast"], drawn["brightness"])
            pull = np.where(contrast, 1.0 - drawn["contrast"], 0.0)
            factor_b, pull_b = upload(np.stack([factor, pull]), images.device)[
                ..., None, None, None
            ]
            mean_b = images.mean(dim=(1, 2, 3), keepdim=True)
            images = images.mul_(factor_b).add_(pull_b * mean_b).clamp_(0.0, 1.0)
        return images

    def describe(self) -> str:
        made = {"brightness": self.brightness, "contrast": self.contrast}
        told = " ".join(f"{name} {strength:g}" for name, strength in made.items() if strength)
        return f"{told} p {self.prob:g}"

    def told(self, drawn: Mapping[str, Any], height: int, width: int) -> str:
        order = (CONTRAST, BRIGHTNESS) if drawn["contrast_first"] else (BRIGHTNESS, CONTRAST)
        used = [change for change in order if getattr(self, CHANGES[change])]
        return ", ".join(_told(change, drawn) for change in used)


def _told(change: int, drawn: Mapping[str, Any]) -> str:
    name = CHANGES[change]
    return f"{name} {drawn[name]:+.2f}" if change == HUE else f"{name} ×{drawn[name]:.2f}"


def _change(image: Image, change: int, strength: float) -> Image:
    if change == BRIGHTNESS:
        return _blend(image, strength, 0.0)
    if change == CONTRAST:
        return _blend(image, strength, float(np.dot(cv2.mean(image)[:3], _GRAY[0])))
    if change == SATURATION:
        return _in_range(cv2.transform(image, strength * _SAME + (1.0 - strength) * _GRAY))
    return _turn_hue(image, strength)


def _blend(image: Image, strength: float, gray: float) -> Image:
    """``strength * image + (1 - strength) * gray``, of the image's own range."""
    # Twice as fast as a table of the 256 levels.
    return _in_range(cv2.addWeighted(image, strength, image, 0.0, (1.0 - strength) * gray))


def _in_range(image: Image) -> Image:
    """OpenCV cuts off what bytes cannot hold, and leaves floats as they are."""
    return image if image.dtype == np.uint8 else image.clip(0.0, 1.0)


def _turn_hue(image: Image, turns: float) -> Image:
    """Turns the hue; of uint8 the "full" conversion has 256 hues instead of 180."""
    if image.dtype != np.uint8:
        hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)  # in degrees
        hue = hsv[..., 0] + np.float32(360.0 * (turns % 1.0))
        hsv[..., 0] = hue - _TURN * (hue >= _TURN)  # several times faster than %
        return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB).clip(0.0, 1.0)
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)
    # uint8 addition wraps around as the circle does.
    hsv[..., 0] += np.uint8(round(turns * 256) % 256)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL)
