"""Losses of all views at once, which keep the spectrum of the embeddings flat.

Shape suffixes: V views, k images of all processes, D embedding size.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from mvssl.arguments import Number, check_not_negative, check_positive
from mvssl.models.losses.base import ViewsLoss, check_images
from mvssl.models.precision import unit_vectors
from mvssl.registry import LOSSES

__all__ = ["EMPSSLLoss", "FroSSLLoss", "MMCRLoss"]


@LOSSES.register_module()
class MMCRLoss(ViewsLoss):
    """``-|C|_*``, C (k, D) the images' means of their views' unit vectors: maximum manifold
    capacity (Yerxa et al. 2023, arXiv 2303.03307), the paper's lambda at 0.

    The nuclear norm is the sum of the singular values, at most ``sqrt(k min(k, D))``: all means of
    length 1, so that the views of an image agree, and a flat spectrum. At collapse it is sqrt(k),
    and there the gradient is a subgradient: which directions the missing singular values are given
    is the decomposition's choice.
    """

    def __init__(self) -> None:
        super().__init__()  # nn.Module's own constructor would take any argument

    def forward(self, z: Tensor) -> Tensor:
        """(V, k, D), not normalised, to a scalar.

        Raises:
            UserError: k is 1.
        """
        check_images("MMCRLoss", z)
        centroids_kd = unit_vectors(z, dim=-1).mean(dim=0)
        return -_decomposed(lambda: torch.linalg.matrix_norm(centroids_kd, ord="nuc"), z)


@LOSSES.register_module()
class EMPSSLLoss(ViewsLoss):
    """``-mean_v R(Z_v) - invariance * mean_v mean_i cos(z_vi, mean of z_i's views)`` of unit
    vectors (Tong et al. 2023, arXiv 2304.03977): extreme multi-patch learning.

    ``R(Z) = 1/2 log det(I + D / (k distortion) Z^T Z)`` is the total coding rate (nats): what it
    costs to tell the k embeddings of a view up to a mean squared error of ``distortion``.

    Args:
        distortion: epsilon^2 of the coding rate.
        invariance: weight of the cosines, the paper's lambda.
    """

    distortion = Number(check_positive)
    invariance = Number(check_not_negative)

    def __init__(self, distortion: float = 0.2, invariance: float = 200.0) -> None:
        super().__init__()
        self.distortion = distortion
        self.invariance = invariance

    def forward(self, z: Tensor) -> Tensor:
        """(V, k, D), not normalised, to a scalar.

        Raises:
            UserError: k is 1.
        """
        check_images("EMPSSLLoss", z)
        unit_vkd = unit_vectors(z, dim=-1)
        mean_kd = unit_vkd.mean(dim=0, keepdim=True)
        cosine = F.cosine_similarity(unit_vkd, mean_kd, dim=-1).mean()
        rate = _decomposed(lambda: _coding_rate(unit_vkd, self.distortion).mean(), z)
        return -rate - self.invariance * cosine


@LOSSES.register_module()
class FroSSLLoss(ViewsLoss):
    """``sum_v ( log |K_v|_F^2 + invariance * mean_i |z_vi - mean of z_i's views|^2 )`` of unit
    vectors (Skean et al. 2023, arXiv 2310.02903).

    ``K_v = Z_v^T Z_v / k`` has trace 1, and ``-log |K_v|_F^2`` is the Renyi entropy of order 2 of
    its eigenvalues (nats), at most log min(k, D) and 0 at collapse. Normalised as the authors' code
    for several views: its embeddings have length sqrt(D), its squares are averaged over the
    dimensions and K is divided by its trace, which is the same. Their first, for two views, which
    the paper's first version describes, standardises dimensions instead.

    Args:
        invariance: weight of the squared distances.
    """

    invariance = Number(check_not_negative)

    def __init__(self, invariance: float = 1.0) -> None:
        super().__init__()
        self.invariance = invariance

    def forward(self, z: Tensor) -> Tensor:
        """(V, k, D), not normalised, to a scalar.

        Raises:
            UserError: k is 1.
        """
        check_images("FroSSLLoss", z)
        unit_vkd = unit_vectors(z, dim=-1)
        gram = _smaller_gram(unit_vkd) / unit_vkd.shape[1]
        # At least 1 / min(k, D) for unit vectors; 0 where all embeddings are.
        energy_v = gram.square().sum(dim=(1, 2)).clamp_min(1e-12)
        distance_v = (unit_vkd - unit_vkd.mean(dim=0)).square().sum(dim=2).mean(dim=1)
        return (energy_v.log() + self.invariance * distance_v).sum()


def _decomposed(made: Callable[[], Tensor], z: Tensor) -> Tensor:
    """NaN where what is not finite has no decomposition: the run then says where it comes from."""
    try:
        return made()
    except torch.linalg.LinAlgError:
        if bool(z.isfinite().all()):
            raise
        return z.sum() * torch.nan


def _smaller_gram(z_vkd: Tensor) -> Tensor:
    """Z^T Z or Z Z^T of each view, whichever is smaller: both have the same spectrum but zeros."""
    wide = z_vkd.shape[1] < z_vkd.shape[2]
    return z_vkd @ z_vkd.mT if wide else z_vkd.mT @ z_vkd


def _coding_rate(z_vkd: Tensor, distortion: float) -> Tensor:
    """R of each view, (V,)."""
    _, k, size = z_vkd.shape
    gram = _smaller_gram(z_vkd)
    identity = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    # Eigenvalues are 1 and more, so that there is a Cholesky factor, whose diagonal has the half.
    factor = torch.linalg.cholesky(identity + size / (k * distortion) * gram)
    return factor.diagonal(dim1=-2, dim2=-1).log().sum(dim=-1)
