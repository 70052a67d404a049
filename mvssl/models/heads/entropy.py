"""The entropy term of ER, as a part that a head has: on the sphere, or over prototypes."""

from __future__ import annotations

from typing import get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mvssl.arguments import Number, check_choice, check_count, check_not_negative, check_temperature
from mvssl.distributed import gather, world_size
from mvssl.errors import UserError
from mvssl.information import Estimator, VonMisesFisher, entropy
from mvssl.models.heads.groups import Groups
from mvssl.models.losses.base import check_images
from mvssl.models.measures import mean_entropy
from mvssl.models.memory import EmbeddingQueue
from mvssl.models.precision import at_least_float32
from mvssl.models.record import Embeddings

__all__ = ["PrototypeEntropy", "SphereEntropy"]

OUTPUTS = ("prediction", "projection")


class SphereEntropy(nn.Module):
    """H of embeddings on the sphere, a kernel density estimate over batch and queue (nats).

    Args:
        owner: name of the head, for errors.
        kernel: the density.
        estimator: ``joe``, ``plugin`` or ``loo`` (leave-one-out).
        weight: beta, the factor of the term.
        output: whose entropy it is: ``prediction`` (the projection where there is no predictor) or
            ``projection``.
        queue_size: past embeddings that widen the density, without gradient; 0 for none.
        in_channels: D; a queue needs it.
        group: embeddings of a group over which it is taken, see :class:`Groups`.

    Raises:
        UserError: a word or a number is none of these.
    """

    weight = Number(check_not_negative)

    def __init__(
        self,
        owner: str,
        kernel: VonMisesFisher,
        estimator: Estimator,
        weight: float,
        output: str,
        queue_size: int,
        in_channels: int | None,
        group: int | None = None,
    ) -> None:
        super().__init__()
        check_choice(owner, "estimator", estimator, get_args(Estimator))
        check_choice(owner, "entropy_on", output, OUTPUTS)
        check_count(owner, at_least=0, queue_size=queue_size)
        check_not_negative(owner, entropy_weight=weight)
        if queue_size and in_channels is None:
            raise UserError(f"{owner}: queue_size needs in_channels, the size of an embedding.")
        self.owner = owner
        self.kernel = kernel
        self.estimator: Estimator = estimator
        self.weight = weight
        self.output = output
        self.groups = Groups(owner, group, least=2)
        self.queue = EmbeddingQueue(queue_size, in_channels or 0) if queue_size else None

    def outputs_of(self, record: Embeddings) -> list[Tensor]:
        """V x (B, D): that whose entropy it is."""
        return record.p if self.output == "prediction" else record.z

    def forward(self, units: list[Tensor], pairs: list[tuple[int, int]]) -> Tensor:
        """The mean over ``pairs`` (g, v) of H of view v, from V x (k, D) unit vectors; a scalar.

        Without the kernel's log C, a constant that swamps float32 at large D.
        """
        past = self.queue.read() if self.queue is not None else None
        entropies = [self._of(x, past) for x in units]
        return torch.stack([entropies[v] for _, v in pairs]).mean()

    def _of(self, unit_kd: Tensor, past: Tensor | None) -> Tensor:
        if self.estimator == "loo" and past is None:
            check_images(self.owner, unit_kd)
        parts = [
            entropy(x, self.kernel, self.estimator, past, normalized=False, validate=False)
            for x in self.groups.of(unit_kd)
        ]
        return parts[0] if len(parts) == 1 else torch.stack(parts).mean()

    def remember(self, record: Embeddings) -> None:
        """Push the first view's embeddings, after the loss of a training step."""
        if self.queue is not None:
            first = self.outputs_of(record)[0]
            self.queue.push(F.normalize(at_least_float32(first), dim=1))


class PrototypeEntropy:
    """H of the mean prediction over prototypes, sharpened (nats).

    Args:
        owner: name of the head, for errors.
        weight: beta, the factor of the term.
        temperature: of the softmax whose mean is taken; None where the head finds one.
        gather: of the mean over all processes; False: the mean of each process's own H.
        group: rows of a group over which it is taken, see :class:`Groups`.
    """

    weight = Number(check_not_negative)
    temperature = Number(check_temperature, optional=True)

    def __init__(
        self,
        owner: str,
        weight: float,
        temperature: float | None,
        gather: bool,
        group: int | None = None,
    ) -> None:
        check_not_negative(owner, entropy_weight=weight)
        if temperature is not None:
            check_temperature(owner, entropy_temp=temperature)
        self.weight = weight
        self.temperature = temperature
        self.gather = gather
        self.groups = Groups(owner, group, least=2)

    def of(
        self, log_s: list[Tensor], pairs: list[tuple[int, int]], student_temp: float, temp: float
    ) -> Tensor:
        """The mean over ``pairs`` (g, v) of H of view v, a scalar, from the log-probabilities
        V x (B, m) at ``student_temp``, sharpened to ``temp``.
        """
        sharper = [F.softmax(x * (student_temp / temp), dim=1) for x in log_s]
        entropies = [self._mean_entropy(x) for x in sharper]
        return torch.stack([entropies[v] for _, v in pairs]).mean()

    def _mean_entropy(self, probs_bm: Tensor) -> Tensor:
        if self.groups.size is None:
            return mean_entropy(probs_bm, self.gather)
        # A group may lie on two processes.
        rows = gather(probs_bm) if self.gather and world_size() > 1 else probs_bm
        return torch.stack([mean_entropy(x, gather=False) for x in self.groups.of(rows)]).mean()
