"""Says what the figures of a run mean: whether it learns, or has collapsed."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.hooks import Hook
from torch import Tensor

from mvssl.distributed import all_reduce_mean
from mvssl.engine.run import Run
from mvssl.models.movement import distance, sample_weights
from mvssl.registry import HOOKS

__all__ = ["DoctorHook"]


@HOOKS.register_module()
class DoctorHook(Hook):
    """x"""

    # After the scalars of the same iteration (BELOW_NORMAL), before evaluation and checkpoints.
    priority = 65

    def __init__(self) -> None:
        self._start: dict[str, Tensor] = {}

    def before_train(self, runner: Run) -> None:
        if not self._start:
            self._start = self._weights(runner)

    def after_train_iter(self, runner: Run, *_: Any, **__: Any) -> None:
        if runner.history.last_step("loss") == runner.iter + 1:
            runner.record(self._movement(runner), runner.iter + 1)

    def _weights(self, runner: Run) -> dict[str, Tensor]:
        model = runner.model
        weights = {"student": sample_weights(p for p in model.parameters() if p.requires_grad)}
        taught = [p for part in model.taught_parts.values() for p in part.parameters()]
        weights["taught"] = sample_weights(taught)
        if model.teacher is not None:
            own = [p for n in model.taught_parts for p in model.teacher.parts[n].parameters()]
            weights["teacher"] = sample_weights(own)
        return weights

    @torch.no_grad()
    def _movement(self, runner: Run) -> dict[str, float]:
        now = self._weights(runner)
        moved = {"weights_moved": distance(now["student"], self._start["student"])}
        if "teacher" in now:
            moved["teacher_moved"] = distance(now["teacher"], self._start["teacher"])
            moved["teacher_distance"] = distance(now["teacher"], now["taught"])
        values = all_reduce_mean(torch.stack(list(moved.values()))).tolist()
        return dict(zip(moved, values, strict=True))
