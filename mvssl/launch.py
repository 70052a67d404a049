"""Joining and leaving the process group of a launcher."""

from __future__ import annotations

import os

import torch
import torch.distributed as dist

from mvssl.distributed import is_distributed
from mvssl.errors import UserError

__all__ = ["start_processes", "stop_processes"]


def start_processes(launcher: str) -> bool:
    """Join the process group that ``torchrun`` or ``srun`` set up; nothing for one process.

    gloo without a GPU, NCCL (with gloo for host tensors) with one per process.

    Args:
        launcher: ``none``, ``pytorch`` (torchrun) or ``slurm`` (srun).

    Returns:
        Whether a group was started here, which :func:`stop_processes` then ends; one that the
        caller made is left to the caller.

    Raises:
        UserError: the launcher's environment variables are not there, or are there unasked.
    """
    if launcher == "none":
        if int(os.environ.get("WORLD_SIZE", "1")) > 1 and "LOCAL_RANK" in os.environ:
            raise UserError("Started by torchrun with several processes: add --launcher pytorch.")
        return False
    if is_distributed():
        return False
    if launcher == "slurm":
        _environment_of_slurm()
    missing = [name for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK") if name not in os.environ]
    if missing:
        raise UserError(
            f"--launcher {launcher}: {', '.join(missing)} not set in the environment: start with "
            f"torchrun --nproc-per-node N tools/train.py CONFIG --launcher pytorch."
        )
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
        dist.init_process_group("cpu:gloo,cuda:nccl")
    else:
        dist.init_process_group("gloo")
    return True


def _environment_of_slurm() -> None:
    """torchrun's variables from srun's (one task is one process)."""
    if "SLURM_PROCID" not in os.environ:
        raise UserError(
            "--launcher slurm: SLURM_PROCID is not set: start with srun, one task a process."
        )
    os.environ["RANK"] = os.environ["SLURM_PROCID"]
    os.environ["WORLD_SIZE"] = os.environ["SLURM_NTASKS"]
    os.environ["LOCAL_RANK"] = os.environ["SLURM_LOCALID"]
    # The address of the node that srun was called from is that of the first task in batch jobs.
    address = os.environ.get("SLURM_LAUNCH_NODE_IPADDR", "127.0.0.1")
    os.environ.setdefault("MASTER_ADDR", address)
    os.environ.setdefault("MASTER_PORT", str(29500 + int(os.environ.get("SLURM_JOB_ID", 0)) % 1000))


def stop_processes() -> None:
    """Leave the process group, where there is one."""
    if is_distributed():
        dist.destroy_process_group()
