"""Views made by a formula instead of being drawn, for ``golden.py``: the same for any commit."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mvssl.registry import MODELS

Drawn: Any = MODELS.get("MultiViewPreprocessor")


@MODELS.register_module()
class FormulaViews(Drawn):
    """Waves whose direction and phase follow from sample, epoch and number of the view.

    A sample's wave is its own; views shift and tint it, so that they share something.
    """

    @torch.no_grad()
    def make_views(self, data: dict[str, Any]) -> list[Tensor]:
        index, epoch = data["index"].double(), data["epoch"].double()
        return [
            _waves(index, epoch, number, view.size).to(self.mean.device)
            for number, view in enumerate(self.views)
        ]


def _waves(index_b: Tensor, epoch_b: Tensor, number: int, size: int) -> Tensor:
    """float32 (B, 3, size, size) in [0, 1]."""
    x = torch.arange(size, dtype=torch.float64) / size
    across = (1 + index_b % 5).view(-1, 1, 1, 1) * x
    down = (1 + index_b % 3).view(-1, 1, 1, 1) * x[:, None]
    channel = torch.arange(3, dtype=torch.float64).view(1, 3, 1, 1)
    shift = (0.37 * index_b + 0.11 * epoch_b + 0.05 * number).view(-1, 1, 1, 1)
    waves = torch.sin(6.283185307179586 * (across + down + shift) + 0.3 * (number + 1) * channel)
    return (0.5 + 0.45 * waves).float()
