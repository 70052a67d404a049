"""Measures of how embeddings lie: alignment, uniformity, effective ranks, collapse.

Shape suffixes: n images (or samples); q views of each; d dimensions.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from mvssl.information import checks
from mvssl.information.kernels import Gaussian
from mvssl.information.pairwise import row_logsumexp


def alignment(z1: Tensor, z2: Tensor, alpha: float = 2.0, *, validate: bool = True) -> Tensor:
    """mean_i |z1_i - z2_i|^alpha of positive pairs (n, d) on the sphere; 0 is best.

    Wang & Isola, "Understanding Contrastive Representation Learning through Alignment and
    Uniformity on the Hypersphere", ICML 2020.
    """
    z1_nd = checks.embeddings(z1, "z1", on_sphere=True, validate=validate)
    z2_nd = checks.embeddings(z2, "z2", on_sphere=True, validate=validate)
    checks.check_same_shape(z1_nd, z2_nd, "z1", "z2")
    return (z1_nd - z2_nd).norm(dim=1).pow(alpha).mean()


def uniformity(
    z: Tensor, t: float = 2.0, *, chunk_size: int | None = None, validate: bool = True
) -> Tensor:
    """log mean_{i<j} exp(-t |z_i - z_j|^2) of z (n, d) on the sphere, n >= 2; lower is better.

    Wang & Isola 2020, as :func:`alignment`. In linear memory, as :func:`mvssl.information.entropy`.
    """
    z_nd = checks.embeddings(z, "z", on_sphere=True, validate=validate)
    n = z_nd.shape[0]
    if n < 2:
        raise ValueError(f"uniformity needs n >= 2 samples, found shape {tuple(z.shape)}.")
    if not t > 0:
        raise ValueError(f"t must be > 0, found {t}.")
    kernel = Gaussian((2 * t) ** -0.5)
    with checks.full_precision(z_nd):
        lse_n = row_logsumexp(z_nd, kernel, exclude_self=True, chunk_size=chunk_size)
        return lse_n.logsumexp(dim=0) - math.log(n * (n - 1))


def rankme(z: Tensor, eps: float = 1e-7, *, validate: bool = True) -> Tensor:
    """Effective rank of z (n, d), a scalar between 1 and min(n, d).

    exp(-sum_i p_i log p_i), p_i = s_i / sum s + eps, of the singular values s. Garrido et al.,
    "RankMe: Assessing the Downstream Performance of Pretrained Self-Supervised Representations by
    Their Rank", ICML 2023.
    """
    z_nd = checks.embeddings(z, "z", on_sphere=False, validate=validate)
    with checks.full_precision(z_nd):
        return _effective_rank(torch.linalg.svdvals(z_nd), eps)


def lidar(z: Tensor, delta: float = 1e-4, eps: float = 1e-7, *, validate: bool = True) -> Tensor:
    """Effective rank of the linear-discriminant matrix of z (n, q, d): n images, q >= 2 views each.

    Images are the classes: with the scatter of the images' means S_b and the scatter within images
    S_w + delta I, the rank is that of S_w^(-1/2) S_b S_w^(-1/2). Thilak et al., "LiDAR: Sensing
    Linear Probing Performance in Joint Embedding SSL Architectures", ICLR 2024 (arXiv 2023).
    """
    if z.dim() != 3 or z.shape[0] < 2 or z.shape[1] < 2 or z.shape[2] == 0:
        raise ValueError(
            "z must be (n, q, d) with n >= 2 images and q >= 2 views of each, found shape "
            f"{tuple(z.shape)}."
        )
    n, q, d = z.shape
    z_nqd = checks.embeddings(z.reshape(n * q, d), "z", on_sphere=False, validate=validate).reshape(
        n, q, d
    )
    with checks.full_precision(z_nqd):
        # delta is lost in float32 where features are long.
        exact_nqd = z_nqd.double()
        mean_nd = exact_nqd.mean(dim=1)
        between_nd = mean_nd - mean_nd.mean(dim=0)
        within_xd = (exact_nqd - mean_nd[:, None]).reshape(n * q, d)
        eye = torch.eye(d, dtype=exact_nqd.dtype, device=z_nqd.device)
        within_dd = within_xd.T @ within_xd / (n * q) + delta * eye
        # With S_w = L L^T, the eigenvalues are the squared singular values of L^-1 B / sqrt(n).
        factor_dd = torch.linalg.cholesky(within_dd)
        whitened_dn = torch.linalg.solve_triangular(factor_dd, between_nd.T, upper=False)
        return _effective_rank(torch.linalg.svdvals(whitened_dn).square(), eps).to(z_nqd.dtype)


def embedding_std(z: Tensor, *, validate: bool = True) -> Tensor:
    """Mean over dimensions of the standard deviation of the normalised rows of z (n, d), n >= 2.

    0 on collapse, about 1/sqrt(d) where the rows fill the sphere. Chen & He, "Exploring Simple
    Siamese Representation Learning", CVPR 2021.
    """
    z_nd = checks.embeddings(z, "z", on_sphere=False, validate=validate)
    if z_nd.shape[0] < 2:
        raise ValueError(f"embedding_std needs n >= 2 samples, found shape {tuple(z.shape)}.")
    return F.normalize(z_nd, dim=1).std(dim=0).mean()


def _effective_rank(spectrum: Tensor, eps: float) -> Tensor:
    total = spectrum.sum().clamp_min(torch.finfo(spectrum.dtype).tiny)
    p = spectrum / total + eps
    return torch.exp(-(p * p.log()).sum())
