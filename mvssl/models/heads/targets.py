"""What predictions are compared with: another view, its nearest neighbour, or a memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mvssl.models.heads.base import Head
from mvssl.models.heads.memory import EmbeddingQueue, MemoryBank
from mvssl.models.record import NO_VIEW, Embeddings
from mvssl.registry import TARGETS, build_part

__all__ = ["BankTargets", "NearestNeighborTargets", "TargetSource", "TargetedHead", "ViewTargets"]


class TargetSource(nn.Module, ABC):
    """Replaces the targets of a record.

    Attributes:
        min_views: views of an image that it needs.
        keeps_logits: whether its targets come with the record's target logits.
    """

    min_views: int = 2
    keeps_logits: bool = False

    @abstractmethod
    def forward(self, record: Embeddings) -> Embeddings:
        """The record with the targets of this source."""

    def update(self, record: Embeddings) -> None:
        """Remember the embeddings of a training step, after its loss."""

    def check_batch(self, batch_size: int) -> None:
        """Raises a UserError where the batch over all processes does not fit."""


@TARGETS.register_module()
class ViewTargets(TargetSource):
    """The targets of the record: embeddings of other views.

    Args:
        stop_gradient: False for methods that train both sides of a pair (SimCLR, VICReg, ...).
    """

    keeps_logits = True

    def __init__(self, stop_gradient: bool = True) -> None:
        super().__init__()
        self.stop_gradient = stop_gradient

    def forward(self, record: Embeddings) -> Embeddings:
        if not self.stop_gradient:
            return record
        logits = record.target_logits
        return replace(
            record,
            target=[x.detach() for x in record.target],
            target_logits=None if logits is None else [x.detach() for x in logits],
        )


@TARGETS.register_module()
class NearestNeighborTargets(TargetSource):
    """For each target its nearest neighbour by cosine among past projections (NNCLR, Dwibedi et
    al. 2021); the target itself as long as there are none.

    Args:
        queue_size: past projections of the first view; a multiple of the batch.
        in_channels: D, filled in by the model.
    """

    def __init__(self, queue_size: int, in_channels: int) -> None:
        super().__init__()
        self.queue = EmbeddingQueue(queue_size, in_channels)

    def check_batch(self, batch_size: int) -> None:
        self.queue.check_batch(batch_size)

    @torch.no_grad()
    def forward(self, record: Embeddings) -> Embeddings:
        past_qd = self.queue.read()
        if len(past_qd) == 0:
            nearest = [x.detach() for x in record.target]
        else:
            nearest = [self._nearest(x.detach(), past_qd) for x in record.target]
        return replace(record, target=nearest, target_logits=None)

    @staticmethod
    def _nearest(target_bd: Tensor, past_qd: Tensor) -> Tensor:
        past_qd = past_qd.to(target_bd.dtype)
        return past_qd[(target_bd @ past_qd.T).argmax(dim=1)]

    def update(self, record: Embeddings) -> None:
        self.queue.push(F.normalize(record.z[0].detach(), dim=1))


@TARGETS.register_module()
class BankTargets(TargetSource):
    """For each image what a memory bank holds of it: a mean over its earlier views, so that one
    view in a step will do (instance recognition, Wu et al. 2018).

    Args:
        momentum: the fraction of an entry that is kept when its image is seen.
        num_samples: N, filled in from the data set.
        in_channels: D, filled in by the model.
    """

    min_views = 1

    def __init__(
        self,
        momentum: float = 0.5,
        num_samples: int | None = None,
        in_channels: int | None = None,
    ) -> None:
        super().__init__()
        self.bank = MemoryBank(num_samples, in_channels, momentum)

    def forward(self, record: Embeddings) -> Embeddings:
        entry = self.bank.read(record.index).to(record.z[0].dtype)
        return replace(record, target=[entry], target_logits=None, target_views=(NO_VIEW,))

    def update(self, record: Embeddings) -> None:
        self.bank.update(record.index, record.z[0])


class TargetedHead(Head):
    """A head whose targets come from a member of TARGETS, with a queue of its own or none.

    Args:
        target: a member of TARGETS; views without gradient where None is given.
        in_channels: D, which some targets need.
        num_samples: N, likewise.
    """

    def __init__(
        self, target: dict[str, Any] | None, in_channels: int | None, num_samples: int | None
    ) -> None:
        super().__init__()
        sizes = {"in_channels": in_channels, "num_samples": num_samples}
        self.target: TargetSource = build_part(TARGETS, target or {"type": "ViewTargets"}, **sizes)
        self.min_views = self.target.min_views
        self.queue: EmbeddingQueue | None = None

    def check_batch(self, batch_size: int) -> None:
        self.target.check_batch(batch_size)
        if self.queue is not None:
            self.queue.check_batch(batch_size)

    def resolve(self, record: Embeddings) -> Embeddings:
        return self.target(record)
