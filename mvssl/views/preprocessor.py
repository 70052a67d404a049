"""From a batch of the loader to what a network is given: the base of all preprocessors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from mvssl.arguments import check_count
from mvssl.errors import UserError
from mvssl.views.color_spaces import IMAGENET_MEAN, IMAGENET_STD, check_statistics
from mvssl.views.device_views import DeviceViews
from mvssl.views.host_views import HostViews
from mvssl.views.ops.base import Image
from mvssl.views.view import MOST_SIDE, NUM_CHANNELS, View
from mvssl.words import count

__all__ = ["Preprocessor", "ViewTransform", "unit"]

ViewTransform = Callable[[Image, int, int], list[Tensor]]
"""What a data set applies in the loader's workers: an image uint8 (H, W, 3), its index and its
epoch to uint8 (3, s, s), one per view; or float32 in [0, 1], with any number of channels. One that
has a method ``spare``, as ``HostViews``, is given large photographs decoded at a part of their
size."""


def unit(images: Tensor) -> Tensor:
    """uint8, or float32 in [0, 1], as float32 in [0, 1]."""
    return images.float().div_(255.0) if images.dtype == torch.uint8 else images


class Preprocessor(BaseDataPreprocessor, ABC):
    """Makes views of a batch and normalises them, and says what they are.

    A subclass gives ``make_views``; everything else that a run asks of a preprocessor has a default
    that follows from it and from the constructor's arguments.

    Args:
        size: Side of the views, and of whole images in evaluation, in pixels.
        num_views: V, the number of views of an image.
        mean, std: Of red, green and blue, of pixel values in [0, 1]; else one number a channel.
        in_channels: C, of the images.

    Attributes:
        seed: Of the draws. The Runner sets it to that of the run.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        size: int,
        num_views: int = 2,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        in_channels: int = NUM_CHANNELS,
    ) -> None:
        super().__init__(non_blocking=True)
        # From 2 pixels on, as a view.
        check_count("data_preprocessor", 2, MOST_SIDE, size=size)
        check_count("data_preprocessor", num_views=num_views)
        check_count("data_preprocessor", in_channels=in_channels)
        check_statistics("data_preprocessor", mean, std, in_channels)
        self.size = size
        self.in_channels = in_channels
        self.num_views = num_views
        self.seed = 0
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1), persistent=False)

    @property
    def device(self) -> torch.device:
        # mmengine notes it in its own .to alone, and a model is moved as a whole.
        return self.mean.device

    def host_transform(self) -> ViewTransform | None:
        """What the data set applies in its workers; None where it hands over the image itself."""
        return None

    @abstractmethod
    def make_views(self, data: dict[str, Any]) -> list[Tensor]:
        """V x (B, C, s, s), float32 in [0, 1] on ``device``, not normalised, of a loader's batch.

        ``data`` holds ``image``, uint8 or float32 in [0, 1], (B, C, H, W), or ``views`` of the host
        transform, V x (B, C, s, s); ``index`` and ``epoch``, int64 (B,), on the CPU.
        """

    @torch.no_grad()
    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """A loader's batch to the arguments of ``MultiView.forward``.

        Training: ``inputs`` is a list of V views (B, c, s, s), ``index`` (B,). Otherwise ``inputs``
        is the normalised images (B, C, H, W).
        """
        # Also under AMP: bfloat16 would keep but 8 bits of a pixel.
        with torch.autocast(self.device.type, enabled=False):
            if training:
                made = enumerate(self.make_views(data))
                inputs = [self.finish(number, images) for number, images in made]
                return {"inputs": inputs, "index": self.cast_data(data["index"])}
            images = unit(self.cast_data(data["image"]))
            if images.shape[1] != self.in_channels:
                raise UserError(
                    f"The images have {count(images.shape[1], 'channel')}, and the model takes "
                    f"{self.in_channels}: give data of the same kind to train and to evaluate."
                )
            return {"inputs": self.normalize(images)}

    def normalize(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) in [0, 1] to about zero mean and unit variance."""
        return (images - self.mean).div_(self.std)

    def finish(self, number: int, images: Tensor) -> Tensor:
        """What the network is given of the images of view ``number``, as ``make_views`` made them.

        ``shapes`` says of what size it is.
        """
        return self.normalize(images)

    def shapes(self) -> list[tuple[int, int]]:
        """Channels and side in pixels of what the network is given of each view."""
        return [(self.in_channels, self.size)] * self.num_views

    def still_transform(self) -> ViewTransform | None:
        """As ``host_transform``, for ``whole``: whole images where views are random."""
        return None if self.host_transform() is None else HostViews([self._still()], seed=0)

    @torch.no_grad()
    def whole(self, data: dict[str, Any]) -> Tensor:
        """Whole images (their largest squares), without augmentation, of the size of the first
        view, normalised: (B, C, s, s) of a batch for which ``still_transform`` was set.
        """
        with torch.autocast(self.device.type, enabled=False):
            if "views" in data:
                images = unit(self.cast_data(data["views"])[0])
            else:
                engine = DeviceViews([self._still()], seed=0)
                (images,) = engine(self.cast_data(data["image"]), data["index"], data["epoch"])
            return self.normalize(images)

    def _still(self) -> View:
        side = self.shapes()[0][1]
        return View.flat(side, crop_scale=(1.0, 1.0), crop_ratio=(1.0, 1.0), flip=0.0)

    def describe(self) -> dict[str, str]:
        """Rows for the plan of a run."""
        return {"views": f"{self.num_views} of {self.size} px, made by {type(self).__name__}"}

    def describe_inputs(self) -> dict[str, Any]:
        """What an exported backbone expects of images: size, colour space, mean, std."""
        channels = {"mean": self.mean.flatten().tolist(), "std": self.std.flatten().tolist()}
        return {"size": self.size, "color_space": "rgb", **channels}
