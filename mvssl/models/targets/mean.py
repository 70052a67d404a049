"""Targets that are means of several views."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F

from mvssl.models.precision import at_least_float32
from mvssl.models.record import Embeddings
from mvssl.models.targets.base import TargetSource
from mvssl.registry import TARGETS

__all__ = ["MeanTargets"]


@TARGETS.register_module()
class MeanTargets(TargetSource):
    """For each prediction the mean of the other views' targets, as unit vectors and without
    gradient (FastSiam, Pototzky et al. 2022). Of two views it is the target of the other one.

    A view that is no target itself, such as a small crop, is shown the mean of all targets and
    those of all but one.
    """

    def __init__(self) -> None:
        super().__init__()  # nn.Module's own constructor would take any argument

    def forward(self, record: Embeddings) -> Embeddings:
        unit = [F.normalize(at_least_float32(x.detach()), dim=1) for x in record.target]
        views = record.target_views
        # Which targets make a mean, once each: those that a view is no part of.
        groups = dict.fromkeys(
            tuple(g for g, made_of in enumerate(views) if view not in made_of)
            for view in record.views
        )
        groups.pop((), None)  # of a view that is the only target
        return replace(
            record,
            target=[torch.stack([unit[g] for g in group]).mean(dim=0) for group in groups],
            target_logits=None,
            target_views=tuple(tuple(v for g in group for v in views[g]) for group in groups),
        )
