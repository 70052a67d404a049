"""Greyscale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from mvssl.opencv import cv2
from mvssl.registry import VIEW_OPS
from mvssl.views.color import grayscale
from mvssl.views.ops.base import Drawn, Image, RandomOperation


@VIEW_OPS.register_module()
@dataclass(frozen=True, kw_only=True)
class Grayscale(RandomOperation):
    """Grey values in all three channels, with probability ``prob``."""

    first_number: ClassVar[int | None] = 29
    flat: ClassVar[Mapping[str, str]] = {"gray": "prob"}
    place: ClassVar[int] = 30
    means_color: ClassVar[bool] = True

    def host(self, image: Image, drawn: Mapping[str, Any]) -> Image:
        return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)

    def device(self, images: Tensor, drawn: Drawn) -> Tensor:
        return grayscale(images)

    def describe(self) -> str:
        return f"grey p {self.prob:g}"

    def told(self, drawn: Mapping[str, Any], height: int, width: int) -> str:
        return "grey"
