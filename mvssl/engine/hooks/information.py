"""Measures in nats what the embeddings share, and how they lie."""

from __future__ import annotations

from functools import partial
from typing import Any

from mmengine.hooks import Hook

from mvssl.arguments import check_count, check_temperature
from mvssl.distributed import world_size
from mvssl.engine.run import Run
from mvssl.information import VonMisesFisher
from mvssl.models import Embeddings
from mvssl.models.heads import Head
from mvssl.models.measures import Scalars, measure, measure_geometry
from mvssl.registry import HOOKS

__all__ = ["InformationHook"]


@HOOKS.register_module()
class InformationHook(Hook):
    """Adds information and geometry of the embeddings to the scalars now and then.

    Every ``interval`` iterations and at the last of an epoch; in between neither it nor the head
    measures. The scalars are those of :func:`mvssl.models.measures.measure` (ER estimate, its
    terms, InfoNCE; left out where the head reports them with its loss, as ``ERHead`` does) and of
    :func:`mvssl.models.measures.measure_geometry` (alignment, uniformity, RankMe, ...), each with
    its floor, cap or ceiling.

    Args:
        interval: iterations between two measurements.
        kappa: concentration of the von Mises-Fisher density.
    """

    priority = "NORMAL"

    def __init__(self, interval: int = 50, kappa: float = 10.0) -> None:
        check_count("InformationHook", interval=interval)
        check_temperature("InformationHook", kappa=kappa)
        self.interval = interval
        self.kernel = VonMisesFisher(kappa)

    def before_train_iter(self, runner: Run, batch_idx: int, data_batch: Any = None) -> None:
        last = self.end_of_epoch(runner.train_dataloader, batch_idx)
        due = last or runner.iter % self.interval == 0
        runner.train_loop.monitor = partial(self.measure, runner.model.head) if due else None

    def measure(self, head: Head, record: Embeddings) -> Scalars:
        """What the head does not report with its loss, and how the embeddings lie."""
        scalars = {} if head.measures_information else measure(record, self.kernel)
        if len(record.index) * world_size() > 1:  # one image has no geometry
            scalars |= measure_geometry(record, self.kernel)
        return scalars
