"""VISReg: how far embeddings are from a standard normal distribution, in place, scale and shape.

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

LEAST_SIGMA = 1e-6
"""By which a dimension is divided at least: a constant one stays 0."""


@LOSSES.register_module()
class VISRegLoss(Regularizer):
    """``centre * mean_j mu_j^2 + scale * mean_j (1 - sigma_j)^2 +
    shape * mean_s mean_i (u_(i)s - q_i)^2`` (Wu et al. 2026, arXiv 2606.02572, in the form of the
    authors' code): variance and sketching regularisation.

    mu_j and sigma_j are mean and standard deviation, of the biased variance, of dimension j over
    the images. u are projections onto random unit directions of the embeddings less mu, each
    dimension over its sigma_j, through which no gradient goes; u_(i)s is the i-th smallest along
    direction s and q_i = Phi^-1(i / (k + 1)) the normal distribution's quantile: the squared sliced
    2-Wasserstein distance. So each term is of one thing, and near collapse the second one's
    gradient is as long as anywhere.

    Args:
        num_slices: random directions, those of :func:`slice_directions`.
        centre: weight of the first term.
        scale: weight of the second term.
        shape: weight of the third term.
    """

    centre = Number(check_not_negative)
    scale = Number(check_not_negative)
    shape = Number(check_not_negative)

    def __init__(
        self,
        num_slices: int = 4096,
        centre: float = 1.0,
        scale: float = 1.0,
        shape: float = 1.0,
    ) -> None:
        super().__init__()
        check_count("VISRegLoss", num_slices=num_slices)
        self.num_slices = num_slices
        self.centre = centre
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
        mu = z.mean(dim=-2, keepdim=True)
        # A norm, unlike a root, has a gradient at 0: that of a constant dimension is 0, not NaN.
        sigma = (z - mu).norm(dim=-2, keepdim=True) / z.shape[-2] ** 0.5
        standard = (z - mu) / sigma.detach().clamp_min(LEAST_SIGMA)
        projected = standard @ slice_directions(z, self.num_slices, step)
        distance = (projected.sort(dim=-2).values - _normal_quantiles(z)).square().mean()
        off_centre, off_scale = mu.square().mean(), (1 - sigma).square().mean()
        return self.centre * off_centre + self.scale * off_scale + self.shape * distance


def _normal_quantiles(z: Tensor) -> Tensor:
    """(k, 1), expected of a sample of k."""
    k = z.shape[-2]
    places = torch.arange(1, k + 1, dtype=z.dtype, device=z.device) / (k + 1)
    return torch.special.ndtri(places).unsqueeze(1)
