"""Saves a run: at the end of epochs, and within them as time goes by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.hooks import Hook

from mvssl.arguments import MOST, check_count
from mvssl.engine.run import Run, is_last_epoch
from mvssl.errors import UserError
from mvssl.registry import HOOKS
from mvssl.run_files import numbered

__all__ = ["CheckpointHook", "clear_mid_epoch"]


@HOOKS.register_module()
class CheckpointHook(Hook):
    """Writes ``epoch_N.pth`` every few epochs and after the last one, and ``iter_N.pth`` within
    epochs wherever so many minutes have gone by since the last one of either kind.

    A run that is resumed from any of them equals one that never stopped. Of those of epochs
    ``max_keep_ckpts`` are kept. Of the mid-epoch ones the newest two are, or the newest once that
    of an epoch has been written after it; and at the end of the run none where two of epochs are
    left. So the one before is there where the newest is damaged. A file goes only after a newer
    one has been written.

    Args:
        interval: epochs between two checkpoints.
        interval_minutes: that may be lost to a kill; the first process's clock counts. None or 0:
            epochs alone count.
        max_keep_ckpts: newest checkpoints of epochs that are kept; -1: all.
        by_epoch: True, for a run is counted in epochs.
        save_best: None, for there is no validation loop that would say which is the best.

    Raises:
        UserError: an argument is none of these.
    """

    # After all hooks of a step and of an epoch, so that a checkpoint holds what they did.
    priority = "LOWEST"

    def __init__(
        self,
        interval: int = 10,
        interval_minutes: float | None = 10.0,
        max_keep_ckpts: int = -1,
        by_epoch: bool = True,
        save_best: str | None = None,
    ) -> None:
        check_count("CheckpointHook", interval=interval)
        if max_keep_ckpts != -1:
            check_count("CheckpointHook", max_keep_ckpts=max_keep_ckpts)
        if interval_minutes is not None and not 0 <= interval_minutes <= MOST:
            raise UserError(
                f"CheckpointHook: interval_minutes is above 0, or None for checkpoints at the end "
                f"of epochs alone; got {interval_minutes}."
            )
        if not by_epoch:
            raise UserError(
                "CheckpointHook: interval counts epochs, and interval_minutes sees to those "
                "within an epoch: leave by_epoch out."
            )
        if save_best is not None:
            raise UserError(
                f"CheckpointHook: save_best={save_best!r} needs a validation loop, which training "
                f"without labels has not: leave it out; max_keep_ckpts=-1 keeps every checkpoint, "
                f"and the curves show what evaluators measured."
            )
        self.interval = interval
        self.interval_s = (interval_minutes or 0.0) * 60.0
        self.max_keep_ckpts = max_keep_ckpts
        self.kept: list[int] = []

    def state_dict(self) -> dict[str, list[int]]:
        """Epochs whose checkpoints are there."""
        return {"kept": self.kept}

    def load_state_dict(self, state: dict[str, list[int]]) -> None:
        """Put back what ``state_dict`` gave."""
        self.kept = list(state["kept"])

    def after_train_iter(self, runner: Run, batch_idx: int, *_: Any, **__: Any) -> None:
        if not self.interval_s or runner.agreed.unsaved_s < self.interval_s:
            return
        if self.end_of_epoch(runner.train_dataloader, batch_idx) and self._ends_due_epoch(runner):
            return  # the epoch's own comes next
        path = runner.save_mid_epoch()
        runner.logger.info(f"saved {path.name} within epoch {runner.epoch + 1}")
        if runner.rank == 0:
            clear_mid_epoch(path.parent, runner.iter + 1)

    def after_train_epoch(self, runner: Run) -> None:
        if not self._ends_due_epoch(runner):
            return
        self.kept = [*(n for n in self.kept if n != runner.epoch + 1), runner.epoch + 1]
        old = [] if self.max_keep_ckpts < 0 else self.kept[: -self.max_keep_ckpts]
        self.kept = [n for n in self.kept if n not in old]
        path = runner.save_epoch()
        runner.logger.info(f"saved {path.name}")
        if runner.rank == 0:
            for number in old:
                path.with_name(f"epoch_{number}.pth").unlink(missing_ok=True)
            mid_epoch = _mid_epoch(path.parent, runner.iter)
            over = is_last_epoch(runner) and len(self.kept) > 1
            for file in mid_epoch if over else mid_epoch[:-1]:
                file.unlink(missing_ok=True)

    def _ends_due_epoch(self, runner: Run) -> bool:
        return self.every_n_epochs(runner, self.interval) or is_last_epoch(runner)


def clear_mid_epoch(folder: Path, steps: int) -> None:
    """Keep the newest two mid-epoch checkpoints of those of at most so many steps."""
    for old in _mid_epoch(folder, steps)[:-2]:
        old.unlink(missing_ok=True)


def _mid_epoch(folder: Path, steps: int) -> list[Path]:
    """Mid-epoch checkpoints of at most so many steps, oldest first."""
    return [path for number, path in numbered(folder, "iter").items() if number <= steps]
