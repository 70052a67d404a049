"""What hides a part of an image: random erasing and channel dropout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mvssl.arguments import check_count, check_number
from mvssl.errors import UserError
from mvssl.registry import VIEW_OPS
from mvssl.views.ops.base import Drawn, Image, RandomOperation
from mvssl.views.ops.boxes import TRIES, drawn_sides, first_that_fits
from mvssl.views.ops.ranges import positive_interval
from mvssl.views.ops.scatter import seeds, uniforms
from mvssl.views.upload import upload

_NOISE = "noise"


@VIEW_OPS.register_module()
@dataclass(frozen=True, kw_only=True)
class RandomErasing(RandomOperation):
    """With probability ``prob``, a rectangle is erased (Zhong et al., 2020).

    As torchvision's ``RandomErasing``, of images that are not normalised yet: where none of ten
    rectangles fits into the image, it stays as it is.

    Args:
        scale: Range of the rectangle's area, as a fraction of the image's.
        ratio: Range of its height / width, drawn uniformly on a logarithmic scale.
        fill: Value in [0, 1] of all its pixels, or ``'noise'``: uniform in [0, 1], each its own.

    Raises:
        UserError: A value is outside its range.
    """

    numbers: ClassVar[int] = 2 * TRIES + 4
    flat: ClassVar[Mapping[str, str]] = {
        "erasing": "prob",
        "erasing_scale": "scale",
        "erasing_ratio": "ratio",
        "erasing_fill": "fill",
    }
    place: ClassVar[int] = 60

    scale: tuple[float, float] = (0.02, 0.33)
    ratio: tuple[float, float] = (0.3, 3.3)
    fill: float | str = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least, most in (("scale", 1e-4, 1.0), ("ratio", 0.01, 100.0)):
            value = positive_interval(self.name, name, getattr(self, name), least, most)
            object.__setattr__(self, name, value)
        if isinstance(self.fill, str):
            if self.fill != _NOISE:
                raise UserError(
                    f"{self.name}: fill is a value from 0 to 1, or 'noise', not {self.fill!r}."
                )
        else:
            check_number(self.name, 0.0, 1.0, fill=self.fill)

    def draw(self, u_bn: NDArray[np.float64], height: int, width: int) -> Drawn:
        """The rectangle ``top``, ``left``, ``height``, ``width`` in pixels, and ``seed`` of its
        noise, int64 (B,).
        """
        # The ratio is that of the height to the width here, as in torchvision.
        sides = drawn_sides(u_bn[:, 1 : 2 * TRIES + 1], height * width, self.scale, self.ratio)
        width_bt, height_bt = sides
        fits_bt = (height_bt > 0) & (height_bt < height) & (width_bt > 0) & (width_bt < width)
        height_b, width_b = first_that_fits(fits_bt, height_bt, width_bt)
        drawn = super().draw(u_bn, height, width)
        return {
            "on": drawn["on"] & fits_bt.any(axis=1),
            "top": np.floor(u_bn[:, -3] * (height - height_b + 1)).astype(np.int64),
            "left": np.floor(u_bn[:, -2] * (width - width_b + 1)).astype(np.int64),
            "height": height_b,
            "width": width_b,
            "seed": seeds(u_bn[:, -1]),
        }

    def host(self, image: Image, drawn: Mapping[str, Any]) -> Image:
        top, left, tall, wide = (int(drawn[name]) for name in ("top", "left", "height", "width"))
        box = (slice(top, top + tall), slice(left, left + wide))
        value: Any = self.fill
        if self.fill == _NOISE:
            height, width, channels = image.shape
            noise = uniforms(torch.tensor([drawn["seed"]]), image.size)
            value = noise.view(channels, height, width).permute(1, 2, 0).numpy()[box]
        made = image.copy()
        made[box] = np.rint(255.0 * value) if image.dtype == np.uint8 else value
        return made

    def device(self, images: Tensor, drawn: Drawn) -> Tensor:
        value: Any = self.fill
        if self.fill == _NOISE:
            seed_b = upload(drawn["seed"], images.device)
            value = uniforms(seed_b, images[0].numel()).view_as(images)
        down = _within(drawn["top"], drawn["height"], images.shape[2], images.device)
        across = _within(drawn["left"], drawn["width"], images.shape[3], images.device)
        inside = (down[:, :, None] & across[:, None])[:, None]
        return torch.where(inside, value, images)

    def describe(self) -> str:
        return f"erasing {self.scale[0]:g}-{self.scale[1]:g} of the area p {self.prob:g}"

    def told(self, drawn: Mapping[str, Any], height: int, width: int) -> str:
        return f"erased {drawn['height'] * drawn['width'] / (height * width):.0%}"


def _within(
    start_b: NDArray[np.int64], length_b: NDArray[np.int64], extent: int, device: torch.device
) -> Tensor:
    """Which pixels of an axis lie in a piece of it, bool (B, extent)."""
    start, length = upload(np.stack([start_b, length_b]), device)[..., None].unbind()
    place = torch.arange(extent, device=device)
    return (place >= start) & (place < start + length)


@VIEW_OPS.register_module()
@dataclass(frozen=True, kw_only=True)
class ChannelDropout(RandomOperation):
    """With probability ``prob``, some channels have one value everywhere; one at least is left.

    An image of one channel stays as it is.

    Args:
        most: Channels that may be lost; how many is uniform from 1 on.
        fill: Their value, in [0, 1].

    Raises:
        UserError: A value is outside its range.
    """

    numbers: ClassVar[int] = 3
    flat: ClassVar[Mapping[str, str]] = {
        "channel_dropout": "prob",
        "channel_dropout_most": "most",
        "channel_dropout_fill": "fill",
    }
    place: ClassVar[int] = 55

    most: int = 1
    fill: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count(self.name, most=self.most)
        check_number(self.name, 0.0, 1.0, fill=self.fill)

    def draw(self, u_bn: NDArray[np.float64], height: int, width: int) -> Drawn:
        """``share``, in [0, 1), of how many may be lost, and ``seed`` of which they are, (B,)."""
        drawn = super().draw(u_bn, height, width)
        return {**drawn, "share": u_bn[:, 1], "seed": seeds(u_bn[:, 2])}

    def lost(self, drawn: Drawn, channels: int) -> NDArray[np.bool_]:
        """Which channels of each of B images are, (B, channels)."""
        most = min(self.most, channels - 1)
        number_b = (1 + (drawn["share"] * most).astype(np.int64)) * (most > 0)
        order_bc = uniforms(torch.from_numpy(drawn["seed"]), channels).argsort(dim=1, stable=True)
        places_bc = order_bc.argsort(dim=1).numpy()
        return places_bc < number_b[:, None]

    def host(self, image: Image, drawn: Mapping[str, Any]) -> Image:
        if image.shape[2] == 1:
            return image
        made = image.copy()
        value = np.rint(255.0 * self.fill) if image.dtype == np.uint8 else self.fill
        alone = {name: np.array([drawn[name]]) for name in ("share", "seed")}
        made[..., self.lost(alone, image.shape[2])[0]] = value
        return made

    def device(self, images: Tensor, drawn: Drawn) -> Tensor:
        lost = upload(self.lost(drawn, images.shape[1]), images.device)
        return images.masked_fill_(lost[..., None, None], self.fill)

    def describe(self) -> str:
        channels = "1 channel" if self.most == 1 else f"1-{self.most} channels"
        return f"{channels} lost p {self.prob:g}"

    def told(self, drawn: Mapping[str, Any], height: int, width: int) -> str:
        return "channels lost"
