"""Signals that ask a run to stop: what they do depends on how far it is.

Before training there is nothing to keep, and a signal ends the process at once. While it trains,
the first signal is remembered and ``StopHook`` ends the run after the step; a second one ends
the process at once. While the outputs of a finished run are written, the first is let pass.

The standard library alone, so that a command line can import it before all else.
"""

from __future__ import annotations

import enum
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn

from mvssl.errors import Interrupted
from mvssl.process.command import resume_command

__all__ = [
    "Phase",
    "SignalWatch",
    "current",
    "end_command",
    "is_first",
    "leave_workers_alone",
    "name_of",
    "start_command",
    "watching",
]

HANDLED = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP")
    if hasattr(signal, name)
)

SAME_S = 0.2
"""Two signals within so many seconds are one: ``timeout`` and some launchers send theirs twice."""


class Phase(enum.Enum):
    """How far a run is, for a signal."""

    STARTING = "nothing has been trained"
    TRAINING = "a step can be finished and saved"
    FINISHING = "training is over, outputs are being written"
    LEAVING = "everything has been said, the process is about to end"


class SignalWatch:
    """Takes the signals of a process.

    Attributes:
        phase: how far the run is.
        received: the signal that asked to stop while it trained.
        remains: says what a run leaves that is stopped at once.
        cleanups: what is done before the process ends at once.
    """

    def __init__(self, argv: Sequence[str] | None = None) -> None:
        self.argv = argv
        self.phase = Phase.STARTING
        self.received: int | None = None
        self.remains: Callable[[], str] = lambda: "nothing was trained yet"
        self.cleanups: list[Callable[[], object]] = []

    def resume_command(self, work_dir: str | os.PathLike[str]) -> str:
        """What goes on with the run in ``work_dir``."""
        if self.argv is None:
            return f"train(TrainOptions(..., resume=True, work_dir={str(work_dir)!r}))"
        return resume_command(self.argv, str(work_dir))

    def take(self, number: int) -> None:
        """What a signal does."""
        if self.phase is Phase.STARTING:
            self.end(number, f"interrupted by {name_of(number)}; {self._remains()}")
        elif self.received is None:
            self.received = number
        else:
            told = f"stopped at once by {name_of(number)}, without saving; {self._remains()}"
            self.end(self.received if self.phase is Phase.LEAVING else number, told)

    def _remains(self) -> str:
        try:
            return self.remains()
        except Exception as error:  # whatever it is, the process has to end
            return f"what is left cannot be told ({type(error).__name__})"

    def end(self, number: int, told: str) -> None:
        """Stop at once."""
        raise Interrupted(number, told)


class NotebookWatch(SignalWatch):
    """For training that a program of the user's calls: handlers in the main thread alone."""

    def __init__(self) -> None:
        super().__init__()
        self._received_at = 0.0

    def take(self, number: int) -> None:
        if self.received is not None and time.monotonic() - self._received_at < SAME_S:
            return
        before = self.received
        super().take(number)
        if before is None:
            self._received_at = time.monotonic()
            if self.phase is Phase.TRAINING:
                print(_waiting(number), flush=True)

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Take signals; handlers that the program has set come back afterwards."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def handle(number: int, frame: FrameType | None) -> None:
            self.take(number)

        before = {
            number: signal.getsignal(number)
            for number in HANDLED
            if _is_default(number, signal.getsignal(number))
        }
        for number in before:
            signal.signal(number, handle)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class CommandWatch(SignalWatch):
    """For a command line: a thread of its own takes signals and ends the process.

    Python runs handlers in the main thread, between two of its instructions. A process that waits
    for another one, inside a collective operation, would never come to them.
    """

    def install(self) -> None:
        """Take signals until the process ends."""
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        for number in HANDLED:
            # nohup's way to say that the terminal's end does not matter.
            ignored = signal.getsignal(number) is signal.SIG_IGN
            if not (ignored and number == getattr(signal, "SIGHUP", None)):
                signal.signal(number, _nothing)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        os.register_at_fork(after_in_child=_forget)
        threading.Thread(target=self._listen, args=(reader,), daemon=True).start()

    def _listen(self, reader: int) -> None:
        while True:
            # Loaders have a handler of their own for ends of children, which are told here too.
            number = next((n for n in os.read(reader, 64) if n in HANDLED), None)
            if number is None:
                continue
            self.take(number)
            time.sleep(SAME_S)
            while select.select([reader], [], [], 0)[0]:
                os.read(reader, 64)
            # Nearly all steps are over by now.
            if self.phase is Phase.TRAINING and is_first():
                _write(2, _waiting(number))

    def end(self, number: int, told: str) -> None:
        if self.phase is not Phase.LEAVING and is_first():
            if os.isatty(1):
                _write(1, "\x1b[?25h", end="")  # the cursor, which the live line hides
            _write(2, told)
        for clean in self.cleanups:
            with suppress(Exception):
                clean()
        os._exit(128 + number)


_current: SignalWatch | None = None


def start_command(argv: Sequence[str]) -> SignalWatch:
    """Take the signals of a command line from now on.

    Args:
        argv: the words that started it, as typed.
    """
    global _current
    watch = CommandWatch(argv)
    watch.install()
    _current = watch
    return watch


def end_command(status: int) -> NoReturn:
    """End a command line that has said everything: a signal changes nothing any more.

    Python puts back the default of what it handles, which kills, well before a process is gone.
    """
    for number in HANDLED:
        signal.signal(number, signal.SIG_IGN)
    sys.exit(status)


@contextmanager
def watching() -> Iterator[SignalWatch]:
    """Take signals during a run; those of a command line are taken already."""
    global _current
    if _current is not None:
        yield _current
        return
    watch = NotebookWatch()
    _current = watch
    try:
        with watch.installed():
            yield watch
    finally:
        _current = None


def current() -> SignalWatch | None:
    """What takes the signals of this process."""
    return _current


def leave_workers_alone(worker: int = 0) -> None:
    """Let a process that loads data ignore what is meant for the one that trains.

    Terminals, ``timeout`` and launchers send a signal to all processes of a group. Such a worker
    ends when the process that it works for tells it to, or is gone.
    """
    for number in HANDLED:
        if number != signal.SIGTERM:
            signal.signal(number, signal.SIG_IGN)
    if not hasattr(signal, "sigwaitinfo"):
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    parent = os.getppid()
    threading.Thread(target=_obey, args=(parent,), daemon=True).start()


def _obey(parent: int) -> None:
    while True:
        if signal.sigwaitinfo({signal.SIGTERM}).si_pid == parent:
            os._exit(0)


def name_of(number: int) -> str:
    """``SIGTERM`` for 15."""
    return signal.Signals(number).name


def is_first() -> bool:
    """Whether this is the process that speaks for all of a launcher's."""
    return os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0")) == "0"


def _waiting(number: int) -> str:
    return (
        f"{name_of(number)}: finishing what is under way, to save it; a second one stops at once, "
        f"without saving"
    )


def _is_default(number: int, handler: Any) -> bool:
    """Whether nobody has said what a signal is to do."""
    return handler in (signal.SIG_DFL, signal.default_int_handler)


def _nothing(number: int, frame: FrameType | None) -> None:
    """Handlers must be there for the thread to hear of signals."""


def _forget() -> None:
    """In a forked child, until it says otherwise: it shares the pipe of the one that trains."""
    signal.set_wakeup_fd(-1)
    for number in HANDLED:
        if signal.getsignal(number) is _nothing:
            signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.SIG_IGN)


def _write(stream: int, text: str, end: str = "\n") -> None:
    """To a file descriptor, whatever other threads hold of Python's streams."""
    with suppress(OSError):
        os.write(stream, f"{text}{end}".encode(errors="backslashreplace"))
