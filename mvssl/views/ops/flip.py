"""Horizontal flip."""

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
class HorizontalFlip(RandomOperation):
    """Left and right exchanged, with probability ``prob``."""

    first_number: ClassVar[int | None] = 22
    flat: ClassVar[Mapping[str, str]] = {"flip": "prob"}
    place: ClassVar[int] = 10
    usual: ClassVar[bool] = True

    prob: float = 0.5

    def host(self, image: Image, drawn: Mapping[str, Any]) -> Image:
        return cv2.flip(image, 1)

    def device(self, images: Tensor, drawn: Drawn) -> Tensor:
        return images.flip(3)

    def describe(self) -> str:
        return f"flip p {self.prob:g}"

    def told(self, drawn: Mapping[str, Any], height: int, width: int) -> str:
        return "flipped"
