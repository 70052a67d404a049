"""Negative cosine similarity, the objective of BYOL and SimSiam."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mvssl.models.losses.base import PairLoss
from mvssl.models.precision import at_least_float32, has_direction
from mvssl.registry import LOSSES

__all__ = ["CosineSimilarityLoss"]


@LOSSES.register_module()
class CosineSimilarityLoss(PairLoss):
    """``2 - 2 cos(prediction, target)``, averaged over the batch: in [0, 4].

    The squared distance of the normalised vectors (Grill et al. 2020, equation 2; SimSiam's
    objective up to scale and constant).
    """

    def __init__(self) -> None:
        super().__init__()  # nn.Module's own constructor would take any argument

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """(B, D) and (B, D) to a scalar."""
        prediction, target = at_least_float32(prediction), at_least_float32(target)
        cosine_b = F.cosine_similarity(prediction, target, dim=1)
        # A vector of zeros has no direction: its gradient would outweigh all others.
        known_b = (has_direction(prediction, 1) & has_direction(target, 1)).squeeze(1)
        return 2.0 - 2.0 * torch.where(known_b, cosine_b, cosine_b.detach()).mean()
