"""Means of scalars, and what happens when the loss is no number."""

from __future__ import annotations

import torch

from mvssl.engine.scalars import ScalarMeans
from tests.gloo_pool import GlooPool


def test_means_count_each_name_by_its_own_steps() -> None:
    means = ScalarMeans()
    means.add({"loss": torch.tensor(1.0), "entropy": 4})
    means.add({"loss": torch.tensor(2.0, requires_grad=True)})
    assert means.read_and_clear() == {"entropy": 4.0, "loss": 1.5}
    assert means.read_and_clear() == {}


def _means_over_ranks() -> dict[str, float]:
    means = ScalarMeans()
    means.add({"loss": float(torch.distributed.get_rank()), "lr": 0.5})
    return means.read_and_clear()


def test_means_are_over_processes(run_distributed: GlooPool) -> None:
    assert run_distributed(_means_over_ranks, 4) == [{"loss": 1.5, "lr": 0.5}] * 4
