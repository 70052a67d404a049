"""What heads remember: past embeddings in a queue, one embedding for each image, how many steps.

Everything here is saved in checkpoints and equal on all processes, bit for bit.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mvssl.arguments import Number, check_count, check_momentum
from mvssl.distributed import broadcast_, gather_detached
from mvssl.errors import UserError

__all__ = ["EmbeddingQueue", "MemoryBank", "StepCount", "last_occurrence"]


class StepCount(nn.Module):
    """How often ``add`` was called in the whole run, resumed ones included."""

    steps: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        # The count as a number too, since reading the buffer would wait for the device.
        self._steps: int | None = 0
        self.register_load_state_dict_post_hook(self._forget)

    @staticmethod
    def _forget(module: Any, _: Any) -> None:
        module._steps = None

    @property
    def count(self) -> int:
        if self._steps is None:
            self._steps = int(self.steps)
        return self._steps

    def add(self, number: int = 1) -> None:
        self._steps = self.count + number
        self.steps.fill_(self._steps)


class EmbeddingQueue(nn.Module):
    """The last ``size`` embeddings, oldest overwritten first; empty at the start.

    Args:
        size: rows; a multiple of the batch over all processes.
        channels: D.
    """

    data: Tensor

    def __init__(self, size: int, channels: int) -> None:
        super().__init__()
        check_count(type(self).__name__, queue_size=size, in_channels=channels)
        self.size = size
        self.register_buffer("data", torch.zeros(size, channels))
        self.pushed = StepCount()

    def check_batch(self, batch_size: int) -> None:
        """Raises a UserError unless the size is a multiple of the batch over all processes."""
        if self.size % batch_size:
            raise UserError(
                f"A queue of {self.size} is no multiple of the batch of {batch_size} (over all "
                f"processes): choose queue_size={max(self.size // batch_size, 1) * batch_size}."
            )

    def read(self) -> Tensor:
        """(q, D), q <= size: a copy of what has been pushed so far, without gradient."""
        # A copy, since a backward pass that needs it comes after the next push.
        return self.data[: min(self.pushed.count, self.size)].clone()

    @torch.no_grad()
    def push(self, rows: Tensor) -> None:
        """Add the rows (B, D) of every process, in rank order.

        Raises:
            UserError: the size is no multiple of the batch.
        """
        rows = gather_detached(rows)
        self.check_batch(len(rows))
        # Around the end too: where the batch was another one before, none need end there.
        places = (torch.arange(len(rows), device=rows.device) + self.pushed.count) % self.size
        self.data[places] = rows.to(self.data.dtype)
        self.pushed.add(len(rows))


def _check_bank_momentum(owner: str, momentum: float) -> None:
    check_momentum(owner, momentum=momentum)
    if momentum == 1:
        raise UserError(
            f"{owner}: momentum is the fraction of an entry that is kept; at {momentum} the bank "
            f"would never change: give less than 1."
        )


class MemoryBank(nn.Module):
    """One unit vector for each image of the data set, random at the start (Wu et al. 2018).

    Args:
        size: N, images of the data set.
        channels: D.
        momentum: the fraction of an entry that is kept when its image is seen.
    """

    keyed_by_image: ClassVar[bool] = True

    data: Tensor
    momentum = Number(_check_bank_momentum)

    def __init__(self, size: int | None, channels: int | None, momentum: float = 0.5) -> None:
        super().__init__()
        if size is None or channels is None:
            raise UserError(
                f"A memory bank needs num_samples, the size of the data set, and in_channels; got "
                f"{size} and {channels}."
            )
        check_count("MemoryBank", at_least=2, num_samples=size)
        check_count("MemoryBank", in_channels=channels)
        self.momentum = momentum
        self.register_buffer("data", F.normalize(torch.randn(size, channels), dim=1))
        broadcast_(self.data)

    def read(self, index: Tensor) -> Tensor:
        """Entries (B, D) of the images ``index`` (B,): a copy, without gradient."""
        return self.data[index]

    @torch.no_grad()
    def update(self, index: Tensor, rows: Tensor) -> None:
        """Move the entries of ``index`` (B,) towards ``rows`` (B, D), on all processes.

        An image that is there twice takes its last row.
        """
        index, rows = gather_detached(index), gather_detached(rows)
        last = last_occurrence(index)
        rows = F.normalize(rows[last].to(self.data.dtype), dim=1)
        moved = self.momentum * self.data[index] + (1.0 - self.momentum) * rows
        # Rows of one image are equal now, so the order of writing does not matter.
        self.data[index] = F.normalize(moved, dim=1)


def last_occurrence(index: Tensor) -> Tensor:
    """For each entry of ``index`` (B,) the last position (B,) that holds the same number."""
    ordered, order = index.sort(stable=True)
    positions = torch.arange(len(index), device=index.device)
    ends = torch.ones_like(ordered, dtype=torch.bool)
    ends[:-1] = ordered[1:] != ordered[:-1]
    # In the sorted order a number's last place is the next end of a run.
    next_end = torch.where(ends, positions, len(index)).flip(0).cummin(dim=0).values.flip(0)
    return torch.empty_like(order).scatter_(0, order, order[next_end])
