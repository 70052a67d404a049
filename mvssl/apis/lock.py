"""Holding a work dir while a run writes there, so that no other does."""

from __future__ import annotations

import json
import math
import os
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from mvssl.errors import UserError
from mvssl.files import WriteError
from mvssl.process.running import is_running, started_at

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["NAME", "Lock"]

NAME = ".lock"
NO_LINKS = getattr(os, "O_NOFOLLOW", 0)
BEAT = 20.0
"""Seconds between two signs of life."""
_held: dict[tuple[int, int], int] = {}  # open files of this process's locks, by device and inode


class Lock:
    """The lock of a folder, held from construction to :meth:`release` or the process's end.

    The lock is the operating system's, on the file ``.lock``: one of two takes it however close
    they come, and it goes with its process, also by kill -9. It is not handed down to workers that
    are forked. The file says who holds it. Where a file system shows locks to the own machine
    alone, the holder on another one is seen by its signs of life.

    Raises:
        UserError: another run holds it.
        WriteError: the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        try:
            self._file = self._take()
        except OSError as error:
            raise WriteError(
                f"Cannot write into the work dir {folder}: {error.strerror}. Choose another by "
                f"--work-dir."
            ) from error
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="lock", daemon=True)
        self._thread.start()

    def _take(self) -> int:
        while True:
            key = _identity(self.path)
            if key in _held:
                # Opening and closing it once more, if only to read, would give up our own lock.
                raise UserError(_refusal(self.path, _parse(os.pread(_held[key], 4096, 0))))
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | NO_LINKS, 0o666)
            try:
                self._claim(file)
                status = os.fstat(file)
                if _identity(self.path) == (status.st_dev, status.st_ino):
                    self._key = (status.st_dev, status.st_ino)
                    _held[self._key] = file
                    return file
            except BaseException:
                os.close(file)
                raise
            os.close(file)  # its holder removed it while we took it: once more

    def _claim(self, file: int) -> None:
        """Lock the file and write into it who we are."""
        if not _lock(file):
            raise UserError(_refusal(self.path, _read_soon(self.path)))
        before = _parse(os.pread(file, 4096, 0))
        # A process that opens and closes its own lock, as a copy of the folder does, loses it.
        if _lives_here(before) or _lives_elsewhere(self.path, before):
            raise UserError(_refusal(self.path, before))
        pid = os.getpid()
        us = {
            "pid": pid,
            "host": socket.gethostname(),
            "started": started_at(pid),
            "since": time.strftime("%Y-%m-%d %H:%M:%S"),
        }
        os.ftruncate(file, 0)
        os.pwrite(file, json.dumps(us).encode(), 0)

    def _beat(self) -> None:
        while not self._stop.wait(BEAT):
            with suppress(OSError):  # a folder that is gone is told of by whoever writes there
                os.utime(self.path)

    def release(self) -> None:
        """Give it up; a second time does nothing."""
        if self._stop.is_set():
            return
        self._stop.set()
        self._thread.join()
        with suppress(OSError):
            # The folder may have been removed, and be another's by now.
            if _identity(self.path) == self._key:
                self.path.unlink()
        _held.pop(self._key)
        os.close(self._file)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
        return status.st_dev, status.st_ino
    except FileNotFoundError:
        return None


def _lock(file: int) -> bool:
    """Whether no other process has locked the file."""
    if fcntl is None:
        return True
    try:
        # Not flock, whose lock would live on in forked workers.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return True  # there are no locks on this file system: what the file says decides
    return True


def _parse(data: bytes) -> dict[str, Any]:
    try:
        holder = json.loads(data)
    except ValueError:
        return {}
    return holder if isinstance(holder, dict) else {}


def _read(path: Path) -> dict[str, Any]:
    try:
        return _parse(path.read_bytes())
    except OSError:
        return {}


def _read_soon(path: Path) -> dict[str, Any]:
    """What a lock says; who has just taken it is about to write it."""
    for _ in range(20):
        holder = _read(path)
        if holder:
            return holder
        time.sleep(0.05)
    return {}


def _lives_here(holder: dict[str, Any]) -> bool:
    """Whether the process of this machine that wrote this still runs."""
    pid, started = holder.get("pid"), holder.get("started")
    if holder.get("host") != socket.gethostname() or type(pid) is not int:
        return False
    return is_running(pid, started if type(started) is float else math.inf)


def _lives_elsewhere(path: Path, holder: dict[str, Any]) -> bool:
    """Whether a process of another machine gives signs of life; clocks need not agree."""
    if not holder or holder.get("host") == socket.gethostname():
        return False
    print(
        f"note: {path.parent} was last written by {_name(holder)}: looking for signs of life for "
        f"{BEAT * 1.5:.0f} seconds.",
        flush=True,
    )
    first = path.stat().st_mtime_ns
    end = time.monotonic() + 1.5 * BEAT
    while time.monotonic() < end:
        time.sleep(min(1.0, BEAT / 10))
        if path.stat().st_mtime_ns != first:
            return True
    return False


def _name(holder: dict[str, Any]) -> str:
    if "pid" not in holder:
        return "another process"
    return f"process {holder['pid']} on host {holder.get('host')}, since {holder.get('since')}"


def _refusal(path: Path, holder: dict[str, Any]) -> str:
    return (
        f"{path.parent} is being written by {_name(holder)}: wait until that run is over, stop it, "
        f"or choose another --work-dir."
    )
