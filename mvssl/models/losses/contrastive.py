"""Contrastive losses: tell the other view of an image from all other images.

Shape suffixes: k images of all processes, D embedding size.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from mvssl.arguments import Number, check_choice, check_temperature
from mvssl.models.losses.base import PairLoss, check_images
from mvssl.models.precision import at_least_float32, unit_vectors
from mvssl.registry import LOSSES

__all__ = ["DCLLoss", "InfoNCELoss", "NTXentLoss"]

ANCHORS = ("prediction", "target")


@LOSSES.register_module()
class InfoNCELoss(PairLoss):
    """``-log softmax_j(cos(a_i, c_j) / temperature)`` at j = i, averaged over the images (nats).

    The candidates c are those of the batch, k in all (van den Oord et al. 2018, arXiv
    1807.03748). Anchors that are predictions, and targets as candidates, make MoCo v3's loss
    (Chen et al. 2021, arXiv 2104.02057), whose factor 2 * temperature is left to the head's
    ``loss_weight``. Anchors that are targets, the neighbours of one view, and the other view's
    predictions as candidates make NNCLR's (Dwibedi et al. 2021, arXiv 2104.14548).

    Args:
        temperature: of the softmax.
        anchor: ``prediction`` or ``target``; the other one gives the candidates.
    """

    crosses_samples: ClassVar[bool] = True

    temperature = Number(check_temperature)

    def __init__(self, temperature: float = 0.2, anchor: str = "prediction") -> None:
        super().__init__()
        check_choice("InfoNCELoss", "anchor", anchor, ANCHORS)
        self.temperature = temperature
        self.anchor = anchor

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """(k, D) and (k, D) to a scalar."""
        prediction_kd = unit_vectors(prediction)
        target_kd = unit_vectors(target)
        logits_kk = prediction_kd @ target_kd.T / self.temperature
        if self.anchor == "target":
            logits_kk = logits_kk.T
        return F.cross_entropy(logits_kk, torch.arange(len(logits_kk), device=logits_kk.device))


@LOSSES.register_module()
class NTXentLoss(PairLoss):
    """SimCLR's normalised, temperature-scaled cross-entropy (Chen et al. 2020, arXiv 2002.05709).

    All 2k embeddings of the two views are anchors; each is shown its positive and 2k - 2
    negatives, those of its own view included (nats, averaged over the anchors). It is symmetric
    in its arguments, and 0 for a single image, which has no negatives.

    Args:
        temperature: of the softmax.
    """

    crosses_samples: ClassVar[bool] = True

    temperature = Number(check_temperature)

    def __init__(self, temperature: float = 0.5) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """(k, D) and (k, D) to a scalar."""
        logits = _both_views_logits(prediction, target, self.temperature)
        positive = torch.arange(len(logits), device=logits.device).roll(len(prediction))
        return F.cross_entropy(logits, positive)


@LOSSES.register_module()
class DCLLoss(PairLoss):
    """Decoupled contrastive learning (Yeh et al. 2021, arXiv 2110.06848): ``NTXentLoss`` without
    the positive in the denominator.

    ``-w_i cos(z_i, z_j) / temperature + log sum_l exp(cos(z_i, z_l) / temperature)`` over the
    2k - 2 negatives l of an anchor i with its positive j, averaged over the 2k anchors. A pair that
    is well matched then pulls no less than any other. w is 1 (DCL) or, with ``sigma``, ``2 -
    exp(s_i / sigma) / mean_n exp(s_n / sigma)``, s_n the cosine of the n-th image's two views
    (DCLW): greater for pairs that are far apart, and 1 on average. It is differentiated as all the
    rest, as in the authors' code.

    Args:
        temperature: of the cosines.
        sigma: of the weights, 0.5 in the paper; None: no weights.
    """

    crosses_samples: ClassVar[bool] = True

    temperature = Number(check_temperature)
    sigma = Number(check_temperature, optional=True)

    def __init__(self, temperature: float = 0.1, sigma: float | None = None) -> None:
        super().__init__()
        self.temperature = temperature
        self.sigma = sigma

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """(k, D) and (k, D) to a scalar.

        Raises:
            UserError: k is 1: there are no negatives.
        """
        check_images("DCLLoss", prediction)
        k = len(prediction)
        logits = _both_views_logits(prediction, target, self.temperature)
        positive_k = logits.diagonal(k)  # of the first view's anchors, and so of the second's
        of_one_image = torch.eye(k, dtype=torch.bool, device=logits.device).repeat(2, 2)
        negatives = logits.masked_fill(of_one_image, float("-inf")).logsumexp(dim=1)
        if self.sigma is not None:
            cosine_k = positive_k * self.temperature
            positive_k = positive_k * (2 - k * (cosine_k / self.sigma).softmax(dim=0))
        return negatives.mean() - positive_k.mean()


def _both_views_logits(prediction: Tensor, target: Tensor, temperature: float) -> Tensor:
    """Cosines over the temperature of the 2k embeddings with each other; with itself -inf."""
    both = unit_vectors(torch.cat([at_least_float32(prediction), at_least_float32(target)]))
    itself = torch.eye(len(both), dtype=torch.bool, device=both.device)
    return (both @ both.T / temperature).masked_fill(itself, float("-inf"))
