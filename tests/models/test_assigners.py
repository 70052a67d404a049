"""Assigners against written-out formulas, their invariances, and one process against several.

Shape suffixes: B images of a process, N of all, K prototypes, q images of a queue.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from scipy.special import softmax
from torch import Tensor

from mvssl.errors import UserError
from mvssl.models.assigners import Assigner, Centering, Sharpening, Sinkhorn
from mvssl.registry import ASSIGNERS
from tests.gloo_pool import GlooPool

Array = np.ndarray
B, K, Q = 8, 5, 6


def cosines(rows: int = B, columns: int = K, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.rand(rows, columns, generator=generator, dtype=torch.float64) - 1


def share(x: Tensor) -> Tensor:
    return x.chunk(dist.get_world_size())[dist.get_rank()]


def sinkhorn(logits_nk: Array, epsilon: float, iterations: int) -> Array:
    """Scaling factors of rows and columns, as in Cuturi (2013), then rows that sum to 1."""
    n, k = logits_nk.shape
    kernel = np.exp(logits_nk / epsilon)
    of_images = np.ones(n)
    for _ in range(iterations):
        of_prototypes = (1 / k) / (kernel.T @ of_images)
        of_images = (1 / n) / (kernel @ of_prototypes)
    plan: Array = of_images[:, None] * kernel * of_prototypes[None, :]
    return n * plan


@pytest.mark.parametrize("shape", [(8, 5), (3, 12), (1, 4)])
@pytest.mark.parametrize("epsilon", [0.05, 0.5])
@pytest.mark.parametrize("iterations", [1, 3, 20])
def test_sinkhorn(shape: tuple[int, int], epsilon: float, iterations: int) -> None:
    logits = cosines(*shape)
    q = Sinkhorn(epsilon, iterations)(logits)
    np.testing.assert_allclose(q, sinkhorn(logits.numpy(), epsilon, iterations), rtol=1e-9)


@pytest.mark.parametrize("iterations", [1, 3])
def test_sinkhorn_balances_over_the_queue_and_returns_the_batch(iterations: int) -> None:
    logits, queue = cosines(), cosines(Q, seed=2) + 0.3
    q = Sinkhorn(0.1, iterations)(logits, queue)
    expected = sinkhorn(torch.cat([logits, queue]).numpy(), 0.1, iterations)[:B]
    np.testing.assert_allclose(q, expected, rtol=1e-9)
    assert (q - Sinkhorn(0.1, iterations)(logits)).abs().max() > 1e-3


def test_marginals_of_sinkhorn() -> None:
    logits = cosines(64)
    errors = []
    for iterations in (1, 3, 10, 100):
        q = Sinkhorn(0.1, iterations)(logits)
        torch.testing.assert_close(q.sum(dim=1), torch.ones(64, dtype=torch.float64))
        errors.append(float((q.mean(dim=0) - 1 / K).abs().max()))
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 1e-3
    assert errors[-1] < 1e-9


def test_sinkhorn_does_not_see_shifts() -> None:
    logits = cosines()
    few, many = Sinkhorn(0.1, 3), Sinkhorn(0.1, 300)
    torch.testing.assert_close(few(logits + 7.0), few(logits))
    # Prototypes are scaled first, so their shifts never count and those of images in the limit.
    of_prototypes, of_images = cosines(1, seed=3), cosines(B, 1, seed=4)
    torch.testing.assert_close(few(logits + of_prototypes), few(logits))
    torch.testing.assert_close(many(logits + of_images), many(logits))


def test_sinkhorn_sees_logits_over_epsilon() -> None:
    logits = cosines()
    torch.testing.assert_close(Sinkhorn(0.3)(3 * logits), Sinkhorn(0.1)(logits))
    flat = Sinkhorn(1e6)(logits)
    torch.testing.assert_close(flat, torch.full_like(flat, 1 / K), atol=1e-5, rtol=0)


@pytest.mark.parametrize("assigner", [Sinkhorn(), Sharpening(), Centering(K)])
def test_images_and_prototypes_have_no_order(assigner: Assigner) -> None:
    logits = cosines()
    rows, columns = torch.randperm(B), torch.randperm(K)
    torch.testing.assert_close(assigner(logits[rows]), assigner(logits)[rows])
    torch.testing.assert_close(assigner(logits[:, columns]), assigner(logits)[:, columns])


@pytest.mark.parametrize("scale", [1.0, 1e4])
@pytest.mark.parametrize("epsilon", [1e-4, 1e-8])
def test_large_logits_and_small_epsilon_give_distributions(scale: float, epsilon: float) -> None:
    logits = (scale * cosines(64, 16)).float()
    logits[:4] = scale  # rows that are all alike, and prototypes that win them all
    logits[:, 3] = -scale
    for x in (logits, logits.bfloat16()):
        q = Sinkhorn(epsilon)(x)
        assert q.dtype == torch.float32
        torch.testing.assert_close(q.sum(dim=1), torch.ones(64))


def test_a_small_epsilon_gives_hard_and_balanced_assignments() -> None:
    # Two images like prototype 0 best, but one of them likes 1 nearly as much.
    logits = torch.tensor([[1.0, 0.0], [1.0, 0.9]], dtype=torch.float64)
    torch.testing.assert_close(Sinkhorn(0.01, 200)(logits).round(), torch.eye(2).double())


@pytest.mark.parametrize("temperature", [0.04, 0.5])
def test_sharpening(temperature: float) -> None:
    logits = cosines()
    expected = softmax(logits.numpy() / temperature, axis=1)
    np.testing.assert_allclose(Sharpening(temperature)(logits, cosines(Q)), expected, rtol=1e-10)


@pytest.mark.parametrize(("temperature", "momentum"), [(0.04, 0.9), (0.07, 0.5), (0.1, 0.0)])
def test_centering(temperature: float, momentum: float) -> None:
    assigner = Centering(K, temperature, momentum).double()
    center = np.zeros((1, K))
    for step in range(4):
        logits = cosines(seed=step) + 0.2 * step
        expected = softmax((logits.numpy() - center) / temperature, axis=1)
        np.testing.assert_allclose(assigner(logits), expected, rtol=1e-9)
        np.testing.assert_allclose(assigner.center, center, rtol=1e-12)  # assigning changes nothing
        assigner.update(logits)
        center = momentum * center + (1 - momentum) * logits.numpy().mean(axis=0)
        np.testing.assert_allclose(assigner.center, center, rtol=1e-12)


def test_centering_does_not_see_what_all_images_share_once_the_centre_is_there() -> None:
    shift = 3 * cosines(1, seed=3)
    plain, shifted = Centering(K, momentum=0.0).double(), Centering(K, momentum=0.0).double()
    plain.update(cosines())
    shifted.update(cosines() + shift)
    torch.testing.assert_close(shifted(cosines() + shift), plain(cosines()))
    assert (Centering(K)(cosines() + shift) - Centering(K)(cosines())).abs().max() > 0.1


def test_the_centre_is_saved_and_only_the_centre() -> None:
    assigner, other = Centering(K), Centering(K)
    assigner.update(cosines().float())
    assert list(assigner.state_dict()) == ["center"]
    other.load_state_dict(assigner.state_dict())
    assert torch.equal(other(cosines()), assigner(cosines()))
    for stateless in (Sharpening(), Sinkhorn()):
        stateless.update(cosines())
        assert not stateless.state_dict()


@pytest.mark.parametrize("assigner", [Sharpening(), Centering(K)])
def test_the_temperature_may_change_during_training(assigner: Any) -> None:
    logits = cosines()
    before = assigner(logits)
    assert type(assigner.teacher_temp) is float
    assigner.teacher_temp = 0.5
    np.testing.assert_allclose(assigner(logits), softmax(logits.numpy() / 0.5, axis=1), rtol=1e-9)
    assert (assigner(logits) - before).abs().max() > 0.1


@pytest.mark.parametrize("assigner", [Sinkhorn(), Sharpening(), Centering(K)])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_distributions_in_full_precision(assigner: Assigner, dtype: torch.dtype) -> None:
    logits = cosines().to(dtype).requires_grad_()
    q = assigner(logits, cosines(Q).to(dtype))
    assert q.shape == (B, K)
    assert q.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert q.requires_grad == assigner.differentiable
    torch.testing.assert_close(q.sum(dim=1), torch.ones(B, dtype=q.dtype))
    assigner.update(logits)
    assert not any(buffer.requires_grad for buffer in assigner.buffers())


def _assign_and_update(config: dict[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
    assigner = ASSIGNERS.build(config).double()
    queue = cosines(Q, seed=9)
    outputs = []
    for step in range(3):
        views = [share(cosines(seed=10 * step + view)) for view in range(2)]
        outputs += [assigner(view, queue) for view in views]
        assigner.update(torch.cat(views))
    return torch.stack(outputs), dict(assigner.state_dict())


@pytest.mark.parametrize("name", ["Sinkhorn", "Centering", "Sharpening"])
def test_two_processes_are_one(name: str, run_distributed: GlooPool) -> None:
    config: dict[str, Any] = {"type": name}
    if name == "Centering":
        config["num_prototypes"] = K
    ((expected, state),) = run_distributed(_assign_and_update, 1, config)
    ranks = run_distributed(_assign_and_update, 2, config)
    joined = torch.cat([outputs for outputs, _ in ranks], dim=1)
    torch.testing.assert_close(joined, expected, rtol=1e-9, atol=1e-12)
    for key, value in state.items():
        torch.testing.assert_close(ranks[0][1][key], value, rtol=1e-9, atol=1e-12)
        assert torch.equal(ranks[0][1][key], ranks[1][1][key])


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (dict(type="Sharpening", teacher_temp=0.0), "Sharpening: teacher_temp"),
        (dict(type="Centering", num_prototypes=0), "num_prototypes is an integer and at least 1"),
        (dict(type="Centering", num_prototypes=4, teacher_temp=-1.0), "Centering: teacher_temp"),
        (dict(type="Centering", num_prototypes=4, momentum=1.5), r"in \[0, 1\]; got 1.5"),
        (
            dict(type="Centering", num_prototypes=4, momentum=-0.1),
            "momentum is the fraction that is kept",
        ),
        (dict(type="Sinkhorn", epsilon=0), "Sinkhorn: epsilon is a number greater than 0"),
        (dict(type="Sinkhorn", epsilon=math.nan), "Sinkhorn: epsilon"),
        (dict(type="Sinkhorn", iterations=0), "iterations is an integer and at least 1"),
    ],
)
def test_what_cannot_be_is_said(config: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        ASSIGNERS.build(config)
