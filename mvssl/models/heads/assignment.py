"""The head of DINO and SwAV: predict a target's assignment to prototypes."""

from __future__ import annotations

from torch import Tensor

from mvssl.models.heads.prototype import PrototypeHead
from mvssl.models.measures import Scalars
from mvssl.registry import HEADS

__all__ = ["AssignmentHead"]


@HEADS.register_module()
class AssignmentHead(PrototypeHead):
    """Cross-entropy of predictions with targets' assignments to prototypes (nats).

    With ``Centering`` and a neck that ends in prototypes this is DINO (Caron et al. 2021); with
    ``Sinkhorn`` and ``num_prototypes`` SwAV (Caron et al. 2020). Averaged over the pairs of
    :func:`view_pairs`. The objective's own ER terms are reported: see ``measure_discrete``.

    Logits are the record's where the neck ends in prototypes, so that the teacher has its own;
    else those of this head's prototypes, for predictions and targets alike.

    Args:
        assigner: a member of ASSIGNERS, target logits to distributions.
        student_temp: of the predictions' softmax.
        num_prototypes: m of this head's own prototypes, or of several sets, over which the loss is
            averaged; None where the neck ends in prototypes.
        queue_size: past embeddings of the first target that the assigner sees beside the batch; a
            multiple of the batch. One queue serves all target views, which are drawn alike.
        loss_weight: factor of the loss.
        gather: entropies of the mean over all processes; False: the mean of each process's own.
        target: a member of TARGETS; views by default.
        in_channels, num_logits, num_samples: filled in.
    """

    def _objective(
        self, cross_entropy: Tensor, logits: list[Tensor], pairs: list[tuple[int, int]]
    ) -> tuple[Tensor, Scalars]:
        return cross_entropy, {}
