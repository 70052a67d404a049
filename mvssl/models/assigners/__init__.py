"""Assigners: target logits (B, K) to target distributions over prototypes, without gradient."""

from mvssl.models.assigners.base import Assigner
from mvssl.models.assigners.kmeans import Clusters, KMeans
from mvssl.models.assigners.sinkhorn import Sinkhorn
from mvssl.models.assigners.softmax import Centering, Sharpening
from mvssl.models.assigners.whitening import whiten

__all__ = ["Assigner", "Centering", "Clusters", "KMeans", "Sharpening", "Sinkhorn", "whiten"]
