"""What heads on prototypes share: logits, targets' assignments, the queue, what is reported.

Shape suffixes: B images of this process, m prototypes, q queue.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from itertools import chain
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mvssl.arguments import Number, check_count, check_positive
from mvssl.errors import UserError
from mvssl.models.assigners import Assigner
from mvssl.models.heads.base import TargetedHead
from mvssl.models.losses import SoftCrossEntropyLoss
from mvssl.models.measures import Scalars, mean_scalars, measure_discrete
from mvssl.models.memory import EmbeddingQueue
from mvssl.models.precision import at_least_float32
from mvssl.models.prototypes import Prototypes
from mvssl.models.record import Embeddings, view_pairs
from mvssl.registry import ASSIGNERS, build_part

__all__ = ["PrototypeHead"]


class PrototypeHead(TargetedHead):
    """Predictions' logits over prototypes are compared with targets' assignments to them.

    Logits are the record's where the neck ends in prototypes, so that the teacher has its own;
    else those of this head's prototypes, for predictions and targets alike. Subclasses give the
    objective (``_objective``), and tell the arguments that they pass on.

    Attributes:
        use_queue: whether the assigner is shown the queue; a schedule may start it later.
    """

    measures_information = True
    loss_weight = Number(check_positive)

    def __init__(
        self,
        assigner: dict[str, Any],
        student_temp: float = 0.1,
        num_prototypes: int | Sequence[int] | None = None,
        queue_size: int = 0,
        loss_weight: float = 1.0,
        gather: bool = True,
        target: dict[str, Any] | None = None,
        in_channels: int | None = None,
        num_logits: int | None = None,
        num_samples: int | None = None,
    ) -> None:
        super().__init__(target, in_channels, num_samples)
        self.loss = SoftCrossEntropyLoss(student_temp)
        self.loss_weight = loss_weight
        check_count(type(self).__name__, at_least=0, queue_size=queue_size)
        self.gather = gather
        self.use_queue = True
        self.needs_logits = num_prototypes is None
        self.prototypes: Prototypes | None = None
        # Without prototypes the model says what is missing; until then any number will do.
        given: Any = (num_logits or 1) if num_prototypes is None else num_prototypes
        sizes: list[int] = [*given] if isinstance(given, list | tuple) else [given]
        if num_prototypes is not None:
            self.prototypes = Prototypes(in_channels or 0, sizes)
        elif queue_size or not self.target.keeps_logits:
            raise UserError(
                f"{type(self).__name__}: a queue, and targets that are no views, need prototypes "
                f"of the head's own: give num_prototypes."
            )
        self.assigner: Assigner = build_part(ASSIGNERS, assigner, num_prototypes=sizes[0])
        if self.trains_targets and not self.assigner.differentiable:
            raise UserError(
                f"{type(self).__name__}: target.stop_gradient=False trains targets, too, and the "
                f"assignments of {type(self.assigner).__name__} carry no gradient: take "
                f"assigner=dict(type='Sharpening'), or leave stop_gradient out."
            )
        self.crosses_samples = self.assigner.crosses_samples
        if len(sizes) > 1 and [*self.assigner.buffers()]:
            raise UserError(
                f"{type(self.assigner).__name__} keeps statistics of one set of prototypes, and "
                f"num_prototypes={sizes} are several: give one number."
            )
        self.queue = EmbeddingQueue(queue_size, in_channels or 0) if queue_size else None

    def compare(self, record: Embeddings) -> dict[str, Tensor]:
        pairs = view_pairs(record)
        student, target = self._logits(record)
        past = self._past_logits()
        losses: list[Tensor] = []
        measured: list[Scalars] = []
        for logits, target_logits, extra in zip(student, target, past, strict=True):
            t = [
                self.assigner(x if self.trains_targets else x.detach(), extra)
                for x in target_logits
            ]
            fits = [self.loss(logits[v], t[g]) for g, v in pairs]
            loss, scalars = self._objective(torch.stack(fits).mean(), logits, pairs)
            losses.append(loss)
            if self.measuring:
                seen = self._log_probabilities([x.detach() for x in logits])
                scalars |= measure_discrete([x.detach() for x in t], seen, pairs, self.gather)
            measured.append(scalars)
        if self.training:
            self._remember(record, target)
        total = self.loss_weight * torch.stack(losses).mean()
        return {"loss": total, **mean_scalars(measured, total.detach())}

    @torch.no_grad()
    def measure_assigned(self, record: Embeddings) -> Scalars:
        """Of the first set of prototypes, of views alone: banks and queues hold training images."""
        pairs = view_pairs(record)
        if not pairs or not self.target.keeps_logits:
            return {}
        own = next(chain(self.parameters(), self.buffers()), record.index)
        (student, *_), (target, *_) = self._logits(record.map(lambda x: x.to(own.device)))
        t = [self.assigner(x) for x in target]
        return measure_discrete(t, self._log_probabilities(student), pairs, gather=False)

    @abstractmethod
    def _objective(
        self, cross_entropy: Tensor, logits: list[Tensor], pairs: list[tuple[int, int]]
    ) -> tuple[Tensor, Scalars]:
        """What is minimised for one set of prototypes, and scalars that come with it.

        Args:
            cross_entropy: mean over the pairs, a scalar.
            logits: of the predictions, V x (B, m).
            pairs: positions (g, v) of targets and predictions.
        """

    def _log_probabilities(self, logits: list[Tensor]) -> list[Tensor]:
        """Of the predictions' softmax, V x (B, m)."""
        return [F.log_softmax(x / self.loss.student_temp, dim=1) for x in logits]

    def _logits(self, record: Embeddings) -> tuple[list[list[Tensor]], list[list[Tensor]]]:
        """Of predictions and targets: for each set of prototypes a list over views."""
        if self.prototypes is None:
            assert record.logits is not None
            assert record.target_logits is not None
            return [record.logits], [record.target_logits]
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.trains_targets):
            target = self._own_logits(record.target)
        return self._own_logits(record.p), target

    def _own_logits(self, embeddings: list[Tensor]) -> list[list[Tensor]]:
        assert self.prototypes is not None
        return [list(x) for x in zip(*map(self.prototypes, embeddings), strict=True)]

    @torch.no_grad()
    def _past_logits(self) -> list[Tensor | None]:
        """(q, m) of the queue for each set of prototypes."""
        sets = 1 if self.prototypes is None else len(self.prototypes.sizes)
        if self.queue is None or not self.use_queue or self.prototypes is None:
            return [None] * sets
        return [*self.prototypes(self.queue.read())]

    def _remember(self, record: Embeddings, target: list[list[Tensor]]) -> None:
        self.target.update(record)
        self.assigner.update(torch.cat(target[0]).detach())
        if self.queue is not None:
            self.queue.push(F.normalize(at_least_float32(record.target[0].detach()), dim=1))
