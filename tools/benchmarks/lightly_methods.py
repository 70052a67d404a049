"""BYOL, SimCLR and DINO from lightly's parts, as Lightning modules, for a comparison of steps."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
from lightly.loss import DINOLoss, NegativeCosineSimilarity, NTXentLoss
from lightly.models.modules import heads
from lightly.models.utils import deactivate_requires_grad, update_momentum
from torch import Tensor, nn

__all__ = ["METHODS", "PROTOTYPES"]

PROTOTYPES = 4096


class Method(pl.LightningModule):
    """What the three share: the optimiser."""

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(
            [p for p in self.parameters() if p.requires_grad], lr=1e-3, weight_decay=0.05
        )


class BYOL(Method):
    """Grill et al. 2020, with the sizes of configs/_base_/methods/byol.py."""

    def __init__(self, make: Callable[[], nn.Module], hidden: int | None) -> None:
        super().__init__()
        self.backbone = make()
        self.projection = heads.BYOLProjectionHead(_width(self.backbone), hidden or 4096, 256)
        self.prediction = heads.BYOLPredictionHead(256, hidden or 4096, 256)
        self.teacher = copy.deepcopy(nn.Sequential(self.backbone, self.projection))
        deactivate_requires_grad(self.teacher)
        self.criterion = NegativeCosineSimilarity()

    def training_step(self, batch: Any, _: int) -> Tensor:
        first, second = batch[0]
        update_momentum(nn.Sequential(self.backbone, self.projection), self.teacher, m=0.99)
        p_first = self.prediction(self.projection(self.backbone(first)))
        p_second = self.prediction(self.projection(self.backbone(second)))
        with torch.no_grad():
            z_first, z_second = self.teacher(first), self.teacher(second)
        loss: Tensor = self.criterion(p_first, z_second) + self.criterion(p_second, z_first)
        return 0.5 * loss


class SimCLR(Method):
    """Chen et al. 2020, with the sizes of configs/_base_/methods/simclr.py."""

    def __init__(self, make: Callable[[], nn.Module], hidden: int | None) -> None:
        super().__init__()
        self.backbone = make()
        self.projection = heads.SimCLRProjectionHead(_width(self.backbone), hidden or 2048, 128)
        self.criterion = NTXentLoss(temperature=0.1)

    def training_step(self, batch: Any, _: int) -> Tensor:
        first, second = batch[0]
        z_first = self.projection(self.backbone(first))
        loss: Tensor = self.criterion(z_first, self.projection(self.backbone(second)))
        return loss


class DINO(Method):
    """Caron et al. 2021, with the sizes of configs/_base_/methods/dino.py and fewer prototypes."""

    def __init__(self, make: Callable[[], nn.Module], hidden: int | None) -> None:
        super().__init__()
        self.backbone = make()
        sizes = (_width(self.backbone), hidden or 2048, 256, PROTOTYPES)
        self.projection = heads.DINOProjectionHead(*sizes)
        # Its weight normalisation cannot be copied.
        other = heads.DINOProjectionHead(*sizes)
        self.teacher = nn.Sequential(copy.deepcopy(self.backbone), other)
        deactivate_requires_grad(self.teacher)
        self.criterion = DINOLoss(output_dim=PROTOTYPES)

    def training_step(self, batch: Any, _: int) -> Tensor:
        views = batch[0]
        update_momentum(nn.Sequential(self.backbone, self.projection), self.teacher, m=0.996)
        with torch.no_grad():
            targets = [self.teacher(view) for view in views[:2]]
        outputs = [self.projection(self.backbone(view)) for view in views]
        loss: Tensor = self.criterion(targets, outputs, epoch=0)
        return loss


def _width(backbone: nn.Module) -> int:
    # Of timm, networks with a hidden layer behind their pooling among them.
    width = backbone.head_hidden_size
    assert isinstance(width, int)
    return width


METHODS: dict[str, Callable[[Callable[[], nn.Module], int | None], Method]] = {
    "byol": BYOL,
    "simclr": SimCLR,
    "dino": DINO,
}
"""Name to what makes it of a network and a hidden width, the method's own without."""
