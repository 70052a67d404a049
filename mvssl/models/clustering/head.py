"""What DeepCluster's heads share: clusters of all images, found once in a while, as targets.

Shape suffixes: B images of this process's batch, n of its share of the data set, N of the data
set, D projection size, K clusters.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.metrics import normalized_mutual_info_score
from torch import Tensor, nn

from mvssl.arguments import check_count, check_seed
from mvssl.distributed import gather_interleaved
from mvssl.errors import UserError
from mvssl.information import conditional_entropy, discrete_entropy
from mvssl.models.clustering.kmeans import Clusters, KMeans
from mvssl.models.heads.base import Head
from mvssl.models.measures import Scalars, mean_scalars, measure_discrete

__all__ = ["EPOCH_STRIDE", "ClusteringHead"]

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
    keyed_by_image: ClassVar[bool] = True
    balanced: bool = False
    needed_hooks: ClassVar[Mapping[str, str]] = {
        "ClusteringHook": "the clusters of model.head are found by ClusteringHook, and there is "
        "none among the hooks: add default_hooks = dict(clustering=dict(type='ClusteringHook'))."
    }

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
        check_seed(name, seed=seed)
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

    def _classified(self, logits: list[list[Tensor]], index: Tensor) -> dict[str, Tensor]:
        """Loss and scalars of the logits, sets x V x (B, K), against the images' clusters."""
        losses: list[Tensor] = []
        measured: list[Scalars] = []
        for number, views in enumerate(logits):
            labels = self.assignments[number, index]
            losses += [F.cross_entropy(x, labels) for x in views]
            if self.measuring:
                t = F.one_hot(labels, self.num_clusters[number]).to(views[0])
                measured.append(_measure(t, [x.detach().log_softmax(dim=1) for x in views]))
        loss = torch.stack(losses).mean()
        return {"loss": loss, **(mean_scalars(measured, loss.detach()) if measured else {})}


def _measure(t_bk: Tensor, log_s: list[Tensor]) -> Scalars:
    """The terms of the objective for one set of clusters."""
    scalars = measure_discrete([t_bk], log_s, [(0, v) for v in range(len(log_s))])
    rows = [conditional_entropy(x.exp(), validate=False) for x in log_s]
    # Clusters are certain, so what is to be learned shows in the student's own rows.
    scalars["student_information"] = scalars["student_entropy"] - torch.stack(rows).mean()
    return scalars


def _entropy(labels: Tensor, k: int) -> float:
    """H(W) of the labels of all images, in nats."""
    shares_1k = torch.bincount(labels, minlength=k).double()[None] / len(labels)
    return float(discrete_entropy(shares_1k, validate=False))
