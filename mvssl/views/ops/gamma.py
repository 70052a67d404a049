"""Gamma correction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from mvssl.opencv import cv2
from mvssl.registry import VIEW_OPS
from mvssl.views.ops.base import Drawn, Image, RandomOperation
from mvssl.views.ops.ranges import positive_interval
from mvssl.views.upload import upload

_LEVELS = np.arange(256) / 255.0


@VIEW_OPS.register_module()
@dataclass(frozen=True, kw_only=True)
class RandomGamma(RandomOperation):
    """With probability ``prob``, values in [0, 1] to the power of gamma: below 1 it is brighter.

    Args:
        gamma: Range of the exponent, drawn uniformly on a logarithmic scale.

    Raises:
        UserError: A value is outside its range.
    """

    numbers: ClassVar[int] = 2
    flat: ClassVar[Mapping[str, str]] = {"gamma": "gamma", "gamma_prob": "prob"}
    place: ClassVar[int] = 22

    prob: float = 1.0
    gamma: tuple[float, float] = (0.7, 1.4)

    def __post_init__(self) -> None:
        super().__post_init__()
        gamma = positive_interval(self.name, "gamma", self.gamma, 0.01, 100.0)
        object.__setattr__(self, "gamma", gamma)

    @property
    def idle(self) -> bool:
        return super().idle or self.gamma == (1.0, 1.0)

    def draw(self, u_bn: NDArray[np.float64], height: int, width: int) -> Drawn:
        """``gamma``, float64 (B,)."""
        low, high = np.log(self.gamma)
        gamma = np.exp(low + (high - low) * u_bn[:, 1])
        return {**super().draw(u_bn, height, width), "gamma": gamma}

    def host(self, image: Image, drawn: Mapping[str, Any]) -> Image:
        if image.dtype != np.uint8:
            return image ** np.float32(drawn["gamma"])
        return cv2.LUT(image, np.rint(255.0 * _LEVELS ** drawn["gamma"]).astype(np.uint8))

    def device(self, images: Tensor, drawn: Drawn) -> Tensor:
        return images.pow_(upload(drawn["gamma"], images.device)[:, None, None, None])

    def describe(self) -> str:
        return f"gamma {self.gamma[0]:g}-{self.gamma[1]:g} p {self.prob:g}"

    def told(self, drawn: Mapping[str, Any], height: int, width: int) -> str:
        return f"gamma {drawn['gamma']:.2f}"
