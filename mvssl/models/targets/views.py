"""Targets that are other views."""

from __future__ import annotations

from dataclasses import replace

from mvssl.models.record import Embeddings
from mvssl.models.targets.base import TargetSource
from mvssl.registry import TARGETS

__all__ = ["ViewTargets"]


@TARGETS.register_module()
class ViewTargets(TargetSource):
    """The targets of the record: embeddings of other views.

    Args:
        stop_gradient: False for methods that train both sides of a pair (SimCLR, VICReg, ...).
    """

    keeps_logits = True

    def __init__(self, stop_gradient: bool = True) -> None:
        super().__init__()
        self.stop_gradient = stop_gradient

    def forward(self, record: Embeddings) -> Embeddings:
        if not self.stop_gradient:
            return record
        logits = record.target_logits
        return replace(
            record,
            target=[x.detach() for x in record.target],
            target_logits=None if logits is None else [x.detach() for x in logits],
        )
