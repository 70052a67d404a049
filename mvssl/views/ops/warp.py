"""Rotation, shift, scale, shear and perspective: pixels looked up where a matrix says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import grid_sample

from mvssl.arguments import check_number
from mvssl.opencv import cv2
from mvssl.registry import VIEW_OPS
from mvssl.views.ops.base import Drawn, Image, RandomOperation
from mvssl.views.ops.ranges import check_strength, positive_interval
from mvssl.views.upload import upload

_AT_ONCE = 4  # channels, by OpenCV


@dataclass(frozen=True, kw_only=True)
class Warp(RandomOperation):
    """What every pixel of the view shows is looked up in the image, between four pixels.

    A subclass draws ``matrix``, float64 (B, 3, 3): from a place in the view, (x, y, 1), to the
    place in the image that it shows, up to a factor. Places are in pixels from the upper left
    corner, so that the first pixel's centre is (0.5, 0.5).

    Args:
        fill: Value in [0, 1] beyond the image's borders; None: what lies inside, mirrored.
    """

    fill: float | None = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.fill is not None:
            check_number(self.name, 0.0, 1.0, fill=self.fill)

    def host(self, image: Image, drawn: Mapping[str, Any]) -> Image:
        height, width = image.shape[:2]
        # OpenCV counts from the first pixel's centre.
        matrix = _shift(-0.5) @ drawn["matrix"] @ _shift(0.5)
        border = cv2.BORDER_REFLECT if self.fill is None else cv2.BORDER_CONSTANT
        value = (self.fill or 0.0) * (255.0 if image.dtype == np.uint8 else 1.0)
        parts = [
            cv2.warpPerspective(
                np.ascontiguousarray(image[..., first : first + _AT_ONCE]),
                matrix,
                (width, height),
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=border,
                borderValue=(value,) * 4,
            ).reshape(height, width, -1)
            for first in range(0, image.shape[2], _AT_ONCE)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)

    def device(self, images: Tensor, drawn: Drawn) -> Tensor:
        height, width = images.shape[2:]
        # From places in [-1, 1] to such: that is what torch looks up.
        to_pixels = np.array([[width / 2, 0, width / 2], [0, height / 2, height / 2], [0, 0, 1]])
        matrix = np.linalg.inv(to_pixels) @ drawn["matrix"] @ to_pixels
        x = (torch.arange(width, device=images.device) * 2 + 1) / width - 1
        y = (torch.arange(height, device=images.device) * 2 + 1) / height - 1
        places = torch.stack([x.expand(height, width), y[:, None].expand(height, width)])
        places = torch.cat([places, torch.ones_like(places[:1])]).flatten(1)
        found = upload(matrix, images.device) @ places  # (B, 3, H W)
        grid = (found[:, :2] / found[:, 2:]).view(-1, 2, height, width).permute(0, 2, 3, 1)
        if self.fill is None:
            return grid_sample(images, grid, padding_mode="reflection", align_corners=False)
        made = grid_sample(images.sub_(self.fill), grid, align_corners=False)
        return made.add_(self.fill).clamp_(0.0, 1.0)


def _shift(pixels: float) -> NDArray[np.float64]:
    return np.array([[1.0, 0.0, pixels], [0.0, 1.0, pixels], [0.0, 0.0, 1.0]])


@VIEW_OPS.register_module()
@dataclass(frozen=True, kw_only=True)
class RandomAffine(Warp):
    """With probability ``prob``, a rotation, shear, scale and shift about the middle of the image.

    As torchvision's ``RandomAffine``: sheared along x, then along y, and then turned.

    Args:
        degrees: The angle is uniform on ``[-degrees, degrees]``; positive ones turn clockwise.
        translate: Shifts along x and y are uniform on ``[-t, t]`` times width and height.
        scale: Range of the factor by which what is seen grows, drawn uniformly.
        shear: Angles of the shear along x and y are uniform on ``[-shear, shear]`` degrees.
        fill: Value in [0, 1] beyond the image's borders; None: what lies inside, mirrored.

    Raises:
        UserError: A value is outside its range.
    """

    numbers: ClassVar[int] = 7
    flat: ClassVar[Mapping[str, str]] = {
        "affine": "prob",
        "affine_degrees": "degrees",
        "affine_translate": "translate",
        "affine_scale": "scale",
        "affine_shear": "shear",
        "affine_fill": "fill",
    }
    place: ClassVar[int] = 15

    degrees: float = 15.0
    translate: float = 0.1
    scale: tuple[float, float] = (0.9, 1.1)
    shear: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self.name, 0.0, 180.0, degrees=self.degrees)
        check_strength(self.name, 1.0, translate=self.translate)
        check_number(self.name, 0.0, 60.0, shear=self.shear)
        scale = positive_interval(self.name, "scale", self.scale, 0.01, 100.0)
        object.__setattr__(self, "scale", scale)

    @property
    def idle(self) -> bool:
        still = self.degrees == self.translate == self.shear == 0 and self.scale == (1.0, 1.0)
        return super().idle or still

    def draw(self, u_bn: NDArray[np.float64], height: int, width: int) -> Drawn:
        """``matrix``, and by name, (B,): ``angle`` and ``shear`` (B, 2) in degrees, ``shift``
        (B, 2) in pixels, ``scale``.
        """
        drawn = super().draw(u_bn, height, width)
        evenly = 2.0 * u_bn[:, 1:] - 1.0
        low, high = self.scale
        drawn["angle"] = self.degrees * evenly[:, 0]
        drawn["shift"] = self.translate * evenly[:, 1:3] * (width, height)
        drawn["scale"] = low + (high - low) * u_bn[:, 4]
        drawn["shear"] = self.shear * evenly[:, 4:6]
        cos, sin = np.cos(np.radians(drawn["angle"])), np.sin(np.radians(drawn["angle"]))
        along_x, along_y = np.tan(np.radians(drawn["shear"])).T
        one, zero = np.ones(len(u_bn)), np.zeros(len(u_bn))
        turn = _square([[cos, -sin], [sin, cos]])
        shear = _square([[one, zero], [-along_y, one]]) @ _square([[one, -along_x], [zero, one]])
        forth = np.zeros((len(u_bn), 3, 3))
        forth[:, :2, :2] = drawn["scale"][:, None, None] * (turn @ shear)
        middle = np.array([width / 2, height / 2])
        forth[:, :2, 2] = middle + drawn["shift"] - forth[:, :2, :2] @ middle
        forth[:, 2, 2] = 1.0
        return drawn | {"matrix": np.linalg.inv(forth)}

    def describe(self) -> str:
        parts = [
            f"turned up to {self.degrees:g}°" if self.degrees else "",
            f"shifted up to {self.translate:g} of the side" if self.translate else "",
            f"scaled {self.scale[0]:g}-{self.scale[1]:g}" if self.scale != (1.0, 1.0) else "",
            f"sheared up to {self.shear:g}°" if self.shear else "",
        ]
        return f"affine ({' '.join(filter(None, parts))}) p {self.prob:g}"

    def told(self, drawn: Mapping[str, Any], height: int, width: int) -> str:
        x, y = drawn["shift"]
        parts = [
            f"{drawn['angle']:+.0f}°" if self.degrees else "",
            f"shift {x:+.0f} {y:+.0f} px" if self.translate else "",
            f"scale ×{drawn['scale']:.2f}" if self.scale != (1.0, 1.0) else "",
            "shear {:+.0f}° {:+.0f}°".format(*drawn["shear"]) if self.shear else "",
        ]
        return f"affine {' '.join(filter(None, parts))}".strip()


@VIEW_OPS.register_module()
@dataclass(frozen=True, kw_only=True)
class RandomPerspective(Warp):
    """With probability ``prob``, a look from another side: the corners of the image move inwards.

    As torchvision's ``RandomPerspective``, but for corners between pixels.

    Args:
        distortion: Each corner moves uniformly by 0 to ``distortion`` times half the width and half
            the height.
        fill: Value in [0, 1] beyond the image's borders; None: what lies inside, mirrored.

    Raises:
        UserError: A value is outside its range.
    """

    numbers: ClassVar[int] = 9
    flat: ClassVar[Mapping[str, str]] = {
        "perspective": "prob",
        "perspective_distortion": "distortion",
        "perspective_fill": "fill",
    }
    place: ClassVar[int] = 16

    distortion: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        # At 1 the corners can meet.
        check_strength(self.name, 0.9, distortion=self.distortion)

    @property
    def idle(self) -> bool:
        return super().idle or self.distortion == 0

    def draw(self, u_bn: NDArray[np.float64], height: int, width: int) -> Drawn:
        """``matrix``, and ``corners``, (B, 4, 2): where upper left, upper right, lower right and
        lower left come to lie, in pixels (x, y).
        """
        corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float64)
        inwards = np.array([(1, 1), (-1, 1), (-1, -1), (1, -1)]) * (width / 2, height / 2)
        moved = corners + self.distortion * u_bn[:, 1:].reshape(-1, 4, 2) * inwards
        # x (g x' + h y' + 1) = a x' + b y' + c, likewise for y: two equations a corner.
        x, y = np.broadcast_to(corners, moved.shape).transpose(2, 0, 1)
        one, none = np.ones_like(x), np.zeros_like(x)
        p, q = moved.transpose(2, 0, 1)
        rows_x = np.stack([p, q, one, none, none, none, -x * p, -x * q], axis=2)
        rows_y = np.stack([none, none, none, p, q, one, -y * p, -y * q], axis=2)
        equations = np.concatenate([rows_x, rows_y], axis=1)
        wanted = np.concatenate([x, y], axis=1)[..., None]
        solved = np.linalg.solve(equations, wanted)[..., 0]
        matrix = np.concatenate([solved, np.ones((len(solved), 1))], axis=1).reshape(-1, 3, 3)
        return super().draw(u_bn, height, width) | {"corners": moved, "matrix": matrix}

    def describe(self) -> str:
        return f"perspective {self.distortion:g} p {self.prob:g}"

    def told(self, drawn: Mapping[str, Any], height: int, width: int) -> str:
        return "perspective"


def _square(rows: list[list[NDArray[np.float64]]]) -> NDArray[np.float64]:
    """Matrices (B, 2, 2) of their entries, each (B,)."""
    return np.stack([np.stack(row, axis=1) for row in rows], axis=1)
