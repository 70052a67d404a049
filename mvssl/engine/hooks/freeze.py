"""Parts that stand still while the rest is trained."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from mmengine.hooks import Hook
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from mvssl.engine.run import Run
from mvssl.models.prototypes import Prototypes
from mvssl.registry import HOOKS

__all__ = ["FreezeHook"]


@HOOKS.register_module()
class FreezeHook(Hook):
    """Keeps prototypes that are ``frozen`` where they are.

    Their gradients are zero, so that clipping leaves them out of the norm, and are dropped right
    before the optimiser's step, so that neither weight decay nor momentum moves them. Their
    ``requires_grad`` stays, since processes join gradients of all parameters. A ``ScheduleHook`` of
    ``model.neck.prototypes.frozen`` frees them.
    """

    def __init__(self) -> None:
        self._handles: list[RemovableHandle] = []

    def before_train(self, runner: Run) -> None:
        parts = [part for part in runner.model.modules() if isinstance(part, Prototypes)]

        def drop(*_: Any) -> None:
            for part in parts:
                if part.frozen:
                    for parameter in part.parameters():
                        parameter.grad = None

        self._handles = [runner.optim_wrapper.optimizer.register_step_pre_hook(drop)]
        for part in parts:
            for parameter in part.parameters():
                if parameter.requires_grad:  # the teacher's do not
                    self._handles.append(parameter.register_hook(partial(_still, part)))

    def after_train(self, runner: Run) -> None:
        for handle in self._handles:
            handle.remove()


def _still(part: Prototypes, grad: Tensor) -> Tensor:
    return torch.zeros_like(grad) if part.frozen else grad
