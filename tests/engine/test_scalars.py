"""Means of scalars, and what happens when the loss is no number."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mvssl.engine.scalars import ScalarMeans
from tests.gloo_pool import GlooPool
from tests.mini import train_cli, write_config


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


def test_a_loss_that_is_no_number_stops_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path)
    options = [
        "--cfg-options",
        "optim_wrapper.optimizer.lr=1e30",
        "param_scheduler.warmup_epochs=0",
    ]
    assert train_cli(config, "--work-dir", tmp_path / "run", *options) == 2
    assert "The loss is nan at iteration" in capsys.readouterr().err
    assert not (tmp_path / "run" / "summary.json").exists()
