"""Models: one algorithm class, and the parts from which configs compose every method."""

from mvssl.models import assigners, backbones, heads, losses, necks
from mvssl.models.multiview import MultiView
from mvssl.models.preprocessor import MultiViewPreprocessor
from mvssl.models.record import Embeddings
from mvssl.models.teacher import EMATeacher

__all__ = [
    "EMATeacher",
    "Embeddings",
    "MultiView",
    "MultiViewPreprocessor",
    "assigners",
    "backbones",
    "heads",
    "losses",
    "necks",
]
