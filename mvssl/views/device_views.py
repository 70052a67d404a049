"""Views of a whole batch at once, on the device where the images are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mvssl.views.color import brightness_contrast_, grayscale, saturate, shift_hue, solarize
from mvssl.views.draws import BRIGHTNESS, CONTRAST, HUE, SATURATION, ViewDraw, draw
from mvssl.views.resample import apply_separable, blur_matrices, resize_matrices
from mvssl.views.sets import View


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
            images: uint8 (B, 3, H, W), RGB.
            index: Sample ids, int64 (B,). Best on the CPU: reading them from a GPU waits for it.
            epoch: Epoch of every sample, int64 (B,), likewise.

        Returns:
            One float32 tensor (B, 3, s, s) per view, in [0, 1], not normalised.

        Raises:
            ValueError: The images are not uint8 (B, 3, H, W), or the ids do not match them.
        """
        _check(images, index, epoch)
        index_b, epoch_b = index.cpu().numpy(), epoch.cpu().numpy()
        height, width = images.shape[2:]
        # Mixed precision would round the matrix products to 8 bits and less.
        with torch.autocast(images.device.type, enabled=False):
            return [
                _make_view(
                    images,
                    view,
                    draw(view, number, self.seed, epoch_b, index_b, height, width),
                )
                for number, view in enumerate(self.views)
            ]


def _check(images: Tensor, index: Tensor, epoch: Tensor) -> None:
    if images.dtype != torch.uint8 or images.dim() != 4 or images.shape[1] != 3:
        raise ValueError(
            "DeviceViews takes uint8 images (B, 3, H, W), "
            f"not {images.dtype} of shape {tuple(images.shape)}."
        )
    batch = (len(images),)
    if index.shape != batch or epoch.shape != batch:
        raise ValueError(
            f"DeviceViews takes an index and an epoch for each of {len(images)} images, "
            f"not of shapes {tuple(index.shape)} and {tuple(epoch.shape)}."
        )


def _make_view(pixels: Tensor, view: View, drawn: ViewDraw) -> Tensor:
    images = _crop_resize(pixels, view.size, drawn)
    images = _jitter(images, drawn, [op for op, on in enumerate(view.jitter_strengths) if on])
    images = _where(drawn.gray, images, grayscale)
    blur = partial(_blur, kernel=view.blur_kernel)
    images = _where(drawn.blur_sigma > 0, images, blur, drawn.blur_sigma)
    images = _where(drawn.solarize, images, solarize)
    # Weights add up to 1 but for rounding, so that white may end just above 1.
    return images.clamp_(0.0, 1.0)


def _upload(values: NDArray[np.generic], device: torch.device) -> Tensor:
    """Copies draws to the device, floating point as float32, without waiting for the device."""
    tensor = torch.from_numpy(values)
    if tensor.is_floating_point():
        tensor = tensor.float()
    return tensor.to(device, non_blocking=True)


def _where(
    mask: NDArray[np.bool_],
    images: Tensor,
    change: Callable[..., Tensor],
    *strengths: NDArray[np.float64],
) -> Tensor:
    """Applies ``change`` to the samples in ``mask``, with their strengths; may write in place."""
    rows = np.flatnonzero(mask)
    if rows.size == 0:
        return images
    uploaded = [_upload(strength[rows], images.device) for strength in strengths]
    if rows.size == len(images):
        return change(images, *uploaded)
    where = _upload(rows, images.device)
    return images.index_copy_(0, where, change(images.index_select(0, where), *uploaded))


def _crop_resize(pixels: Tensor, size: int, drawn: ViewDraw) -> Tensor:
    height, width = pixels.shape[2:]
    upright = np.zeros(len(drawn.flip))
    boxes = np.stack([drawn.top, drawn.height, upright, drawn.left, drawn.width, drawn.flip])
    top, tall, straight, left, wide, flip = _upload(boxes, pixels.device).unbind()
    rows = resize_matrices(top, tall, straight, size, height)
    # From 0 to 255 to 0 to 1 in passing.
    columns = resize_matrices(left, wide, flip, size, width).div_(255.0)
    return apply_separable(pixels, rows, columns)


def _jitter(images: Tensor, drawn: ViewDraw, used: Sequence[int]) -> Tensor:
    """Applies the colour operations that the view uses, in every sample's own order."""
    order_bk = drawn.order[np.isin(drawn.order, used)].reshape(len(images), len(used))
    for turn_b in order_bk.T:
        brighten = drawn.jitter & (turn_b == BRIGHTNESS)
        contrast = drawn.jitter & (turn_b == CONTRAST)
        if brighten.any() or contrast.any():
            gain = np.where(brighten, drawn.brightness, np.where(contrast, drawn.contrast, 1.0))
            pull = np.where(contrast, 1.0 - drawn.contrast, 0.0)
            gain_b, pull_b = _upload(np.stack([gain, pull]), images.device).unbind()
            images = brightness_contrast_(images, gain_b, pull_b)
        saturated = drawn.jitter & (turn_b == SATURATION)
        images = _where(saturated, images, saturate, drawn.saturation)
        images = _where(drawn.jitter & (turn_b == HUE), images, shift_hue, drawn.hue)
    return images


def _blur(images: Tensor, sigma_b: Tensor, kernel: int) -> Tensor:
    matrices = blur_matrices(sigma_b, images.shape[2], kernel)
    return apply_separable(images, matrices, matrices)
