"""Losses: stateless functions of pairs of embeddings, of distributions, of one view or of all.

None communicates: where ``crosses_samples`` is True, a head joins the processes' batches first.
"""

from mvssl.models.losses.base import DistributionLoss, Loss, PairLoss, Regularizer, ViewsLoss
from mvssl.models.losses.contrastive import DCLLoss, InfoNCELoss, NTXentLoss
from mvssl.models.losses.cosine import CosineSimilarityLoss
from mvssl.models.losses.cross_entropy import SoftCrossEntropyLoss
from mvssl.models.losses.redundancy import BarlowTwinsLoss, VICRegLoss
from mvssl.models.losses.sigreg import SIGRegLoss
from mvssl.models.losses.spectrum import EMPSSLLoss, FroSSLLoss, MMCRLoss
from mvssl.models.losses.visreg import VISRegLoss

__all__ = [
    "BarlowTwinsLoss",
    "CosineSimilarityLoss",
    "DCLLoss",
    "DistributionLoss",
    "EMPSSLLoss",
    "FroSSLLoss",
    "InfoNCELoss",
    "Loss",
    "MMCRLoss",
    "NTXentLoss",
    "PairLoss",
    "Regularizer",
    "SIGRegLoss",
    "SoftCrossEntropyLoss",
    "VICRegLoss",
    "VISRegLoss",
    "ViewsLoss",
]
