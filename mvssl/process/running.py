"""Processes of this machine, by their numbers, which come up again."""

from __future__ import annotations

import os
import time
from pathlib import Path

__all__ = ["is_running", "started_at"]

CLOSE = 2.0
"""Seconds by which clocks of files and of processes may differ."""


def is_running(pid: int, left_at: float) -> bool:
    """Whether another process, which left something at that time, still runs.

    Args:
        pid: its number. Of our own it is False: an earlier process had it.
        left_at: seconds since 1970; who was started later did not leave it.
    """
    began = None if pid == os.getpid() else started_at(pid)
    return began is not None and began < left_at + CLOSE


def started_at(pid: int) -> float | None:
    """When a process of this machine was started (seconds since 1970, to about one), None where
    there is none; 0 where the system does not say.
    """
    if pid < 1:
        return None  # a group of processes, to the system
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return None
    except OSError:
        pass  # another user's
    try:
        # The name in parentheses may hold anything; the 20th field behind it is the start.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        if fields[0] == "Z":
            return None  # it is over, and waits for its parent to notice
        running = float(Path("/proc/uptime").read_text().split()[0])
        return time.time() - running + int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return 0.0
