"""Heads that compare with a memory: MoCo's queue, ReSSL's relations, a bank of instances.

Shape suffixes: B images of this process, D projection size, q queue, n candidates.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor

from mvssl.arguments import Number, check_count, check_temperature
from mvssl.errors import UserError
from mvssl.models.heads.base import Head
from mvssl.models.losses import SoftCrossEntropyLoss
from mvssl.models.memory import EmbeddingQueue, StepCount
from mvssl.models.precision import unit_vectors
from mvssl.models.record import Embeddings, view_pairs
from mvssl.models.targets import BankTargets
from mvssl.registry import HEADS

__all__ = ["InstanceHead", "MoCoHead", "RelationHead"]


class _QueueHead(Head):
    """A head whose candidates are a queue of past targets."""

    def __init__(self, queue_size: int, in_channels: int) -> None:
        super().__init__()
        self.queue = EmbeddingQueue(queue_size, in_channels)

    def compare(self, record: Embeddings) -> dict[str, Tensor]:
        p = [unit_vectors(x) for x in record.p]
        target = [F.normalize(x.detach(), dim=1) for x in record.target]
        past_qd = self.queue.read().to(p[0].dtype)
        losses = [self._pair_loss(p[v], target[g], past_qd) for g, v in view_pairs(record)]
        if self.training:
            self.queue.push(target[0])
        return {"loss": torch.stack(losses).mean()}

    @abstractmethod
    def _pair_loss(self, p_bd: Tensor, target_bd: Tensor, past_qd: Tensor) -> Tensor:
        """The loss of a pair's unit vectors, given the queue's."""


@HEADS.register_module()
class MoCoHead(_QueueHead):
    """InfoNCE whose negatives are a queue of past targets alone (He et al. 2020, MoCo v2).

    ``-log(exp(p.t / T) / (exp(p.t / T) + sum_q exp(p.q / T)))``, T the temperature; 0 at the first
    step, when the queue is empty.

    Args:
        queue_size: past targets of the first view; a multiple of the batch.
        temperature: T.
        in_channels: D, filled in by the model.
    """

    temperature = Number(check_temperature)

    def __init__(self, queue_size: int, in_channels: int, temperature: float = 0.2) -> None:
        super().__init__(queue_size, in_channels)
        self.temperature = temperature

    def _pair_loss(self, p_bd: Tensor, target_bd: Tensor, past_qd: Tensor) -> Tensor:
        own_b1 = (p_bd * target_bd).sum(dim=1, keepdim=True)
        logits = torch.cat([own_b1, p_bd @ past_qd.T], dim=1) / self.temperature
        return -logits.log_softmax(dim=1)[:, 0].mean()


@HEADS.register_module()
class RelationHead(_QueueHead):
    """ReSSL (Zheng et al. 2021): a strongly augmented view relates to past embeddings as the
    teacher's weakly augmented one does.

    Cross-entropy of the student's softmax over cosines with the queue, at ``student_temp``, with
    the teacher's at ``teacher_temp``; 0 at the first step, when the queue is empty.

    Args:
        queue_size: past targets of the first view; a multiple of the batch.
        student_temp: of the predictions.
        teacher_temp: of the targets, smaller than ``student_temp``.
        in_channels: D, filled in by the model.
    """

    teacher_temp = Number(check_temperature)

    def __init__(
        self,
        queue_size: int,
        in_channels: int,
        student_temp: float = 0.1,
        teacher_temp: float = 0.04,
    ) -> None:
        super().__init__(queue_size, in_channels)
        self.teacher_temp = teacher_temp
        self.loss = SoftCrossEntropyLoss(student_temp)
        self.check_numbers()

    def check_numbers(self) -> None:
        teacher_temp, student_temp = self.teacher_temp, self.loss.student_temp
        if not teacher_temp < student_temp:
            raise UserError(
                f"RelationHead: teacher_temp ({teacher_temp}) must be smaller than student_temp "
                f"({student_temp}): targets carry no gradient, so they have to be the sharper ones."
            )

    def _pair_loss(self, p_bd: Tensor, target_bd: Tensor, past_qd: Tensor) -> Tensor:
        if len(past_qd) == 0:
            return p_bd.sum() * 0.0
        self.check_numbers()  # a schedule may have brought the two past each other
        relations_bq = F.softmax(target_bd @ past_qd.T / self.teacher_temp, dim=1)
        loss: Tensor = self.loss(p_bd @ past_qd.T, relations_bq)
        return loss


@HEADS.register_module()
class InstanceHead(Head):
    """Instance recognition (Wu et al. 2018): every image is a class, whose weight is its entry in
    a memory bank.

    ``-log(exp(z.b_i / T) / sum_j exp(z.b_j / T))`` over the bank (the paper's equation 2), or over
    the image's entry and ``num_negatives`` others that are drawn at each step. The paper
    approximates the same sum by noise-contrastive estimation with a proximal term; a softmax over
    drawn candidates needs neither the constant nor the term.

    Args:
        temperature: T.
        momentum: the fraction of a bank's entry that is kept when its image is seen.
        num_negatives: candidates drawn from the bank, the same for the whole batch; None: all.
        num_samples: N, filled in from the data set.
        in_channels: D, filled in by the model.
    """

    min_views = 1
    temperature = Number(check_temperature)

    def __init__(
        self,
        temperature: float = 0.07,
        momentum: float = 0.5,
        num_negatives: int | None = None,
        num_samples: int | None = None,
        in_channels: int | None = None,
    ) -> None:
        super().__init__()
        if num_negatives is not None:
            check_count("InstanceHead", num_negatives=num_negatives)
        self.target = BankTargets(momentum, num_samples, in_channels)
        self.temperature = temperature
        self.num_negatives = num_negatives
        self.drawn = StepCount()

    def resolve(self, record: Embeddings) -> Embeddings:
        return self.target(record)

    def compare(self, record: Embeddings) -> dict[str, Tensor]:
        bank = self.target.bank
        candidates_n = self._candidates(record.index.device)
        entries_nd = bank.read(candidates_n).to(record.p[0].dtype)
        own_bd = bank.read(record.index).to(record.p[0].dtype)
        others = candidates_n[None, :] != record.index[:, None]
        losses = []
        for p in record.p:
            unit_bd = unit_vectors(p)
            own_b1 = (unit_bd * own_bd).sum(dim=1, keepdim=True)
            other_bn = (unit_bd @ entries_nd.T).masked_fill(~others, -torch.inf)
            logits = torch.cat([own_b1, other_bn], dim=1) / self.temperature
            losses.append(-logits.log_softmax(dim=1)[:, 0].mean())
        if self.training:
            self.drawn.add()
            self.target.update(record)
        return {"loss": torch.stack(losses).mean()}

    def _candidates(self, device: torch.device) -> Tensor:
        """Numbers (n,) of the images to compare with, equal on all processes."""
        size = len(self.target.bank.data)
        if self.num_negatives is None or self.num_negatives >= size:
            return torch.arange(size, device=device)
        generator = torch.Generator().manual_seed(self.drawn.count)
        drawn = torch.randint(size, (self.num_negatives,), generator=generator)
        return drawn.to(device, non_blocking=True)
