"""What all assigners share: their interface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn

from mvssl.registry import ASSIGNERS

__all__ = ["Assigner"]


@ASSIGNERS.base_class
class Assigner(nn.Module, ABC):
    """Turns target logits into distributions over the prototypes.

    Collectives may be inside: every process must call both methods, in the same order.

    Attributes:
        crosses_samples: whether an image's distribution depends on the batch's other images.
        differentiable: whether distributions carry the gradient of logits that have one.
    """

    crosses_samples: ClassVar[bool] = False
    differentiable: ClassVar[bool] = False

    @property
    def temperature(self) -> float | None:
        """Of the softmax that it is, if it is one."""
        return None

    @abstractmethod
    def forward(self, logits_bk: Tensor, extra_qk: Tensor | None = None) -> Tensor:
        """Logits (B, K) of this process's images to their distributions (B, K).

        float32 or wider, rows that sum to 1, without gradient unless ``differentiable``. Calling it
        changes no state.

        Args:
            logits_bk: of this process.
            extra_qk: logits of past images, equal on all processes, for assigners that balance
                assignments over images; the others don't look at them.
        """

    def update(self, logits_bk: Tensor) -> None:
        """Called once a training step, after the loss, with all target logits of this process."""
