"""Ends a run that a signal has asked to stop, after a step, with a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

from mmengine.hooks import Hook

from mvssl.distributed import barrier
from mvssl.engine.agreement import StopAskedError
from mvssl.engine.hooks.checkpoint import clear_mid_epoch
from mvssl.engine.hooks.evaluation import EvaluationHook
from mvssl.engine.run import Run
from mvssl.errors import Interrupted
from mvssl.process import signals
from mvssl.process.signals import Phase

__all__ = ["StopHook", "stop_between_epochs"]


class StopHook(Hook):
    """Saves and raises :class:`mvssl.errors.Interrupted` once any process has got a signal.

    All processes stop after the same step, or leave the same evaluation, which a run that is
    resumed begins with. Every run has this hook; a config does not name it.
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
        _stop(runner, number, runner.iter + 1, runner.save_mid_epoch())

    def after_train_epoch(self, runner: Run) -> None:
        for hook in runner.hooks:
            if isinstance(hook, EvaluationHook) and hook.left is not None:
                stop_between_epochs(runner, hook.left, runner.epoch + 1)

    def after_train(self, runner: Run) -> None:
        _enter(Phase.FINISHING)


def _enter(phase: Phase) -> None:
    watch = signals.current()
    if watch is not None:
        watch.phase = phase


def stop_between_epochs(runner: Run, asked: StopAskedError, over: int) -> NoReturn:
    """Save where ``over`` epochs and no step of the next one are over, and end the run."""
    _stop(runner, asked.number, runner.iter, runner.save_between_epochs(over))


def _stop(runner: Run, number: int, steps: int, saved: Path) -> NoReturn:
    if runner.rank == 0:
        clear_mid_epoch(saved.parent, steps)
    barrier()  # a launcher ends all processes as soon as one has ended
    watch = signals.current()
    command = "" if watch is None else f". Go on with:\n{watch.resume_command(runner.work_dir)}"
    raise Interrupted(
        number,
        f"stopped by {signals.name_of(number)} after iteration {steps} of {runner.max_iters}, "
        f"saved as {saved}{command}",
    )
