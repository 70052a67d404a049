"""Targets that are what a memory bank holds of an image."""

from __future__ import annotations

from dataclasses import replace

from mvssl.models.memory import MemoryBank
from mvssl.models.record import Embeddings
from mvssl.models.targets.base import TargetSource
from mvssl.registry import TARGETS

__all__ = ["BankTargets"]


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
        return replace(record, target=[entry], target_logits=None, target_views=((),))

    def update(self, record: Embeddings) -> None:
        self.bank.update(record.index, record.z[0])
