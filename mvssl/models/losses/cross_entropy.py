"""Cross-entropy with soft targets, the objective of DINO and SwAV."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from mvssl.arguments import Number, check_temperature
from mvssl.models.losses.base import DistributionLoss
from mvssl.models.precision import at_least_float32
from mvssl.registry import LOSSES

__all__ = ["SoftCrossEntropyLoss"]


@LOSSES.register_module()
class SoftCrossEntropyLoss(DistributionLoss):
    """``-sum_w t(w) log softmax(logits / student_temp)(w)``, averaged over the batch (nats).

    DINO's loss with the teacher's centred and sharpened softmax as t (Caron et al. 2021, arXiv
    2104.14294), and SwAV's with Sinkhorn's assignments (Caron et al. 2020, arXiv 2006.09882).

    Args:
        student_temp: temperature of the softmax.
    """

    student_temp = Number(check_temperature)

    def __init__(self, student_temp: float = 0.1) -> None:
        super().__init__()
        self.student_temp = student_temp

    def forward(self, logits: Tensor, distributions: Tensor) -> Tensor:
        """Logits (B, K) and distributions (B, K), rows that sum to 1, to a scalar."""
        log_s_bk = F.log_softmax(at_least_float32(logits) / self.student_temp, dim=1)
        return -(at_least_float32(distributions) * log_s_bk).sum(dim=1).mean()
