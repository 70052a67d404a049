"""Counts images that cannot be read, and stops a run that has too many of them."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook

from mvssl.arguments import check_count, check_fraction
from mvssl.datasets.faults import MOST_NAMED, check_unreadable, told_unreadable
from mvssl.distributed import all_gather_object
from mvssl.engine.run import Run
from mvssl.registry import HOOKS

__all__ = ["DataFaultHook"]


@HOOKS.register_module()
class DataFaultHook(Hook):
    """Names every unreadable image once in the log, the first ten on the console too; too many end
    the run on all processes.

    The data set shows another sample in its place. More than ``max(minimum, fraction * N)``
    unreadable files among N say that something is wrong with the data.

    Args:
        minimum: that many never stop a run.
        fraction: of the data set that does not stop a run.
        interval: iterations between two counts over all processes (and after every epoch).
    """

    priority = "NORMAL"

    def __init__(self, minimum: int = 3, fraction: float = 0.01, interval: int = 10) -> None:
        check_count("DataFaultHook", at_least=0, minimum=minimum)
        check_fraction("DataFaultHook", fraction=fraction)
        check_count("DataFaultHook", interval=interval)
        self.minimum = minimum
        self.fraction = fraction
        self.interval = interval
        self.corrupt: set[int] = set()
        self._new: set[int] = set()

    def state_dict(self) -> dict[str, list[int]]:
        """What was found, and what was not yet counted, over all processes."""
        return {
            "corrupt": sorted(self.corrupt),
            "new": sorted(set().union(*all_gather_object(self._new))),
        }

    def load_state_dict(self, state: dict[str, list[int]]) -> None:
        """Put back what ``state_dict`` gave."""
        self.corrupt, self._new = set(state["corrupt"]), set(state["new"])

    def after_train_iter(
        self, runner: Run, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        replaced = data_batch["replaced"]
        self._new.update(replaced[replaced >= 0].tolist())
        if self.every_n_train_iters(runner, self.interval) or self.end_of_epoch(
            runner.train_dataloader, batch_idx
        ):
            self._count(runner)

    def _count(self, runner: Run) -> None:
        dataset = runner.train_set
        found = set().union(*all_gather_object(self._new)) - self.corrupt
        self._new = set()
        for number, index in enumerate(sorted(found), start=len(self.corrupt)):
            tell = runner.console_message if number < MOST_NAMED else runner.logger.info
            tell(told_unreadable(dataset, index))
        self.corrupt |= found
        check_unreadable(dataset, self.corrupt, self.minimum, self.fraction)
