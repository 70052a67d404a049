"""What all heads share: their interface, and where their targets come from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from mvssl.distributed import gather
from mvssl.models.memory import EmbeddingQueue
from mvssl.models.record import Embeddings
from mvssl.models.targets import TargetSource
from mvssl.registry import TARGETS, build_part

__all__ = ["Head", "TargetedHead", "gather_views"]


class Head(nn.Module, ABC):
    """Turns the record into a loss; owns whatever state the objective has, and decides what is
    detached.

    A constructor gets, where it takes them, ``in_channels`` (D), ``num_logits`` (prototypes of the
    neck, or None) and ``num_samples`` (images of the data set) without the config saying so.

    Attributes:
        min_views: views of an image without which the objective is not defined.
        measures_information: whether the loss comes with the scalars of ``measure`` or
            ``measure_discrete`` (``mvssl.models.measures``); where it does not, ``InformationHook``
            computes them.
        crosses_samples: whether a sample's loss depends on the others of the batch. Then plain
            gradient accumulation is not the large batch that it stands for.
        needs_logits: whether the neck must end in prototypes.
        projections_only: whether the objective looks at projections alone, so that there is
            neither predictor nor teacher.
        measuring: whether scalars are wanted that are too dear for every step; the model sets it
            where a monitor asks for the record.
    """

    min_views: int = 2
    measures_information: bool = False
    crosses_samples: bool = False
    needs_logits: bool = False
    projections_only: bool = False
    measuring: bool = True

    def check_batch(self, batch_size: int) -> None:
        """Called before training with the batch over all processes.

        Raises:
            UserError: the head cannot work with it.
        """

    def resolve(self, record: Embeddings) -> Embeddings:
        """The record with the targets that this objective compares with, for monitors too."""
        return record

    @abstractmethod
    def forward(self, record: Embeddings) -> dict[str, Tensor]:
        """The record to ``loss`` and scalars. Every key that contains "loss" is summed and
        trained, so scalars must not.
        """


class TargetedHead(Head):
    """A head whose targets come from a member of TARGETS, with a queue of its own or none.

    Args:
        target: a member of TARGETS; views without gradient where None is given.
        in_channels: D, which some targets need.
        num_samples: N, likewise.
    """

    def __init__(
        self, target: dict[str, Any] | None, in_channels: int | None, num_samples: int | None
    ) -> None:
        super().__init__()
        sizes = {"in_channels": in_channels, "num_samples": num_samples}
        self.target: TargetSource = build_part(TARGETS, target or {"type": "ViewTargets"}, **sizes)
        self.min_views = self.target.min_views
        self.queue: EmbeddingQueue | None = None

    def check_batch(self, batch_size: int) -> None:
        self.target.check_batch(batch_size)
        if self.queue is not None:
            self.queue.check_batch(batch_size)

    def resolve(self, record: Embeddings) -> Embeddings:
        return self.target(record)


def gather_views(embeddings: list[Tensor]) -> list[Tensor]:
    """V x (B, D) joined over processes, with gradient, in one collective: V x (k, D)."""
    return list(gather(torch.stack(embeddings, dim=1)).unbind(dim=1))
