"""Heads against formulas written out in plain torch, float64.

Shape suffixes: B images in the batch, D embedding size.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from scipy.special import ive
from torch import Tensor

from mvssl.errors import UserError
from mvssl.information import VonMisesFisher
from mvssl.models import Embeddings
from mvssl.models.heads import ERHead, PairHead
from mvssl.models.losses import CosineSimilarityLoss
from mvssl.models.measures import measure
from mvssl.models.record import view_pairs
from tests.gloo_pool import GlooPool

KAPPA = 7.0
B, D = 8, 5


def record_of(p: list[Tensor], target: list[Tensor]) -> Embeddings:
    return Embeddings(features=p, z=p, p=p, target=target, index=torch.arange(len(p[0])))


def random_record(views: int = 2, targets: int = 2, batch: int = B) -> Embeddings:
    generator = torch.Generator().manual_seed(views)

    def draw(number: int, grad: bool) -> list[Tensor]:
        return [
            torch.randn(batch, D, generator=generator, dtype=torch.float64).requires_grad_(grad)
            for _ in range(number)
        ]

    return record_of(draw(views, True), draw(targets, False))


def log_c(d: int, kappa: float) -> float:
    """log of the von Mises-Fisher normaliser by SciPy's Bessel function."""
    nu = d / 2 - 1
    return nu * math.log(kappa) - d / 2 * math.log(2 * math.pi) - math.log(ive(nu, kappa)) - kappa


def log_density(a: Tensor, b: Tensor, kappa: float) -> Tensor:
    """log q(a_i | b_j), (B, B)."""
    return log_c(a.shape[1], kappa) + kappa * F.normalize(a, dim=1) @ F.normalize(b, dim=1).T


def entropy(z: Tensor, kappa: float, estimator: str = "joe") -> Tensor:
    density = log_density(z, z, kappa).exp()
    if estimator == "loo":
        density = density - density.diag().diag()
        return -(density.sum(dim=1) / (len(z) - 1)).log().mean()
    p = density.mean(dim=1)
    if estimator == "plugin":
        return -(p / p.sum() * p.log()).sum()
    return -p.log().mean()


def reconstruction(p: Tensor, target: Tensor, kappa: float) -> Tensor:
    return log_density(target, p, kappa).diag().mean()


def infonce(p: Tensor, target: Tensor, kappa: float) -> Tensor:
    s = log_density(target, p, kappa).T  # rows: predictions, columns: targets
    return (s.diag() - s.exp().sum(dim=1).log()).mean() + math.log(len(p))


def mean_over_pairs(function: Any, record: Embeddings) -> Tensor:
    pairs = [(g, v) for g in range(len(record.target)) for v in range(len(record.p)) if g != v]
    values = [function(record.p[v], record.target[g]) for g, v in pairs]
    return sum(values, torch.zeros((), dtype=torch.float64)) / len(values)


def test_every_target_is_compared_with_every_other_view() -> None:
    assert view_pairs(random_record(2, 2)) == [(0, 1), (1, 0)]
    assert view_pairs(random_record(4, 2)) == [(0, 1), (0, 2), (0, 3), (1, 0), (1, 2), (1, 3)]
    assert view_pairs(random_record(2, 1)) == [(0, 1)]


def test_cosine_loss_is_the_squared_distance_of_normalised_vectors() -> None:
    p, target = torch.randn(6, 4, dtype=torch.float64), torch.randn(6, 4, dtype=torch.float64)
    expected = (F.normalize(p, dim=1) - F.normalize(target, dim=1)).square().sum(dim=1).mean()
    torch.testing.assert_close(CosineSimilarityLoss()(p, target), expected)
    assert CosineSimilarityLoss()(p, 3 * p).item() == pytest.approx(0.0, abs=1e-12)
    assert CosineSimilarityLoss()(p, -p).item() == pytest.approx(4.0)


def test_cosine_loss_has_the_right_gradient() -> None:
    p = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    target = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(CosineSimilarityLoss(), (p, target))


def test_cosine_loss_is_computed_in_float32_under_autocast() -> None:
    p, target = torch.randn(6, 4).bfloat16(), torch.randn(6, 4).bfloat16()
    loss = CosineSimilarityLoss()(p, target)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, CosineSimilarityLoss()(p.float(), target.float()))


@pytest.mark.parametrize(("views", "targets"), [(2, 2), (3, 2), (2, 1)])
def test_pair_head_averages_its_loss_over_the_pairs(views: int, targets: int) -> None:
    record = random_record(views, targets)
    head = PairHead({"type": "CosineSimilarityLoss"})
    expected = mean_over_pairs(
        lambda p, t: (F.normalize(p, dim=1) - F.normalize(t, dim=1)).square().sum(dim=1).mean(),
        record,
    )
    outputs = head(record)
    assert set(outputs) == {"loss"}
    torch.testing.assert_close(outputs["loss"], expected)


@pytest.mark.parametrize(
    "head", [PairHead({"type": "CosineSimilarityLoss"}), ERHead()], ids=["pair", "er"]
)
def test_targets_take_no_gradient_also_where_they_are_the_students(head: PairHead) -> None:
    """SimSiam: z is target of one pair and, through the predictor, prediction of the other."""
    z = [torch.randn(B, D, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    p = [torch.randn(B, D, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    head(record_of(p, z))["loss"].backward()
    assert all(x.grad is None for x in z)
    assert all(x.grad is not None and x.grad.abs().max() > 0 for x in p)


@pytest.mark.parametrize("beta", [1.0, 0.3])
@pytest.mark.parametrize("estimator", ["joe", "plugin", "loo"])
@pytest.mark.parametrize(("views", "targets"), [(2, 2), (3, 2)])
def test_er_loss_is_minus_beta_entropy_plus_reconstruction(
    views: int, targets: int, estimator: Any, beta: float
) -> None:
    record = random_record(views, targets)
    loss = ERHead(KAPPA, estimator, beta, loss_weight=2.0)(record)["loss"]
    loss.backward()
    found = [p.grad.clone() for p in record.p if p.grad is not None]
    for p in record.p:
        p.grad = None
    by_hand = -2.0 * mean_over_pairs(
        lambda p, t: beta * entropy(p, KAPPA, estimator) + reconstruction(p, t, KAPPA), record
    )
    by_hand.backward()
    # (1 - beta) log C is a constant, which the loss leaves out.
    expected = by_hand.detach() + 2.0 * (1 - beta) * log_c(D, KAPPA)
    torch.testing.assert_close(loss.detach(), expected, rtol=1e-10, atol=1e-10)
    for p, grad in zip(record.p, found, strict=True):
        torch.testing.assert_close(grad, p.grad, rtol=1e-9, atol=1e-12)


def test_weight_one_over_kappa_gives_half_of_the_cosine_losss_gradient() -> None:
    record = random_record(3, 2)
    ERHead(KAPPA, entropy_weight=0.0, loss_weight=1 / KAPPA)(record)["loss"].backward()
    by_er = [p.grad.clone() for p in record.p if p.grad is not None]
    for p in record.p:
        p.grad = None
    PairHead({"type": "CosineSimilarityLoss"})(record)["loss"].backward()
    for p, grad in zip(record.p, by_er, strict=True):
        torch.testing.assert_close(2 * grad, p.grad, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize(("views", "targets"), [(2, 2), (3, 2)])
def test_reported_terms_are_those_of_the_target(views: int, targets: int) -> None:
    record = random_record(views, targets)
    found = {name: value.double() for name, value in ERHead(KAPPA)(record).items()}
    expected = {
        "entropy": mean_over_pairs(lambda p, t: entropy(t, KAPPA), record),
        "entropy_trained": mean_over_pairs(lambda p, t: entropy(p, KAPPA), record),
        "reconstruction": mean_over_pairs(lambda p, t: reconstruction(p, t, KAPPA), record),
        "infonce": mean_over_pairs(lambda p, t: infonce(p, t, KAPPA), record),
    }
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value.detach(), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(
        found["mi_bound"], found["entropy"] + found["reconstruction"], rtol=1e-10, atol=1e-10
    )
    assert not any(value.requires_grad for name, value in found.items() if name != "loss")


def test_er_head_with_one_target_and_no_trained_entropy_is_told_the_same_by_measure() -> None:
    record = random_record(2, 1)
    by_head, measured = ERHead(KAPPA)(record), measure(record, VonMisesFisher(KAPPA))
    assert set(by_head) - set(measured) == {"loss", "entropy_trained"}
    for name, value in measured.items():
        assert float(by_head[name]) == pytest.approx(float(value), rel=1e-12)


def test_ceiling_floor_and_cap_of_the_entropy() -> None:
    for batch, kappa in ((4, 10.0), (64, 2.0)):
        found = measure(random_record(batch=batch), VonMisesFisher(kappa))
        span = min(math.log(batch), kappa)
        assert found["mi_ceiling"] == pytest.approx(span)
        assert found["entropy_floor"] == pytest.approx(-log_c(D, kappa) - kappa)
        assert found["entropy_cap"] == pytest.approx(-log_c(D, kappa) - kappa + span)
        assert found["entropy_floor"] <= float(found["entropy"]) <= found["entropy_cap"]


def test_a_collapsed_target_lies_on_the_floor() -> None:
    same = torch.ones(B, D, dtype=torch.float64)
    found = measure(record_of([same, same], [same, same]), VonMisesFisher(KAPPA))
    assert float(found["entropy"]) == pytest.approx(float(found["entropy_floor"]))
    assert float(found["mi_bound"]) == pytest.approx(0.0, abs=1e-12)
    assert float(found["infonce"]) == pytest.approx(0.0, abs=1e-12)


def test_only_the_loss_is_named_a_loss() -> None:
    """mmengine sums and trains every key that contains the word."""
    assert [name for name in ERHead()(random_record()) if "loss" in name] == ["loss"]


def test_half_precision_is_measured_in_float32() -> None:
    record = random_record()
    half = record_of([p.detach().bfloat16() for p in record.p], record.target)
    half = record_of(half.p, [t.bfloat16() for t in record.target])
    outputs = ERHead(KAPPA)(half)
    assert {value.dtype for value in outputs.values()} == {torch.float32}
    exact = ERHead(KAPPA)(
        record_of([p.double() for p in half.p], [t.double() for t in half.target])
    )
    for name, value in outputs.items():
        assert float(value) == pytest.approx(float(exact[name]), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"kappa": 0.0}, "ERHead: .*kappa"),
        ({"kappa": -3.0}, "ERHead: .*kappa"),
        ({"estimator": "kde"}, "estimator is one of joe, plugin, loo, got 'kde'"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        ERHead(**arguments)


def _share_of_the_batch(name: str, estimator: Any) -> tuple[dict[str, float], list[Tensor]]:
    whole = random_record(3, 2)
    world, rank = dist.get_world_size(), dist.get_rank()
    own = record_of(
        [p.detach().chunk(world)[rank].requires_grad_() for p in whole.p],
        [t.chunk(world)[rank] for t in whole.target],
    )
    outputs = _head(name, estimator)(own)
    outputs["loss"].backward()
    grads = [p.grad / world for p in own.p if p.grad is not None]  # DDP averages over ranks
    return {name: float(value.detach()) for name, value in outputs.items()}, grads


def _head(name: str, estimator: Any) -> PairHead | ERHead:
    return (
        PairHead({"type": "CosineSimilarityLoss"}) if name == "pair" else ERHead(KAPPA, estimator)
    )


@pytest.mark.parametrize("world", [2, 4])
@pytest.mark.parametrize(
    ("name", "estimator"), [("pair", ""), ("er", "joe"), ("er", "plugin"), ("er", "loo")]
)
def test_several_processes_equal_one_with_the_joined_batch(
    run_distributed: GlooPool, world: int, name: str, estimator: str
) -> None:
    record = random_record(3, 2)
    expected = _head(name, estimator)(record)
    expected["loss"].backward()
    ranks = run_distributed(_share_of_the_batch, world, name, estimator)
    for key, value in expected.items():
        mean = sum(scalars[key] for scalars, _ in ranks) / world
        assert mean == pytest.approx(float(value.detach()), abs=1e-10)
    for view, p in enumerate(record.p):
        joined = torch.cat([grads[view] for _, grads in ranks])
        torch.testing.assert_close(joined, p.grad, rtol=1e-10, atol=1e-12)
