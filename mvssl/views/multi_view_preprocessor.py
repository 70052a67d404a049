"""Views that a config describes, drawn on the training device or in the loader's workers."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mvssl.arguments import check_count
from mvssl.errors import UserError
from mvssl.registry import MODELS
from mvssl.views.build import ViewsConfig, build_views
from mvssl.views.color_spaces import color_space as named_color_space
from mvssl.views.device_views import DeviceViews
from mvssl.views.host_views import HostViews
from mvssl.views.ops import RandomOperation, RandomResizedCrop
from mvssl.views.preprocessor import Preprocessor, unit
from mvssl.views.some_channels import check_rgb, fit_to_channels
from mvssl.views.view import NUM_CHANNELS, View

__all__ = ["MultiViewPreprocessor"]


@MODELS.register_module()
class MultiViewPreprocessor(Preprocessor):
    """Draws the views (device engine) or takes those that the loader's workers drew (host engine).

    Normalisation happens here for both engines and for evaluation, so it is written once.

    Args:
        views: name of a view set (``byol``, ``gentle``, ...), ``dict(type=name, ...)`` with its
            arguments, or a list of dicts, one per view: see ``build_views``.
        size: side of the views in pixels, where a view does not say its own.
        engine: ``device`` draws views from batched images on the training device, for small images
            and for GPUs; ``host`` draws them per sample in the loader's workers, for photographs.
        mean, std: of red, green and blue, of pixel values in [0, 1]; ImageNet's by default. Other
            colour spaces have their own. With other channels one number each. A config may say
            ``mean='auto'``: both are then measured on a sample of the training images.
        color_space: what the finished views, and the images in evaluation, are turned into:
            ``rgb``; ``lab``, CIE L*a*b* under D65 as ``(L - 50) / 50, a / 110, b / 110`` (CMC; Tian
            et al. 2020); ``sobel``, grey value and its derivatives along x and y as
            ``(grey - 0.5) / 0.25, dx / 0.5, dy / 0.5`` (DeepCluster; Caron et al. 2018, where the
            network is not given the grey value). All but ``rgb`` take images that are RGB.
        view_options: what is different in all views that have the operation, by the short names of
            a view: ``dict(flip=0, crop_scale=(0.2, 1))``.
        in_channels: of the images; filled in by the data set.
        rgb: which of them are red, green and blue; operations that mean colour act on those alone,
            and where there are none such, are left out, but for brightness and contrast. Filled in
            by the data set.

    Attributes:
        left_out: operations, and parts of them, that are left out for want of colours, in words.

    Raises:
        UserError: an unknown view set, option, engine or colour space, ``mean`` or ``std`` for
            another colour space than ``rgb`` or images for it that are not RGB, or an operation for
            the other engine.

    Both engines draw from (seed, epoch, sample, view), so a sample's views do not depend on its
    batch, its process or the number of workers. The Runner sets ``seed``.
    """

    def __init__(
        self,
        views: ViewsConfig,
        size: int,
        engine: str = "device",
        mean: Sequence[float] | str | None = None,
        std: Sequence[float] | str | None = None,
        color_space: str = "rgb",
        view_options: Mapping[str, Any] | None = None,
        in_channels: int = NUM_CHANNELS,
        rgb: Sequence[int] | None = None,
    ) -> None:
        if engine not in ("device", "host"):
            raise UserError(
                f"data_preprocessor.engine is 'device' or 'host', got {engine!r}: 'host' for "
                f"large images, 'device' for small ones and GPUs."
            )
        check_count("data_preprocessor", in_channels=in_channels)
        colors = check_rgb("data_preprocessor", rgb, in_channels) or ()
        space = named_color_space(color_space, mean, std, in_channels, colors)
        built = build_views(views, size, view_options)
        super().__init__(size, len(built), space.mean, space.std, in_channels)
        self.views, self.left_out = fit_to_channels(built, in_channels, colors)
        self.engine = engine
        self.color_space = color_space
        self.convert = space.convert
        self._told = _told(views, view_options)
        self._try_operations()

    def _try_operations(self) -> None:
        """That every operation works with the engine.

        Those for the host alone, other libraries' transforms for the most part, are tried.
        """
        for view in self.views:
            foreign = [one for one in view.operations if not one.has_device_form]
            if foreign and self.engine == "device":
                raise UserError(foreign[0].host_alone())
            if foreign:
                gray = np.full((view.size, view.size, self.in_channels), 127, np.uint8)
                HostViews([_without_chance(view)], seed=0)(gray, 0, 0)

    def host_transform(self) -> HostViews | None:
        return HostViews(self.views, self.seed) if self.engine == "host" else None

    @torch.no_grad()
    def make_views(self, data: dict[str, Any]) -> list[Tensor]:
        if "views" in data:
            return side_by_side(self.cast_data(data["views"]))
        # Index and epoch stay on the host, where the draws are made: the device is not waited for.
        engine = DeviceViews(self.views, self.seed)
        return engine(self.cast_data(data["image"]), data["index"], data["epoch"])

    def normalize(self, images: Tensor) -> Tensor:
        """RGB images (B, 3, H, W) in [0, 1] to the colour space, of about zero mean and unit
        variance.
        """
        return super().normalize(images if self.convert is None else self.convert(images))

    def finish(self, number: int, images: Tensor) -> Tensor:
        channels = self.views[number].channels
        if self.engine == "host" and self.convert is None:
            # They were made of bytes here, so that nobody else has them.
            normalized = images.sub_(self.mean).div_(self.std)
        else:
            normalized = self.normalize(images)
        return normalized if channels is None else normalized[:, list(channels)]

    def shapes(self) -> list[tuple[int, int]]:
        return [
            (self.in_channels if view.channels is None else len(view.channels), view.size)
            for view in self.views
        ]

    def describe(self) -> dict[str, str]:
        turned = "" if self.color_space == "rgb" else f", turned from RGB to {self.color_space}"
        rows = {"views": f"{self._told}, drawn on the {self.engine}{turned}"}
        if self.left_out:
            rows["  left out"] = f"for want of red, green and blue: {', '.join(self.left_out)}"
        return rows | {
            f"  view {number}": view.describe() for number, view in enumerate(self.views, start=1)
        }

    def describe_inputs(self) -> dict[str, Any]:
        return super().describe_inputs() | {"color_space": self.color_space}


def side_by_side(views: Sequence[Tensor]) -> list[Tensor]:
    """Copies of views, V x (B, C, s, s), as float32 in [0, 1]; neighbours of one shape lie in one
    piece of memory, so that what joins them has nothing to move.
    """
    made: list[Tensor] = []
    for _, group in itertools.groupby(views, key=lambda view: (view.shape, view.dtype)):
        part = list(group)
        made += unit(torch.cat(part)).chunk(len(part))
    return made


def _without_chance(view: View) -> View:
    """The view from its crop on, with every operation applied for certain.

    What stands before the crop is given images of a size that is not known yet.
    """
    crops = [n for n, one in enumerate(view.operations) if isinstance(one, RandomResizedCrop)]
    tried = view.operations[crops[0] if crops else 0 :]
    certain = [replace(x, prob=1.0) if isinstance(x, RandomOperation) else x for x in tried]
    return replace(view, operations=certain)


def _told(views: ViewsConfig, options: Mapping[str, Any] | None) -> str:
    """``'byol' with flip=0``."""
    name = views.get("type") if isinstance(views, Mapping) else views
    told = f"'{name}'" if isinstance(name, str) else "'own list'"
    changed = ", ".join(f"{key}={value!r}" for key, value in (options or {}).items())
    return f"{told} with {changed}" if changed else told
