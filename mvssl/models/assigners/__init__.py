"""Assigners: target logits (B, K) to target distributions over prototypes."""

from mvssl.models.assigners.base import Assigner
from mvssl.models.assigners.sinkhorn import Sinkhorn
from mvssl.models.assigners.softmax import Centering, Sharpening

__all__ = ["Assigner", "Centering", "Sharpening", "Sinkhorn"]
