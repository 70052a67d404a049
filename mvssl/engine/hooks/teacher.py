"""Moves the teacher after every optimiser step that happened."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from torch.optim import Optimizer

from mvssl.engine.hooks.schedule import ScheduleHook
from mvssl.engine.run import Run
from mvssl.registry import HOOKS

__all__ = ["TeacherHook"]

MOMENTUM = "model.teacher.momentum"


@HOOKS.register_module()
class TeacherHook(Hook):
    """Updates ``model.teacher``, and reports its momentum where no schedule does.

    Steps that gradient accumulation leaves out, or that a loss scaler skips after an overflow,
    leave the teacher where it was. Without a teacher the hook does nothing.
    """

    # Before hooks that look at the model (monitors, evaluation).
    priority = "ABOVE_NORMAL"

    def __init__(self) -> None:
        self._stepped = False
        self._handle: Any = None
        self._reports = True

    def before_train(self, runner: Run) -> None:
        optimizer = runner.optim_wrapper.optimizer
        self._handle = optimizer.register_step_post_hook(self._mark)
        schedules = [hook for hook in runner.hooks if isinstance(hook, ScheduleHook)]
        self._reports = all(schedule.path != MOMENTUM for schedule in schedules)

    def _mark(self, optimizer: Optimizer, *_: Any) -> None:
        # A fused optimiser is told of an overflow, and skips the step itself.
        self._stepped = not getattr(optimizer, "found_inf", None)

    def after_train_iter(self, runner: Run, *_: Any, **__: Any) -> None:
        stepped, self._stepped = self._stepped, False
        model = runner.model
        if not stepped or model.teacher is None:
            return
        model.teacher.update(model.taught_parts)
        if self._reports:
            runner.scalars.add({"teacher_momentum": model.teacher.momentum})

    def after_train(self, runner: Run) -> None:
        self._handle.remove()
