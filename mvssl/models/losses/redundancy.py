"""Losses that decorrelate the dimensions of embeddings.

Shape suffixes: k images of all processes, D embedding size.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from mvssl.arguments import Number, check_not_negative
from mvssl.models.losses.base import PairLoss, check_images
from mvssl.models.precision import at_least_float32
from mvssl.registry import LOSSES

__all__ = ["BarlowTwinsLoss", "VICRegLoss"]

BARLOW_EPS = 1e-5
VICREG_EPS = 1e-4


@LOSSES.register_module()
class BarlowTwinsLoss(PairLoss):
    """``sum_i (1 - c_ii)^2 + lambd * sum_{i != j} c_ij^2`` (Zbontar et al. 2021, arXiv 2103.03230).

    c (D, D) is the correlation, over the images, of the two views' dimensions. The variance that
    standardises a dimension is the biased one plus 1e-5, batch normalisation's, so that a
    constant dimension counts as uncorrelated (c = 0) and not as NaN. The paper divides by the
    standard deviation alone; its authors' code by that of batch normalisation, as here.

    Args:
        lambd: weight of the redundancy term.
    """

    crosses_samples: ClassVar[bool] = True

    lambd = Number(check_not_negative)

    def __init__(self, lambd: float = 5e-3) -> None:
        super().__init__()
        self.lambd = lambd

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """(k, D) and (k, D) to a scalar.

        Raises:
            UserError: k is 1: nothing varies.
        """
        check_images("BarlowTwinsLoss", prediction)
        c_dd = _standardize(prediction).T @ _standardize(target) / len(prediction)
        invariance = (1 - c_dd.diagonal()).square().sum()
        return invariance + self.lambd * _off_diagonal_energy(c_dd)


@LOSSES.register_module()
class VICRegLoss(PairLoss):
    """Variance, invariance, covariance (Bardes et al. 2022, arXiv 2105.04906), as its code has it.

    ``sim * s(Z, Z') + var * (v(Z) + v(Z')) / 2 + cov * (c(Z) + c(Z'))`` with

    - s the squared difference, averaged over images and dimensions,
    - v the mean over dimensions of ``max(0, 1 - sqrt(Var + 1e-4))``, Var unbiased,
    - c the sum of the squared off-diagonal covariances (over k - 1), divided by D.

    The paper's equation 6 sums s over the dimensions instead, and does not halve v. The published
    weights 25, 25, 1 are those of the authors' code, which this is: in the paper's terms
    they are lambda = 25 / D, mu = 12.5, nu = 1.

    Args:
        sim: weight of the invariance term.
        var: weight of the variance term.
        cov: weight of the covariance term.
    """

    crosses_samples: ClassVar[bool] = True

    sim = Number(check_not_negative)
    var = Number(check_not_negative)
    cov = Number(check_not_negative)

    def __init__(self, sim: float = 25.0, var: float = 25.0, cov: float = 1.0) -> None:
        super().__init__()
        self.sim = sim
        self.var = var
        self.cov = cov

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """(k, D) and (k, D) to a scalar.

        Raises:
            UserError: k is 1: nothing varies.
        """
        check_images("VICRegLoss", prediction)
        views = [at_least_float32(prediction), at_least_float32(target)]
        invariance = F.mse_loss(views[0], views[1])
        variance = torch.stack([_variance_hinge(z) for z in views]).mean()
        covariance = torch.stack([_covariance_energy(z) for z in views]).sum()
        return self.sim * invariance + self.var * variance + self.cov * covariance


def _standardize(z_kd: Tensor) -> Tensor:
    centred = at_least_float32(z_kd)
    centred = centred - centred.mean(dim=0)
    return centred * (centred.square().mean(dim=0) + BARLOW_EPS).rsqrt()


def _variance_hinge(z_kd: Tensor) -> Tensor:
    return F.relu(1 - (z_kd.var(dim=0) + VICREG_EPS).sqrt()).mean()


def _covariance_energy(z_kd: Tensor) -> Tensor:
    centred = z_kd - z_kd.mean(dim=0)
    return _off_diagonal_energy(centred.T @ centred / (len(z_kd) - 1)) / z_kd.shape[1]


def _off_diagonal_energy(c_dd: Tensor) -> Tensor:
    # Not the whole sum less the diagonal's: that leaves rounding where little is off the diagonal.
    diagonal = torch.eye(len(c_dd), dtype=torch.bool, device=c_dd.device)
    return c_dd.masked_fill(diagonal, 0.0).square().sum()
