"""A signal while a run is between two steps: what it does there is left, and made up for."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from mmengine.hooks import Hook
from torch import Tensor

from mvssl.distributed import barrier, rank
from mvssl.engine.hooks import clustering
from mvssl.engine.run import Run
from mvssl.errors import Interrupted
from mvssl.evaluation import KNN, Inputs
from mvssl.process import signals
from mvssl.process.signals import Phase, SignalWatch
from mvssl.registry import EVALUATORS
from tests.engine.test_position import STEPS, assert_equal, run
from tests.gloo_pool import GlooPool


class Signal(Hook):
    """SIGTERM comes during a step, counted from 1."""

    def __init__(self, watch: SignalWatch, step: int) -> None:
        self.watch, self.step = watch, step

    def before_train_iter(self, runner: Run, *_: Any, **__: Any) -> None:
        if runner.iter + 1 == self.step:
            self.watch.take(signal.SIGTERM)


TEST_SET = {"type": "Digits", "split": "test"}


@contextmanager
def asked(call: int, by: int = 0) -> Iterator[None]:
    """SIGTERM comes to process ``by`` when an evaluator runs for that time, from 1."""
    left = iter(range(1, 100))

    def run_evaluator(self: KNN, inputs: Inputs) -> dict[str, float]:
        if next(left) == call and rank() == by:
            watch = signals.current()
            assert watch is not None
            assert watch.phase is Phase.TRAINING
            watch.take(signal.SIGTERM)
        return KNN.run(self, inputs)

    kind = type("Asked", (KNN,), {"run": run_evaluator})
    EVALUATORS.register_module(module=kind, name="Asked")
    try:
        yield
    finally:
        del EVALUATORS.module_dict["Asked"]


def options() -> dict[str, Any]:
    evaluators = {"knn": {"type": "Asked"}}
    sets = {"train": TEST_SET, "test": TEST_SET}
    return {"evaluation": dict(**sets, evaluators=evaluators, interval=1, batch_size=64)}


def stop_and_go_on(folder: Path, epoch: int, by: int = 0) -> None:
    """A whole run, and one that is stopped during the evaluation after ``epoch``."""
    with asked(call=0):
        run(folder / "whole", **options())
    barrier()
    with (
        asked(call=2 + epoch, by=by),  # before training: on pixels, and on features
        signals.watching(),
        pytest.raises(Interrupted, match=f"after iteration {epoch * STEPS} of {2 * STEPS}, saved"),
    ):
        run(folder / "rest", **options())
    barrier()
    file = folder / "rest" / f"iter_{epoch * STEPS}.pth"
    with asked(call=0), signals.watching():
        run(folder / "rest", checkpoint=file, **options())


def test_an_evaluation_is_left_and_made_up_for(tmp_path: Path) -> None:
    stop_and_go_on(tmp_path, 1)
    assert_equal(tmp_path / "whole" / "epoch_2.pth", tmp_path / "rest" / "epoch_2.pth")


def test_so_is_that_of_the_last_epoch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stop_and_go_on(tmp_path, 2)
    told = [line for line in capsys.readouterr().out.splitlines() if "kNN" in line]
    whole, rest = told[:3], told[3:]
    assert [line.split("  ")[0] for line in whole] == ["before training", "epoch 1", "epoch 2"]
    assert rest == whole


def test_all_processes_leave_it_together(run_distributed: GlooPool, tmp_path: Path) -> None:
    run_distributed(stop_and_go_on, 2, tmp_path, 1, 1)
    assert_equal(tmp_path / "whole" / "epoch_2.pth", tmp_path / "rest" / "epoch_2.pth")


def test_clustering_is_left_and_made_up_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    often: dict[str, Any] = {"model.head.interval": 1}
    whole = run(tmp_path / "whole", "deepcluster_vit", **often)
    embed, calls = clustering.still_projections, list[int]()

    def embed_asked(*arguments: Any) -> Tensor:
        calls.append(1)
        watch = signals.current()
        if len(calls) == 2 and watch is not None:
            watch.take(signal.SIGUSR1)
        return embed(*arguments)

    monkeypatch.setattr(clustering, "still_projections", embed_asked)
    with signals.watching(), pytest.raises(Interrupted, match=f"after iteration {STEPS} of"):
        run(tmp_path / "rest", "deepcluster_vit", **often)
    file = tmp_path / "rest" / f"iter_{STEPS}.pth"
    rest = run(tmp_path / "rest", "deepcluster_vit", checkpoint=file, **often)
    assert len(calls) == 3
    assert_equal(whole, rest)


def test_of_runs_that_are_stopped_often_two_checkpoints_are_kept(tmp_path: Path) -> None:
    file = None
    for step in (1, 2, 3, 4):
        with signals.watching() as watch, pytest.raises(Interrupted):
            run(tmp_path, checkpoint=file, hooks=[Signal(watch, step)])
        file = tmp_path / f"iter_{step}.pth"
    assert {p.name for p in tmp_path.glob("*.pth")} == {"iter_3.pth", "iter_4.pth"}
