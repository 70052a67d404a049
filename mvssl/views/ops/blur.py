"""Gaussian blur."""

from __future__ import annotations

import math
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
from mvssl.views.resample import apply_separable, blur_matrices
from mvssl.views.upload import upload

_FAR = 4  # standard deviations, beyond which lies less than 1e-4 of a Gaussian


def num_taps(side: int) -> int:
    """Taps of the blur: about a tenth of the image's side, odd, at least 3 (SimCLR, BYOL)."""
    return max(3, side // 10 | 1)


def _taps(sigma: float, reach: int, whole: bool) -> NDArray[np.float32]:
    """A Gaussian's weights at most ``reach`` from its centre, without those that are next to none.

    ``whole``: in whole 256ths that add up to 1, as OpenCV rounds them for images of uint8.
    """
    reach = min(reach, math.ceil(_FAR * sigma))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    weights /= weights.sum()
    if whole:
        parts = np.rint(256 * weights)
        parts[reach] += 256 - parts.sum()
        weights = parts[parts > 0] / 256
    return weights.astype(np.float32)


@VIEW_OPS.register_module()
@dataclass(frozen=True, kw_only=True)
class GaussianBlur(RandomOperation):
    """With probability ``prob``, a Gaussian blur whose number of taps is about a tenth of the side.

    Args:
        sigma: Range of the standard deviation in pixels of the image, drawn uniformly.

    Raises:
        UserError: A value is outside its range.
    """

    numbers: ClassVar[int] = 2
    first_number: ClassVar[int | None] = 30
    flat: ClassVar[Mapping[str, str]] = {"blur": "prob", "blur_sigma": "sigma"}
    place: ClassVar[int] = 40

    sigma: tuple[float, float] = (0.1, 2.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(
            self, "sigma", positive_interval(self.name, "sigma", self.sigma, 0.01, 1000.0)
        )

    def draw(self, u_bn: NDArray[np.float64], height: int, width: int) -> Drawn:
        """``sigma``, float64 (B,)."""
        low, high = self.sigma
        return {**super().draw(u_bn, height, width), "sigma": low + (high - low) * u_bn[:, 1]}

    def host(self, image: Image, drawn: Mapping[str, Any]) -> Image:
        height, width = image.shape[:2]
        across, down = (
            _taps(float(drawn["sigma"]), num_taps(side) // 2, image.dtype == np.uint8)
            for side in (width, height)
        )
        # Half the time of cv2.GaussianBlur.
        return cv2.sepFilter2D(image, -1, across, down, borderType=cv2.BORDER_REFLECT_101)

    def device(self, images: Tensor, drawn: Drawn) -> Tensor:
        sigma_b = upload(drawn["sigma"], images.device)
        height, width = images.shape[2:]
        rows = blur_matrices(sigma_b, height, num_taps(height))
        columns = rows if width == height else blur_matrices(sigma_b, width, num_taps(width))
        return apply_separable(images, rows, columns)

    def describe(self) -> str:
        return f"blur p {self.prob:g}"

    def told(self, drawn: Mapping[str, Any], height: int, width: int) -> str:
        return f"blur sigma {drawn['sigma']:.1f}"
