"""Views of one image at a time, on uint8, in the workers of a data loader."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from mvssl.opencv import cv2
from mvssl.views.draws import BRIGHTNESS, CONTRAST, SATURATION, ViewDraw, draw
from mvssl.views.sets import View

Image = NDArray[np.uint8]
"""An RGB image (H, W, 3)."""

_LEVELS = np.arange(256, dtype=np.float64)
_SOLARIZE = np.where(_LEVELS >= 128, 255 - _LEVELS, _LEVELS).astype(np.uint8)


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
        """Makes the views of ``image``, uint8 (H, W, 3), RGB: one uint8 (3, s, s) per view.

        Raises:
            ValueError: The image is not uint8 (H, W, 3).
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(
                "HostViews takes a uint8 image (H, W, 3), "
                f"not {image.dtype} of shape {image.shape}."
            )
        height, width = image.shape[:2]
        index_b, epoch_b = np.array([index]), np.array([epoch])
        made = (
            _make_view(image, view, draw(view, i, self.seed, epoch_b, index_b, height, width))
            for i, view in enumerate(self.views)
        )
        return [torch.from_numpy(np.ascontiguousarray(one.transpose(2, 0, 1))) for one in made]


def _make_view(image: Image, view: View, drawn: ViewDraw) -> Image:
    """One view; ``drawn`` has one row."""
    made = _crop_resize(image, view.size, drawn)
    if drawn.jitter[0]:
        for op in drawn.order[0]:
            if view.jitter_strengths[op]:
                made = _adjust(made, int(op), drawn)
    if drawn.gray[0]:
        made = cv2.cvtColor(cv2.cvtColor(made, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    if drawn.blur_sigma[0]:
        kernel = (view.blur_kernel, view.blur_kernel)
        made = cv2.GaussianBlur(
            made, kernel, float(drawn.blur_sigma[0]), borderType=cv2.BORDER_REFLECT_101
        )
    if drawn.solarize[0]:
        made = cv2.LUT(made, _SOLARIZE)
    return made


def _crop_resize(image: Image, size: int, drawn: ViewDraw) -> Image:
    top, left = int(drawn.top[0]), int(drawn.left[0])
    crop = image[top : top + int(drawn.height[0]), left : left + int(drawn.width[0])]
    if not crop.flags.writeable:
        crop = crop.copy()  # torch.from_numpy warns of read-only memory
    # torch's uint8 kernel: the filter of the device engine, and faster than OpenCV's INTER_AREA.
    chw = torch.from_numpy(crop).permute(2, 0, 1)[None]
    resized = interpolate(chw, size=(size, size), mode="bilinear", antialias=True)[0]
    if drawn.flip[0]:
        resized = resized.flip(2)
    return resized.permute(1, 2, 0).contiguous().numpy()


def _adjust(image: Image, op: int, drawn: ViewDraw) -> Image:
    """Applies one colour operation."""
    if op == BRIGHTNESS:
        return cv2.LUT(image, _table(drawn.brightness[0] * _LEVELS))
    if op == CONTRAST:
        factor = drawn.contrast[0]
        gray = np.dot(cv2.mean(image)[:3], (0.2989, 0.587, 0.114))
        return cv2.LUT(image, _table(factor * _LEVELS + (1.0 - factor) * gray))
    if op == SATURATION:
        factor = float(drawn.saturation[0])
        gray = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        return cv2.addWeighted(image, factor, gray, 1.0 - factor, 0.0)
    return _shift_hue(image, float(drawn.hue[0]))


def _table(levels: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.rint(levels.clip(0, 255)).astype(np.uint8)


def _shift_hue(image: Image, turns: float) -> Image:
    """Turns the hue; the "full" conversion has 256 hues instead of 180."""
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)
    # uint8 addition wraps around as the circle does.
    hsv[..., 0] += np.uint8(round(turns * 256) % 256)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL)
