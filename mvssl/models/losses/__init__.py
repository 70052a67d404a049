"""Losses: stateless functions of embeddings, ``loss(prediction, target)`` on (B, D) tensors.

None communicates: where ``crosses_samples`` is True, a head joins the processes' batches first.
"""

from mvssl.models.losses.contrastive import InfoNCELoss, NTXentLoss
from mvssl.models.losses.cosine import CosineSimilarityLoss
from mvssl.models.losses.cross_entropy import SoftCrossEntropyLoss
from mvssl.models.losses.redundancy import BarlowTwinsLoss, VICRegLoss
from mvssl.models.losses.sigreg import SIGRegLoss

__all__ = [
    "BarlowTwinsLoss",
    "CosineSimilarityLoss",
    "InfoNCELoss",
    "NTXentLoss",
    "SIGRegLoss",
    "SoftCrossEntropyLoss",
    "VICRegLoss",
]
