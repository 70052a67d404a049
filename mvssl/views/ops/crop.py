"""Random resized crop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from mvssl.arguments import check_count
from mvssl.errors import UserError
from mvssl.registry import VIEW_OPS
from mvssl.views.ops.base import Drawn, Image, Operation
from mvssl.views.ops.boxes import TRIES, drawn_sides, first_that_fits
from mvssl.views.ops.ranges import positive_interval
from mvssl.views.resample import apply_separable, resize_matrices
from mvssl.views.upload import upload


@VIEW_OPS.register_module()
@dataclass(frozen=True, kw_only=True)
class RandomResizedCrop(Operation):
    """A random piece of the image, resized to a square: torchvision's ``RandomResizedCrop``.

    Args:
        scale: Range of the crop's area, as a fraction of the image's.
        ratio: Range of the crop's width / height, drawn uniformly on a logarithmic scale.
        size: Side of the square in pixels; None for that of the view.

    Raises:
        UserError: A value is outside its range.
    """

    numbers: ClassVar[int] = 2 * TRIES + 2
    first_number: ClassVar[int | None] = 0
    flat: ClassVar[Mapping[str, str]] = {"crop_scale": "scale", "crop_ratio": "ratio"}
    place: ClassVar[int] = 0
    usual: ClassVar[bool] = True
    takes_bytes: ClassVar[bool] = True

    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    size: int | None = None

    def __post_init__(self) -> None:
        # A smaller piece is no pixel of most images.
        for name, least, most in (("scale", 1e-4, 1.0), ("ratio", 0.01, 100.0)):
            value = positive_interval(self.name, name, getattr(self, name), least, most)
            object.__setattr__(self, name, value)
        if self.size is not None:
            check_count(self.name, size=self.size)

    def sized(self, size: int) -> Operation:
        return self if self.size is not None else replace(self, size=size)

    def draw(self, u_bn: NDArray[np.float64], height: int, width: int) -> Drawn:
        """The box ``top``, ``left``, ``height``, ``width`` in pixels of the image, int64 (B,)."""
        sides = drawn_sides(u_bn[:, : 2 * TRIES], height * width, self.scale, self.ratio)
        height_bt, width_bt = sides
        fits_bt = (height_bt > 0) & (height_bt <= height) & (width_bt > 0) & (width_bt <= width)
        some_b = fits_bt.any(axis=1)
        height_b, width_b = first_that_fits(fits_bt, height_bt, width_bt)
        central_height, central_width = self._central(height, width)
        height_b = np.where(some_b, height_b, central_height)
        width_b = np.where(some_b, width_b, central_width)

        top_b = np.floor(u_bn[:, -2] * (height - height_b + 1)).astype(np.int64)
        left_b = np.floor(u_bn[:, -1] * (width - width_b + 1)).astype(np.int64)
        return {
            "on": np.ones(len(u_bn), dtype=np.bool_),
            "top": np.where(some_b, top_b, (height - central_height) // 2),
            "left": np.where(some_b, left_b, (width - central_width) // 2),
            "height": height_b,
            "width": width_b,
        }

    def _central(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the largest central crop whose ratio is allowed."""
        if width / height < self.ratio[0]:
            return round(width / self.ratio[0]), width
        if width / height > self.ratio[1]:
            return height, round(height * self.ratio[1])
        return height, width

    def _side(self) -> int:
        if self.size is None:
            raise UserError(f"{self.name} has no size, and stands in no view that has one.")
        return self.size

    def host(self, image: Image, drawn: Mapping[str, Any]) -> Image:
        top, left = int(drawn["top"]), int(drawn["left"])
        # A copy, since torch warns of read-only memory and its fast kernel takes no strides.
        crop = image[top : top + int(drawn["height"]), left : left + int(drawn["width"])].copy()
        # torch's uint8 kernel: the filter of the device form, and faster than OpenCV's INTER_AREA.
        # It is fastest with channels last, that of floats with channels first.
        bchw = torch.from_numpy(crop)[None].permute(0, 3, 1, 2)
        bchw = bchw if image.dtype == np.uint8 else bchw.contiguous()
        side = self._side()
        resized = interpolate(bchw, size=(side, side), mode="bilinear", antialias=True)[0]
        return resized.permute(1, 2, 0).contiguous().numpy()

    def spare(self, drawn: Drawn) -> float:
        return float(min(drawn["height"][0], drawn["width"][0]) / self._side())

    def device(self, images: Tensor, drawn: Drawn) -> Tensor:
        height, width = images.shape[2:]
        boxes = np.stack([drawn[name] for name in ("top", "height", "left", "width")])
        top, tall, left, wide = upload(boxes.astype(np.float64), images.device).unbind()
        rows = resize_matrices(top, tall, self._side(), height)
        columns = resize_matrices(left, wide, self._side(), width)
        if images.dtype == torch.uint8:  # scaled in passing
            columns.div_(255.0)
        return apply_separable(images, rows, columns)

    def describe(self) -> str:
        return f"crop {self.scale[0]:g}-{self.scale[1]:g} of the area"

    def told(self, drawn: Mapping[str, Any], height: int, width: int) -> str:
        share = int(drawn["height"]) * int(drawn["width"]) / (height * width)
        return f"crop {share:.{0 if share >= 0.1 else 1}%}"
