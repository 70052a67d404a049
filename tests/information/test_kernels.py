from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch import Tensor

from mvssl.information import Gaussian, Kernel, VonMisesFisher, entropy, er_bound, infonce_bound
from tests.information.reference import matrix


@pytest.mark.parametrize("d", [2, 3, 24])
@pytest.mark.parametrize("kappa", [0.3, 10.0])
def test_von_mises_fisher_equals_scipy(d: int, kappa: float) -> None:
    z, centers = matrix(6, d, 0.0), matrix(4, d, 1.0)
    log_q = VonMisesFisher(kappa).log_density(z, centers)
    for j in range(4):
        expected = stats.vonmises_fisher(centers[j].numpy(), kappa).logpdf(z.numpy())
        np.testing.assert_allclose(log_q[:, j], expected, rtol=1e-11)


@pytest.mark.parametrize("sigma", [0.2, 3.0])
def test_gaussian_equals_scipy_far_from_the_origin(sigma: float) -> None:
    z, centers = 50 + matrix(6, 5, 0.0), 50 + matrix(4, 5, 1.0)
    log_q = Gaussian(sigma).log_density(z, centers)
    for j in range(4):
        law = stats.multivariate_normal(centers[j].numpy(), sigma**2 * np.eye(5))
        np.testing.assert_allclose(log_q[:, j], law.logpdf(z.numpy()), rtol=1e-9)
    single = Gaussian(sigma).log_density(z.float(), centers.float())
    torch.testing.assert_close(single.double(), log_q, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("kappa", [0.5, 20.0])
def test_density_on_the_circle_integrates_to_one(kappa: float) -> None:
    center = torch.tensor([[1.0, 0.0]], dtype=torch.float64)

    def density(angle: float) -> float:
        z = torch.tensor([[math.cos(angle), math.sin(angle)]], dtype=torch.float64)
        return math.exp(float(VonMisesFisher(kappa).log_density(z, center)))

    total, _ = integrate.quad(density, -math.pi, math.pi)
    assert total == pytest.approx(1.0, abs=1e-8)


@pytest.mark.parametrize("kernel", [VonMisesFisher(7.0), Gaussian(0.6)], ids=repr)
def test_pairs_are_the_diagonal_and_arguments_may_swap(kernel: Kernel) -> None:
    a, b = matrix(5, 8, 0.0), matrix(5, 8, 1.0)
    log_q = kernel.log_density(a, b)
    torch.testing.assert_close(kernel.log_density_pairs(a, b), log_q.diagonal())
    torch.testing.assert_close(kernel.log_density(b, a), log_q.T)
    without = kernel.log_density(a, b, normalized=False)
    torch.testing.assert_close(without + kernel.log_normalizer(8), log_q)


@pytest.mark.parametrize("kernel", [VonMisesFisher(7.0), Gaussian(0.6)], ids=repr)
def test_written_out_vjp_equals_autograd(kernel: Kernel) -> None:
    a, b = 3 + matrix(5, 8, 0.0), 3 + matrix(4, 8, 1.0)
    weight = torch.rand(5, 4, dtype=torch.float64)
    torch.testing.assert_close(
        kernel.similarity_vjp(weight, a, b), Kernel.similarity_vjp(kernel, weight, a, b)
    )


class PowerSpherical(Kernel):
    """De Cao & Aziz 2020: q(z | c) proportional to (1 + z.c)^kappa; a kernel in one class."""

    on_sphere = True
    bounded = False

    def __init__(self, kappa: Tensor) -> None:
        self.kappa = kappa

    @property
    def scale(self) -> Tensor:
        return self.kappa

    def log_normalizer(self, d: int) -> Tensor:
        b = (d - 1) / 2
        a = b + self.kappa
        return -(
            (a + b) * math.log(2) + b * math.log(math.pi) + torch.lgamma(a) - torch.lgamma(a + b)
        )

    def similarity(self, a_nd: Tensor, b_md: Tensor) -> Tensor:
        return (1 + a_nd @ b_md.T).clamp_min(1e-12).log()

    def similarity_pairs(self, a_nd: Tensor, b_nd: Tensor) -> Tensor:
        return (1 + (a_nd * b_nd).sum(dim=1)).clamp_min(1e-12).log()


def test_a_kernel_is_one_class_chunking_and_learning_included() -> None:
    results = []
    for chunk_size in (None, 3):
        kappa = torch.tensor(5.0, dtype=torch.float64, requires_grad=True)
        kernel = PowerSpherical(kappa)
        z1, z2 = matrix(10, 6, 0.3).requires_grad_(), matrix(10, 6, 0.0).requires_grad_()
        bound = er_bound(z1, z2, kernel, queue=matrix(5, 6, 2.0), chunk_size=chunk_size)
        total = bound.entropy + infonce_bound(z1, z2, kernel, chunk_size=chunk_size).value
        results.append([total.detach(), *torch.autograd.grad(total, [z1, z2, kappa])])
    for written_out, chunked in zip(*results, strict=True):
        torch.testing.assert_close(chunked, written_out, rtol=1e-10, atol=1e-12)
    assert bound.ceiling == pytest.approx(math.log(15))


def test_power_spherical_of_the_test_is_a_density() -> None:
    kernel = PowerSpherical(torch.tensor(5.0, dtype=torch.float64))
    pole = torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64)

    def ring(t: float) -> float:
        z = torch.tensor([[t, math.sqrt(1 - t * t), 0.0]], dtype=torch.float64)
        return 2 * math.pi * math.exp(float(kernel.log_density(z, pole)))

    assert integrate.quad(ring, -1, 1)[0] == pytest.approx(1.0, abs=1e-8)


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_parameters_must_be_positive(value: float) -> None:
    with pytest.raises(ValueError, match="kappa must be finite and > 0, found"):
        VonMisesFisher(value)
    with pytest.raises(ValueError, match="sigma must be finite and > 0, found"):
        Gaussian(value)
    with pytest.raises(ValueError, match="kappa must be finite and > 0, found"):
        VonMisesFisher(torch.tensor(value))


def test_a_learnt_parameter_that_left_its_range_is_found() -> None:
    kappa = torch.tensor(1.0, requires_grad=True)
    kernel = VonMisesFisher(kappa)
    with torch.no_grad():
        kappa.fill_(-1.0)
    with pytest.raises(ValueError, match="must be finite and > 0, found -1"):
        entropy(matrix(4, 3, 0.0), kernel)


def test_a_learnt_parameter_is_a_scalar_and_the_sphere_has_two_dimensions() -> None:
    with pytest.raises(ValueError, match=r"0-d floating-point tensor, found shape \(1,\)"):
        VonMisesFisher(torch.ones(1))
    with pytest.raises(ValueError, match="found d = 1"):
        VonMisesFisher(1.0).log_normalizer(1)


@pytest.mark.parametrize(("sigma", "spread"), [(1e-2, 1.0), (1e-3, 1.0), (1e-2, 10.0)])
def test_a_narrow_gaussian_in_float32_stays_below_its_ceiling(sigma: float, spread: float) -> None:
    z = spread * torch.randn(256, 512, generator=torch.Generator().manual_seed(0))
    found = er_bound(z, z, Gaussian(sigma))
    exact = er_bound(z.double(), z.double(), Gaussian(sigma))
    assert float(found.value) == pytest.approx(float(exact.value), abs=1e-3)
    assert float(exact.value) == pytest.approx(math.log(256))


@pytest.mark.parametrize("kernel", [VonMisesFisher(2.0), Gaussian(2.0)])
def test_a_number_that_is_set_later_is_checked_too(kernel: VonMisesFisher | Gaussian) -> None:
    name = "kappa" if isinstance(kernel, VonMisesFisher) else "sigma"
    setattr(kernel, name, 3.0)
    assert repr(kernel).endswith(f"({name}=3.0)")
    with pytest.raises(ValueError, match=f"{name} must be finite and > 0"):
        setattr(kernel, name, -1.0)
