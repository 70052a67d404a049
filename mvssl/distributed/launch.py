"""Joining and leaving the process group of a launcher."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist

from mvssl.distributed import is_distributed, rank
from mvssl.distributed.arrival import Place, meet, read_place, seconds_given
from mvssl.errors import LostProcessError, UserError
from mvssl.words import count, first_line

__all__ = ["lost_processes_told", "processes", "start_processes", "stop_processes"]


def start_processes(launcher: str) -> bool:
    """Join the process group that ``torchrun`` or ``srun`` set up; nothing for one process.

    gloo without a GPU, NCCL (with gloo for host tensors) with one per process.

    Args:
        launcher: ``none``, ``pytorch`` (torchrun) or ``slurm`` (srun).

    Returns:
        Whether a group was started here, which :func:`stop_processes` then ends; one that the
        caller made is left to the caller.

    Raises:
        UserError: the launcher's environment variables are not there, contradict each other, or
            are there unasked; or a process does not come.
    """
    if launcher == "none":
        if os.environ.get("WORLD_SIZE", "1") != "1" and "LOCAL_RANK" in os.environ:
            raise UserError("Started by torchrun with several processes: add --launcher pytorch.")
        return False
    if is_distributed():
        return False
    place = read_place(launcher)
    backend = "gloo"
    if torch.cuda.is_available():
        _choose_device(place)
        backend = "cpu:gloo,cuda:nccl"
    store = meet(place)
    given = seconds_given()
    try:
        dist.init_process_group(
            backend,
            store=store,
            rank=place.rank,
            world_size=place.world_size,
            timeout=None if given is None else timedelta(seconds=given),
        )
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"The processes cannot reach each other ({first_line(error)}): see that they may "
            f"connect, and which network they use (GLOO_SOCKET_IFNAME, NCCL_SOCKET_IFNAME)."
        ) from error
    return True


def _choose_device(place: Place) -> None:
    devices = torch.cuda.device_count()
    if place.local_rank >= devices:
        raise UserError(
            f"{place.local_rank_name} is {place.local_rank}, but this machine has "
            f"{count(devices, 'GPU')}: start one process for each, at most {devices} here."
        )
    torch.cuda.set_device(place.local_rank)


def stop_processes() -> None:
    """Leave the process group, where there is one."""
    if is_distributed():
        dist.destroy_process_group()


@contextmanager
def processes(launcher: str) -> Iterator[None]:
    """The process group of a launcher for as long as the block lasts.

    Raises:
        UserError: as of :func:`start_processes`.
        LostProcessError: as of :func:`lost_processes_told`.
    """
    started = start_processes(launcher)
    try:
        with lost_processes_told():
            yield
    finally:
        if started:
            stop_processes()


@contextmanager
def lost_processes_told() -> Iterator[None]:
    """What a process meets when another one has gone becomes one sentence.

    Raises:
        LostProcessError: a collective operation failed because another process has ended, or does
            not answer.
    """
    try:
        yield
    except RuntimeError as error:
        if not (is_distributed() and _is_loss(error)):
            raise
        raise LostProcessError(
            f"rank {rank()} goes on no longer, since another process has ended or does not answer "
            f"({first_line(error)}): what that one or the launcher says is the cause. Mend it, "
            f"and go on with --resume."
        ) from error


def _is_loss(error: RuntimeError) -> bool:
    # gloo's errors have no class of their own; all name the file of its transport.
    return isinstance(error, dist.DistError) or "gloo/" in str(error)
