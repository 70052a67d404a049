"""What all heads share: their interface, and where their targets come from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mvssl.distributed import gather, world_size
from mvssl.errors import UserError
from mvssl.models.measures import Scalars
from mvssl.models.memory import EmbeddingQueue
from mvssl.models.record import Embeddings
from mvssl.models.targets import TargetSource
from mvssl.registry import HEADS, TARGETS, build_part

__all__ = ["Head", "TargetedHead", "gather_views"]


@HEADS.base_class
class Head(nn.Module, ABC):
    """Turns the record into a loss; owns whatever state the objective has, and decides what is
    detached.

    A step of it has two parts: :meth:`resolve` finds what is compared with, once, for the loss and
    for monitors, and :meth:`compare` makes the loss of that.

    A constructor gets, where it takes them, ``in_channels`` (D), ``num_logits`` (prototypes of the
    neck, or None) and ``num_samples`` (images of the data set) without the config saying so.

    Attributes:
        min_views: views of an image without which the objective is not defined.
        measures_information: whether the loss comes with the scalars of ``measure`` or
            ``measure_discrete`` (``mvssl.models.measures``) where ``measuring`` is set; where it
            does not, ``InformationHook`` computes them.
        crosses_samples: whether a sample's loss depends on the others of the batch. Then plain
            gradient accumulation is not the large batch that it stands for.
        joins_processes: whether those others are the images of all processes, or of its own alone.
        min_batch: images without which the objective is not defined, or has nothing to learn from;
            None: two where it looks across samples, else one.
        needs_logits: whether the neck must end in prototypes.
        projections_only: whether the objective looks at projections alone, so that there is
            neither predictor nor teacher.
        measuring: whether scalars are wanted that cost more than the loss itself; the model sets
            it in steps in which a monitor asks for the record.
        needed_hooks: names in HOOKS of hooks without which the head does nothing useful, each with
            the sentence for a user whose config has none.
    """

    min_views: int = 2
    measures_information: bool = False
    crosses_samples: bool = False
    joins_processes: bool = True
    min_batch: int | None = None
    needs_logits: bool = False
    projections_only: bool = False
    measuring: bool = True
    needed_hooks: ClassVar[Mapping[str, str]] = {}

    @property
    def trains_targets(self) -> bool:
        """Whether the loss has a gradient in targets, so that there is no teacher."""
        return False

    def check_batch(self, batch_size: int) -> None:
        """Called before training with the batch over all processes.

        Raises:
            UserError: the head cannot work with it; here, it is smaller than ``min_batch``, or a
                queue in it or in its targets is no multiple of it.
        """
        seen = batch_size if self.joins_processes else batch_size // world_size()
        least = self.min_batch or (2 if self.crosses_samples else 1)
        if seen < least:
            whose = "" if self.joins_processes else " to each process, whose own it compares"
            factor = 1 if self.joins_processes else world_size()
            raise UserError(
                f"model.head: {type(self).__name__} compares the images of a batch and needs at "
                f"least {least}, and train_dataloader.batch_size={batch_size} gives {seen}{whose}: "
                f"set train_dataloader.batch_size={least * factor} or more."
            )
        for part in self.modules():
            if isinstance(part, EmbeddingQueue):
                part.check_batch(batch_size)

    def check_numbers(self) -> None:
        """Raises a UserError where numbers that may be scheduled do not go together."""

    def resolve(self, record: Embeddings) -> Embeddings:
        """The record with the targets that this objective compares with, for monitors too."""
        return record

    @abstractmethod
    def compare(self, record: Embeddings) -> dict[str, Tensor]:
        """A record whose targets are resolved to ``loss`` and scalars. Every key that contains
        "loss" is summed and trained, so scalars must not.
        """

    def measure_assigned(self, record: Embeddings) -> Scalars:
        """What assignments to prototypes share, of a record that every process holds whole: the
        scalars of ``measure_discrete``; none where the objective has no prototypes. It changes no
        state.
        """
        return {}

    def forward(self, record: Embeddings) -> dict[str, Tensor]:
        """Both parts of a step, for use without a model, in float32 as in one."""
        record = record.upcast()
        return self.compare(self.resolve(record))


class TargetedHead(Head):
    """A head whose targets come from a member of TARGETS.

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

    @property
    def trains_targets(self) -> bool:
        return not self.target.stop_gradient

    def resolve(self, record: Embeddings) -> Embeddings:
        return self.target(record)


def gather_views(embeddings: list[Tensor]) -> list[Tensor]:
    """V x (B, D) joined over processes, with gradient, in one collective: V x (k, D)."""
    return list(gather(torch.stack(embeddings, dim=1)).unbind(dim=1))
