"""How much memory a training step will take, found out from two images."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.device import get_device
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from mvssl.engine.run import Run

__all__ = ["Estimate", "estimate", "free_memory"]

# A step has the gradients of the widest layer beside what is kept, and the allocator gaps.
MARGIN = 1.2


@dataclass(frozen=True)
class Estimate:
    """Bytes of a step.

    Attributes:
        fixed: whatever the batch: gradients and the optimiser's state.
        each: of an image: its views, and what a backward pass needs of every layer.
    """

    fixed: int
    each: int

    def of(self, images: int) -> int:
        """Bytes of a step in which so many images of a process pass at once."""
        return int(MARGIN * (self.fixed + self.each * images))

    def most(self, free: int) -> int:
        """Images that pass at once in so many bytes; 0 where none can."""
        return max(int((free / MARGIN - self.fixed) // self.each), 0)


def estimate(runner: Run, batch: Mapping[str, Any]) -> Estimate:
    """Of a run's next step, from the first images of a batch; nothing is trained."""
    model = runner.model
    # As many as the groups among which the teacher shuffles images need.
    tried = 2 if model.teacher is None else 2 * model.teacher.shuffle_groups
    parameters = {p.untyped_storage().data_ptr(): p for p in model.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    held: list[Any] = []  # until all is counted, so that no place in memory comes up twice
    with torch.random.fork_rng(), runner.optim_wrapper.optim_context(runner.network):
        inputs = model.data_preprocessor(_first(batch, tried), True)
        with saved_tensors_hooks(note, lambda tensor: tensor):
            held.append(model.embed(inputs["inputs"], inputs["index"]))
    views = sum(view.untyped_storage().nbytes() for view in inputs["inputs"])
    trained = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
    # The gradient, and at most two moments.
    return Estimate(3 * trained, (sum(kept.values()) + views) // len(inputs["index"]))


def _first(batch: Mapping[str, Any], number: int) -> dict[str, Any]:
    """The first images of a loader's batch."""
    return {
        key: value[:number] if isinstance(value, Tensor) else [one[:number] for one in value]
        for key, value in batch.items()
    }


def free_memory() -> int | None:
    """Bytes that a process can still take on the device; None where that cannot be known."""
    if get_device() == "cuda":
        free, _ = torch.cuda.mem_get_info()
        # What torch keeps for later is free too.
        return int(free + torch.cuda.memory_reserved() - torch.cuda.memory_allocated())
    found = [_of_machine(), _of_group()]
    known = [number for number in found if number is not None]
    return min(known, default=None)


def _of_machine() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) * 1024 if found else None


def _of_group(root: str | os.PathLike[str] = "/sys/fs/cgroup") -> int | None:
    """What a container or a job may still take; None where it has no limit."""
    try:
        limit = Path(root, "memory.max").read_text().strip()
        used = int(Path(root, "memory.current").read_text())
        cache = [
            int(line.split()[1])
            for line in Path(root, "memory.stat").read_text().splitlines()
            if line.startswith("inactive_file ")
        ]
    except (OSError, ValueError):
        return None
    return int(limit) - used + sum(cache) if limit.isdigit() else None
