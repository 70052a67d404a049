"""The head of methods that look at all views of all images at once."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mvssl.models.heads.base import Head, gather_views
from mvssl.models.losses import ViewsLoss
from mvssl.models.record import Embeddings
from mvssl.registry import HEADS

__all__ = ["ViewsHead"]


@HEADS.register_module()
class ViewsHead(Head):
    """``loss(z of all views)`` of projections, on the joined batch of all processes, with gradient
    through all of them.

    For MMCR, EMP-SSL and FroSSL, which take any number of views. Small crops count as large ones.

    Args:
        loss: a ``ViewsLoss`` of LOSSES, which is given (V, k, D).
    """

    crosses_samples = True
    projections_only = True

    def __init__(self, loss: dict[str, Any]) -> None:
        super().__init__()
        self.loss = ViewsLoss.build_for("ViewsHead", loss)

    def compare(self, record: Embeddings) -> dict[str, Tensor]:
        return {"loss": self.loss(torch.stack(gather_views(record.z)))}
