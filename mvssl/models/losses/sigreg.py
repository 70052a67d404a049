"""SIGReg: how far embeddings are from a standard normal distribution.

Shape suffixes: k images of all processes, D embedding size, s slices, t points of integration.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mvssl.arguments import Number, check_count, check_positive
from mvssl.errors import UserError
from mvssl.models.losses.base import Regularizer
from mvssl.models.losses.slices import slice_directions
from mvssl.models.precision import at_least_float32
from mvssl.registry import LOSSES

__all__ = ["SIGRegLoss"]


def _check_t_max(owner: str, t_max: float) -> None:
    check_positive(owner, 0.1, 100.0, t_max=t_max)


@LOSSES.register_module()
class SIGRegLoss(Regularizer):
    """Sketched isotropic Gaussian regularisation (Balestriero & LeCun 2025, arXiv 2511.08544).

    Embeddings are projected onto random unit directions a, and each projection is held against
    N(0, 1) by the statistic of Epps and Pulley::

        k * integral |mean_n exp(i t a.z_n) - exp(-t^2 / 2)|^2 exp(-t^2 / 2) dt

    averaged over directions: by the trapezoidal rule on [-t_max, t_max], the integrand being even.
    Samples of N(0, I) give sqrt(2 pi) (1 - 1 / sqrt(3)), about 1.06, in expectation at any k, and
    others a value that grows with k. The authors' later code integrates over [-3, 3] with 33
    points; here stand the interval and the 17 points of the paper.

    Args:
        num_slices: random directions, those of :func:`slice_directions`.
        num_points: of integration, both ends and 0 included, hence odd.
        t_max: where the integral ends.
    """

    t_max = Number(_check_t_max)

    def __init__(self, num_slices: int = 1024, num_points: int = 17, t_max: float = 5.0) -> None:
        super().__init__()
        check_count("SIGRegLoss", num_slices=num_slices)
        check_count("SIGRegLoss", at_least=3, num_points=num_points)
        if num_points % 2 == 0:
            raise UserError(
                f"SIGRegLoss: num_points is odd, since 0 is one of them; got {num_points}: choose "
                f"{num_points + 1}."
            )
        self.num_slices = num_slices
        self.num_points = num_points
        self.t_max = t_max

    def forward(self, z: Tensor, step: int) -> Tensor:
        """Embeddings (k, D) or (V, k, D), not normalised, and the number of the training step to a
        scalar: the mean over the V views, which share their directions.
        """
        z = at_least_float32(z)
        t, normal, weights = self._quadrature(z)
        angles_kst = (z @ slice_directions(z, self.num_slices, step)).unsqueeze(-1) * t
        real_st = angles_kst.cos().mean(dim=-3) - normal
        imaginary_st = angles_kst.sin().mean(dim=-3)
        error_st = real_st.square() + imaginary_st.square()
        return z.shape[-2] * (error_st @ weights).mean()

    def _quadrature(self, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Points t > 0, the normal's characteristic function there, and their weights.

        The integrand is even, and zero at t = 0, where all characteristic functions are 1.
        """
        half = self.num_points // 2
        spacing = self.t_max / half
        t = spacing * torch.arange(1, half + 1, dtype=like.dtype, device=like.device)
        normal = (-0.5 * t.square()).exp()
        weights = 2 * spacing * normal
        weights[-1] /= 2  # an end of the trapezoidal rule
        return t, normal, weights
