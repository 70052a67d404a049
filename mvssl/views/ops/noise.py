"""Gaussian noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mvssl.registry import VIEW_OPS
from mvssl.views.ops.base import Drawn, Image, RandomOperation
from mvssl.views.ops.ranges import positive_interval
from mvssl.views.ops.scatter import normals, seeds
from mvssl.views.upload import upload


@VIEW_OPS.register_module()
@dataclass(frozen=True, kw_only=True)
class GaussianNoise(RandomOperation):
    """With probability ``prob``, independent normal noise on every value, cut off at 0 and 1.

    Args:
        std: Range of the noise's standard deviation, of values in [0, 1], drawn uniformly.

    Raises:
        UserError: A value is outside its range.
    """

    numbers: ClassVar[int] = 3
    flat: ClassVar[Mapping[str, str]] = {"noise": "prob", "noise_std": "std"}
    place: ClassVar[int] = 45

    std: tuple[float, float] = (0.01, 0.1)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "std", positive_interval(self.name, "std", self.std, 1e-4, 10.0))

    def draw(self, u_bn: NDArray[np.float64], height: int, width: int) -> Drawn:
        """``std``, float64, and ``seed`` of the noise, int64, (B,)."""
        low, high = self.std
        std = low + (high - low) * u_bn[:, 1]
        return {**super().draw(u_bn, height, width), "std": std, "seed": seeds(u_bn[:, 2])}

    def host(self, image: Image, drawn: Mapping[str, Any]) -> Image:
        height, width, channels = image.shape
        white = 255.0 if image.dtype == np.uint8 else 1.0
        noise = normals(torch.tensor([drawn["seed"]]), image.size).view(channels, height, width)
        made = image + np.float32(white * drawn["std"]) * noise.permute(1, 2, 0).numpy()
        made = made.clip(0.0, white)
        return (made + 0.5).astype(np.uint8) if image.dtype == np.uint8 else made

    def device(self, images: Tensor, drawn: Drawn) -> Tensor:
        noise = normals(upload(drawn["seed"], images.device), images[0].numel())
        std_b = upload(drawn["std"], images.device)
        return images.add_(noise.mul_(std_b[:, None]).view_as(images)).clamp_(0.0, 1.0)

    def describe(self) -> str:
        return f"noise {self.std[0]:g}-{self.std[1]:g} p {self.prob:g}"

    def told(self, drawn: Mapping[str, Any], height: int, width: int) -> str:
        return f"noise {drawn['std']:.2f}"
