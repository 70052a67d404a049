"""Ends a run that a signal has asked to stop, after a step, with a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.hooks import Hook

from mvssl.distributed import barrier
from mvssl.engine.run import Run
from mvssl.errors import Interrupted
from mvssl.process import signals
from mvssl.process.signals import Phase

__all__ = ["StopHook"]


class StopHook(Hook):
    """Saves and raises :class:`mvssl.errors.Interrupted` once any process has got a signal.

    All processes stop after the same step. Every run has this hook; a config does not name it.
    """

    # After all that a step records and saves.
    priority = "LOWEST"

    def before_train_epoch(self, runner: Run) -> None:
        _enter(Phase.TRAINING)

    def after_train_iter(
        self, runner: Run, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        number = runner.agreed.signal
        if not number:
            return
        saved = runner.save_mid_epoch()
        barrier()  # a launcher ends all processes as soon as one has ended
        raise Interrupted(number, _told(runner, number, saved))

    def after_train(self, runner: Run) -> None:
        _enter(Phase.FINISHING)


def _enter(phase: Phase) -> None:
    watch = signals.current()
    if watch is not None:
        watch.phase = phase


def _told(runner: Run, number: int, saved: Path) -> str:
    watch = signals.current()
    command = "" if watch is None else f". Go on with: {watch.resume_command(runner.work_dir)}"
    return (
        f"stopped by {signals.name_of(number)} after iteration {runner.iter + 1} of "
        f"{runner.max_iters}, saved as {saved}{command}"
    )
