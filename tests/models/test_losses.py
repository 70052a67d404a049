"""Losses against formulas that are written out with NumPy and SciPy, and what must not change them.

Shape suffixes: k images, D embedding size, K prototypes.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.special import log_softmax, logsumexp
from torch import Tensor, nn

from mvssl.errors import UserError
from mvssl.models.losses import (
    BarlowTwinsLoss,
    CosineSimilarityLoss,
    DCLLoss,
    DistributionLoss,
    EMPSSLLoss,
    FroSSLLoss,
    InfoNCELoss,
    MMCRLoss,
    NTXentLoss,
    PairLoss,
    Regularizer,
    SIGRegLoss,
    SoftCrossEntropyLoss,
    VICRegLoss,
    ViewsLoss,
    VISRegLoss,
)
from mvssl.registry import LOSSES
from tests.parity import Array, assert_parity

SHAPES = [(2, 3), (7, 4), (5, 10)]


def draw(k: int, channels: int, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Two related views, off centre and with dimensions of different spread."""
    generator = torch.Generator().manual_seed(seed)
    first, noise = torch.randn(2, k, channels, generator=generator, dtype=torch.float64)
    spread = torch.linspace(0.3, 2.0, channels, dtype=torch.float64)
    return first * spread + 0.2, (first + noise) * spread - 0.1


def unit(x: Array) -> Array:
    return np.stack([row / math.sqrt(sum(row**2)) for row in x])


def info_nce(anchors: Array, candidates: Array, temperature: float) -> float:
    anchors, candidates = unit(anchors), unit(candidates)
    terms = []
    for i, anchor in enumerate(anchors):
        scores = [anchor @ candidate / temperature for candidate in candidates]
        terms.append(-scores[i] + logsumexp(scores))
    return float(np.mean(terms))


def nt_xent(first: Array, second: Array, temperature: float) -> float:
    """Equation 1 of SimCLR, over all positive pairs (i, j) and (j, i)."""
    z = unit(np.concatenate([first, second]))
    k, total = len(first), 0.0
    for i in range(2 * k):
        j = (i + k) % (2 * k)
        others = [math.exp(z[i] @ z[n] / temperature) for n in range(2 * k) if n != i]
        total -= math.log(math.exp(z[i] @ z[j] / temperature) / sum(others))
    return total / (2 * k)


def barlow_twins(first: Array, second: Array, lambd: float) -> float:
    k, channels = first.shape
    total = 0.0
    for i in range(channels):
        for j in range(channels):
            a, b = first[:, i] - first[:, i].mean(), second[:, j] - second[:, j].mean()
            spread = math.sqrt((a @ a / k + 1e-5) * (b @ b / k + 1e-5))
            c = a @ b / k / spread
            total += (1 - c) ** 2 if i == j else lambd * c**2
    return total


def vicreg(first: Array, second: Array, sim: float, var: float, cov: float) -> float:
    channels = first.shape[1]
    total = sim * float(np.mean((first - second) ** 2))
    for z in (first, second):
        deviations = np.sqrt(np.var(z, axis=0, ddof=1) + 1e-4)
        total += var / 2 * float(np.maximum(0, 1 - deviations).mean())
        c = np.atleast_2d(np.cov(z, rowvar=False))
        off = [c[i, j] ** 2 for i in range(channels) for j in range(channels) if i != j]
        total += cov / channels * sum(off)
    return total


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("temperature", [0.07, 0.2, 1.0])
def test_info_nce(shape: tuple[int, int], temperature: float) -> None:
    assert_parity(InfoNCELoss(temperature), lambda p, t: info_nce(p, t, temperature), *draw(*shape))
    assert_parity(
        InfoNCELoss(temperature, anchor="target"),
        lambda p, t: info_nce(t, p, temperature),
        *draw(*shape),
    )


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
def test_nt_xent(shape: tuple[int, int], temperature: float) -> None:
    assert_parity(NTXentLoss(temperature), lambda p, t: nt_xent(p, t, temperature), *draw(*shape))


def dcl(first: Array, second: Array, temperature: float, sigma: float | None) -> float:
    """Equations 5 and 6 of DCL, over all anchors."""
    k = len(first)
    views = unit(first), unit(second)
    cosines = [a @ b for a, b in zip(*views, strict=True)]
    weights = [1.0] * k
    if sigma is not None:
        mean = np.mean([math.exp(s / sigma) for s in cosines])
        weights = [2 - math.exp(s / sigma) / float(mean) for s in cosines]
    total = 0.0
    for anchors in views:
        for i in range(k):
            others = [anchors[i] @ z[n] / temperature for z in views for n in range(k) if n != i]
            total += logsumexp(others) - weights[i] * cosines[i] / temperature
    return total / (2 * k)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
@pytest.mark.parametrize("sigma", [None, 0.5, 3.0])
def test_dcl(shape: tuple[int, int], temperature: float, sigma: float | None) -> None:
    loss = DCLLoss(temperature, sigma)
    assert_parity(loss, lambda p, t: dcl(p, t, temperature, sigma), *draw(*shape))


def test_weights_of_dcl_are_one_on_average_and_greater_for_pairs_apart() -> None:
    first, second = draw(6, 4)
    # Of equal pairs all weights are 1; of others the gradient leans to those that are far apart.
    torch.testing.assert_close(DCLLoss(0.1, 0.5)(first, first), DCLLoss(0.1)(first, first))
    torch.testing.assert_close(
        DCLLoss(0.1, 1e4)(first, second), DCLLoss(0.1)(first, second), rtol=1e-3, atol=0
    )
    assert DCLLoss(0.1, 0.5)(first, second) > DCLLoss(0.1)(first, second)


@pytest.mark.parametrize("shape", [*SHAPES, (4, 1)])
@pytest.mark.parametrize("lambd", [5e-3, 0.0, 0.7])
def test_barlow_twins(shape: tuple[int, int], lambd: float) -> None:
    assert_parity(BarlowTwinsLoss(lambd), lambda p, t: barlow_twins(p, t, lambd), *draw(*shape))


@pytest.mark.parametrize("shape", [*SHAPES, (4, 1)])
@pytest.mark.parametrize("weights", [(25.0, 25.0, 1.0), (1.0, 0.0, 0.0), (0.0, 2.0, 3.0)])
def test_vicreg(shape: tuple[int, int], weights: tuple[float, float, float]) -> None:
    assert_parity(VICRegLoss(*weights), lambda p, t: vicreg(p, t, *weights), *draw(*shape))


@pytest.mark.parametrize("temperature", [0.05, 0.1, 1.0])
def test_soft_cross_entropy(temperature: float) -> None:
    logits, other = draw(6, 9)
    target = F.softmax(other, dim=1)

    def formula(x: Array, t: Array) -> float:
        return float(-np.mean(np.sum(t * log_softmax(x / temperature, axis=1), axis=1)))

    assert_parity(SoftCrossEntropyLoss(temperature), formula, logits, target)


def test_soft_cross_entropy_is_least_at_the_target() -> None:
    logits, _ = draw(6, 9)
    target = F.softmax(logits / 0.1, dim=1)
    entropy = -(target * target.log()).sum(dim=1).mean()
    torch.testing.assert_close(SoftCrossEntropyLoss(0.1)(logits, target), entropy)
    assert SoftCrossEntropyLoss(0.1)(logits + 0.1 * torch.randn_like(logits), target) > entropy


@pytest.mark.parametrize(
    "loss",
    [
        CosineSimilarityLoss(),
        InfoNCELoss(),
        InfoNCELoss(anchor="target"),
        NTXentLoss(),
        DCLLoss(sigma=0.5),
    ],
)
def test_losses_of_directions_do_not_see_lengths(loss: nn.Module) -> None:
    first, second = draw(6, 4)
    lengths = torch.rand(2, 6, 1, dtype=torch.float64) + 0.1
    torch.testing.assert_close(loss(first * lengths[0], second * lengths[1]), loss(first, second))


@pytest.mark.parametrize(
    "loss",
    [
        InfoNCELoss(),
        NTXentLoss(),
        DCLLoss(),
        BarlowTwinsLoss(),
        VICRegLoss(),
        CosineSimilarityLoss(),
    ],
)
def test_an_order_that_both_views_share_does_not_count(loss: nn.Module) -> None:
    first, second = draw(6, 4)
    order = torch.randperm(6)
    torch.testing.assert_close(loss(first[order], second[order]), loss(first, second))
    assert abs(loss(first[order], second) - loss(first, second)) > 1e-3
    axes = torch.randperm(4)
    torch.testing.assert_close(loss(first[:, axes], second[:, axes]), loss(first, second))


@pytest.mark.parametrize("loss", [NTXentLoss(), DCLLoss(), BarlowTwinsLoss(), VICRegLoss()])
def test_losses_of_two_equal_partners(loss: nn.Module) -> None:
    first, second = draw(6, 4)
    torch.testing.assert_close(loss(first, second), loss(second, first))


def test_anchors_of_info_nce_are_not_exchangeable() -> None:
    first, second = draw(6, 4)
    other = InfoNCELoss(anchor="target")
    torch.testing.assert_close(InfoNCELoss()(first, second), other(second, first))
    assert abs(InfoNCELoss()(first, second) - other(first, second)) > 1e-3


def test_limits_of_contrastive_losses() -> None:
    one = draw(1, 4)
    assert NTXentLoss()(*one).item() == 0.0
    assert InfoNCELoss()(*one).item() == 0.0
    same = torch.ones(6, 4, dtype=torch.float64)
    assert InfoNCELoss()(same, same).item() == pytest.approx(math.log(6))
    assert NTXentLoss()(same, same).item() == pytest.approx(math.log(11))
    assert DCLLoss()(same, same).item() == pytest.approx(math.log(10))
    assert DCLLoss(sigma=0.5)(same, same).item() == pytest.approx(math.log(10))


def test_barlow_twins_does_not_see_scale_and_shift_of_a_dimension() -> None:
    first, second = [100 * x for x in draw(8, 4)]  # so that 1e-5 in the variance does not count
    scale = torch.tensor([0.5, 1.0, 7.0, 30.0], dtype=torch.float64)
    moved = BarlowTwinsLoss()(first * scale + 3.0, second / scale - scale)
    torch.testing.assert_close(moved, BarlowTwinsLoss()(first, second), rtol=1e-6, atol=0)


def test_barlow_twins_is_zero_for_equal_views_of_uncorrelated_dimensions() -> None:
    signs = torch.tensor([[1, 1], [1, -1], [-1, 1], [-1, -1]], dtype=torch.float64)
    loss = BarlowTwinsLoss(lambd=1.0)
    assert loss(1e3 * signs, 1e3 * signs).item() == pytest.approx(0.0, abs=1e-12)
    assert loss(1e3 * signs, -1e3 * signs).item() == pytest.approx(8.0)


@pytest.mark.parametrize("loss", [BarlowTwinsLoss(), VICRegLoss()])
def test_a_constant_dimension_gives_no_nan(loss: nn.Module) -> None:
    first, second = draw(6, 4)
    first[:, 1] = second[:, 1] = 2.0
    first, second = first.float().requires_grad_(), second.float().requires_grad_()
    value = loss(first, second)
    gradients = torch.autograd.grad(value, [first, second])
    assert math.isfinite(value.item())
    assert all(bool(g.isfinite().all()) for g in gradients)


def test_vicreg_does_not_see_a_shift_of_both_views() -> None:
    first, second = draw(6, 4)
    torch.testing.assert_close(VICRegLoss()(first + 3.0, second + 3.0), VICRegLoss()(first, second))
    only_first = VICRegLoss(sim=0.0)
    torch.testing.assert_close(only_first(first + 3.0, second), only_first(first, second))


ALL = [
    CosineSimilarityLoss(),
    InfoNCELoss(),
    NTXentLoss(),
    DCLLoss(),
    BarlowTwinsLoss(),
    VICRegLoss(),
    SoftCrossEntropyLoss(),
]


@pytest.mark.parametrize("loss", ALL, ids=lambda loss: type(loss).__name__)
def test_half_precision_is_computed_in_float32(loss: nn.Module) -> None:
    first, second = [x.bfloat16() for x in draw(6, 4)]
    value = loss(first, second)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, loss(first.float(), second.float()))
    z = SIGRegLoss(num_slices=4)(first, 0)
    torch.testing.assert_close(z, SIGRegLoss(num_slices=4)(first.float(), 0))


PAIR_LOSSES = [loss for loss in ALL if isinstance(loss, PairLoss)]


@pytest.mark.parametrize("loss", PAIR_LOSSES, ids=lambda loss: type(loss).__name__)
def test_a_loss_says_whether_it_compares_images(loss: PairLoss) -> None:
    """Whether the loss of two halves is, on average, that of the whole."""
    first, second = draw(8, 4)
    parts = zip(first.chunk(2), second.chunk(2), strict=True)
    whole, halves = loss(first, second), [loss(a, b) for a, b in parts]
    differs = not torch.allclose(whole, torch.stack(halves).mean())
    assert loss.crosses_samples is differs


OTHERS = [
    SIGRegLoss(num_slices=4),
    VISRegLoss(num_slices=4),
    MMCRLoss(),
    EMPSSLLoss(),
    FroSSLLoss(),
]


@pytest.mark.parametrize("loss", [*ALL, *OTHERS], ids=lambda loss: type(loss).__name__)
def test_a_loss_is_registered_of_one_kind_and_stateless(loss: nn.Module) -> None:
    assert LOSSES.get(type(loss).__name__) is type(loss)
    kinds = (PairLoss, DistributionLoss, Regularizer, ViewsLoss)
    assert sum(isinstance(loss, kind) for kind in kinds) == 1
    assert not list(loss.state_dict())


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (dict(type="InfoNCELoss", temperature=0.0), "InfoNCELoss: temperature .* got 0.0"),
        (dict(type="InfoNCELoss", temperature="0.2"), "temperature is a number .* got '0.2'"),
        (dict(type="InfoNCELoss", anchor="view"), "anchor is one of prediction, target"),
        (dict(type="NTXentLoss", temperature=math.inf), "NTXentLoss: temperature"),
        (dict(type="NTXentLoss", temperature=math.nan), "NTXentLoss: temperature"),
        (dict(type="DCLLoss", temperature=0.0), "DCLLoss: temperature .* got 0.0"),
        (dict(type="DCLLoss", sigma=0.0), "DCLLoss: sigma .* got 0.0"),
        (dict(type="EMPSSLLoss", distortion=0.0), "EMPSSLLoss: distortion .* greater than 0"),
        (dict(type="FroSSLLoss", invariance=-1.0), "FroSSLLoss: invariance .* not negative"),
        (dict(type="VISRegLoss", num_slices=0), "VISRegLoss: num_slices is an integer"),
        (dict(type="VISRegLoss", shape=-1.0), "VISRegLoss: shape .* not negative"),
        (dict(type="BarlowTwinsLoss", lambd=-1.0), "BarlowTwinsLoss: lambd .* not negative"),
        (dict(type="VICRegLoss", var=-1.0), "VICRegLoss: var .* not negative"),
        (dict(type="SoftCrossEntropyLoss", student_temp=-0.1), "student_temp is a number"),
        (dict(type="SIGRegLoss", num_slices=0), "num_slices is an integer and at least 1"),
        (dict(type="SIGRegLoss", num_slices=2.5), "num_slices is an integer"),
        (dict(type="SIGRegLoss", num_points=1), "num_points is an integer and at least 3"),
        (dict(type="SIGRegLoss", num_points=16), "num_points is odd.*choose 17"),
        (dict(type="SIGRegLoss", t_max=0), "t_max is a number greater than 0"),
    ],
)
def test_what_cannot_be_is_said(config: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        LOSSES.build(config)


@pytest.mark.parametrize("loss", [BarlowTwinsLoss(), VICRegLoss(), DCLLoss()])
def test_one_image_has_no_statistics(loss: nn.Module) -> None:
    with pytest.raises(UserError, match="the batch holds 1: choose a batch_size of 2"):
        loss(*draw(1, 4))


ZERO_ROWS: dict[str, Any] = {
    "InfoNCE": InfoNCELoss(),
    "NTXent": NTXentLoss(),
    "DCL": DCLLoss(),
    "cosine": CosineSimilarityLoss(),
}


@pytest.mark.parametrize("name", ZERO_ROWS)
def test_an_embedding_of_zeros_takes_no_gradient_and_leaves_those_of_others(name: str) -> None:
    """Of x / |x| there is none at 0; by F.normalize it would be 1e12 times as long as the rest."""
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(8, 5, generator=generator)
    second = first + 0.3 * torch.randn(8, 5, generator=generator)
    first[3] = 0.0
    first.requires_grad_()
    ZERO_ROWS[name](first, second).backward()
    assert first.grad is not None
    assert not first.grad[3].any()
    assert first.grad.norm() < 10
    others = [k for k in range(8) if k != 3]
    assert bool((first.grad[others].norm(dim=1) > 0).all())
