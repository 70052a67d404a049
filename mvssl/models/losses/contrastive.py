"""Contrastive losses: tell the other view of an image from all other images.

Shape suffixes: k images of all processes, D embedding size.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from mvssl.arguments import Number, check_choice, check_temperature
from mvssl.models.losses.base import PairLoss
from mvssl.models.precision import at_least_float32
from mvssl.registry import LOSSES

__all__ = ["InfoNCELoss", "NTXentLoss"]

ANCHORS = ("prediction", "target")


@LOSSES.register_module()
class InfoNCELoss(PairLoss):
    """``-log softmax_j(cos(a_i, c_j) / temperature)`` at j = i, averaged over the images (nats).

    The candidates c are those of the batch, k in all (van den Oord et al. 2018, arXiv
    1807.03748). Anchors that are predictions, and targets as candidates, make MoCo v3's loss
    (Chen et al. 2021, arXiv 2104.02057), whose factor 2 * temperature is left to the head's
    ``loss_weight``. Anchors that are targets, the neighbours of one view, and the other view's
    predictions as candidates make NNCLR's (Dwibedi et al. 2021, arXiv 2104.14548).

    Args:
        temperature: of the softmax.
        anchor: ``prediction`` or ``target``; the other one gives the candidates.
    """

    crosses_samples: ClassVar[bool] = True

    temperature = Number(check_temperature)

    def __init__(self, temperature: float = 0.2, anchor: str = "prediction") -> None:
        super().__init__()
        check_choice("InfoNCELoss", "anchor", anchor, ANCHORS)
        self.temperature = temperature
        self.anchor = anchor

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """(k, D) and (k, D) to a scalar."""
        prediction_kd = F.normalize(at_least_float32(prediction), dim=1)
        target_kd = F.normalize(at_least_float32(target), dim=1)
        logits_kk = prediction_kd @ target_kd.T / self.temperature
        if self.anchor == "target":
            logits_kk = logits_kk.T
        return F.cross_entropy(logits_kk, torch.arange(len(logits_kk), device=logits_kk.device))


@LOSSES.register_module()
class NTXentLoss(PairLoss):
    """SimCLR's normalised, temperature-scaled cross-entropy (Chen et al. 2020, arXiv 2002.05709).

    All 2k embeddings of the two views are anchors; each is shown its positive and 2k - 2
    negatives, those of its own view included (nats, averaged over the anchors). It is symmetric
    in its arguments, and 0 for a single image, which has no negatives.

    Args:
        temperature: of the softmax.
    """

    crosses_samples: ClassVar[bool] = True

    temperature = Number(check_temperature)

    def __init__(self, temperature: float = 0.5) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """(k, D) and (k, D) to a scalar."""
        k = len(prediction)
        both = torch.cat([at_least_float32(prediction), at_least_float32(target)])
        both = F.normalize(both, dim=1)
        itself = torch.eye(2 * k, dtype=torch.bool, device=both.device)
        logits = (both @ both.T / self.temperature).masked_fill(itself, float("-inf"))
        positive = torch.arange(2 * k, device=both.device).roll(k)
        return F.cross_entropy(logits, positive)
