"""Targets that are nearest neighbours of views among past projections."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from mvssl.models.memory import EmbeddingQueue
from mvssl.models.record import Embeddings
from mvssl.models.targets.base import TargetSource
from mvssl.registry import TARGETS

__all__ = ["NearestNeighborTargets"]


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
