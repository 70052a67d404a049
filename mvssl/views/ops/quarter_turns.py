"""Rotation by quarter turns, which keeps every pixel as it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mvssl.errors import UserError
from mvssl.opencv import cv2
from mvssl.registry import VIEW_OPS
from mvssl.views.ops.base import Drawn, Image, RandomOperation
from mvssl.views.upload import put, take

MOST_ROTATED = 4  # channels, by OpenCV
_ROTATIONS = {
    1: cv2.ROTATE_90_COUNTERCLOCKWISE,
    2: cv2.ROTATE_180,
    3: cv2.ROTATE_90_CLOCKWISE,
}


@VIEW_OPS.register_module()
@dataclass(frozen=True, kw_only=True)
class QuarterTurns(RandomOperation):
    """With probability ``prob``, a rotation by 90, 180 or 270 degrees, each as often as the others.

    ``prob=0.75`` gives every orientation the same chance.
    """

    numbers: ClassVar[int] = 2
    flat: ClassVar[Mapping[str, str]] = {"quarter_turns": "prob"}
    place: ClassVar[int] = 14

    def draw(self, u_bn: NDArray[np.float64], height: int, width: int) -> Drawn:
        """``turns``, int64 (B,): 1, 2 or 3 quarters, counter-clockwise."""
        if height != width:
            raise UserError(
                f"{self.name} turns square images, not {height} x {width} px: "
                f"let it follow RandomResizedCrop."
            )
        return {
            **super().draw(u_bn, height, width),
            "turns": 1 + np.floor(3 * u_bn[:, 1]).astype(np.int64),
        }

    def host(self, image: Image, drawn: Mapping[str, Any]) -> Image:
        if image.shape[2] > MOST_ROTATED:
            return np.ascontiguousarray(np.rot90(image, int(drawn["turns"])))
        return cv2.rotate(image, _ROTATIONS[int(drawn["turns"])])

    def device(self, images: Tensor, drawn: Drawn) -> Tensor:
        turned = torch.empty_like(images)
        for turns in (1, 2, 3):
            rows = np.flatnonzero(drawn["turns"] == turns)
            put(turned, rows, take(images, rows).rot90(turns, (2, 3)))
        return turned

    def describe(self) -> str:
        return f"quarter turns p {self.prob:g}"

    def told(self, drawn: Mapping[str, Any], height: int, width: int) -> str:
        return f"turned {90 * int(drawn['turns'])}° left"
