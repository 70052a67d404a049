"""When checkpoints are written, and which of them stay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mmengine.hooks import Hook

from mvssl.engine import Runner
from mvssl.engine.hooks import CheckpointHook
from mvssl.errors import UserError
from tests.runs import SMALL_MODEL, small_job

STEPS = 3  # an epoch of 360 images in batches of 120
ALWAYS = 1e-9  # minutes


class Look(Hook):
    """Keeps what lies in the work dir after every step and every epoch."""

    priority = "LOWEST"

    def __init__(self) -> None:
        self.seen: list[set[str]] = []

    def after_train_iter(self, runner: Runner, *_: Any, **__: Any) -> None:
        self.seen.append({path.name for path in Path(runner.work_dir).glob("*.pth")})

    def after_train_epoch(self, runner: Runner) -> None:
        self.after_train_iter(runner)


def train(folder: Path, epochs: int, **arguments: Any) -> list[set[str]]:
    """Checkpoints after every step and every epoch of a run."""
    optim = {"type": "OptimWrapper", "optimizer": {"type": "SGD", "lr": 0.1}}
    job = small_job(SMALL_MODEL, epochs, 120, optim)
    job.default_hooks["checkpoint"] = CheckpointHook(**arguments)
    look = Look()
    job.custom_hooks.append(look)
    Runner(job, folder).train()
    return look.seen


def test_as_time_goes_by_a_step_is_saved_and_older_ones_go(tmp_path: Path) -> None:
    seen = train(tmp_path, 2, interval=1, interval_minutes=ALWAYS, max_keep_ckpts=2)
    assert seen == [
        {"iter_1.pth"},
        {"iter_1.pth", "iter_2.pth"},
        {"iter_1.pth", "iter_2.pth"},  # the epoch's own comes next
        {"iter_2.pth", "epoch_1.pth"},
        {"iter_2.pth", "epoch_1.pth", "iter_4.pth"},
        {"iter_4.pth", "epoch_1.pth", "iter_5.pth"},
        {"iter_4.pth", "epoch_1.pth", "iter_5.pth"},
        {"epoch_1.pth", "epoch_2.pth"},
    ]
    assert Path((tmp_path / "last_checkpoint").read_text()).name == "epoch_2.pth"


def test_the_end_of_an_epoch_that_is_not_due_is_a_step_like_others(tmp_path: Path) -> None:
    seen = train(tmp_path, 2, interval=2, interval_minutes=ALWAYS)
    assert seen[2] == seen[3] == {"iter_2.pth", "iter_3.pth"}


@pytest.mark.parametrize("minutes", [None, 0, 10])
def test_before_the_time_epochs_alone_are_saved(tmp_path: Path, minutes: float | None) -> None:
    seen = train(tmp_path, 3, interval=2, interval_minutes=minutes)
    assert seen[-1] == {"epoch_2.pth", "epoch_3.pth"}
    assert not any(name.startswith("iter") for names in seen for name in names)


def test_a_checkpoint_goes_only_after_a_newer_one_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before: list[set[str]] = []
    write = Runner.save_epoch

    def watched(runner: Runner) -> Path:
        before.append({path.name for path in Path(runner.work_dir).glob("*.pth")})
        return write(runner)

    monkeypatch.setattr(Runner, "save_epoch", watched)
    train(tmp_path, 3, interval=1, max_keep_ckpts=1)
    assert before == [set(), {"epoch_1.pth"}, {"epoch_2.pth"}]
    assert [path.name for path in tmp_path.glob("*.pth")] == ["epoch_3.pth"]


def test_a_run_that_a_hook_ends_is_saved(tmp_path: Path) -> None:
    class Stop(Hook):
        def after_train_iter(self, runner: Runner, *_: Any, **__: Any) -> None:
            runner.train_loop.stop_training = True

    optim = {"type": "OptimWrapper", "optimizer": {"type": "SGD", "lr": 0.1}}
    job = small_job(SMALL_MODEL, 5, 120, optim)
    job.default_hooks["checkpoint"] = CheckpointHook(interval=3)
    job.custom_hooks.append(Stop())
    Runner(job, tmp_path).train()
    assert [path.name for path in tmp_path.glob("*.pth")] == ["epoch_1.pth"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"interval": 0}, "interval is an integer and at least 1"),
        ({"interval_minutes": -1.0}, "interval_minutes is above 0, or None"),
        ({"interval_minutes": float("nan")}, "interval_minutes is above 0, or None"),
        ({"max_keep_ckpts": 0}, "max_keep_ckpts is an integer and at least 1"),
        ({"by_epoch": False}, "interval counts epochs"),
        ({"save_best": "auto"}, "needs a validation loop"),
    ],
)
def test_what_cannot_work_is_refused(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        CheckpointHook(**arguments)
