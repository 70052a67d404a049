"""Crop, resize and blur as pairs of small matrices, one pair a sample.

Each of these acts on rows and columns separately and linearly, so that for a whole batch, every
sample with its own parameters, it is two batched matrix products: on a GPU as on a CPU.
Suffixes: b samples, c channels, h and w height and width, i and j outputs and inputs.
"""

from __future__ import annotations

import torch
from torch import Tensor

_CACHED = 2**16  # values of images that are worked on at once on a CPU: a quarter of a MiB


def apply_separable(images_bchw: Tensor, rows_bij: Tensor, columns_bij: Tensor) -> Tensor:
    """Multiplies every channel of image b by ``rows_bij[b]`` and ``columns_bij[b]`` transposed.

    ``images_bchw`` (B, C, H, W), of any type, ``rows_bij`` (B, I, H) and ``columns_bij``
    (B, J, W), of one floating point type, give (B, C, I, J) of that type.
    """
    batch, channels, height, width = images_bchw.shape
    out = rows_bij.new_empty(batch, channels, rows_bij.shape[1], columns_bij.shape[1])
    # Pieces that fit into a CPU's cache take half the time there; a GPU takes all at once.
    at_once = max(_CACHED // (channels * height * width), 1) if out.device.type == "cpu" else batch
    for first in range(0, batch, at_once):
        piece = slice(first, first + at_once)
        lines = images_bchw[piece].reshape(-1, channels * height, width).to(out.dtype)
        narrowed = torch.bmm(lines, columns_bij[piece].transpose(1, 2))
        # Repeated by hand: torch.matmul's own broadcasting is several times slower on a CPU.
        rows = rows_bij[piece].repeat_interleave(channels, dim=0)
        torch.bmm(rows, narrowed.view(len(rows), height, -1), out=out[piece].flatten(0, 1))
    return out


def resize_matrices(start_b: Tensor, length_b: Tensor, size: int, extent: int) -> Tensor:
    """Matrices (B, size, extent) that cut a piece out of an axis and resize it to ``size``.

    The filter is the triangle, widened by the scale where it shrinks and cut off at the borders of
    the piece: what ``torch.nn.functional.interpolate(mode="bilinear", antialias=True)`` computes.

    Args:
        start_b: First pixel of the piece, (B,) floating point, as the next.
        length_b: Length of the piece in pixels.
        size: Length of the output.
        extent: Length of the axis.
    """
    output_i = torch.arange(size, dtype=start_b.dtype, device=start_b.device)
    input_j = torch.arange(extent, dtype=start_b.dtype, device=start_b.device)
    scale_b = (length_b / size)[:, None]
    center_bi = scale_b * (output_i + 0.5)
    # Positions count from the start of the piece: small numbers, so that float32 is exact enough.
    pixel_bj = input_j - start_b[:, None]
    inside_bj = ((pixel_bj >= 0) & (pixel_bj < length_b[:, None])).to(start_b.dtype)

    reach_b = scale_b.clamp(min=1.0)
    distance_bij = (pixel_bj[:, None] + 0.5) / reach_b[:, None] - (center_bi / reach_b)[:, :, None]
    weights_bij = distance_bij.abs_().neg_().add_(1.0).clamp_(min=0.0).mul_(inside_bj[:, None])
    return weights_bij.div_(weights_bij.sum(dim=2, keepdim=True))


def blur_matrices(sigma_b: Tensor, size: int, kernel: int) -> Tensor:
    """Matrices (B, size, size) of a Gaussian blur with ``kernel`` taps and reflected borders.

    Args:
        sigma_b: Standard deviations in pixels, (B,), above 0.
        size: Length of the axis, above ``kernel // 2``.
        kernel: Number of taps, odd.
    """
    reach = kernel // 2
    offset_k = torch.arange(-reach, reach + 1, device=sigma_b.device)
    taps_bk = torch.softmax(-0.5 * (offset_k / sigma_b[:, None]).square(), dim=1)
    source_ik = (torch.arange(size, device=sigma_b.device)[:, None] + offset_k).abs()
    source_ik = size - 1 - (size - 1 - source_ik).abs()
    matrices = taps_bk.new_zeros(len(taps_bk), size, size)
    expanded = (len(taps_bk), size, kernel)
    # Taps that fall on one pixel from both sides of the border add up.
    return matrices.scatter_add_(
        2, source_ik.expand(expanded), taps_bk[:, None].expand(expanded).contiguous()
    )
