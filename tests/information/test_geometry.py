from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import linalg

from mvssl.information import alignment, embedding_std, lidar, rankme, uniformity
from tests.information.reference import matrix, sphere_pair, uniform_rows


@pytest.mark.parametrize("alpha", [1.0, 2.0])
def test_alignment_formula(alpha: float) -> None:
    z1, z2 = sphere_pair(9, 5, 0.5)
    expected = np.mean([np.linalg.norm(a - b) ** alpha for a, b in zip(z1, z2, strict=True)])
    assert float(alignment(z1, z2, alpha)) == pytest.approx(float(expected), rel=1e-12)
    assert float(alignment(z1, z1, alpha)) == 0.0


@pytest.mark.parametrize("t", [0.5, 2.0])
def test_uniformity_formula(t: float) -> None:
    z = matrix(15, 6, 0.0)
    expected = torch.pdist(z).square().mul(-t).exp().mean().log()
    torch.testing.assert_close(uniformity(z, t), expected)
    torch.testing.assert_close(uniformity(z.float(), t), expected.float(), rtol=1e-5, atol=1e-5)
    assert float(uniformity(z[:1].expand(4, 6), t)) == pytest.approx(0.0, abs=1e-12)


def test_uniformity_gradcheck() -> None:
    assert torch.autograd.gradcheck(uniformity, matrix(5, 3, 0.0).requires_grad_())


def _effective_rank(spectrum: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    p = spectrum / spectrum.sum() + 1e-7
    return float(np.exp(-(p * np.log(p)).sum()))


@pytest.mark.parametrize("shape", [(20, 8), (6, 30)])
def test_rankme_formula(shape: tuple[int, int]) -> None:
    z = matrix(*shape, 0.0)
    singular = np.sqrt(np.maximum(linalg.eigvalsh(z.numpy() @ z.numpy().T), 0))
    assert float(rankme(z)) == pytest.approx(_effective_rank(singular[-min(shape) :]), rel=1e-4)


@pytest.mark.parametrize("rank", [1, 3, 8])
def test_rankme_counts_equal_directions(rank: int) -> None:
    basis = torch.linalg.qr(torch.randn(8, 8, dtype=torch.float64))[0]
    z = torch.eye(rank, 8, dtype=torch.float64).repeat(5, 1) @ basis
    assert float(rankme(z)) == pytest.approx(rank, rel=1e-4)


def test_lidar_equals_the_eigenvalues_of_the_discriminant_matrix() -> None:
    n, q, d, delta = 12, 4, 5, 1e-4
    z = (matrix(n, d, 0.0)[:, None] + 0.3 * matrix(n * q, d, 1.0).reshape(n, q, d)).numpy()
    means = z.mean(axis=1)
    between = np.cov(means.T, bias=True)
    within = np.mean([np.cov(z[i].T, bias=True) for i in range(n)], axis=0) + delta * np.eye(d)
    expected = _effective_rank(linalg.eigvalsh(between, within))
    assert float(lidar(torch.from_numpy(z), delta)) == pytest.approx(expected, rel=1e-9)


def test_lidar_ignores_directions_that_only_augmentations_move() -> None:
    generator = torch.Generator().manual_seed(0)
    image = torch.zeros(200, 1, 10, dtype=torch.float64)
    image[..., :3] = torch.randn(200, 1, 3, generator=generator, dtype=torch.float64)
    noise = torch.randn(200, 8, 10, generator=generator, dtype=torch.float64)
    noise[..., 3:] *= 5
    z = image + 0.05 * noise
    assert float(lidar(z)) == pytest.approx(3.0, abs=0.2)
    assert float(rankme(z.reshape(-1, 10))) > 7


def test_embedding_std() -> None:
    z = matrix(30, 7, 0.0)
    assert float(embedding_std(5 * z)) == pytest.approx(z.numpy().std(axis=0, ddof=1).mean())
    assert float(embedding_std(z[:1].expand(4, 7))) == pytest.approx(0.0, abs=1e-12)
    wide = uniform_rows(4000, 64, 0)
    assert float(embedding_std(wide)) == pytest.approx(1 / math.sqrt(64), rel=1e-2)


@pytest.mark.parametrize("shape", [(6, 4), (1, 2, 4), (6, 1, 4), (6, 2, 0)])
def test_lidar_refuses_other_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"\(n, q, d\).*found shape"):
        lidar(torch.zeros(shape))


def test_one_sample_has_no_spread() -> None:
    z = matrix(1, 4, 0.0)
    with pytest.raises(ValueError, match=r"n >= 2 samples, found shape \(1, 4\)"):
        uniformity(z)
    with pytest.raises(ValueError, match=r"n >= 2 samples, found shape \(1, 4\)"):
        embedding_std(z)
    with pytest.raises(ValueError, match=r"t must be > 0, found 0"):
        uniformity(matrix(3, 4, 0.0), t=0.0)


def test_half_precision_and_non_finite_values() -> None:
    z = F.normalize(matrix(16, 8, 0.0), dim=1)
    for function in (rankme, embedding_std, uniformity):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            value = function(z.bfloat16())
        assert value.dtype == torch.float32
        assert float(value) == pytest.approx(float(function(z)), rel=0.02)
        with pytest.raises(ValueError, match="non-finite"):
            function(z * math.nan)


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_lidar_of_long_float32_features_is_that_of_float64(scale: float) -> None:
    """More channels than images: the scatter within images has no full rank but for delta."""
    generator = torch.Generator().manual_seed(0)
    spectrum = torch.arange(1, 257, dtype=torch.float64) ** -0.5
    image = torch.randn(50, 1, 256, generator=generator, dtype=torch.float64)
    view = torch.randn(50, 2, 256, generator=generator, dtype=torch.float64)
    z = (scale * spectrum * (image + view)).float()
    found = lidar(z)
    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(float(lidar(z.double())), rel=1e-5)
