"""What all processes know after the same step, to save or to stop together."""

from __future__ import annotations

import time
from typing import NamedTuple

from mvssl.distributed import HostAgreement, rank
from mvssl.process import signals

__all__ = ["Agreed", "StepAgreement", "StopAskedError"]

MICRO = 1e-6


class StopAskedError(Exception):
    """A signal asks to stop while something is done between steps; all processes leave it.

    Args:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"{signals.name_of(number)} asks to stop")
        self.number = number


class Agreed(NamedTuple):
    """The same on all processes.

    Attributes:
        signal: that asked a process to stop; 0 where none did.
        unsaved_s: seconds since the run was saved, by the first process's clock.
    """

    signal: int = 0
    unsaved_s: float = 0.0


class StepAgreement:
    """One exchange in each step, for all hooks that ask."""

    def __init__(self) -> None:
        self._exchange = HostAgreement()
        self._saved_at: float | None = None
        self._step = -1
        self._agreed = Agreed()

    def begin(self) -> None:
        """Training begins, and with it, at the first call, the time that is not saved."""
        if self._saved_at is None:
            self._saved_at = time.monotonic()

    def after(self, step: int) -> Agreed:
        """What is agreed upon after a step; every process asks, after every step."""
        if step != self._step:
            own = 0.0
            if rank() == 0 and self._saved_at is not None:
                own = time.monotonic() - self._saved_at
            number, unsaved = self._exchange.exchange(_received(), int(own / MICRO))
            self._step, self._agreed = step, Agreed(number, unsaved * MICRO)
        return self._agreed

    def between(self) -> None:
        """Leave what takes long between two steps, where a process has got a signal.

        Raises:
            StopAskedError: on all processes, which call this equally often.
        """
        number, _ = self._exchange.exchange(_received(), 0)
        if number:
            raise StopAskedError(number)

    def saved(self) -> None:
        """The run has been saved, which answers what was asked before."""
        self.settle()
        self._saved_at = time.monotonic()

    def settle(self) -> None:
        """End what is under way; every process calls this after its last step."""
        self._exchange.settle()


def _received() -> int:
    watch = signals.current()
    return 0 if watch is None else watch.received or 0
