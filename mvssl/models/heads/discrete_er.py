"""ER on prototypes: the entropy and the reconstruction of a discrete surrogate of the target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from mvssl.errors import UserError
from mvssl.models.heads.entropy import PrototypeEntropy
from mvssl.models.heads.prototype import PrototypeHead
from mvssl.models.measures import Scalars
from mvssl.registry import HEADS

__all__ = ["DiscreteERHead"]


@HEADS.register_module()
class DiscreteERHead(PrototypeHead):
    """ER on a discrete surrogate W of the target: a softmax over prototypes (nats).

    ``loss = -loss_weight * (beta * H(mean of s') + sum_w t(w) log s(w))``, averaged over the pairs
    of :func:`view_pairs`: s is the student's softmax at ``student_temp``, s' at ``entropy_temp``,
    t what the assigner makes of the target. s' is as sharp as t, so that both
    terms are of one W. The entropy of s itself would reward soft rows that all name the same
    prototype: with m = 64 such a collapse is worth 2.1 nats, and here none.

    With ``target=dict(type='ViewTargets', stop_gradient=False)``, ``entropy_temp`` and the
    assigner's ``teacher_temp`` at ``student_temp``, and ``gather=False`` it is the objective of the
    paper's code: one softmax for both terms, each process's own batch, both sides trained.

    What is reported takes H and t from the same target, which makes ``mi_bound`` an estimate of
    I(Z1; W): ``entropy`` is the target's, ``entropy_trained`` the student's; the rest is
    ``measure_discrete``'s.

    Args:
        num_prototypes: m of this head's own prototypes, unit vectors that are compared by cosine,
            or of several sets, over which the loss is averaged; None where the neck ends in
            prototypes.
        student_temp: of s.
        assigner: of t. Its ``teacher_temp`` is smaller than ``student_temp`` where t carries no
            gradient: otherwise rows that are all uniform are a solution.
        entropy_weight: beta; 1 is the bound.
        entropy_temp: of s'; by default the assigner's ``teacher_temp``, or ``student_temp`` where
            it has none.
        entropy_group: rows over whose mean H is taken: the mean over groups of so many of the
            batch, which keeps the estimate's k where the batch changes. It divides the batch;
            None: all of it is one group.
        loss_weight: factor of the loss.
        gather: H of the mean over all processes; False: the mean of each process's own H.
        target: a member of TARGETS; views without gradient by default.
        in_channels, num_logits, num_samples: filled in.
    """

    def __init__(
        self,
        num_prototypes: int | Sequence[int] | None = None,
        student_temp: float = 0.1,
        assigner: dict[str, Any] | None = None,
        entropy_weight: float = 1.0,
        entropy_temp: float | None = None,
        entropy_group: int | None = None,
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
            queue_size=0,
            loss_weight=loss_weight,
            gather=gather,
            target=target,
            in_channels=in_channels,
            num_logits=num_logits,
            num_samples=num_samples,
        )
        self.crosses_samples = True  # its entropy does
        self.joins_processes = gather
        self.entropy = PrototypeEntropy(
            "DiscreteERHead", entropy_weight, entropy_temp, gather, entropy_group
        )
        self.check_numbers()

    def check_batch(self, batch_size: int) -> None:
        super().check_batch(batch_size)
        self.entropy.groups.check_batch(batch_size, self.gather)

    def check_numbers(self) -> None:
        target_temp = self.assigner.temperature
        sharper = target_temp is None or target_temp < self.loss.student_temp
        if not self.trains_targets and not sharper:
            raise UserError(
                f"DiscreteERHead: the assigner's teacher_temp ({target_temp}) must be smaller than "
                f"student_temp ({self.loss.student_temp}): targets carry no gradient, so without "
                f"sharpening uniform rows are a solution."
            )

    def _objective(
        self, cross_entropy: Tensor, logits: list[Tensor], pairs: list[tuple[int, int]]
    ) -> tuple[Tensor, Scalars]:
        self.check_numbers()  # a schedule may have raised it
        log_s = self._log_probabilities(logits)
        student_temp = self.loss.student_temp
        temps = (self.entropy.temperature, self.assigner.temperature, student_temp)
        temp = next(one for one in temps if one is not None)
        trained = self.entropy.of(log_s, pairs, student_temp, temp)
        return cross_entropy - self.entropy.weight * trained, {"entropy_trained": trained.detach()}
