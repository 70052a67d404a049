"""The place of a process among those of a launcher, and the wait until all have come.

Collective operations say little about a process that never came. So all meet in a store before
there is a process group, and whoever is missing is named.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch.distributed as dist

from mvssl.arguments import read_count
from mvssl.errors import UserError
from mvssl.words import some

__all__ = ["TIMEOUT", "Place", "meet", "read_place", "seconds_given"]

TIMEOUT = "MVSSL_TIMEOUT"
"""Environment variable: seconds to wait for another process, at the start and in a step."""

ARRIVAL_S = 600.0
"""Seconds to wait for all processes to come, where nothing is said."""

PATIENT_S = 15.0
"""Seconds after which the first process says for whom it waits."""

PARTING_S = 2.0
"""Seconds in which the others can read why the one that keeps the store ends."""


@dataclass(frozen=True)
class Place:
    """A process among those of a launcher.

    Attributes:
        local_rank_name: of the environment variable that holds ``local_rank``.
    """

    rank: int
    world_size: int
    local_rank: int
    address: str
    port: int
    local_rank_name: str = "LOCAL_RANK"


def read_place(launcher: str) -> Place:
    """What the launcher's environment variables say.

    Args:
        launcher: ``pytorch`` (torchrun) or ``slurm`` (srun).

    Raises:
        UserError: they are missing, or contradict each other.
    """
    slurm = launcher == "slurm"
    names = ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID") if slurm else _TORCHRUN
    if slurm:
        _require(names, "start with srun, one task a process.", launcher)
        _addresses_of_slurm()
    else:
        advice = "torchrun --nproc-per-node N tools/train.py CONFIG --launcher pytorch."
        _require(names, f"start with {advice}", launcher)
        _require(("MASTER_ADDR", "MASTER_PORT"), "they say where rank 0 is.", launcher)
    rank_name, size_name, local_name = names
    given = os.environ
    world_size = read_count(size_name, given[size_name], 1, None, "the number of processes")
    counted = f"counted from 0, and {size_name} is {world_size}"
    rank = read_count(rank_name, given[rank_name], 0, world_size - 1, counted)
    counted = "counted from 0 on each machine"
    local_rank = read_count(local_name, given[local_name], 0, world_size - 1, counted)
    port = read_count("MASTER_PORT", given["MASTER_PORT"], 1, 65535, "a port of rank 0's machine")
    place = Place(rank, world_size, local_rank, os.environ["MASTER_ADDR"], port, local_name)
    try:
        socket.getaddrinfo(place.address, place.port)
    except (OSError, UnicodeError) as error:
        raise UserError(
            f"MASTER_ADDR is '{place.address}', which is no address that this machine knows "
            f"({_reason(error)}): give the name or address of rank 0's "
            f"machine."
        ) from error
    if slurm:
        # What torch and mmengine look for.
        os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(world_size)}
        os.environ["LOCAL_RANK"] = str(local_rank)
    return place


_TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK")


def _require(names: tuple[str, ...], advice: str, launcher: str) -> None:
    missing = [name for name in names if not os.environ.get(name, "").strip()]
    if missing:
        raise UserError(
            f"--launcher {launcher}: {', '.join(missing)} not set in the environment: {advice}"
        )


def _addresses_of_slurm() -> None:
    # The address of the node that srun was called from is that of the first task in batch jobs.
    address = os.environ.get("SLURM_LAUNCH_NODE_IPADDR", "127.0.0.1")
    os.environ.setdefault("MASTER_ADDR", address)
    job = os.environ.get("SLURM_JOB_ID", "")
    os.environ.setdefault("MASTER_PORT", str(29500 + (int(job) if job.isdecimal() else 0) % 1000))


def seconds_given() -> float | None:
    """What :data:`TIMEOUT` says.

    Raises:
        UserError: it is no positive number.
    """
    text = os.environ.get(TIMEOUT)
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e8:
        raise UserError(f"{TIMEOUT} is '{text}'; it has to be a positive number of seconds.")
    return seconds


def meet(place: Place) -> dist.Store:
    """Wait until all processes have come; the store in which they met.

    Raises:
        UserError: one has not come in time, or came twice; or there is no way to rank 0.
    """
    seconds = seconds_given() or ARRIVAL_S
    deadline = time.monotonic() + seconds
    agents = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    hosts = place.rank == 0 and not agents
    where = f"{place.address}:{place.port}"
    if hosts:
        _check_port(place.port)
    else:
        _wait_for_port(place, deadline, seconds)
    with _unreachable(f"rank {place.rank} cannot meet the others at {where}"):
        with _torch_kept_quiet():
            meeting = dist.TCPStore(
                place.address,
                place.port,
                place.world_size,
                is_master=hosts,
                timeout=timedelta(seconds=seconds),
                wait_for_workers=False,
            )
        # A launcher that starts processes anew keeps its store.
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        store = dist.PrefixStore(f"mvssl/{attempt}", meeting)
        _arrive(store, place)
        fault = _wait_for_all(store, place, deadline, seconds)
    if fault is not None:
        if hosts:
            time.sleep(PARTING_S)
        raise UserError(fault)
    return store


def _check_port(port: int) -> None:
    """That rank 0 can listen, before torch tries it, which would tell at length."""
    try:
        with socket.create_server(("", port)):
            pass
    except OSError as error:
        raise UserError(
            f"Rank 0 cannot listen on port {port} ({_reason(error)}): another run or program may "
            f"use it; choose another by PORT of tools/dist_train.sh, --master-port of torchrun, or "
            f"MASTER_PORT."
        ) from error


def _reason(error: OSError | UnicodeError) -> str:
    """In the system's words."""
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return getattr(error, "strerror", None) or str(error)


def _wait_for_port(place: Place, deadline: float, seconds: float) -> None:
    """Until rank 0 listens."""
    while True:
        try:
            socket.create_connection((place.address, place.port), timeout=5).close()
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise UserError(
                    f"Rank {place.rank} of {place.world_size} has found no rank 0 at "
                    f"{place.address}:{place.port} in {seconds:g} s ({_reason(error)}): "
                    f"see that it was started, that MASTER_ADDR and MASTER_PORT are its own, and "
                    f"that no firewall is between ({TIMEOUT} sets how long to wait)."
                ) from error
            time.sleep(0.1)


@contextmanager
def _unreachable(what: str) -> Iterator[None]:
    try:
        yield
    except dist.DistError as error:
        text = str(error).strip().splitlines()[0][:160]
        raise UserError(
            f"{what} ({text}): rank 0 has ended, or another program listens there; see what rank 0 "
            f"says, or choose another port."
        ) from error


@contextmanager
def _torch_kept_quiet() -> Iterator[None]:
    """Without the stacks of C++ that torch writes to standard error beside what it raises."""
    own, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(own, 2)
        os.close(own)
        os.close(nowhere)


def _arrive(store: dist.Store, place: Place) -> None:
    here = f"{socket.gethostname()}, process {os.getpid()}"
    if store.add(f"times/{place.rank}", 1) > 1:
        other = store.get(f"came/{place.rank}").decode()
        fault = (
            f"Rank {place.rank} was started twice ({other}; {here}): each process needs a rank of "
            f"its own, and each machine a NODE_RANK of its own."
        )
        store.set("fault", fault)  # the others wait for one that will not come
        raise UserError(fault)
    store.set(f"came/{place.rank}", here)
    store.add("count", 1)


def _wait_for_all(store: dist.Store, place: Place, deadline: float, seconds: float) -> str | None:
    """Until all have come; otherwise what is wrong, which all are told."""
    patient = time.monotonic() + PATIENT_S
    while store.add("count", 0) < place.world_size:
        if store.check(["fault"]):
            return store.get("fault").decode()
        now = time.monotonic()
        if now > deadline:
            fault = (
                f"{_missing(store, place.world_size)} not come in {seconds:g} s: see what became "
                f"of {'it' if place.world_size == 2 else 'them'}, and that every process was "
                f"started with the same WORLD_SIZE, MASTER_ADDR and MASTER_PORT ({TIMEOUT} sets "
                f"how long to wait)."
            )
            store.set("fault", fault)
            return fault
        if now > patient and place.rank == 0:
            waiting = f"waiting: {_missing(store, place.world_size)} not come yet"
            print(waiting, file=sys.stderr, flush=True)
            patient = deadline + 1
        time.sleep(0.05)
    return None


def _missing(store: dist.Store, world_size: int) -> str:
    """``rank 1 of 4 (0, 2, 3 are here) has``."""
    came = [store.check([f"came/{rank}"]) for rank in range(world_size)]
    gone = [str(rank) for rank in range(world_size) if not came[rank]]
    here = [str(rank) for rank in range(world_size) if came[rank]]
    ranks = f"rank{'s' if len(gone) > 1 else ''} {some(gone, 8)} of {world_size}"
    return f"{ranks} (here: {some(here, 8)}) {'have' if len(gone) > 1 else 'has'}"
