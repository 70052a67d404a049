"""ER, the entropy + reconstruction bound on mutual information, as the objective on the sphere."""

from __future__ import annotations

from typing import Any, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from mvssl.arguments import check_choice
from mvssl.errors import UserError
from mvssl.information import Estimator, VonMisesFisher, entropy, reconstruction
from mvssl.models.heads.base import TargetedHead, gather_views
from mvssl.models.measures import as_tensors, measure
from mvssl.models.memory import EmbeddingQueue
from mvssl.models.precision import at_least_float32
from mvssl.models.record import Embeddings, view_pairs
from mvssl.registry import HEADS

__all__ = ["ERHead"]

OUTPUTS = ("prediction", "projection")


@HEADS.register_module()
class ERHead(TargetedHead):
    """Maximises ``beta * H + E[log q]`` of predictions and targets (nats), on the sphere.

    ``loss = -loss_weight * (beta * H(prediction) + E[log q(target | prediction)])``, averaged over
    the pairs of :func:`view_pairs`, q von Mises-Fisher (Rodríguez-Gálvez et al. 2023). The density
    is symmetric, so the trained value is the ER estimate with the student's output as Z2 and the
    target as its centre; the entropy that carries the gradient is reported as
    ``entropy_trained``. log C cancels at beta = 1 and is constant otherwise, so the loss leaves it
    out.

    Args:
        kappa: concentration, 1 / temperature of the native method.
        estimator: of the entropy: ``joe``, ``plugin`` or ``loo`` (leave-one-out).
        entropy_weight: beta; 1 is the bound.
        loss_weight: factor of the loss. 1 / kappa makes the reconstruction's gradient that of
            ``CosineSimilarityLoss`` up to a factor 2; it matters to optimisers that are not
            scale-free.
        entropy_on: ``prediction`` (the projection where there is no predictor) or ``projection``.
        queue_size: past embeddings that widen the entropy's density, without gradient; a
            multiple of the batch, 0 for none. Of the first view, pushed after the loss.
        gather: take the entropy over the joined batch of all processes, so that the gradient is
            that of one process with that batch. False: each process over its own images.
        target: a member of TARGETS, what the native method compares with; views without gradient
            by default, ``dict(type='ViewTargets', stop_gradient=False)`` where it trains both
            sides.
        in_channels: D, filled in by the model; a queue needs it.
        num_samples: images of the data set, filled in.
    """

    measures_information = True
    crosses_samples = True

    def __init__(
        self,
        kappa: float = 10.0,
        estimator: Estimator = "joe",
        entropy_weight: float = 1.0,
        loss_weight: float = 1.0,
        entropy_on: str = "prediction",
        queue_size: int = 0,
        gather: bool = True,
        target: dict[str, Any] | None = None,
        in_channels: int | None = None,
        num_samples: int | None = None,
    ) -> None:
        super().__init__(target, in_channels, num_samples)
        try:
            self.kernel = VonMisesFisher(kappa)
        except ValueError as error:
            raise UserError(f"ERHead: {error}") from error
        check_choice("ERHead", "estimator", estimator, get_args(Estimator))
        check_choice("ERHead", "entropy_on", entropy_on, OUTPUTS)
        if queue_size < 0:
            raise UserError(f"ERHead: queue_size is at least 0, got {queue_size}.")
        if queue_size and in_channels is None:
            raise UserError("ERHead: queue_size needs in_channels, the size of an embedding.")
        self.estimator = estimator
        self.entropy_weight = entropy_weight
        self.loss_weight = loss_weight
        self.entropy_on = entropy_on
        self.gather = gather
        if queue_size:
            self.queue = EmbeddingQueue(queue_size, in_channels or 0)

    def forward(self, record: Embeddings) -> dict[str, Tensor]:
        record = self.resolve(record)
        predictions, targets = self._joined(record.p), self._joined(record.target)
        carriers = predictions if self.entropy_on == "prediction" else self._joined(record.z)
        past = self.queue.read() if self.queue is not None else None
        # Without log C, which cancels (beta = 1) or is constant, and swamps float32 at large D.
        entropies = [
            entropy(x, self.kernel, self.estimator, past, normalized=False, validate=False)
            for x in carriers
        ]
        pairs = view_pairs(record)
        fits = [
            reconstruction(
                targets[g], predictions[v], self.kernel, normalized=False, validate=False
            )
            for g, v in pairs
        ]
        trained = torch.stack([entropies[v] for _, v in pairs]).mean()
        objective = self.entropy_weight * trained + torch.stack(fits).mean()
        log_normalizer = float(self.kernel.log_normalizer(predictions[0].shape[1]))
        if self.training:
            self.target.update(record)
            if self.queue is not None:
                own = record.p if self.entropy_on == "prediction" else record.z
                self.queue.push(F.normalize(at_least_float32(own[0]), dim=1))
        return {
            "loss": -self.loss_weight * objective,
            "entropy_trained": trained.detach() - log_normalizer,
            **as_tensors(measure(record, self.kernel), objective),
        }

    def _joined(self, embeddings: list[Tensor]) -> list[Tensor]:
        """Normalised, in float32 also under autocast, and joined over processes."""
        parts = [F.normalize(at_least_float32(x), dim=1) for x in embeddings]
        return gather_views(parts) if self.gather else parts
