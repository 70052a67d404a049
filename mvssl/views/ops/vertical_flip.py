"""Vertical flip, for images that have no up and down: from above, through a microscope."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from mvssl.opencv import cv2
from mvssl.registry import VIEW_OPS
from mvssl.views.ops.base import Drawn, Image, RandomOperation


@VIEW_OPS.register_module()
@dataclass(frozen=True, kw_only=True)
class VerticalFlip(RandomOperation):
    """Top and bottom exchanged, with probability ``prob``."""

    flat: ClassVar[Mapping[str, str]] = {"vertical_flip": "prob"}
    place: ClassVar[int] = 12

    def host(self, image: Image, drawn: Mapping[str, Any]) -> Image:
        return cv2.flip(image, 0)

    def device(self, images: Tensor, drawn: Drawn) -> Tensor:
        return images.flip(2)

    def describe(self) -> str:
        return f"vertical flip p {self.prob:g}"

    def told(self, drawn: Mapping[str, Any], height: int, width: int) -> str:
        return "upside down"
