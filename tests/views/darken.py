"""An operation as a user would write it; the fixture ``darken`` registers it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from mvssl.views import Drawn, Image, RandomOperation


@dataclass(frozen=True, kw_only=True)
class Darken(RandomOperation):
    """Halves every value, before solarisation if there is any."""

    flat: ClassVar[Mapping[str, str]] = {"darken": "prob"}
    place: ClassVar[int] = 45
    takes_bytes: ClassVar[bool] = True

    def host(self, image: Image, drawn: Mapping[str, Any]) -> Image:
        return image // 2

    def device(self, images: Tensor, drawn: Drawn) -> Tensor:
        return images / 510 if images.dtype == torch.uint8 else images * 0.5

    def describe(self) -> str:
        return f"darken p {self.prob:g}"
