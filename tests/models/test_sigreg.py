"""SIGReg against the statistic's definition, and what it says of samples."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import kstest
from torch import Tensor, nn

from mvssl.models.losses import SIGRegLoss
from tests.parity import Array, assert_parity


def off_centre(k: int, channels: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return 0.2 + 1.3 * torch.randn(k, channels, generator=generator, dtype=torch.float64)


def epps_pulley(sample: Array, t_max: float) -> float:
    """The statistic's definition, by adaptive integration."""

    def integrand(t: float) -> float:
        difference = np.mean(np.exp(1j * t * sample)) - math.exp(-(t**2) / 2)
        return float(abs(difference) ** 2 * math.exp(-(t**2) / 2))

    return len(sample) * float(quad(integrand, -t_max, t_max, limit=200)[0])


def epps_pulley_in_closed_form(sample: Array) -> float:
    """The integral over the whole line (Epps & Pulley 1983, without estimated moments)."""
    k = len(sample)
    pairs = np.exp(-(np.subtract.outer(sample, sample) ** 2) / 2).sum() / k
    single = math.sqrt(2) * np.exp(-(sample**2) / 4).sum()
    return math.sqrt(2 * math.pi) * float(pairs - single + k / math.sqrt(3))


@pytest.mark.parametrize("k", [1, 5, 40])
def test_sigreg_in_one_dimension_is_the_integral(k: int) -> None:
    # In one dimension a direction is a sign, which the statistic does not see.
    generator = torch.Generator().manual_seed(k)
    z = 0.7 * torch.randn(k, 1, generator=generator, dtype=torch.float64) + 0.4
    sample = z[:, 0].numpy()
    exact = epps_pulley(sample, 5.0)
    assert exact == pytest.approx(epps_pulley_in_closed_form(sample), rel=1e-4)
    assert SIGRegLoss(num_slices=3)(z, 0).item() == pytest.approx(exact, rel=2e-3)
    fine = SIGRegLoss(num_slices=3, num_points=2001)(z, 0).item()
    assert fine == pytest.approx(exact, rel=1e-6)
    narrow = SIGRegLoss(num_slices=3, num_points=2001, t_max=1.5)(z, 0).item()
    assert narrow == pytest.approx(epps_pulley(sample, 1.5), rel=1e-5)


@pytest.mark.parametrize(("k", "channels"), [(3, 2), (20, 6)])
def test_sigreg_is_the_trapezoidal_rule_on_its_slices(k: int, channels: int) -> None:
    z = off_centre(k, channels)
    generator = torch.Generator().manual_seed(7)
    drawn = torch.randn(channels, 12, generator=generator).double().numpy()
    points = np.linspace(-5.0, 5.0, 17)

    def formula(x: Array, _: Array) -> float:
        statistics = []
        for direction in drawn.T:
            sample = x @ (direction / math.sqrt(direction @ direction))
            empirical = np.exp(1j * np.outer(points, sample)).mean(axis=1)
            normal = np.exp(-(points**2) / 2)
            heights = np.abs(empirical - normal) ** 2 * normal
            strips = (heights[1:] + heights[:-1]) / 2 * np.diff(points)
            statistics.append(len(sample) * strips.sum())
        return float(np.mean(statistics))

    class AtStepSeven(nn.Module):
        def forward(self, x: Tensor, unused: Tensor) -> Tensor:
            return SIGRegLoss(num_slices=12)(x, 7) + 0 * unused.sum()

    assert_parity(AtStepSeven(), formula, z, torch.zeros(1, 1, dtype=torch.float64))


@pytest.mark.parametrize("k", [4, 64])
def test_sigreg_of_standard_normal_samples_has_its_mean_whatever_their_number(k: int) -> None:
    loss = SIGRegLoss(num_slices=64)
    values = [loss(torch.randn(k, 8, dtype=torch.float64), step) for step in range(400)]
    expected = math.sqrt(2 * math.pi) * (1 - 1 / math.sqrt(3))
    assert torch.stack(values).mean().item() == pytest.approx(expected, rel=0.1)


def test_sigreg_tells_other_samples_from_normal_ones() -> None:
    loss = SIGRegLoss(num_slices=256)
    z = torch.randn(2048, 8, dtype=torch.float64)
    normal = loss(z, 0).item()
    skewed = (z.square() - 1) / math.sqrt(2)  # mean 0, covariance I
    stretched = z * torch.linspace(0.5, 1.5, 8, dtype=torch.float64)
    for other in (torch.zeros_like(z), z[:1].expand(2048, 8), 0.5 * z, 2 * z, z + 0.5, stretched):
        assert loss(other, 0).item() > 5 * normal
    assert loss(skewed, 0).item() > 2 * normal


def test_slices_of_sigreg_depend_on_the_step_alone() -> None:
    loss = SIGRegLoss(num_slices=8)
    z = off_centre(10, 5)
    first = loss(z, 3)
    torch.randn(5)
    assert torch.equal(loss(z, 3), first)
    assert torch.equal(SIGRegLoss(num_slices=8)(z, 3), first)
    assert abs(loss(z, 4) - first) > 1e-4
    state = torch.get_rng_state()
    loss(z, 5)
    assert torch.equal(torch.get_rng_state(), state)


def test_sigreg_pulls_a_sample_towards_the_normal() -> None:
    loss = SIGRegLoss(num_slices=32)
    z = (3 * torch.rand(128, 4, dtype=torch.float64)).requires_grad_()
    assert max(kstest(axis, "norm").pvalue for axis in z.detach().T.numpy()) < 1e-10
    optimizer = torch.optim.SGD([z], lr=1.0)
    for step in range(100):
        optimizer.zero_grad()
        loss(z, step).backward()
        optimizer.step()
    assert min(kstest(axis, "norm").pvalue for axis in z.detach().T.numpy()) > 0.1
