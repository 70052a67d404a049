"""k-means and whitening against scikit-learn."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from sklearn.cluster import KMeans as SklearnKMeans
from sklearn.datasets import make_blobs
from sklearn.decomposition import PCA
from torch import Tensor

from mvssl.distributed import gather_interleaved
from mvssl.errors import UserError
from mvssl.models.clustering import Clusters, KMeans, whiten, whitening
from mvssl.registry import ASSIGNERS
from tests.gloo_pool import GlooPool


def blobs(samples: int = 600, clusters: int = 6, spread: float = 0.5) -> tuple[Tensor, Tensor]:
    """Well-separated samples in float64 and the centres that they were drawn around."""
    centres = 10.0 * np.eye(8)[:clusters]
    x, _ = make_blobs(samples, centers=centres, cluster_std=spread, random_state=1)
    return torch.from_numpy(x), torch.from_numpy(centres)


def noise(samples: int = 500, channels: int = 6) -> Tensor:
    generator = torch.Generator().manual_seed(4)
    return torch.randn(samples, channels, dtype=torch.float64, generator=generator)


def cost(x: Tensor, found: Clusters, spherical: bool) -> float:
    """Inertia, written out."""
    own = found.centroids[found.labels]
    if spherical:
        return float((1 - F.cosine_similarity(x, own, dim=1)).sum())
    return float((x - own).square().sum())


def test_lloyds_steps_are_those_of_scikit_learn() -> None:
    x = noise()
    first = x[:12]
    ours = KMeans(12, 300, spherical=False, tolerance=0.0, chunk_size=77).fit(x, first)
    theirs = SklearnKMeans(12, init=first.numpy(), n_init=1, max_iter=300, tol=0.0).fit(x.numpy())
    np.testing.assert_array_equal(ours.labels.numpy(), theirs.labels_)
    assert ours.inertia == pytest.approx(theirs.inertia_, rel=1e-9)
    np.testing.assert_allclose(ours.centroids.numpy(), theirs.cluster_centers_, atol=1e-9)


@pytest.mark.parametrize("spherical", [True, False])
def test_what_is_returned_fits_together(spherical: bool) -> None:
    x = noise()
    found = KMeans(9, 5, spherical, chunk_size=37).fit(x)
    unit = F.normalize(x, dim=1)
    nearness = unit @ found.centroids.T if spherical else -torch.cdist(x, found.centroids)
    assert torch.equal(found.labels, nearness.argmax(dim=1))
    assert found.inertia == pytest.approx(cost(x, found, spherical), rel=1e-9)
    if spherical:
        torch.testing.assert_close(found.centroids.norm(dim=1), torch.ones(9).double())


def test_the_length_of_samples_does_not_matter_on_the_sphere() -> None:
    x = noise()
    longer = x * (1.0 + torch.arange(len(x)))[:, None]
    assert torch.equal(KMeans(9).fit(x).labels, KMeans(9).fit(longer).labels)


def test_samples_far_from_zero_are_told_apart_in_float32() -> None:
    x, centres = blobs()
    far = (x + 1e5).float()
    found = KMeans(6, spherical=False).fit(far, (centres + 1e5).float())
    assert torch.equal(found.labels, torch.cdist(x, centres).argmin(dim=1))


@pytest.mark.parametrize("spherical", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_inertia_never_rises(spherical: bool, dtype: torch.dtype) -> None:
    x = noise().to(dtype)
    start = x[:1].repeat(20, 1)  # all but one are empty at first
    costs = [
        KMeans(20, n, spherical, tolerance=0.0).fit(x, start).inertia for n in (1, 2, 3, 5, 9, 40)
    ]
    assert all(after <= before for before, after in itertools.pairwise(costs))
    assert costs[-1] < 0.95 * costs[0]


def test_it_stops_where_inertia_settles() -> None:
    x, centres = blobs()
    found = KMeans(6, 100, spherical=False).fit(x, centres)
    assert found.iterations <= 3
    assert KMeans(6, 0, spherical=False).fit(x, centres).iterations == 0


@pytest.mark.parametrize("spherical", [True, False])
@pytest.mark.parametrize("iterations", [0, 1, 10])
def test_no_cluster_stays_empty_where_samples_differ(spherical: bool, iterations: int) -> None:
    rows = F.normalize(noise(12, 3), dim=1)
    x = rows.repeat_interleave(torch.tensor([50, 1, 1, 2, 1, 1, 30, 1, 1, 1, 1, 1]), dim=0)
    for start in (None, rows[:1].repeat(12, 1)):
        found = KMeans(12, iterations, spherical).fit(x, start)
        assert len(found.labels.unique()) == 12


def test_fewer_distinct_samples_than_clusters() -> None:
    found = KMeans(5, spherical=False).fit(torch.eye(3).repeat(4, 1))
    assert found.inertia == 0.0
    assert len(found.labels.unique()) == 3
    assert bool(found.centroids.isfinite().all())


class Restless(KMeans):
    """Puts the centroids of empty clusters somewhere else each time, and never on a sample."""

    rounds = 0

    def _seeded(self, x_nd: Tensor, origin: Tensor, now: Any, centroids: Tensor) -> Tensor:
        self.rounds += 1
        return centroids + (now.counts == 0)[:, None]


def test_filling_empty_clusters_comes_to_an_end() -> None:
    kmeans = Restless(4, iterations=0, spherical=False)
    kmeans.fit(torch.zeros(6, 2), torch.tensor([[0.0, 0.0], [9.0, 9.0], [8.0, 8.0], [7.0, 7.0]]))
    assert kmeans.rounds == 4


def test_the_first_centroids_are_good_ones() -> None:
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(100, 16, generator=generator) * 3
    x = centres[torch.randint(100, (5000,), generator=generator)]
    x = x + 0.5 * torch.randn(x.shape, generator=generator)
    ours = [KMeans(100, 10, False, seed).fit(x).inertia for seed in range(3)]
    drawn = [x[torch.randperm(len(x), generator=generator)[:100]] for _ in range(3)]
    random = [KMeans(100, 10, False).fit(x, start).inertia for start in drawn]
    assert max(ours) < 0.9 * min(random)


def test_a_seed_decides_alone() -> None:
    x = noise()
    first, again, other = (KMeans(7, 1, seed=seed).fit(x) for seed in (3, 3, 4))
    assert torch.equal(first.centroids, again.centroids)
    assert not torch.equal(first.centroids, other.centroids)
    whole = KMeans(7, 1, seed=3, chunk_size=1000).fit(x)
    torch.testing.assert_close(whole.centroids, first.centroids)


def test_more_clusters_than_samples() -> None:
    with pytest.raises(UserError, match=r"more clusters \(7\) than samples \(6\)"):
        KMeans(7).fit(torch.randn(6, 2))
    with pytest.raises(UserError, match="num_clusters is an integer and at least 1"):
        KMeans(0)


def test_it_is_no_assigner() -> None:
    with pytest.raises(UserError, match=r"'KMeans' is not in .* 'Centering', .* and 'Sinkhorn'"):
        ASSIGNERS.build({"type": "KMeans", "num_clusters": 4})


def share(x: Tensor, uneven: bool) -> Tensor:
    """Rows rank, rank + W, ...; or nothing on the first rank and the rest on the others."""
    rank, world = dist.get_rank(), dist.get_world_size()
    if not uneven:
        return x[rank::world]
    return x[:0] if rank == 0 else x[rank - 1 :: world - 1]


def fit_share(
    x: Tensor, clusters: int, spherical: bool, start: Tensor | None, uneven: bool
) -> Clusters:
    return KMeans(clusters, 10, spherical).fit(share(x, uneven), start)


@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize("spherical", [True, False])
def test_several_processes_find_what_one_finds(
    run_distributed: GlooPool, world: int, spherical: bool
) -> None:
    x, centres = blobs(601, spread=1.5)
    start = centres + 1.0
    for uneven in (False, True):
        found = run_distributed(fit_share, world, x, 6, spherical, start, uneven)
        alone = KMeans(6, 10, spherical).fit(x, start)
        for rank, one in enumerate(found):
            assert one.inertia == pytest.approx(alone.inertia, rel=1e-12)
            assert torch.equal(one.centroids, found[0].centroids)
            torch.testing.assert_close(one.centroids, alone.centroids)
            mine = alone.labels[rank::world]
            if uneven:
                mine = alone.labels[:0] if rank == 0 else alone.labels[rank - 1 :: world - 1]
            assert torch.equal(one.labels, mine)


@pytest.mark.parametrize("world", [2, 3])
def test_several_processes_draw_the_same_first_centroids(
    run_distributed: GlooPool, world: int
) -> None:
    x = noise(401).float()
    alone = KMeans(25, 4).fit(x)
    for rank, one in enumerate(run_distributed(_fit_four, world, x)):
        assert one.inertia == pytest.approx(alone.inertia, rel=1e-6)
        torch.testing.assert_close(one.centroids, alone.centroids)
        assert torch.equal(one.labels, alone.labels[rank::world])


def _fit_four(x: Tensor) -> Clusters:
    return KMeans(25, 4).fit(share(x, uneven=False))


def test_several_processes_fill_empty_clusters(run_distributed: GlooPool) -> None:
    rows = torch.eye(5).double()
    x = rows.repeat(3, 1)
    for one in run_distributed(fit_share, 2, x, 5, False, rows[:1].repeat(5, 1), False):
        assert one.inertia == pytest.approx(0.0, abs=1e-12)
        assert sorted(one.centroids.argmax(dim=1).tolist()) == [0, 1, 2, 3, 4]


def _interleaved(x: Tensor) -> Tensor:
    return gather_interleaved(share(x, uneven=False), len(x))


@pytest.mark.parametrize("samples", [1, 2, 6, 7])
def test_shares_are_joined_in_order(run_distributed: GlooPool, samples: int) -> None:
    x = noise(samples)
    for joined in run_distributed(_interleaved, 3, x):
        assert torch.equal(joined, x)


def _whiten_share(x: Tensor, channels: int) -> Tensor:
    return whiten(share(x, uneven=False), channels)


@pytest.mark.parametrize("channels", [3, 6, 10])
def test_whitening_is_scikit_learns_up_to_signs(run_distributed: GlooPool, channels: int) -> None:
    x = noise() @ torch.diag(torch.tensor([5.0, 3.0, 2.0, 1.0, 0.5, 0.1]).double()) + 7.0
    ours = whiten(x, channels)
    theirs = torch.from_numpy(PCA(min(channels, 6), whiten=True).fit_transform(x.numpy()))
    signs = (ours * theirs).sum(dim=0).sign()
    torch.testing.assert_close(ours, theirs * signs)
    first, second = run_distributed(_whiten_share, 2, x, channels)
    joined = torch.stack([first, second], dim=1).flatten(0, 1)
    torch.testing.assert_close(joined, ours * (joined * ours).sum(dim=0).sign())


def test_whitening_in_chunks_is_whitening_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    x = noise(50).float()
    whole = whiten(x, 4)
    monkeypatch.setattr(whitening, "CHUNK", 7)
    parts = whiten(x, 4)
    torch.testing.assert_close(parts, whole * (parts * whole).sum(dim=0).sign())
    assert whiten(x[:0], 4).shape == (0, 4)


def test_directions_without_variance_become_zero() -> None:
    x = noise(50, 4) @ torch.randn(4, 9, dtype=torch.float64)
    white = whiten(x, 9)
    torch.testing.assert_close(white[:, :4].T.cov(), torch.eye(4).double())
    assert white[:, 4:].abs().max() == 0.0
