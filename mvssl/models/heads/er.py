"""ER, the entropy + reconstruction bound on mutual information, as the objective on the sphere."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mvssl.arguments import Number, check_positive, check_temperature
from mvssl.errors import UserError
from mvssl.information import Estimator, VonMisesFisher, reconstruction
from mvssl.models.heads.base import TargetedHead, gather_views
from mvssl.models.heads.entropy import SphereEntropy
from mvssl.models.measures import as_tensors, measure
from mvssl.models.precision import unit_vectors
from mvssl.models.record import Embeddings, view_pairs
from mvssl.registry import HEADS

__all__ = ["ERHead"]


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
        entropy_group: embeddings over which the entropy is taken: the mean over groups of so many
            of the batch, which keeps the estimate's k where the batch changes. It divides the
            batch; None: all of it is one group.
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
    loss_weight = Number(check_positive)

    def __init__(
        self,
        kappa: float = 10.0,
        estimator: Estimator = "joe",
        entropy_weight: float = 1.0,
        loss_weight: float = 1.0,
        entropy_on: str = "prediction",
        queue_size: int = 0,
        entropy_group: int | None = None,
        gather: bool = True,
        target: dict[str, Any] | None = None,
        in_channels: int | None = None,
        num_samples: int | None = None,
    ) -> None:
        super().__init__(target, in_channels, num_samples)
        check_temperature("ERHead", kappa=kappa)
        if in_channels == 1:
            raise UserError(
                "ERHead: on a sphere of one dimension there are two points: give the neck "
                "out_channels of 2 or more."
            )
        self.kernel = VonMisesFisher(kappa)
        self.entropy = SphereEntropy(
            "ERHead",
            self.kernel,
            estimator,
            entropy_weight,
            entropy_on,
            queue_size,
            in_channels,
            entropy_group,
        )
        self.loss_weight = loss_weight
        self.gather = gather
        self.joins_processes = gather

    def check_batch(self, batch_size: int) -> None:
        super().check_batch(batch_size)
        self.entropy.groups.check_batch(batch_size, self.gather)

    def compare(self, record: Embeddings) -> dict[str, Tensor]:
        predictions, targets = self._joined(record.p), self._joined(record.target)
        carriers = self.entropy.outputs_of(record)
        units = predictions if carriers is record.p else self._joined(carriers)
        pairs = view_pairs(record)
        trained = self.entropy(units, pairs)
        # Without log C, which cancels (beta = 1) or is constant, and swamps float32 at large D.
        fits = [
            reconstruction(
                targets[g], predictions[v], self.kernel, normalized=False, validate=False
            )
            for g, v in pairs
        ]
        objective = self.entropy.weight * trained + torch.stack(fits).mean()
        if self.training:
            self.target.update(record)
            self.entropy.remember(record)
        log_normalizer = float(self.kernel.log_normalizer(predictions[0].shape[1]))
        return {
            "loss": -self.loss_weight * objective,
            "entropy_trained": trained.detach() - log_normalizer,
            **(as_tensors(measure(record, self.kernel), objective) if self.measuring else {}),
        }

    def _joined(self, embeddings: list[Tensor]) -> list[Tensor]:
        """Normalised, in float32 also under autocast, and joined over processes."""
        parts = [unit_vectors(x) for x in embeddings]
        return gather_views(parts) if self.gather else parts
