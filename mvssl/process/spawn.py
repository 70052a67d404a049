"""Starts the processes of ``tools/dist_train.sh`` and ends as they end. The standard library alone.

Differs from ``torchrun`` in what a user sees and in what signals do: one sentence says why a run
ended; SIGINT, SIGTERM, SIGUSR1 and SIGHUP are handed to every process, which get all the time that
they need to save.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from mvssl.arguments import read_count
from mvssl.errors import UserError
from mvssl.process.command import COMMAND
from mvssl.process.console import make_streams_last
from mvssl.process.signals import HANDLED, end_command, name_of
from mvssl.process.telling import ERROR_FILE, Said, read_said

__all__ = ["main"]

PLACE = ("NNODES", "NODE_RANK", "MASTER_ADDR", "PORT")
"""Environment variables that ``tools/dist_train.sh`` reads."""

POLL_S = 0.1
MOST_PER_CORE = 16
"""Processes on a core: more are a slip of the finger, which would take all of the memory."""
GRACE_S = 10.0
"""Seconds in which the others end by themselves when one has failed, and again after SIGTERM."""


@dataclass(frozen=True)
class Machines:
    """Which machine this is, and where the first one is."""

    count: int
    number: int
    address: str
    port: int


def main(argv: Sequence[str]) -> int:
    """Run ``SCRIPT CONFIG NPROC [arguments]``; the exit status of the process that failed first."""
    script, config, text, *rest = argv
    launcher = Launcher()
    try:
        machines = read_machines(os.environ)
        most = MOST_PER_CORE * (os.cpu_count() or 1)
        processes = read_count("NPROC", text, 1, most, "processes, one a GPU or core")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    place = [f"{name}={os.environ[name]}" for name in PLACE if name in os.environ]
    typed = [*place, "bash", str(Path(script).with_name("dist_train.sh")), config, text, *rest]
    command = [sys.executable, script, config, "--launcher", "pytorch", *rest]
    with tempfile.TemporaryDirectory(prefix="mvssl-") as folder:
        return launcher.run(command, shlex.join(typed), processes, machines, Path(folder))


def read_machines(environment: Mapping[str, str]) -> Machines:
    """NNODES, NODE_RANK, MASTER_ADDR and PORT.

    Raises:
        UserError: they are no such numbers, or the first machine's address is not given.
    """
    nodes, own = environment.get("NNODES", "1"), environment.get("NODE_RANK", "0")
    count = read_count("NNODES", nodes, 1, None, "the number of machines")
    counted = "machines are counted from 0 to NNODES - 1"
    number = read_count("NODE_RANK", own, 0, count - 1, counted)
    address = environment.get("MASTER_ADDR", "")
    if count > 1 and not address:
        raise UserError(
            f"NNODES is {count}, and MASTER_ADDR is not set: give the address of machine 0."
        )
    given = environment.get("PORT", "29500")
    port = read_count("PORT", given, 1, 65535, "a free port of machine 0")
    return Machines(count, number, address or "127.0.0.1", port)


class Launcher:
    """The processes of one machine, and the signals that are handed to them."""

    def __init__(self) -> None:
        self.processes: list[subprocess.Popen[bytes]] = []
        self.pending: list[int] = []
        self.running = False
        for number in HANDLED:
            if signal.getsignal(number) is not signal.SIG_IGN or number == signal.SIGINT:
                signal.signal(number, self._take)

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self.running:
            self._send(number)
        else:
            self.pending.append(number)

    def _send(self, number: int) -> None:
        for process in self.processes:
            process.send_signal(number)  # nothing to one that has ended

    def run(
        self, command: list[str], typed: str, count: int, machines: Machines, folder: Path
    ) -> int:
        """Start ``count`` processes and wait for them; the exit status."""
        for local in range(count):
            if any(process.poll() for process in self.processes):
                break  # it says what is wrong for all
            rank = machines.number * count + local
            environment = {
                "OMP_NUM_THREADS": "1",
                **os.environ,
                COMMAND: typed,
                ERROR_FILE: str(folder / f"{local}.json"),
                "RANK": str(rank),
                "LOCAL_RANK": str(local),
                "WORLD_SIZE": str(machines.count * count),
                "LOCAL_WORLD_SIZE": str(count),
                "MASTER_ADDR": machines.address,
                "MASTER_PORT": str(machines.port),
            }
            # Out of the terminal's reach: each gets a signal once, from here.
            try:
                process = subprocess.Popen(command, env=environment, start_new_session=True)
            except OSError as error:
                return self._give_up(local, count, error)
            self.processes.append(process)
        self.running = True
        for number in self.pending:
            self._send(number)
        failed = self._wait(None)
        if failed is None:
            return 0
        root = self._root_cause(failed, folder)
        status = self.processes[root].returncode
        lost = self._said(folder, failed).lost
        told = _told(machines.number * count + root, status, self._said(folder, root), lost)
        if told:
            print(told, file=sys.stderr, flush=True)
        return status if status > 0 else 128 - status

    def _give_up(self, started: int, count: int, error: OSError) -> int:
        """End those that have been started, since not all can be."""
        self._send(signal.SIGKILL)  # nothing has been done yet
        for process in self.processes:
            process.wait()
        print(
            f"error: of {count} processes {started} could be started ({error.strerror}): give "
            f"NPROC as many as there are GPUs, or cores.",
            file=sys.stderr,
            flush=True,
        )
        return 1

    def _wait(self, seconds: float | None) -> int | None:
        """Until all have ended, one has failed, or the time is over; which one has failed."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while deadline is None or time.monotonic() < deadline:
            statuses = [process.poll() for process in self.processes]
            if seconds is None and any(statuses):
                return next(number for number, status in enumerate(statuses) if status)
            if None not in statuses:
                return None
            time.sleep(POLL_S)
        return None

    def _root_cause(self, failed: int, folder: Path) -> int:
        """End the others; the process whose failure was not that another one had gone."""
        self._wait(GRACE_S)
        self._send(signal.SIGTERM)
        self._wait(GRACE_S)
        silent = [n for n, process in enumerate(self.processes) if process.poll() is None]
        for number in silent:
            with suppress(ProcessLookupError):
                os.killpg(self.processes[number].pid, signal.SIGKILL)
            self.processes[number].wait()
        ended = [n for n, p in enumerate(self.processes) if p.returncode and n not in silent]
        in_turn = [failed, *ended, *silent]
        return next((n for n in in_turn if not self._said(folder, n).lost), failed)

    @staticmethod
    def _said(folder: Path, local: int) -> Said:
        return read_said(folder / f"{local}.json") or Said("")


def _told(rank: int, status: int, said: Said, lost: bool) -> str:
    """The sentence for the user; empty where it stands already.

    Args:
        rank: of the process that is the cause.
        status: with which it ended.
        said: what it left in its file, if anything.
        lost: whether another process noticed first that it was gone.
    """
    if said.interrupted or status - 128 in HANDLED:
        return ""
    if said.text:
        return f"error: {said.text}"
    if status < 0:
        if lost and status == -signal.SIGKILL:
            return (
                f"error: the process of rank {rank} was killed by SIGKILL, or did not answer the "
                f"others and had to be ended (too little memory, say): go on from the last "
                f"checkpoint with --resume."
            )
        memory = " (the system does so when memory runs out)" if status == -signal.SIGKILL else ""
        return (
            f"error: the process of rank {rank} was killed by {name_of(-status)}{memory}: go on "
            f"from the last checkpoint with --resume."
        )
    return f"error: the process of rank {rank} has ended with status {status}; it says why above."


if __name__ == "__main__":
    make_streams_last()
    end_command(main(sys.argv[1:]))
