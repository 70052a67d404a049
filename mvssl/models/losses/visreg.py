"""VISReg: how far embeddings are from a standard normal distribution, in scale and in shape.

Shape suffixes: k images of all processes, D embedding size, s slices.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mvssl.arguments import Number, check_count, check_not_negative
from mvssl.models.losses.base import Regularizer, check_images
from mvssl.models.losses.slices import slice_directions
from mvssl.models.precision import at_least_float32
from mvssl.registry import LOSSES

__all__ = ["VISRegLoss"]

VISREG_EPS = 1e-8
"""Added to a variance, so that a constant dimension has a gradient of 0 and not NaN."""


@LOSSES.register_module()
class VISRegLoss(Regularizer):
    """``scale * mean_j (1 - sigma_j)^2 + shape * mean_s mean_i (u_(i)s - q_i)^2`` (Wu et al. 2026,
    arXiv 2606.02572): variance and sketching regularisation.

    sigma_j is the standard deviation of dimension j over the images. u are projections onto random
    unit directions of the embeddings less their mean, each dimension over its sigma_j; u_(i)s is
    the i-th smallest along direction s and q_i = Phi^-1((i - 1/2) / k) the normal distribution's
    quantile: the squared sliced 2-Wasserstein distance. Neither term sees the mean, and the second
    not the scale. sigma_j is the root of the biased variance plus 1e-8, so that a constant
    dimension has a gradient, 0, and not NaN; near collapse the first term's is of constant length.

    Args:
        num_slices: random directions, those of :func:`slice_directions`.
        scale: weight of the first term.
        shape: weight of the second term.
    """

    scale = Number(check_not_negative)
    shape = Number(check_not_negative)

    def __init__(self, num_slices: int = 1024, scale: float = 1.0, shape: float = 1.0) -> None:
        super().__init__()
        check_count("VISRegLoss", num_slices=num_slices)
        self.num_slices = num_slices
        self.scale = scale
        self.shape = shape

    def forward(self, z: Tensor, step: int) -> Tensor:
        """Embeddings (k, D) or (V, k, D), not normalised, and the number of the training step to a
        scalar: the mean over the V views, which share their directions.

        Raises:
            UserError: k is 1: nothing varies.
        """
        check_images("VISRegLoss", z)
        z = at_least_float32(z)
        centred = z - z.mean(dim=-2, keepdim=True)
        sigma = (centred.square().mean(dim=-2, keepdim=True) + VISREG_EPS).sqrt()
        projected = (centred / sigma) @ slice_directions(z, self.num_slices, step)
        distance = (projected.sort(dim=-2).values - _normal_quantiles(z)).square().mean()
        return self.scale * (1 - sigma).square().mean() + self.shape * distance


def _normal_quantiles(z: Tensor) -> Tensor:
    """(k, 1), of a sample of k in the middle of its steps."""
    k = z.shape[-2]
    middle = (torch.arange(k, dtype=z.dtype, device=z.device) + 0.5) / k
    return torch.special.ndtri(middle).unsqueeze(1)
