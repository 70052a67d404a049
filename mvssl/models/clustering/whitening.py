"""PCA whitening of samples that are spread over processes.

Shape suffixes: n samples of this process, D channels, r channels that are kept.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mvssl.distributed import all_reduce_sum, broadcast_
from mvssl.models.precision import at_least_float32

__all__ = ["whiten"]

CHUNK = 4096


@torch.no_grad()
def whiten(x_nd: Tensor, channels: int) -> Tensor:
    """Principal components (n, r), r = min(channels, D), each of unit variance over all processes.

    Directions in which the samples do not vary come out as zero.

    Args:
        x_nd: this process's share, which may be empty.
        channels: the most components that are kept, those of the largest variance first.
    """
    x_nd = at_least_float32(x_nd)
    total = all_reduce_sum(torch.tensor([len(x_nd)], device=x_nd.device))
    mean = all_reduce_sum(x_nd.sum(dim=0, dtype=torch.float64)) / total
    scatter = torch.zeros(mean.numel(), mean.numel(), dtype=torch.float64, device=x_nd.device)
    for chunk in x_nd.split(CHUNK) if len(x_nd) else ():
        centred = chunk.double() - mean
        scatter += centred.T @ centred
    variances, directions = torch.linalg.eigh(all_reduce_sum(scatter) / (total - 1).clamp(min=1))
    keep = min(channels, mean.numel())
    variances, directions = variances.flip(0)[:keep], directions.flip(1)[:, :keep]
    noise = variances[0] * mean.numel() * torch.finfo(x_nd.dtype).eps
    scales = torch.where(variances > noise, variances.clamp(min=1e-300).rsqrt(), 0.0)
    # Of equal variances and of signs a library may choose another on each machine.
    projection = broadcast_((directions * scales).contiguous()).to(x_nd.dtype)
    mean = mean.to(x_nd.dtype)
    white = x_nd.new_empty((len(x_nd), keep))
    for start in range(0, len(x_nd), CHUNK):
        rows = slice(start, start + CHUNK)
        white[rows] = (x_nd[rows] - mean) @ projection
    return white
