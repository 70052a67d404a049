"""Losses of all views at once, and VISReg, against NumPy and SciPy; what they are at collapse.

Shape suffixes: V views, k images, D embedding size.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm, ortho_group, wasserstein_distance
from torch import Tensor, nn

from mvssl.errors import UserError
from mvssl.models.losses import EMPSSLLoss, FroSSLLoss, MMCRLoss, ViewsLoss, VISRegLoss
from tests.parity import Array, assert_parity

SHAPES = [(2, 3), (7, 4), (4, 9)]
LOSSES: list[ViewsLoss] = [MMCRLoss(), EMPSSLLoss(), FroSSLLoss()]


def draw(k: int, channels: int, views: int = 3) -> Tensor:
    """(V, k, D), related views, off centre."""
    generator = torch.Generator().manual_seed(k)
    image = torch.randn(k, channels, generator=generator, dtype=torch.float64)
    noise = torch.randn(views, k, channels, generator=generator, dtype=torch.float64)
    return image + 0.7 * noise + 0.2


def unit(z: Array) -> Array:
    return z / np.linalg.norm(z, axis=-1, keepdims=True)


class OfOne(nn.Module):
    """A function of (V, k, D), for :func:`assert_parity`, which gives two tensors."""

    def __init__(self, loss: nn.Module, *more: int) -> None:
        super().__init__()
        self.loss, self.more = loss, more

    def forward(self, z: Tensor, unused: Tensor) -> Tensor:
        value: Tensor = self.loss(z, *self.more)
        return value + 0 * unused.sum()


NOTHING = torch.zeros(1, 1, dtype=torch.float64)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("views", [1, 2, 4])
def test_mmcr(shape: tuple[int, int], views: int) -> None:
    def formula(z: Array, _: Array) -> float:
        centroids = sum(unit(view) for view in z) / views
        return -float(np.linalg.svd(centroids, compute_uv=False).sum())

    assert_parity(OfOne(MMCRLoss()), formula, draw(*shape, views), NOTHING)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("distortion", "invariance"), [(0.2, 200.0), (1.5, 0.0)])
def test_emp_ssl(shape: tuple[int, int], distortion: float, invariance: float) -> None:
    k, channels = shape

    def formula(z: Array, _: Array) -> float:
        rates, cosines = [], []
        mean = np.mean([unit(view) for view in z], axis=0)
        for view in z:
            inner = np.eye(channels) + channels / (k * distortion) * unit(view).T @ unit(view)
            rates.append(math.log(np.linalg.det(inner)) / 2)
            cosines += [float(a @ b) for a, b in zip(unit(view), unit(mean), strict=True)]
        return -float(np.mean(rates)) - invariance * float(np.mean(cosines))

    assert_parity(OfOne(EMPSSLLoss(distortion, invariance)), formula, draw(*shape), NOTHING)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("invariance", [1.0, 0.0, 3.0])
def test_frossl(shape: tuple[int, int], invariance: float) -> None:
    _, channels = shape

    def formula(z: Array, _: Array) -> float:
        """As the authors have it: lengths sqrt(D), means of squares, a trace that is divided by."""
        scaled = math.sqrt(channels) * unit(z)
        total = 0.0
        for view in scaled:
            covariance = view.T @ view / np.trace(view.T @ view)
            total += 2 * math.log(np.linalg.norm(covariance, "fro"))
            total += invariance * float(np.mean((view - scaled.mean(axis=0)) ** 2))
        return total

    assert_parity(OfOne(FroSSLLoss(invariance)), formula, draw(*shape), NOTHING)


def visreg(view: Array, directions: Array, weights: Array, sigma: Array) -> float:
    """As the authors have it; the shape's ``sigma`` is given, since no gradient goes through it."""
    k, _ = view.shape
    mu = view.mean(axis=0)
    scale = np.mean((np.linalg.norm(view - mu, axis=0) / math.sqrt(k) - 1) ** 2)
    quantiles = norm.ppf(np.linspace(1, k, k) / (k + 1))
    projected = np.sort((view - mu) / sigma @ directions, axis=0)
    terms = (np.mean(mu**2), scale, np.mean((projected - quantiles[:, None]) ** 2))
    return float(weights @ np.array(terms))


@pytest.mark.parametrize("shape", [*SHAPES, (6, 1)])
@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0), (0, 0, 2.0), (0, 3.0, 0), (0.5, 0, 0)])
def test_visreg(shape: tuple[int, int], weights: tuple[float, float, float]) -> None:
    generator = torch.Generator().manual_seed(7)
    drawn = torch.randn(shape[1], 5, generator=generator).double().numpy()
    directions = drawn / np.linalg.norm(drawn, axis=0)
    views = draw(*shape)
    sigmas = views.numpy().std(axis=1)

    def formula(z: Array, _: Array) -> float:
        pairs = zip(z, sigmas, strict=True)
        return float(np.mean([visreg(x, directions, np.array(weights), s) for x, s in pairs]))

    assert_parity(OfOne(VISRegLoss(5, *weights), 7), formula, views, NOTHING)


def test_the_shape_of_visreg_is_a_wasserstein_distance() -> None:
    """Its square bounds that of the first order, of the same quantiles, which SciPy has."""
    z = draw(200, 1, 1)[0]
    standard = ((z - z.mean(dim=0)) / z.std(dim=0, correction=0))[:, 0].numpy()
    quantiles = norm.ppf(np.arange(1, 201) / 201)
    value = VISRegLoss(3, centre=0.0, scale=0.0)(z, 0).item()
    assert value >= wasserstein_distance(standard, quantiles) ** 2
    assert value == pytest.approx(np.mean((np.sort(standard) - quantiles) ** 2), rel=1e-6)


def test_each_term_of_visreg_sees_one_thing() -> None:
    z, factor = draw(20, 4), torch.tensor([0.5, 2.0, 7.0, 3.0], dtype=torch.float64)
    centre = VISRegLoss(8, scale=0.0, shape=0.0)
    scale = VISRegLoss(8, centre=0.0, shape=0.0)
    form = VISRegLoss(8, centre=0.0, scale=0.0)
    torch.testing.assert_close(form(factor * z + 3, 0), form(z, 0), rtol=1e-6, atol=0)
    torch.testing.assert_close(scale(z + 3, 0), scale(z, 0))
    centred = z - z.mean(dim=1, keepdim=True)
    torch.testing.assert_close(centre(factor * centred - 2, 0).item(), 4.0)
    normal = torch.randn(4096, 4, dtype=torch.float64)
    uniform = 12**0.5 * torch.rand(4096, 4, dtype=torch.float64)
    signs = normal.sign()
    assert VISRegLoss(64)(normal, 0) < 0.01 < VISRegLoss(64)(signs, 0)
    assert form(uniform, 0) > 3 * form(normal, 0)
    assert not torch.equal(form(z, 0), form(z, 1))  # other slices


def test_visreg_leaves_collapse() -> None:
    """Near it the pull on the scale is as strong as anywhere: 2 / (D sqrt k) in each dimension."""
    z = (1e-3 * torch.randn(64, 8, dtype=torch.float64)).requires_grad_()
    (gradient,) = torch.autograd.grad(VISRegLoss(16, centre=0.0, shape=0.0)(z, 0), z)
    expected = 2 / 8 / 64**0.5  # of a dimension's column
    torch.testing.assert_close(
        gradient.norm(dim=0), torch.full((8,), expected, dtype=torch.float64), rtol=0.02, atol=0
    )
    optimizer = torch.optim.SGD([z], lr=64.0)
    for step in range(60):
        optimizer.zero_grad()
        VISRegLoss(16, shape=0.0)(z, step).backward()
        optimizer.step()
    torch.testing.assert_close(z.std(dim=0), torch.ones(8, dtype=torch.float64), rtol=0.05, atol=0)
    constant = torch.ones(64, 8, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(VISRegLoss(16, centre=0.0)(constant, 0), constant)
    assert gradient.isfinite().all()


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_gradients_of_losses_of_all_views(loss: ViewsLoss) -> None:
    for shape in SHAPES:
        assert torch.autograd.gradcheck(loss, (draw(*shape).requires_grad_(),))


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_what_losses_of_all_views_do_not_see(loss: ViewsLoss) -> None:
    z = draw(6, 4)
    lengths = torch.rand(3, 6, 1, dtype=torch.float64) + 0.1
    torch.testing.assert_close(loss(lengths * z), loss(z))
    torch.testing.assert_close(loss(z[:, torch.randperm(6)]), loss(z))
    torch.testing.assert_close(loss(z[torch.tensor([2, 0, 1])]), loss(z))
    turned = z @ torch.from_numpy(ortho_group.rvs(4, random_state=0))
    torch.testing.assert_close(loss(turned), loss(z))
    assert abs(loss(z[:, :, :1].expand(-1, -1, 4)) - loss(z)) > 1e-3
    moved = torch.stack([z[0], z[1].roll(1, 0), z[2]])
    assert loss(moved) > loss(z)  # views of different images


@pytest.mark.parametrize(("k", "channels"), [(4, 8), (8, 8), (32, 4)])
def test_bounds_of_losses_of_all_views(k: int, channels: int) -> None:
    """Equal views on a tight frame reach each bound; all embeddings equal the other one."""
    least = min(k, channels)
    frame = torch.eye(channels, dtype=torch.float64)[torch.arange(k) % channels].expand(2, k, -1)
    same = frame[:, :1].expand(2, k, -1)
    rate = EMPSSLLoss(invariance=0.0)
    assert MMCRLoss()(frame).item() == pytest.approx(-math.sqrt(k * least))
    assert MMCRLoss()(same).item() == pytest.approx(-math.sqrt(k))
    assert FroSSLLoss()(frame).item() == pytest.approx(-2 * math.log(least))
    assert FroSSLLoss()(same).item() == pytest.approx(0.0, abs=1e-9)
    most = least / 2 * math.log(1 + channels / (least * 0.2))
    assert rate(frame).item() == pytest.approx(-most)
    assert rate(same).item() == pytest.approx(-math.log(1 + channels / 0.2) / 2)
    for seed in range(5):
        torch.manual_seed(seed)
        z = torch.randn(2, k, channels, dtype=torch.float64)
        for loss in (MMCRLoss(), rate, FroSSLLoss()):
            assert loss(frame) <= loss(z) <= loss(same) + 1e-9


@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("made", ["equal", "zero", "one_zero", "large", "small"])
@pytest.mark.parametrize("loss", [*LOSSES, VISRegLoss(4)], ids=lambda loss: type(loss).__name__)
def test_collapse_and_half_precision_stay_finite(
    loss: nn.Module, made: str, kind: torch.dtype
) -> None:
    z = draw(6, 4).float()
    if made == "one_zero":
        z[:, 2] = 0
    z = {"equal": z[:1, :1].expand_as(z), "zero": 0 * z, "large": 1e4 * z, "small": 1e-4 * z}.get(
        made, z
    )
    z = z.to(kind).clone().requires_grad_()
    more = (0,) if isinstance(loss, VISRegLoss) else ()
    value = loss(z, *more)
    assert value.dtype == torch.float32
    assert value.isfinite()
    torch.testing.assert_close(value, loss(z.detach().float(), *more))
    (gradient,) = torch.autograd.grad(value, z)
    # Of a vector of length 0 the direction is steeper than half precision can hold.
    if kind == torch.float32 or "zero" not in made:
        assert bool(gradient.isfinite().all())


@pytest.mark.parametrize("loss", [*LOSSES, VISRegLoss(4)], ids=lambda loss: type(loss).__name__)
def test_one_image_is_refused(loss: nn.Module) -> None:
    more = (0,) if isinstance(loss, VISRegLoss) else ()
    with pytest.raises(UserError, match=r"Loss compares images .* holds 1: choose a batch_size"):
        loss(draw(1, 4), *more)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda one: type(one).__name__)
def test_an_embedding_of_zeros_takes_no_gradient(loss: ViewsLoss) -> None:
    z = draw(8, 5).float()
    z[1, 3] = 0.0
    z.requires_grad_()
    loss(z).backward()
    assert z.grad is not None
    assert not z.grad[1, 3].any()
    assert z.grad.norm() < 1e3
    others = z.grad.norm(dim=2).flatten()[[k for k in range(24) if k != 11]]
    assert bool((others > 0).all())
