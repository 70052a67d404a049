"""From what was drawn on the CPU to where the images are, and some images of a batch."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["put", "take", "upload"]


def upload(values: NDArray[Any], device: torch.device) -> Tensor:
    """Floating point as float32, without waiting for the device."""
    tensor = torch.from_numpy(values)
    if tensor.is_floating_point():
        tensor = tensor.float()
    return tensor.to(device, non_blocking=True)


def take(images: Tensor, rows: NDArray[Any]) -> Tensor:
    """A copy of the images whose numbers are ``rows``."""
    if images.device.type == "cpu":  # NumPy takes less time, to write a quarter
        return torch.from_numpy(images.numpy()[rows])
    return images.index_select(0, upload(rows, images.device))


def put(images: Tensor, rows: NDArray[Any], changed: Tensor) -> Tensor:
    """Writes ``changed`` over the images whose numbers are ``rows``, and returns all."""
    if images.device.type == "cpu":
        images.numpy()[rows] = changed.numpy()
        return images
    return images.index_copy_(0, upload(rows, images.device), changed)
