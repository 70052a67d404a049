"""Losses: stateless functions of pairs of embeddings, of distributions, or of one view.

None communicates: where ``crosses_samples`` is True, a head joins the processes' batches first.
"""

from mvssl.models.losses.base import DistributionLoss, Loss, PairLoss, Regularizer
from mvssl.models.losses.contrastive import InfoNCELoss, NTXentLoss
from mvssl.models.losses.cosine import CosineSimilarityLoss
from mvssl.models.losses.cross_entropy import SoftCrossEntropyLoss
from mvssl.models.losses.redundancy import BarlowTwinsLoss, VICRegLoss
from mvssl.models.losses.sigreg import SIGRegLoss

__all__ = [
    "BarlowTwinsLoss",
    "CosineSimilarityLoss",
    "DistributionLoss",
    "InfoNCELoss",
    "Loss",
    "NTXentLoss",
    "PairLoss",
    "Regularizer",
    "SIGRegLoss",
    "SoftCrossEntropyLoss",
    "VICRegLoss",
]
