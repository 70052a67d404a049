"""What processes agree upon while they compute."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from mvssl.distributed.collectives import host_group, world_size

__all__ = ["HostAgreement"]


class HostAgreement:
    """What all ranks do after the same step, agreed upon while they compute.

    A rank that alone saw a signal, or whose clock alone says that it is time to save, may not act
    alone. So every rank calls :meth:`exchange` once in each step with its own numbers (0: nothing),
    and learns of each the largest that any rank brought to the call *before*: it has travelled
    over the CPU group during a whole step, so nobody waits for it, nor for the device. All ranks
    get the same answer at the same step. One process gets its own numbers back at once.

    ::

        agreement = HostAgreement()
        ...                                        # in after_train_iter, on every rank, always
        (seen,) = agreement.exchange(int(self.seen))
        if seen:                                   # the same on every rank
            runner.save_mid_epoch()
        ...
        agreement.settle()                         # after the last step, on every rank
    """

    def __init__(self) -> None:
        self._pending: tuple[Any, Tensor] | None = None

    def exchange(self, *numbers: int) -> tuple[int, ...]:
        """Bring ``numbers``; the largest that the ranks brought to the call before, at first 0s."""
        if world_size() == 1:
            return numbers
        before = self.settle() or (0,) * len(numbers)
        brought = torch.tensor(numbers, dtype=torch.int64)
        work = dist.all_reduce(brought, op=dist.ReduceOp.MAX, group=host_group(), async_op=True)
        self._pending = (work, brought)
        return before

    def settle(self) -> tuple[int, ...]:
        """The answer to the last exchange, for which this waits; empty where there is none left.

        Every rank calls it after its last step, since a group cannot end with an exchange under
        way.
        """
        if self._pending is None:
            return ()
        (work, brought), self._pending = self._pending, None
        work.wait()
        return tuple(brought.tolist())
