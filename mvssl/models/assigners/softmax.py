"""Assigners that look at each image alone: a softmax, with or without a running centre.

Shape suffixes: B images of this process, K prototypes.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from mvssl.arguments import Number, check_count, check_momentum, check_temperature
from mvssl.distributed import all_reduce_mean
from mvssl.models.assigners.base import Assigner
from mvssl.models.precision import at_least_float32
from mvssl.registry import ASSIGNERS

__all__ = ["Centering", "Sharpening"]


class _Softmax(Assigner):
    """An assigner with a temperature, which a schedule may set."""

    differentiable: ClassVar[bool] = True

    teacher_temp = Number(check_temperature)

    def __init__(self, teacher_temp: float) -> None:
        super().__init__()
        self.teacher_temp = teacher_temp

    @property
    def temperature(self) -> float:
        return self.teacher_temp


@ASSIGNERS.register_module()
class Sharpening(_Softmax):
    """``softmax(logits / teacher_temp)``.

    Args:
        teacher_temp: temperature, smaller than the student's; a schedule may set the attribute.
    """

    def __init__(self, teacher_temp: float = 0.05) -> None:
        super().__init__(teacher_temp)

    def forward(self, logits_bk: Tensor, extra_qk: Tensor | None = None) -> Tensor:
        return F.softmax(at_least_float32(logits_bk) / self.teacher_temp, dim=1)


@ASSIGNERS.register_module()
class Centering(_Softmax):
    """DINO's ``softmax((logits - center) / teacher_temp)`` (Caron et al. 2021, arXiv 2104.14294).

    The centre is a running mean of the target logits of all processes, zero at first, which
    :meth:`update` moves: ``center = momentum * center + (1 - momentum) * mean``.

    Args:
        num_prototypes: K.
        teacher_temp: temperature, smaller than the student's; a schedule may set the attribute.
        momentum: the fraction of the centre that is kept, in [0, 1].
    """

    center: Tensor
    momentum = Number(check_momentum)

    def __init__(
        self, num_prototypes: int, teacher_temp: float = 0.04, momentum: float = 0.9
    ) -> None:
        super().__init__(teacher_temp)
        check_count("Centering", num_prototypes=num_prototypes)
        self.momentum = momentum
        self.register_buffer("center", torch.zeros(1, num_prototypes))

    def forward(self, logits_bk: Tensor, extra_qk: Tensor | None = None) -> Tensor:
        centred = at_least_float32(logits_bk) - at_least_float32(self.center)
        return F.softmax(centred / self.teacher_temp, dim=1)

    @torch.no_grad()
    def update(self, logits_bk: Tensor) -> None:
        mean_1k = all_reduce_mean(at_least_float32(logits_bk).mean(dim=0, keepdim=True))
        kept = self.momentum * self.center
        self.center.copy_(kept + (1 - self.momentum) * mean_1k)
