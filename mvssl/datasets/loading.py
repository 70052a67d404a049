"""A loader whose workers may fail, hang or die, and which says so in a sentence."""

from __future__ import annotations

import atexit
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.process import BaseProcess
from typing import Any, Final
from weakref import WeakSet

from torch.utils.data import DataLoader

from mvssl.errors import UserError
from mvssl.words import in_words

__all__ = ["TIMEOUT", "WatchedLoader", "watched_workers"]

TIMEOUT: Final = 300
"""Seconds without a batch from a worker after which a run ends, unless a config says otherwise."""

_SLACK: Final = 2  # seconds in which torch notices it itself
_CAUGHT = re.compile(r"Caught (\w+) in \w+ (?:worker process|thread)")
_OWN_ERRORS = "mvssl.errors."
_NO_MEMORY = ("shared memory", "Bus error", "torch_", "/dev/shm", "ancdata", "allocate memory")
_FEWER = "--cfg-options train_dataloader.num_workers"

_workers: WeakSet[BaseProcess] = WeakSet()


class WatchedLoader(DataLoader[Any]):
    """A DataLoader that ends with a UserError, whatever happens in its workers.

    With workers it takes a ``timeout``, after which workers that hang are killed.
    """

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        late = threading.Event()
        batches: Any = None

        def give_up() -> None:
            late.set()
            # Workers that stay wait for their loader's next epoch in its own iterator.
            _kill(getattr(batches or self._iterator, "_workers", []))

        try:
            with _watch(self.timeout, give_up):
                batches = super().__iter__()
            _workers.update(getattr(batches, "_workers", []))
            # What is registered last comes first: before all that waits for workers.
            atexit.unregister(_wake)
            atexit.register(_wake)
            while True:
                with _watch(self.timeout, give_up):
                    batch = next(batches, None)
                if batch is None:
                    return
                yield batch
        except Exception as error:
            if "timed out" in str(error):
                give_up()
            if late.is_set():
                _await_end(getattr(batches or self._iterator, "_workers", []))
                raise UserError(_hangs(self.timeout)) from error
            raise UserError(_told(error)) from error


@contextmanager
def _watch(timeout: float, give_up: Callable[[], None]) -> Iterator[None]:
    """Give up what takes longer than a timeout; 0: wait.

    Torch's own timeout ends before a batch is taken out of shared memory, for which it asks the
    worker that made it.
    """
    if not timeout:
        yield
        return
    watch = threading.Timer(timeout + _SLACK, give_up)
    watch.daemon = True
    watch.start()
    try:
        yield
    finally:
        watch.cancel()


def _wake() -> None:
    """Let workers that were stopped end with the process, which would wait for them."""
    for worker in _workers:
        with suppress(OSError):
            if worker.pid and worker.is_alive():
                os.kill(worker.pid, signal.SIGCONT)


@contextmanager
def watched_workers() -> Iterator[None]:
    """Tell of a worker that dies while the main process does something else than wait for it."""
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker (pid" not in str(error):
            raise
        raise UserError(_told(error)) from error


def _kill(workers: list[BaseProcess]) -> None:
    """End processes that may be stopped: nothing else gets through to them."""
    for worker in workers:
        with suppress(RuntimeError):  # torch notices that a worker dies
            worker.kill()
            worker.join(5)


def _await_end(workers: list[BaseProcess]) -> None:
    """Let torch notice here that workers died: their connections close before it is told, which
    would be while another error is on its way.
    """
    for _ in range(2):  # its word ends the first wait
        with suppress(RuntimeError):
            for worker in workers:
                worker.join(5)
            time.sleep(0.01)  # a signal that another thread took comes to this one now


def _hangs(timeout: float) -> str:
    return (
        f"No batch came from the loader's workers for {timeout:g} s: one was stopped, or a disk "
        f"does not answer. Then go on with --resume; to wait longer, give "
        f"--cfg-options train_dataloader.timeout={2 * timeout:g}."
    )


def _told(error: Exception) -> str:
    """What happened, and what to do."""
    # Not str(), by which a UserError, that a worker's comes as, is on one line.
    text = str(error.args[0]) if error.args else ""
    caught = _CAUGHT.match(text)
    if caught:
        name, text = _last_line(text, caught[1])
        if name.startswith(_OWN_ERRORS):
            return text
        said = " ".join(f"{name.rpartition('.')[2]}: {text or 'no message'}".split())
    elif isinstance(error, UserError):
        return str(error)
    else:
        said = in_words(error)
    if any(word in text for word in _NO_MEMORY):
        return (
            f"A worker of the loader could not hand over its images ({said[:200]}): shared memory "
            f"(/dev/shm) is full. Give it more (Docker: --shm-size=8g), or use fewer workers "
            f"({_FEWER}=2, or 0), then go on with --resume."
        )
    if "DataLoader worker (pid" in text:
        return (
            f"A worker of the loader was killed ({said[:200]}), most often because memory ran out: "
            f"use fewer workers ({_FEWER}=2, or 0) or give the machine more memory and shared "
            f"memory (/dev/shm), then go on with --resume."
        )
    return f"The data set fails while a batch is made: {said[:300].rstrip('.')}."


def _last_line(text: str, kind: str) -> tuple[str, str]:
    """Of a worker's traceback: the exception's full name, and what it says."""
    found = list(re.finditer(rf"^((?:\w+\.)*{kind})(?:: |$)", text, re.MULTILINE))
    if not found:
        return kind, text.strip().splitlines()[-1]
    return found[-1][1], text[found[-1].end() :].strip()
