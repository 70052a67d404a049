"""Copies what was drawn on the CPU to where the images are."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["upload"]


def upload(values: NDArray[Any], device: torch.device) -> Tensor:
    """Floating point as float32, without waiting for the device."""
    tensor = torch.from_numpy(values)
    if tensor.is_floating_point():
        tensor = tensor.float()
    return tensor.to(device, non_blocking=True)
