"""Heads on prototypes: predict a target's assignment (DINO, SwAV), and ER on it.

Shape suffixes: B images of this process, m prototypes, q queue.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mvssl.arguments import check_positive
from mvssl.errors import UserError
from mvssl.models.assigners import Assigner
from mvssl.models.heads.base import TargetedHead
from mvssl.models.losses import SoftCrossEntropyLoss
from mvssl.models.measures import Scalars, mean_entropy, mean_scalars, measure_discrete
from mvssl.models.memory import EmbeddingQueue
from mvssl.models.precision import at_least_float32
from mvssl.models.prototypes import Prototypes
from mvssl.models.record import Embeddings, view_pairs
from mvssl.registry import ASSIGNERS, HEADS, build_part

__all__ = ["AssignmentHead", "DiscreteERHead"]


@HEADS.register_module()
class AssignmentHead(TargetedHead):
    """Cross-entropy of predictions with targets' assignments to prototypes (nats).

    With ``Centering`` and a neck that ends in prototypes this is DINO (Caron et al. 2021); with
    ``Sinkhorn`` and ``num_prototypes`` SwAV (Caron et al. 2020). Averaged over the pairs of
    :func:`view_pairs`. The objective's own ER terms are reported: see ``measure_discrete``.

    Logits are the record's where the neck ends in prototypes, so that the teacher has its own;
    else those of this head's prototypes, for predictions and targets alike.

    Args:
        assigner: a member of ASSIGNERS, target logits to distributions without gradient.
        student_temp: of the predictions' softmax.
        num_prototypes: m of this head's own prototypes, or of several sets, over which the loss is
            averaged; None where the neck ends in prototypes.
        queue_size: past embeddings of the first target that the assigner sees beside the batch; a
            multiple of the batch. One queue serves all target views, which are drawn alike.
        loss_weight: factor of the loss.
        gather: entropies of the mean over all processes; False: the mean of each process's own.
        target: a member of TARGETS; views by default.
        in_channels, num_logits, num_samples: filled in.

    Attributes:
        use_queue: whether the assigner is shown the queue; a schedule may start it later.
    """

    measures_information = True

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
        self.gather = gather
        self.use_queue = True
        self.needs_logits = num_prototypes is None
        self.prototypes: Prototypes | None = None
        sizes = [num_logits or 0]
        if num_prototypes is not None:
            sizes = [num_prototypes] if isinstance(num_prototypes, int) else [*num_prototypes]
            self.prototypes = Prototypes(in_channels or 0, sizes)
        elif queue_size or not self.target.keeps_logits:
            raise UserError(
                f"{type(self).__name__}: a queue, and targets that are no views, need prototypes "
                f"of the head's own: give num_prototypes."
            )
        # Without prototypes the model says what is missing; until then any number will do.
        known = max(sizes[0], 1)
        self.assigner: Assigner = build_part(ASSIGNERS, assigner, num_prototypes=known)
        if not isinstance(self.assigner, Assigner):
            raise UserError(
                f"{type(self).__name__}: {type(self.assigner).__name__} makes no distributions of "
                f"logits: give Sharpening, Centering, Sinkhorn, or one derived from "
                f"mvssl.models.assigners.Assigner."
            )
        self.crosses_samples = self.assigner.crosses_samples
        if len(sizes) > 1 and [*self.assigner.buffers()]:
            raise UserError(
                f"{type(self.assigner).__name__} keeps statistics of one set of prototypes, and "
                f"num_prototypes={sizes} are several: give one number."
            )
        if queue_size:
            self.queue = EmbeddingQueue(queue_size, in_channels or 0)

    def forward(self, record: Embeddings) -> dict[str, Tensor]:
        record = self.resolve(record)
        pairs = view_pairs(record)
        student, target = self._logits(record)
        past = self._past_logits()
        losses: list[Tensor] = []
        measured: list[Scalars] = []
        for logits, target_logits, extra in zip(student, target, past, strict=True):
            t = [self.assigner(x.detach(), extra) for x in target_logits]
            fits = [self.loss(logits[v], t[g]) for g, v in pairs]
            log_s = [F.log_softmax(x / self.loss.student_temp, dim=1) for x in logits]
            trained, scalars = self._entropy(log_s, pairs)
            losses.append(torch.stack(fits).mean() - trained)
            seen = [x.detach() for x in log_s]
            terms = measure_discrete(t, seen, pairs, self.gather, infonce=self.measuring)
            measured.append(scalars | terms)
        if self.training:
            self._remember(record, target)
        loss = self.loss_weight * torch.stack(losses).mean()
        return {"loss": loss, **mean_scalars(measured, loss.detach())}

    def _entropy(
        self, log_s: list[Tensor], pairs: list[tuple[int, int]]
    ) -> tuple[Tensor | float, Scalars]:
        """What is maximised beside the reconstruction, and its scalars: nothing here."""
        return 0.0, {}

    def _logits(self, record: Embeddings) -> tuple[list[list[Tensor]], list[list[Tensor]]]:
        """Of predictions and targets: for each set of prototypes a list over views."""
        if self.prototypes is None:
            assert record.logits is not None
            assert record.target_logits is not None
            return [record.logits], [record.target_logits]
        with torch.no_grad():
            target = self._compare(record.target)
        return self._compare(record.p), target

    def _compare(self, embeddings: list[Tensor]) -> list[list[Tensor]]:
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


@HEADS.register_module()
class DiscreteERHead(AssignmentHead):
    """ER on a discrete surrogate W of the target: a softmax over prototypes (nats).

    ``loss = -loss_weight * (beta * H(mean of s') + sum_w t(w) log s(w))``, averaged over the pairs
    of :func:`view_pairs`: s is the student's softmax at ``student_temp``, s' at ``entropy_temp``,
    t what the assigner makes of the target, without gradient. s' is as sharp as t, so that both
    terms are of one W. The entropy of s itself would reward soft rows that all name the same
    prototype: with m = 64 such a collapse is worth 2.1 nats, and here none.

    What is reported takes H and t from the same target, which makes ``mi_bound`` an estimate of
    I(Z1; W): ``entropy`` is the target's, ``entropy_trained`` the student's; the rest is
    ``measure_discrete``'s.

    Args:
        num_prototypes: m of this head's own prototypes, unit vectors that are compared by cosine,
            or of several sets, over which the loss is averaged; None where the neck ends in
            prototypes.
        student_temp: of s.
        assigner: of t. Its ``teacher_temp`` is smaller than ``student_temp``, since t carries no
            gradient: otherwise rows that are all uniform are a solution.
        entropy_weight: beta; 1 is the bound.
        entropy_temp: of s'; by default the assigner's ``teacher_temp``, or ``student_temp`` where
            it has none.
        loss_weight: factor of the loss.
        gather: H of the mean over all processes; False: the mean of each process's own H.
        target: a member of TARGETS; views by default.
        in_channels, num_logits, num_samples: filled in.
    """

    def __init__(
        self,
        num_prototypes: int | Sequence[int] | None = None,
        student_temp: float = 0.1,
        assigner: dict[str, Any] | None = None,
        entropy_weight: float = 1.0,
        entropy_temp: float | None = None,
        loss_weight: float = 1.0,
        gather: bool = True,
        target: dict[str, Any] | None = None,
        in_channels: int | None = None,
        num_logits: int | None = None,
        num_samples: int | None = None,
    ) -> None:
        super().__init__(
            assigner or {"type": "Sharpening", "teacher_temp": 0.05},
            student_temp,
            num_prototypes,
            loss_weight=loss_weight,
            gather=gather,
            target=target,
            in_channels=in_channels,
            num_logits=num_logits,
            num_samples=num_samples,
        )
        self.crosses_samples = True  # its entropy does
        self.entropy_weight = entropy_weight
        if entropy_temp is not None:
            check_positive("DiscreteERHead", entropy_temp=entropy_temp)
        self.entropy_temp = entropy_temp
        self._check_sharpness()

    def _check_sharpness(self) -> None:
        target_temp = getattr(self.assigner, "teacher_temp", 0.0)  # Sinkhorn has none
        if not target_temp < self.loss.student_temp:
            raise UserError(
                f"DiscreteERHead: the assigner's teacher_temp ({target_temp}) must be smaller than "
                f"student_temp ({self.loss.student_temp}): targets carry no gradient, so without "
                f"sharpening uniform rows are a solution."
            )

    def _entropy(
        self, log_s: list[Tensor], pairs: list[tuple[int, int]]
    ) -> tuple[Tensor | float, Scalars]:
        self._check_sharpness()  # a schedule may have raised it
        student_temp = self.loss.student_temp
        temp: Any = self.entropy_temp or getattr(self.assigner, "teacher_temp", student_temp)
        sharper = [F.softmax(x * (student_temp / temp), dim=1) for x in log_s]
        entropies = [mean_entropy(x, self.gather) for x in sharper]
        trained = torch.stack([entropies[v] for _, v in pairs]).mean()
        return self.entropy_weight * trained, {"entropy_trained": trained.detach()}
