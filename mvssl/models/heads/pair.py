"""Heads of methods that compare two views by a loss."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mvssl.arguments import Number, check_positive
from mvssl.models.heads.base import Head, TargetedHead, gather_views
from mvssl.models.losses import PairLoss
from mvssl.models.record import Embeddings, view_pairs
from mvssl.registry import HEADS

__all__ = ["JointHead", "PairHead"]


@HEADS.register_module()
class PairHead(TargetedHead):
    """``loss(prediction of view v, target g)``, averaged over all pairs of :func:`view_pairs`.

    With ``CosineSimilarityLoss`` this is BYOL with a teacher and SimSiam without one; with
    ``InfoNCELoss`` MoCo v3, CMC in the batch, and NNCLR where targets are nearest neighbours.
    Losses that look across samples get the joined batch of all processes.

    Args:
        loss: a ``PairLoss`` of LOSSES, which is given (B, D) and (B, D), or (k, D) and (k, D) where
            it looks across samples.
        target: a member of TARGETS; views without gradient by default.
        loss_weight: factor of the loss; 2 sums both directions of a pair.
        in_channels: D, filled in by the model.
        num_samples: images of the data set, filled in.
    """

    loss_weight = Number(check_positive)

    def __init__(
        self,
        loss: dict[str, Any],
        target: dict[str, Any] | None = None,
        loss_weight: float = 1.0,
        in_channels: int | None = None,
        num_samples: int | None = None,
    ) -> None:
        super().__init__(target, in_channels, num_samples)
        self.loss = PairLoss.build_for("PairHead", loss)
        self.loss_weight = loss_weight
        self.crosses_samples = self.loss.crosses_samples

    def compare(self, record: Embeddings) -> dict[str, Tensor]:
        p, target = record.p, record.target
        if self.crosses_samples:
            joined = gather_views(p + target)
            p, target = joined[: len(p)], joined[len(p) :]
        losses = [self.loss(p[v], target[g]) for g, v in view_pairs(record)]
        if self.training:
            self.target.update(record)
        return {"loss": self.loss_weight * torch.stack(losses).mean()}


@HEADS.register_module()
class JointHead(Head):
    """``loss(z of view g, z of view v)`` of projections, each pair once, gradient through both.

    For losses that treat both sides alike: SimCLR, Barlow Twins, VICReg. Averaged over the pairs
    that have a target view (a global one), on the joined batch of all processes.

    Args:
        loss: a ``PairLoss`` of LOSSES, which is given (k, D) and (k, D).
    """

    projections_only = True

    def __init__(self, loss: dict[str, Any]) -> None:
        super().__init__()
        self.loss = PairLoss.build_for("JointHead", loss)
        self.crosses_samples = self.loss.crosses_samples

    def compare(self, record: Embeddings) -> dict[str, Tensor]:
        z = gather_views(record.z) if self.crosses_samples else record.z
        targets = len(record.target)
        pairs = [(g, v) for g, v in view_pairs(record) if v > g or v >= targets]
        return {"loss": torch.stack([self.loss(z[g], z[v]) for g, v in pairs]).mean()}
