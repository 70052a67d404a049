"""DeepCluster and DeepCluster v2: classify images by clusters found once in a while.

Shape suffixes: B images of this process's batch, n of its share of the data set, N of the data
set, D projection size, K clusters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mvssl.arguments import Number, check_count, check_temperature
from mvssl.distributed import gather_detached, gather_interleaved, rank, world_size
from mvssl.models.clustering.head import EPOCH_STRIDE, ClusteringHead
from mvssl.models.clustering.kmeans import Clusters
from mvssl.models.clustering.whitening import whiten
from mvssl.models.memory import last_occurrence
from mvssl.models.precision import unit_vectors
from mvssl.models.record import Embeddings
from mvssl.registry import HEADS

__all__ = ["DeepClusterHead", "DeepClusterV2Head"]

PCA_CHANNELS = 256


@HEADS.register_module()
class DeepClusterV2Head(ClusteringHead):
    """Cross-entropy of all views with their image's cluster; centroids are the prototypes
    (Caron et al. 2020, "Unsupervised learning of visual features by contrasting cluster
    assignments", appendix).

    ``loss = -log softmax(z_v . centroids / temperature)[cluster]``, averaged over sets of clusters
    and over all views: clusters belong to images, so the view that was clustered counts as well.
    A bank holds the normalised projections of each image's target views as they were when it was
    last seen; before each epoch it is clustered anew by spherical k-means, once for each set.
    Centroids are never trained.

    Args:
        num_clusters: K, or the K of several sets of clusters.
        temperature: of the softmax.
        interval: epochs between two clusterings; small data sets, whose epochs are short, need
            more, so that clusters can be learned before they change.
        iterations: of k-means.
        num_banks: target views that are remembered; sets of clusters take turns at them.
        seed: of k-means.
        in_channels: D, filled in by the model.
        num_samples: N, filled in from the data set.

    Raises:
        UserError: more clusters than samples, or a number out of its range.
    """

    bank: Tensor
    temperature = Number(check_temperature)

    def __init__(
        self,
        num_clusters: int | Sequence[int],
        temperature: float = 0.1,
        interval: int = 1,
        iterations: int = 10,
        num_banks: int = 2,
        seed: int = 0,
        in_channels: int | None = None,
        num_samples: int | None = None,
    ) -> None:
        given: Any = num_clusters
        sets: list[int] = [*given] if isinstance(given, list | tuple) else [given]
        super().__init__(sets, interval, iterations, seed, in_channels, num_samples)
        check_count("DeepClusterV2Head", num_banks=num_banks)
        assert in_channels is not None
        self.temperature = temperature
        banks = min(num_banks, len(sets))
        self.register_buffer("bank", torch.zeros(banks, self.num_samples, in_channels))
        generator = torch.Generator().manual_seed(seed)
        for number, k in enumerate(sets):
            start = F.normalize(torch.randn(k, in_channels, generator=generator), dim=1)
            self.register_buffer(f"centroids_{number}", start)

    @property
    def centroids(self) -> list[Tensor]:
        """(K, D) for each set, unit vectors."""
        return [self.get_buffer(f"centroids_{n}") for n in range(len(self.num_clusters))]

    @property
    def wants_embeddings(self) -> bool:
        return not bool(self.clustered)  # from then on the bank has them

    def compare(self, record: Embeddings) -> dict[str, Tensor]:
        views = [unit_vectors(x) for x in record.p]
        logits = [[x @ c.T / self.temperature for x in views] for c in self.centroids]
        outputs = self._classified(logits, record.index)
        if self.training:
            self._remember(record)
        return outputs

    @torch.no_grad()
    def _remember(self, record: Embeddings) -> None:
        index = gather_detached(record.index)
        targets = record.target[: len(self.bank)]
        rows = torch.stack([F.normalize(x.detach(), dim=1) for x in targets], dim=1)
        # Where an image comes up twice, both places get the last row, so that it does not matter
        # which one is written last.
        joined = gather_detached(rows)[last_occurrence(index)].to(self.bank.dtype)
        for number in range(len(self.bank)):
            self.bank[number, index] = joined[:, number % len(targets)]

    def _find(self, epoch: int, share_nd: Tensor | None) -> list[Clusters]:
        if share_nd is not None:
            rows = F.normalize(share_nd.to(self.bank), dim=1)
            self.bank.copy_(gather_interleaved(rows, self.num_samples).expand_as(self.bank))
        found = []
        for number, centroids in enumerate(self.centroids):
            share = self.bank[number % len(self.bank), rank() :: world_size()]
            found.append(self._kmeans(number, epoch, spherical=True).fit(share))
            centroids.copy_(found[-1].centroids)
        return found


@HEADS.register_module()
class DeepClusterHead(ClusteringHead):
    """A linear classifier of clusters, both new every epoch (Caron et al. 2018, "Deep clustering
    for unsupervised learning of visual features").

    Before each epoch the projections of all images are whitened by PCA, normalised and clustered
    by k-means; a classifier on relu(projection) is drawn anew, since numbers of clusters mean
    nothing from one epoch to the next. Images are drawn uniformly over clusters, without which one
    cluster could swallow all: that keeps H(W) of an epoch at its maximum.

    Args:
        num_clusters: K.
        interval: epochs between two clusterings; small data sets, whose epochs are short, need
            more, so that clusters can be learned before they change.
        iterations: of k-means.
        seed: of k-means and the classifier.
        in_channels: D, filled in by the model.
        num_samples: N, filled in from the data set.

    Raises:
        UserError: more clusters than samples, or a number out of its range.
    """

    balanced = True

    def __init__(
        self,
        num_clusters: int,
        interval: int = 1,
        iterations: int = 10,
        seed: int = 0,
        in_channels: int | None = None,
        num_samples: int | None = None,
    ) -> None:
        super().__init__([num_clusters], interval, iterations, seed, in_channels, num_samples)
        assert in_channels is not None
        self.classifier = nn.Linear(in_channels, num_clusters)
        self._draw_classifier(epoch=0)

    @property
    def renewed(self) -> list[nn.Parameter]:
        return list(self.classifier.parameters())

    @torch.no_grad()
    def _draw_classifier(self, epoch: int) -> None:
        generator = torch.Generator().manual_seed(self.seed * EPOCH_STRIDE + epoch)
        weight = self.classifier.weight
        weight.copy_(torch.randn(weight.shape, generator=generator) * 0.01)
        self.classifier.bias.zero_()

    def compare(self, record: Embeddings) -> dict[str, Tensor]:
        return self._classified([[self.classifier(F.relu(x)) for x in record.p]], record.index)

    def _find(self, epoch: int, share_nd: Tensor | None) -> list[Clusters]:
        assert share_nd is not None
        self._draw_classifier(epoch)
        rows = F.normalize(whiten(share_nd, PCA_CHANNELS), dim=1)
        return [self._kmeans(0, epoch, spherical=False).fit(rows)]
