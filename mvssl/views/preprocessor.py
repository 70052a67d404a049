"""From a batch of the loader to normalised views on the training device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from mvssl.errors import UserError
from mvssl.registry import MODELS
from mvssl.views.color import rgb_to_lab, sobel_edges
from mvssl.views.device_views import DeviceViews
from mvssl.views.host_views import HostViews
from mvssl.views.sets import View, build_views

__all__ = ["MultiViewPreprocessor"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class ColorSpace(NamedTuple):
    """How images in [0, 1] RGB are turned into what a network is given."""

    convert: Callable[[Tensor], Tensor] | None
    mean: tuple[float, ...]
    std: tuple[float, ...]


COLOR_SPACES = {
    "rgb": ColorSpace(None, IMAGENET_MEAN, IMAGENET_STD),
    # L from 0 to 100 becomes -1 to 1; a and b reach about 108 from 0.
    "lab": ColorSpace(rgb_to_lab, (50.0, 0.0, 0.0), (50.0, 110.0, 110.0)),
    # Derivatives reach 4 at the sharpest edges, and are far smaller almost everywhere.
    "sobel": ColorSpace(sobel_edges, (0.5, 0.0, 0.0), (0.25, 0.5, 0.5)),
}


@MODELS.register_module()
class MultiViewPreprocessor(BaseDataPreprocessor):
    """Draws the views (device engine) or takes those that the loader's workers drew (host engine).

    Normalisation happens here for both engines and for evaluation, so it is written once.

    Args:
        views: name of a view set (``byol``, ``gentle``, ...) or a list of ``View`` arguments.
        size: side of the views in pixels, where a view does not say its own.
        engine: ``device`` draws views from batched images on the training device, for small images
            and for GPUs; ``host`` draws them per sample in the loader's workers, for photographs.
        mean, std: of red, green and blue, of pixel values in [0, 1]; ImageNet's by default. Other
            colour spaces have their own.
        color_space: what the finished views, and the images in evaluation, are turned into:
            ``rgb``; ``lab``, CIE L*a*b* under D65 as ``(L - 50) / 50, a / 110, b / 110`` (CMC; Tian
            et al. 2020); ``sobel``, grey value and its derivatives along x and y as
            ``(grey - 0.5) / 0.25, dx / 0.5, dy / 0.5`` (DeepCluster; Caron et al. 2018, where the
            network is not given the grey value).

    Raises:
        UserError: an unknown view set, engine or colour space, or ``mean`` or ``std`` for another
            colour space than ``rgb``.

    Both engines draw from (seed, epoch, sample, view), so a sample's views do not depend on its
    batch, its process or the number of workers. The Runner sets ``seed``.
    """

    def __init__(
        self,
        views: str | Sequence[dict[str, Any]],
        size: int,
        engine: str = "device",
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        color_space: str = "rgb",
    ) -> None:
        super().__init__(non_blocking=True)
        if engine not in ("device", "host"):
            raise UserError(
                f"data_preprocessor.engine is 'device' or 'host', got {engine!r}: 'host' for "
                f"large images, 'device' for small ones and GPUs."
            )
        self.view_set = views if isinstance(views, str) else "own list"
        self.views = build_views(views, size)
        self.size = size
        self.engine = engine
        self.seed = 0
        space = _color_space(color_space, mean, std)
        self.color_space = color_space
        self.convert = space.convert
        self.register_buffer("mean", torch.tensor(space.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(space.std).view(1, 3, 1, 1), persistent=False)

    @property
    def num_views(self) -> int:
        """V, the number of views of an image."""
        return len(self.views)

    def host_transform(self) -> HostViews | None:
        """What the data set applies in its workers; None where views are drawn on the device."""
        return HostViews(self.views, self.seed) if self.engine == "host" else None

    @torch.no_grad()
    def make_views(self, data: dict[str, Any]) -> list[Tensor]:
        """V x (B, 3, s, s) in [0, 1] on the device, RGB, not normalised, of a loader's batch."""
        if "views" in data:
            return [view.float().div_(255.0) for view in self.cast_data(data["views"])]
        # Index and epoch stay on the host, where the draws are made: the device is not waited for.
        engine = DeviceViews(self.views, self.seed)
        return engine(self.cast_data(data["image"]), data["index"], data["epoch"])

    @torch.no_grad()
    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """A loader's batch to the arguments of ``MultiView.forward``.

        Training: ``inputs`` is a list of V views (B, c, s, s), c = 3 where a view does not say
        which ``channels``, ``index`` (B,). Otherwise ``inputs`` is the normalised images
        (B, 3, H, W).
        """
        # Also under AMP: bfloat16 would keep but 8 bits of a pixel.
        with torch.autocast(self.device.type, enabled=False):
            if training:
                made = zip(self.views, self.make_views(data), strict=True)
                inputs = [_chosen(view, self.normalize(images)) for view, images in made]
                return {"inputs": inputs, "index": self.cast_data(data["index"])}
            images = self.cast_data(data["image"]).float().div_(255.0)
            return {"inputs": self.normalize(images)}

    def normalize(self, images: Tensor) -> Tensor:
        """RGB images (B, 3, H, W) in [0, 1] to the colour space, of about zero mean and unit
        variance.
        """
        if self.convert is not None:
            images = self.convert(images)
        return (images - self.mean) / self.std


def _color_space(
    name: str, mean: Sequence[float] | None, std: Sequence[float] | None
) -> ColorSpace:
    """The colour space, with a user's statistics."""
    if name not in COLOR_SPACES:
        listed = ", ".join(map(repr, COLOR_SPACES))
        raise UserError(f"data_preprocessor.color_space is one of {listed}, got {name!r}.")
    space = COLOR_SPACES[name]
    given = [key for key, value in (("mean", mean), ("std", std)) if value is not None]
    if given and name != "rgb":
        raise UserError(
            f"data_preprocessor.{' and '.join(given)} are for RGB, and color_space={name!r} has "
            f"its own: leave them out, or set them to None where a base config gives them."
        )
    return ColorSpace(space.convert, tuple(mean or space.mean), tuple(std or space.std))


def _chosen(view: View, images: Tensor) -> Tensor:
    return images if view.channels is None else images[:, list(view.channels)]
