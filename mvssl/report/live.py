"""The page of a run while it goes on: never a reason for the run to end."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook

from mvssl.distributed import barrier
from mvssl.engine import Job, Runner
from mvssl.report.page import write_run_page
from mvssl.report.recorded import State
from mvssl.report.standing import recorded_of
from mvssl.run_files import PAGE
from mvssl.words import in_words

__all__ = ["PageHook"]

SHARE = 50
"""Of the time of a run the page takes at most one part in so many."""


class PageHook(Hook):
    """Writes ``report.html`` when training begins and with each checkpoint.

    What goes wrong there is told once and passed over.

    Args:
        job: what the run is made of.
    """

    # When training begins, after evaluation.
    priority = "VERY_LOW"

    def __init__(self, job: Job) -> None:
        self.job = job
        self._meta: Mapping[str, Any] | None = None
        self._not_before = 0.0
        self._told = False

    def before_train(self, runner: Runner) -> None:
        if runner.rank == 0:
            self.write(runner, "running")
        # Until it trains, a signal ends the first process at once: the others wait for it.
        barrier()

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """On the first process alone."""
        self._meta = checkpoint["meta"]
        if time.monotonic() >= self._not_before:
            self.write(runner, "running")

    def write(self, runner: Runner, state: State) -> None:
        """Write the page, or say why it cannot be written."""
        since = time.monotonic()
        meta = None if state == "finished" else self._meta
        try:
            path = Path(runner.work_dir) / PAGE
            write_run_page(path, recorded_of(runner, self.job, state, meta))
        except Exception as error:
            if not self._told:
                self._told = True
                runner.console_message(f"note: {PAGE} is not written: {in_words(error)}")
        now = time.monotonic()
        self._not_before = now + SHARE * (now - since)
