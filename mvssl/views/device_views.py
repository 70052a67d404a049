"""Views of a whole batch at once, on the device where the images are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mvssl.errors import UserError
from mvssl.views.draws import sample_keys
from mvssl.views.ops.base import Drawn, Operation
from mvssl.views.upload import put, take
from mvssl.views.view import View

__all__ = ["DeviceViews"]


class DeviceViews:
    """Makes all views of a batch of equally large images, every sample with its own draw.

    Draws come from the CPU and say which samples an operation touches, so that a CUDA stream never
    waits. The same seed gives the same views as ``HostViews``.

    Args:
        views: What to make; one tensor each.
        seed: Seed of the draws.
    """

    def __init__(self, views: Sequence[View], seed: int) -> None:
        self.views = tuple(views)
        self.seed = seed

    @torch.no_grad()
    def __call__(self, images: Tensor, index: Tensor, epoch: Tensor) -> list[Tensor]:
        """Makes the views.

        Args:
            images: uint8, or float32 in [0, 1], (B, C, H, W).
            index: Sample ids, int64 (B,). Best on the CPU: reading them from a GPU waits for it.
            epoch: Epoch of every sample, int64 (B,), likewise.

        Returns:
            One float32 tensor (B, C, s, s) per view, in [0, 1], not normalised.

        Raises:
            ValueError: The images are of another kind, or the ids do not match them.
            UserError: A view does not end at its size, or holds an operation for the host alone.
        """
        _check(images, index, epoch)
        key_b = sample_keys(self.seed, epoch.cpu().numpy(), index.cpu().numpy())
        # Mixed precision would round the matrix products to 8 bits and less.
        with torch.autocast(images.device.type, enabled=False):
            return [
                _make_view(images, view, view.random_numbers(key_b, number))
                for number, view in enumerate(self.views)
            ]


def _check(images: Tensor, index: Tensor, epoch: Tensor) -> None:
    if images.dtype not in (torch.uint8, torch.float32) or images.dim() != 4:
        raise ValueError(
            "DeviceViews takes images (B, C, H, W) of uint8 or float32, "
            f"not {images.dtype} of shape {tuple(images.shape)}."
        )
    batch = (len(images),)
    if index.shape != batch or epoch.shape != batch:
        raise ValueError(
            f"DeviceViews takes an index and an epoch for each of {len(images)} images, "
            f"not of shapes {tuple(index.shape)} and {tuple(epoch.shape)}."
        )


def _make_view(pixels: Tensor, view: View, u_bn: NDArray[np.float64]) -> Tensor:
    images = pixels
    for operation, own in view.steps:
        drawn = operation.draw(u_bn[:, own], *images.shape[2:])
        # What some samples alone become is written beside the others: into floats, into a copy.
        if images is pixels and not (operation.takes_bytes and drawn["on"].all()):
            images = _as_float(images)
        images = _apply(operation, images, drawn)
    view.check_result(*images.shape[2:])
    images = _as_float(images) if images is pixels else images
    # Weights add up to 1 but for rounding, so that white may end just above 1.
    return images.clamp_(0.0, 1.0)


def _as_float(pixels: Tensor) -> Tensor:
    """A copy in [0, 1]."""
    return pixels.float().div_(255.0) if pixels.dtype == torch.uint8 else pixels.clone()


def _apply(operation: Operation, images: Tensor, drawn: Drawn) -> Tensor:
    """Applies an operation to the samples that it touches."""
    rows = np.flatnonzero(drawn["on"])
    if rows.size == 0:
        return images
    if rows.size == len(images):
        return operation.device(images, drawn)
    touched = {name: values[rows] for name, values in drawn.items()}
    changed = operation.device(take(images, rows), touched)
    if changed.shape[1:] != images.shape[1:]:
        raise UserError(
            f"{operation.name} makes {tuple(changed.shape[1:])} of images of shape (C, H, W) = "
            f"{tuple(images.shape[1:])}, and of some samples alone: what changes the size is done "
            f"to all."
        )
    return put(images, rows, changed)
