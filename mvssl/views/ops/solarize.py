"""Solarisation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from mvssl.opencv import cv2
from mvssl.registry import VIEW_OPS
from mvssl.views.color import solarize
from mvssl.views.ops.base import Drawn, Image, RandomOperation

_LEVELS = np.arange(256)
_TABLE = np.where(_LEVELS >= 128, 255 - _LEVELS, _LEVELS).astype(np.uint8)


@VIEW_OPS.register_module()
@dataclass(frozen=True, kw_only=True)
class Solarize(RandomOperation):
    """Values from the middle of the range on inverted, with probability ``prob``."""

    first_number: ClassVar[int | None] = 32
    flat: ClassVar[Mapping[str, str]] = {"solarize": "prob"}
    place: ClassVar[int] = 50

    def host(self, image: Image, drawn: Mapping[str, Any]) -> Image:
        if image.dtype != np.uint8:
            return np.minimum(image, 1.0 - image)
        return cv2.LUT(image, _TABLE)

    def device(self, images: Tensor, drawn: Drawn) -> Tensor:
        return solarize(images)

    def describe(self) -> str:
        return f"solarise p {self.prob:g}"

    def told(self, drawn: Mapping[str, Any], height: int, width: int) -> str:
        return "solarised"
