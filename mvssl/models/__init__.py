"""Models: one algorithm class, and the parts from which configs compose every method."""

from mvssl.models import assigners, backbones, clustering, heads, losses, necks, targets
from mvssl.models.multiview import MultiView
from mvssl.models.record import Embeddings, view_pairs
from mvssl.models.teacher import EMATeacher

__all__ = [
    "EMATeacher",
    "Embeddings",
    "MultiView",
    "assigners",
    "backbones",
    "clustering",
    "heads",
    "losses",
    "necks",
    "targets",
    "view_pairs",
]
