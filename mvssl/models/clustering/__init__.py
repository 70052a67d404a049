"""Clusters of a data set's images: k-means over processes, and DeepCluster's heads on it."""

from mvssl.models.clustering.deepcluster import DeepClusterHead, DeepClusterV2Head
from mvssl.models.clustering.head import ClusteringHead
from mvssl.models.clustering.kmeans import Clusters, KMeans
from mvssl.models.clustering.whitening import whiten

__all__ = [
    "ClusteringHead",
    "Clusters",
    "DeepClusterHead",
    "DeepClusterV2Head",
    "KMeans",
    "whiten",
]
