"""The head of LeJEPA and VISReg: views near their mean, and embeddings distributed as wanted."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mvssl.arguments import LEAST, Number, check_number
from mvssl.errors import UserError
from mvssl.models.heads.base import Head, gather_views
from mvssl.models.losses import Regularizer
from mvssl.models.memory import StepCount
from mvssl.models.record import Embeddings
from mvssl.registry import HEADS

__all__ = ["RegularizedHead"]


def _check_weight(owner: str, weight: float) -> None:
    check_number(owner, weight=weight)
    if not LEAST <= weight < 1.0:
        raise UserError(f"{owner}: weight lies in (0, 1), got {weight!r}: LeJEPA has 0.05.")


@HEADS.register_module()
class RegularizedHead(Head):
    """``(1 - weight) * mean_v |z_v - mean of the global views|^2 / D + weight * mean_v R(z_v)``.

    R says how far a view's embeddings are from what they should be like, over the joined batch of
    all processes; with ``SIGRegLoss`` this is LeJEPA (Balestriero & LeCun 2025, arXiv 2511.08544),
    with ``VISRegLoss`` VISReg (Wu et al. 2026, arXiv 2606.02572). Nothing is detached: there is
    neither teacher nor stop-gradient. Projections are not normalised.

    Args:
        loss: R, a ``Regularizer`` of LOSSES, which is given (V, k, D) and the step's number.
        weight: of R, in (0, 1); LeJEPA's lambda.
    """

    crosses_samples = True
    projections_only = True
    weight = Number(_check_weight)

    def __init__(self, loss: dict[str, Any], weight: float = 0.05) -> None:
        super().__init__()
        self.loss = Regularizer.build_for("RegularizedHead", loss)
        self.weight = weight
        self.steps = StepCount()

    def compare(self, record: Embeddings) -> dict[str, Tensor]:
        z_vkd = torch.stack(gather_views(record.z))
        centre_kd = z_vkd[: len(record.target)].mean(dim=0)
        distance = (z_vkd - centre_kd).square().mean()
        regularity = self.loss(z_vkd, self.steps.count)
        if self.training:
            self.steps.add()
        return {
            "loss": (1.0 - self.weight) * distance + self.weight * regularity,
            "view_distance": distance.detach(),
            "regularizer": regularity.detach(),
        }
