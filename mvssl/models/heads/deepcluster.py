"""DeepCluster and DeepCluster v2: classify images by clusters found once an epoch.

Shape suffixes: B images of this process's batch, n of its share of the data set, N of the data
set, D projection size, K clusters.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.metrics import normalized_mutual_info_score
from torch import Tensor, nn

from mvssl.distributed import gather_detached, gather_interleaved, rank, world_size
from mvssl.errors import UserError
from mvssl.information import conditional_entropy
from mvssl.models.arguments import check_count, check_positive
from mvssl.models.assigners import Clusters, KMeans, whiten
from mvssl.models.heads.base import Head
from mvssl.models.heads.measures import Scalars, as_tensors, measure_discrete
from mvssl.models.heads.memory import last_occurrence
from mvssl.models.record import Embeddings
from mvssl.registry import HEADS

__all__ = ["ClusteringHead", "DeepClusterHead", "DeepClusterV2Head"]

PCA_CHANNELS = 256
EPOCH_STRIDE = 1_000_003


class ClusteringHead(Head):
    """A head whose targets are clusters of the data set's images, found by ``ClusteringHook``.

    The cross-entropy of a view's prediction with its image's cluster is the reconstruction term of
    the ER estimate with that cluster as W, and clusters of equal weight make H(W) the largest
    that it can be; both are reported by ``measure_discrete`` (nats), and with them
    ``student_information``, the predictions' own H(W) - H(W|X).

    Attributes:
        interval: epochs between two clusterings.
        assignments: (sets, N) int64, the cluster of every image in each set of clusters.
        clustered: whether clusters have been found yet; until then assignments are arbitrary.
        balanced: whether an epoch draws images uniformly over clusters, rather than over images.
    """

    min_views = 1
    measures_information = True
    balanced: bool = False

    assignments: Tensor
    clustered: Tensor

    def __init__(
        self,
        num_clusters: Sequence[int],
        interval: int,
        iterations: int,
        seed: int,
        in_channels: int | None,
        num_samples: int | None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if num_samples is None or in_channels is None:
            raise UserError(f"{name}: num_samples and in_channels must be known; leave them out.")
        if not num_clusters:
            raise UserError(f"{name}: num_clusters is empty: give a number, or several.")
        for number in num_clusters:
            check_count(name, at_least=2, num_clusters=number)
        check_count(name, interval=interval, iterations=iterations)
        if max(num_clusters) > num_samples:
            raise UserError(
                f"{name}: more clusters ({max(num_clusters)}) than samples ({num_samples}): lower "
                f"model.head.num_clusters."
            )
        self.num_clusters = list(num_clusters)
        self.interval = interval
        self.iterations = iterations
        self.num_samples = num_samples
        self.seed = seed
        start = [torch.arange(num_samples) % number for number in num_clusters]
        self.register_buffer("assignments", torch.stack(start))
        self.register_buffer("clustered", torch.tensor(False))

    def is_due(self, epoch: int) -> bool:
        """Whether clusters are to be found before ``epoch``."""
        return epoch % self.interval == 0 or not bool(self.clustered)

    @property
    def wants_embeddings(self) -> bool:
        """Whether :meth:`cluster` needs the embeddings of all images now."""
        return True

    @property
    def renewed(self) -> list[nn.Parameter]:
        """Parameters that :meth:`cluster` draws anew, so that an optimiser must forget them."""
        return []

    @torch.no_grad()
    def cluster(self, epoch: int, share_nd: Tensor | None) -> dict[str, float]:
        """Find clusters for the coming epoch; every process calls this.

        Args:
            epoch: which clusters are drawn follows from it and ``seed``.
            share_nd: projections of images rank, rank + W, ... of the data set, where
                ``wants_embeddings``.

        Returns:
            Means over the sets: ``cluster_entropy`` H(W) over the data set and its cap (nats),
            ``cluster_inertia`` of an image, ``cluster_nmi`` with the former clusters (from the
            second time on).
        """
        found = self._find(epoch, share_nd)
        labels = torch.stack([gather_interleaved(x.labels, self.num_samples) for x in found])
        scalars = {
            "cluster_entropy": float(
                np.mean([_entropy(x, k) for x, k in zip(labels, self.num_clusters, strict=True)])
            ),
            "cluster_entropy_cap": float(np.mean(np.log(self.num_clusters))),
            "cluster_inertia": float(np.mean([x.inertia for x in found])) / self.num_samples,
        }
        if bool(self.clustered):
            pairs = zip(self.assignments.cpu().numpy(), labels.cpu().numpy(), strict=True)
            scores = [normalized_mutual_info_score(before, now) for before, now in pairs]
            scalars["cluster_nmi"] = float(np.mean(scores))
        self.assignments.copy_(labels)
        self.clustered.fill_(True)
        return scalars

    @abstractmethod
    def _find(self, epoch: int, share_nd: Tensor | None) -> list[Clusters]:
        """Clusters of each set, with labels of images rank, rank + W, ..."""

    def _kmeans(self, number: int, epoch: int, spherical: bool) -> KMeans:
        seed = (self.seed * EPOCH_STRIDE + epoch) * len(self.num_clusters) + number
        return KMeans(self.num_clusters[number], self.iterations, spherical, seed)

    def _judge(self, logits: list[list[Tensor]], index: Tensor) -> dict[str, Tensor]:
        """Loss and scalars of the logits, sets x V x (B, K)."""
        losses, measured = [], []
        for number, views in enumerate(logits):
            labels = self.assignments[number, index]
            losses += [F.cross_entropy(x, labels) for x in views]
            t = F.one_hot(labels, self.num_clusters[number]).to(views[0])
            log_s = [x.detach().log_softmax(dim=1) for x in views]
            pairs = [(0, v) for v in range(len(views))]
            scalars = measure_discrete([t], log_s, pairs)
            rows = [conditional_entropy(x.exp(), validate=False) for x in log_s]
            # Clusters are certain, so what is to be learned shows in the student's own rows.
            scalars["student_information"] = scalars["student_entropy"] - torch.stack(rows).mean()
            measured.append(scalars)
        loss = torch.stack(losses).mean()
        return {"loss": loss, **as_tensors(_mean(measured), loss.detach())}


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
        sets = [num_clusters] if isinstance(num_clusters, int) else list(num_clusters)
        super().__init__(sets, interval, iterations, seed, in_channels, num_samples)
        check_positive("DeepClusterV2Head", temperature=temperature)
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

    def forward(self, record: Embeddings) -> dict[str, Tensor]:
        views = [F.normalize(x, dim=1) for x in record.p]
        logits = [[x @ c.T / self.temperature for x in views] for c in self.centroids]
        outputs = self._judge(logits, record.index)
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

    def forward(self, record: Embeddings) -> dict[str, Tensor]:
        return self._judge([[self.classifier(F.relu(x)) for x in record.p]], record.index)

    def _find(self, epoch: int, share_nd: Tensor | None) -> list[Clusters]:
        assert share_nd is not None
        self._draw_classifier(epoch)
        rows = F.normalize(whiten(share_nd, PCA_CHANNELS), dim=1)
        return [self._kmeans(0, epoch, spherical=False).fit(rows)]


def _entropy(labels: Tensor, k: int) -> float:
    """H(W) of the labels of all images, in nats."""
    p = torch.bincount(labels, minlength=k).double() / len(labels)
    return float(torch.special.entr(p).sum())


def _mean(measured: list[Scalars]) -> Scalars:
    """Of each scalar over the sets."""
    return {
        name: sum(one[name] for one in measured) / len(measured)
        for name in measured[0]
        if all(name in one for one in measured)
    }
