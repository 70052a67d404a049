"""k-means over the samples of all processes, in chunks, on the device where they lie.

Shape suffixes: n samples of this process, c samples of a chunk, K clusters, D channels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mvssl.arguments import check_count, check_not_negative
from mvssl.distributed import (
    all_gather_object,
    all_reduce_sum,
    broadcast_,
    gather_detached,
    rank,
)
from mvssl.errors import UserError
from mvssl.models.precision import at_least_float32

__all__ = ["Clusters", "KMeans"]

# The first centroids are chosen among that many random samples a cluster (and at least some), each
# as the best of that many candidates.
SUBSET_A_CLUSTER = 4
SUBSET_LEAST = 2048
CANDIDATES = 8


@dataclass(frozen=True)
class Clusters:
    """What k-means found.

    Attributes:
        centroids: (K, D), the same on all processes; unit vectors for spherical k-means.
        labels: (n,) int64, the nearest centroid of each sample of this process.
        inertia: sum over the samples of all processes of the squared distance to their centroid;
            for spherical k-means of 1 - cosine.
        iterations: how often the centroids were moved.
    """

    centroids: Tensor
    labels: Tensor
    inertia: float
    iterations: int


@dataclass(frozen=True)
class _Partition:
    """Samples given to the nearest of ``centroids``; sums, counts, inertia of all processes."""

    centroids: Tensor
    labels: Tensor
    distances: Tensor
    sums: Tensor
    counts: Tensor
    inertia: float

    @property
    def empty(self) -> Tensor:
        """Numbers of the clusters without a sample."""
        return (self.counts == 0).nonzero().flatten()


class KMeans:
    """Lloyd's k-means (``spherical=False``) or its spherical form on normalised samples.

    Each process holds a share of the samples and calls :meth:`fit` with it; the result is that of
    one process with all of them. No matrix of all samples by all clusters is ever held. Sums run
    in float64 and in a fixed order, so a result repeats bit for bit for a seed, also on a GPU.

    The first centroids are drawn by greedy k-means++ (Arthur & Vassilvitskii 2007) from a random
    subset, since it takes a pass for each of them. A cluster that comes out
    empty is moved to the sample that lies farthest from its centroid, so none stays empty where
    there are K distinct samples; inertia never rises.

    Args:
        num_clusters: K.
        iterations: the most often that centroids are moved.
        spherical: normalise samples and centroids, compare by cosine.
        seed: of the first centroids.
        chunk_size: samples that are compared with the centroids at once.
        tolerance: stop where inertia falls by no more than this fraction.

    Raises:
        UserError: a number is out of its range.
    """

    def __init__(
        self,
        num_clusters: int,
        iterations: int = 10,
        spherical: bool = True,
        seed: int = 0,
        chunk_size: int = 4096,
        tolerance: float = 1e-6,
    ) -> None:
        check_count("KMeans", num_clusters=num_clusters, chunk_size=chunk_size)
        check_count("KMeans", at_least=0, iterations=iterations)
        check_count("KMeans", 0, 2**63 - 1, seed=seed)
        check_not_negative("KMeans", at_most=1.0, tolerance=tolerance)
        self.num_clusters = num_clusters
        self.iterations = iterations
        self.spherical = spherical
        self.seed = seed
        self.chunk_size = chunk_size
        self.tolerance = tolerance

    @torch.no_grad()
    def fit(self, x_nd: Tensor, centroids: Tensor | None = None) -> Clusters:
        """Cluster the samples of all processes.

        Args:
            x_nd: this process's share, which may be empty. Where the first centroids are drawn,
                sample i of process r counts as the one after sample i of process r - 1.
            centroids: (K, D) to start from; by default they are drawn.

        Raises:
            UserError: there are fewer samples than clusters.
        """
        x_nd = at_least_float32(x_nd)
        sizes = all_gather_object(len(x_nd))
        if sum(sizes) < self.num_clusters:
            raise UserError(
                f"k-means: more clusters ({self.num_clusters}) than samples ({sum(sizes)}): lower "
                f"the number of clusters."
            )
        origin = self._origin(x_nd, sum(sizes))
        if centroids is None:
            first = self._first_centroids(x_nd, origin, sizes)
        else:
            first = self._prepare(at_least_float32(centroids).to(x_nd), origin)
        now, moves = self._partition(x_nd, origin, first), 0
        while moves < self.iterations:
            moved = self._partition(x_nd, origin, self._means(x_nd, origin, now))
            moves += 1
            settled = moved.inertia >= now.inertia * (1.0 - self.tolerance)
            # By rounding it may rise a little at the end.
            now = moved if moved.inertia <= now.inertia else now
            if settled:
                break
        now = self._fill_empty(x_nd, origin, now)
        return Clusters(now.centroids + origin, now.labels, now.inertia, moves)

    def _origin(self, x_nd: Tensor, total: int) -> Tensor:
        """(D,) that is subtracted: far from zero, squared distances would be lost in rounding."""
        sums = torch.zeros(x_nd.shape[1], dtype=torch.float64, device=x_nd.device)
        if not self.spherical:
            for chunk in self._chunks(x_nd):
                sums += chunk.double().sum(dim=0)
        return (all_reduce_sum(sums) / total).to(x_nd.dtype)

    def _chunks(self, x_nd: Tensor) -> Iterator[Tensor]:
        yield from x_nd.split(self.chunk_size) if len(x_nd) else ()

    def _prepare(self, rows: Tensor, origin: Tensor) -> Tensor:
        return F.normalize(rows, dim=1) if self.spherical else rows - origin

    def _partition(self, x_nd: Tensor, origin: Tensor, centroids: Tensor) -> _Partition:
        k, d = centroids.shape
        sums = x_nd.new_zeros((k, d), dtype=torch.float64)
        counts = x_nd.new_zeros(k, dtype=torch.int64)
        inertia = x_nd.new_zeros(1, dtype=torch.float64)
        half_squares_k = centroids.square().sum(dim=1) / 2
        labels, distances = [], []
        for chunk in self._chunks(x_nd):
            rows = self._prepare(chunk, origin)
            scores_ck = torch.addmm(half_squares_k, rows, centroids.T, beta=-1)
            label = scores_ck.max(dim=1).indices
            distance = self._distance(rows, centroids[label])
            _add_by_label(rows, label, sums, counts)
            inertia += distance.sum()
            labels.append(label)
            distances.append(distance.to(x_nd.dtype))
        return _Partition(
            centroids,
            torch.cat(labels) if labels else counts[:0],
            torch.cat(distances) if distances else x_nd.new_zeros(0),
            all_reduce_sum(sums),
            all_reduce_sum(counts),
            float(all_reduce_sum(inertia)),
        )

    def _distance(self, rows: Tensor, centres: Tensor) -> Tensor:
        # From the difference, not from scores, which cannot tell small distances. Half the squared
        # distance of unit vectors is 1 - cosine.
        squares = (rows - centres).double().square().sum(dim=1)
        return squares / 2 if self.spherical else squares

    def _means(self, x_nd: Tensor, origin: Tensor, now: _Partition) -> Tensor:
        """Centroids of the clusters' samples; those of empty ones go to the farthest samples."""
        means = now.sums / now.counts.clamp(min=1)[:, None]
        if self.spherical:
            means = F.normalize(means, dim=1)
        # A cluster whose samples cancel has no direction and stays, as an empty one does.
        lost = (now.counts == 0) | ((means.square().sum(dim=1) == 0) & self.spherical)
        centroids = torch.where(lost[:, None], now.centroids, means.to(x_nd.dtype))
        return self._seeded(x_nd, origin, now, centroids)

    def _seeded(self, x_nd: Tensor, origin: Tensor, now: _Partition, centroids: Tensor) -> Tensor:
        """``centroids`` with those of empty clusters put on the farthest distinct samples."""
        empty = now.empty
        if len(empty) == 0:
            return centroids
        most = min(len(empty), len(x_nd))
        order = now.distances.sort(descending=True, stable=True).indices[:most]
        # One row more for each: how far it is; -1 where this process has no further sample.
        found = x_nd.new_full((len(empty), x_nd.shape[1] + 1), -1.0)
        found[:most, 0] = now.distances[order]
        found[:most, 1:] = self._prepare(x_nd[order], origin)
        found = gather_detached(found)
        found = found[found[:, 0] > 0].unique(dim=0)  # sorted by the distance, rising
        seeds = found.flip(0)[: len(empty), 1:]
        centroids = centroids.clone()
        centroids[empty[: len(seeds)]] = seeds
        return centroids

    def _fill_empty(self, x_nd: Tensor, origin: Tensor, now: _Partition) -> _Partition:
        # Each round puts a centroid on one more sample, of which it is then the nearest; it may
        # take the only sample of another cluster, so a second round can be needed.
        for _ in range(self.num_clusters):
            if len(now.empty) == 0:
                break
            centroids = self._seeded(x_nd, origin, now, now.centroids)
            if torch.equal(centroids, now.centroids):
                break  # fewer distinct samples than clusters
            now = self._partition(x_nd, origin, centroids)
        return now

    def _first_centroids(self, x_nd: Tensor, origin: Tensor, sizes: list[int]) -> Tensor:
        """(K, D) rows: of some drawn in proportion to the squared distance, each time the best."""
        generator = torch.Generator().manual_seed(self.seed)
        subset = self._prepare(self._subset(x_nd, sizes, generator), origin)
        squares = subset.square().sum(dim=1)
        centroids = subset.new_empty((self.num_clusters, subset.shape[1]))
        centroids[0] = subset[int(torch.randint(len(subset), (1,), generator=generator))]
        distances = (subset - centroids[0]).square().sum(dim=1)
        waits = torch.empty(len(subset), dtype=torch.float64)
        for k in range(1, self.num_clusters):
            # The smallest of exponential times with these rates: draws without replacement, and
            # without the running sum that a GPU adds up in any order.
            times = waits.exponential_(generator=generator).to(subset.device) / distances
            drawn = times.topk(min(CANDIDATES, len(subset)), largest=False).indices
            scores = subset @ subset[drawn].T
            left = (squares[:, None] + squares[drawn] - 2 * scores).clamp_(min=0)
            left = torch.minimum(left, distances[:, None])
            best = left.sum(dim=0).argmin()
            centroids[k] = subset[drawn[best]]
            distances = left[:, best]
        return broadcast_(centroids)

    def _subset(self, x_nd: Tensor, sizes: list[int], generator: torch.Generator) -> Tensor:
        """The same random samples on all processes, whatever their number."""
        total = sum(sizes)
        chosen = torch.randperm(total, generator=generator)
        chosen = chosen[: max(SUBSET_A_CLUSTER * self.num_clusters, SUBSET_LEAST)].to(x_nd.device)
        place = torch.full((total,), -1, device=x_nd.device)
        place[chosen] = torch.arange(len(chosen), device=x_nd.device)
        i = torch.arange(len(x_nd), device=x_nd.device)
        position = torch.zeros_like(i)
        for other, size in enumerate(sizes):
            position += i.clamp(max=size) + ((i < size) & (other < rank())).to(i)
        own = place[position]
        subset = x_nd.new_zeros((len(chosen), x_nd.shape[1]))
        subset[own[own >= 0]] = x_nd[own >= 0]
        return all_reduce_sum(subset)


def _add_by_label(rows: Tensor, label: Tensor, sums: Tensor, counts: Tensor) -> None:
    """Add rows (c, D) to ``sums`` (K, D) of their label, in a fixed order: without atomics."""
    ordered, order = label.sort(stable=True)
    ends = torch.arange(len(counts) + 1, device=label.device)
    lengths = torch.searchsorted(ordered, ends).diff()
    sums += torch.segment_reduce(
        rows[order].double(), "sum", lengths=lengths, axis=0, unsafe=True, initial=0
    )
    counts += lengths
