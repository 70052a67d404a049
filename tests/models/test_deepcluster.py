"""DeepCluster's heads against formulas written out in plain torch, float64.

Shape suffixes: N samples of the data set, B images in the batch, D embedding size, K clusters.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from sklearn.metrics import normalized_mutual_info_score
from torch import Tensor

from mvssl.errors import UserError
from mvssl.models import Embeddings
from mvssl.models.clustering import (
    ClusteringHead,
    DeepClusterHead,
    DeepClusterV2Head,
    KMeans,
    whiten,
)
from mvssl.registry import HEADS
from tests.gloo_pool import GlooPool

N, B, D = 41, 8, 5


def images() -> Tensor:
    """Projections of the data set, (N, D)."""
    generator = torch.Generator().manual_seed(9)
    return torch.randn(N, D, dtype=torch.float64, generator=generator)


def v2_head(num_clusters: int | list[int] = 6, **arguments: Any) -> DeepClusterV2Head:
    head = DeepClusterV2Head(num_clusters, in_channels=D, num_samples=N, **arguments).double()
    head.cluster(0, images())
    return head


def v1_head() -> DeepClusterHead:
    head = DeepClusterHead(6, in_channels=D, num_samples=N).double()
    head.cluster(0, images())
    return head


def record_of(views: int = 3, targets: int = 2, index: Tensor | None = None) -> Embeddings:
    generator = torch.Generator().manual_seed(views)
    z = [
        torch.randn(B, D, dtype=torch.float64, generator=generator).requires_grad_()
        for _ in range(views)
    ]
    if index is None:
        index = torch.randperm(N, generator=generator)[:B]
    return Embeddings(features=z, z=z, p=z, target=z[:targets], index=index)


def half(record: Embeddings, rank: int, world: int) -> Embeddings:
    """The slice of a rank, as leaves."""
    rows = slice(rank * B // world, (rank + 1) * B // world)
    z = [x.detach()[rows].requires_grad_() for x in record.z]
    return Embeddings(
        features=z, z=z, p=z, target=z[: len(record.target)], index=record.index[rows]
    )


def test_v2_is_the_cross_entropy_of_all_views_with_the_images_cluster() -> None:
    head, record = v2_head([6, 4], temperature=0.2), record_of()
    outputs = head(record)
    losses = []
    for number, centroids in enumerate(head.centroids):
        label = head.assignments[number][record.index]
        for z in record.z:
            logits = (z / z.norm(dim=1, keepdim=True)) @ centroids.T / 0.2
            log_p = logits - logits.exp().sum(dim=1, keepdim=True).log()
            losses.append(-log_p[torch.arange(B), label].mean())
    expected = sum(losses, torch.zeros(())) / 6
    torch.testing.assert_close(outputs["loss"], expected)
    ours = torch.autograd.grad(outputs["loss"], record.z, retain_graph=True)
    theirs = torch.autograd.grad(expected, record.z)
    torch.testing.assert_close(ours, theirs)
    assert not list(head.parameters())


def test_v1_classifies_rectified_projections() -> None:
    head, record = v1_head(), record_of(views=1, targets=1)
    outputs = head(record)
    weight, bias = head.classifier.weight, head.classifier.bias
    logits = record.z[0].clamp(min=0) @ weight.T + bias
    label = head.assignments[0][record.index]
    expected = (logits.logsumexp(dim=1) - logits[torch.arange(B), label]).mean()
    torch.testing.assert_close(outputs["loss"], expected)
    inputs = [record.z[0], weight, bias]
    ours = torch.autograd.grad(outputs["loss"], inputs, retain_graph=True)
    torch.testing.assert_close(ours, torch.autograd.grad(expected, inputs))


def test_the_terms_of_the_er_estimate() -> None:
    head, record = v2_head(), record_of()
    outputs = {name: value.detach() for name, value in head(record).items()}
    label = head.assignments[0][record.index]
    p = np.bincount(label.numpy(), minlength=6) / B
    h = -sum(x * math.log(x) for x in p if x)
    assert float(outputs["entropy"]) == pytest.approx(h)
    assert float(outputs["reconstruction"]) == pytest.approx(-float(outputs["loss"]))
    assert float(outputs["information"]) == pytest.approx(h)  # clusters are certain
    assert float(outputs["mi_bound"]) == pytest.approx(h - float(outputs["loss"]))
    assert float(outputs["entropy_cap"]) == pytest.approx(math.log(6))
    logits = [F.normalize(z.detach(), dim=1) @ head.centroids[0].T / 0.1 for z in record.z]
    means = [x.softmax(dim=1).mean(dim=0) for x in logits]
    student = torch.stack([torch.special.entr(x).sum() for x in means]).mean()
    torch.testing.assert_close(outputs["student_entropy"], student)
    rows = torch.stack([torch.special.entr(x.softmax(dim=1)).sum(dim=1).mean() for x in logits])
    torch.testing.assert_close(outputs["student_information"], student - rows.mean())
    assert [name for name, value in head(record).items() if value.requires_grad] == ["loss"]


def test_scalars_of_several_sets_are_means() -> None:
    record = record_of()
    both, head = v2_head([6, 4]), v2_head([6, 4])
    together = both(record)
    parts = []
    for number in range(2):
        one = DeepClusterV2Head([6, 4][number], in_channels=D, num_samples=N).double()
        one.assignments.copy_(head.assignments[number : number + 1])
        one.centroids[0].copy_(head.centroids[number])
        parts.append(one(record))
    for name, value in together.items():
        torch.testing.assert_close(value, (parts[0][name] + parts[1][name]) / 2, msg=name)


def test_the_bank_holds_the_target_views_last_seen() -> None:
    index = torch.tensor([3, 7, 3, 0, 1, 3, 40, 2])
    head, record = v2_head([6, 4, 5]), record_of(index=index)
    before = head.bank.clone()
    torch.testing.assert_close(before[0], F.normalize(images(), dim=1))
    assert head.bank.shape == (2, N, D)
    head.eval()
    head(record)
    assert torch.equal(head.bank, before)
    head.train()
    head(record)
    for number in range(2):
        rows = F.normalize(record.z[number].detach(), dim=1)
        for position, image in enumerate(index.tolist()):
            if position not in (0, 2):  # image 3 comes up at 5 again
                torch.testing.assert_close(head.bank[number, image], rows[position])
    untouched = [i for i in range(N) if i not in index]
    assert torch.equal(head.bank[:, untouched], before[:, untouched])


def test_v2_clusters_its_bank_by_spherical_k_means() -> None:
    head = v2_head([6, 4, 5])
    head(record_of())
    head.cluster(1, None)
    for number, k in enumerate([6, 4, 5]):
        bank = head.bank[number % 2]
        nearest = (bank @ head.centroids[number].T).argmax(dim=1)
        assert torch.equal(head.assignments[number], nearest)
        assert len(nearest.unique()) == k
        again = KMeans(k, 50).fit(bank, head.centroids[number])
        assert again.inertia >= 0.9 * float((1 - (bank @ head.centroids[number].T).amax(1)).sum())


def test_v1_clusters_whitened_and_normalised_projections() -> None:
    head = v1_head()
    rows = F.normalize(whiten(images(), 256), dim=1)
    means = torch.stack([rows[head.assignments[0] == k].mean(dim=0) for k in range(6)])
    # Lloyd's steps may have ended before the last samples changed sides.
    nearest = torch.cdist(rows, means).argmin(dim=1)
    assert (nearest == head.assignments[0]).float().mean() > 0.95


def test_v1_draws_its_classifier_anew() -> None:
    head = v1_head()
    first = head.classifier.weight.detach().clone()
    assert float(first.std()) == pytest.approx(0.01, rel=0.4)
    with torch.no_grad():
        head.classifier.bias.fill_(1.0)
    head.cluster(1, images())
    assert not torch.equal(head.classifier.weight, first)
    assert head.classifier.bias.abs().max() == 0.0
    assert head.renewed == [head.classifier.weight, head.classifier.bias]
    torch.manual_seed(123)
    head.cluster(0, images())
    assert torch.equal(head.classifier.weight, first)


def test_what_clustering_reports() -> None:
    head = v2_head(6)
    before = head.assignments[0].clone()
    head(record_of())
    scalars = head.cluster(1, None)
    now = head.assignments[0]
    p = np.bincount(now.numpy(), minlength=6) / N
    assert scalars["cluster_entropy"] == pytest.approx(-(p * np.log(p)).sum())
    assert scalars["cluster_entropy_cap"] == pytest.approx(math.log(6))
    assert scalars["cluster_nmi"] == pytest.approx(normalized_mutual_info_score(before, now))
    inertia = (1 - (head.bank[0] @ head.centroids[0].T).amax(dim=1)).mean()
    assert scalars["cluster_inertia"] == pytest.approx(float(inertia))
    fresh = DeepClusterV2Head(6, in_channels=D, num_samples=N).double()
    assert "cluster_nmi" not in fresh.cluster(0, images())


def test_when_clusters_are_found() -> None:
    v2 = DeepClusterV2Head(6, interval=3, in_channels=D, num_samples=N).double()
    assert v2.is_due(1)  # none have been found yet
    assert v2.wants_embeddings
    v2.cluster(1, images())
    assert [v2.is_due(epoch) for epoch in range(5)] == [True, False, False, True, False]
    assert not v2.wants_embeddings
    assert v1_head().wants_embeddings
    restored = DeepClusterV2Head(6, in_channels=D, num_samples=N).double()
    restored.load_state_dict(v2.state_dict())
    assert not restored.wants_embeddings


@pytest.mark.parametrize("kind", ["DeepClusterHead", "DeepClusterV2Head"])
def test_more_clusters_than_samples_is_told_at_once(kind: str) -> None:
    cfg = {"type": kind, "num_clusters": 42, "in_channels": D, "num_samples": N}
    with pytest.raises(UserError, match=r"more clusters \(42\) than samples \(41\)"):
        HEADS.build(cfg)
    with pytest.raises(UserError, match="num_clusters is an integer and at least 2"):
        HEADS.build({**cfg, "num_clusters": 1})
    with pytest.raises(UserError, match="interval is an integer"):
        HEADS.build({**cfg, "num_clusters": 4, "interval": 0})
    with pytest.raises(UserError, match="num_samples"):
        HEADS.build({**cfg, "num_samples": None})


def _build(kind: str) -> ClusteringHead:
    if kind == "v1":
        return DeepClusterHead(6, in_channels=D, num_samples=N).double()
    return DeepClusterV2Head([6, 4], in_channels=D, num_samples=N).double()


def _train(kind: str) -> tuple[list[Any], dict[str, Tensor]]:
    """Two epochs of one step each: mean losses, gradients of all rows, and the head's state."""
    rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    head = _build(kind)
    told: list[Any] = []
    for epoch in range(2):
        share = images()[rank::world] + epoch if head.wants_embeddings else None
        found = head.cluster(epoch, share)
        record = half(record_of(1 if kind == "v1" else 3, 1 if kind == "v1" else 2), rank, world)
        outputs = head(record)
        outputs["loss"].backward()
        grads = [z.grad / world for z in record.z if z.grad is not None]
        told.append((found, {k: v.detach() for k, v in outputs.items()}, grads))
    return told, head.state_dict()


@pytest.mark.parametrize("kind", ["v1", "v2"])
def test_two_processes_are_as_one(run_distributed: GlooPool, kind: str) -> None:
    alone, state = _train(kind)
    (first, state_first), (second, state_second) = run_distributed(_train, 2, kind)
    for name, value in state.items():
        assert torch.equal(state_first[name], state_second[name]), name
        torch.testing.assert_close(state_first[name], value, rtol=1e-6, atol=1e-6, msg=name)
    for one, a, b in zip(alone, first, second, strict=True):
        assert a[0] == b[0] == pytest.approx(one[0], rel=1e-6)
        for name, value in one[1].items():
            mean = (a[1][name] + b[1][name]) / 2
            torch.testing.assert_close(mean, value, rtol=1e-6, atol=1e-9, msg=name)
        for grad, left, right in zip(one[2], a[2], b[2], strict=True):
            torch.testing.assert_close(torch.cat([left, right]), grad)
