"""What all heads have in common: targets resolved once, measuring on demand, queues, losses.

Shape suffixes: B images in the batch, D embedding size, m prototypes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from mvssl import information
from mvssl.errors import UserError
from mvssl.information import VonMisesFisher, er_bound, infonce_bound
from mvssl.models import Embeddings, measures
from mvssl.models.clustering import ClusteringHead, DeepClusterHead
from mvssl.models.heads import (
    AssignmentHead,
    DiscreteERHead,
    ERHead,
    Head,
    JointHead,
    PairHead,
    RegularizedHead,
    ViewsHead,
)
from mvssl.models.memory import EmbeddingQueue
from mvssl.models.record import view_pairs
from mvssl.models.targets import TargetSource, ViewTargets

B, D, M = 8, 5, 6
KERNEL = VonMisesFisher(7.0)


def draw(number: int, seed: int, size: int = D) -> list[Tensor]:
    g = torch.Generator().manual_seed(seed)
    return [torch.randn(B, size, generator=g, dtype=torch.float64) for _ in range(number)]


def record_of(views: int = 4, targets: int = 2) -> Embeddings:
    p = draw(views, 1)
    return Embeddings(
        features=p,
        z=p,
        p=p,
        target=draw(targets, 2),
        index=torch.arange(B),
        logits=draw(views, 3, M),
        target_logits=draw(targets, 4, M),
    )


class Counting(TargetSource):
    """Views as targets, and how often they were asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.views = ViewTargets()
        self.resolved: list[Embeddings] = []

    def forward(self, record: Embeddings) -> Embeddings:
        self.resolved.append(self.views(record))
        return self.resolved[-1]


@pytest.mark.parametrize("build", [ERHead, lambda: PairHead({"type": "CosineSimilarityLoss"})])
def test_comparing_does_not_resolve_again(build: Callable[[], ERHead | PairHead]) -> None:
    head = build()
    head.target = counting = Counting()
    found = head.compare(head.resolve(record_of()))
    assert len(counting.resolved) == 1
    direct = head(record_of())
    assert len(counting.resolved) == 2
    assert {k: v.item() for k, v in found.items()} == {k: v.item() for k, v in direct.items()}


def cluster_head() -> ClusteringHead:
    return DeepClusterHead(3, in_channels=D, num_samples=20)


MEASURING: list[tuple[Callable[[], Head], set[str]]] = [
    (ERHead, {"loss", "entropy_trained"}),
    (lambda: DiscreteERHead(num_prototypes=M, in_channels=D), {"loss", "entropy_trained"}),
    (lambda: AssignmentHead({"type": "Centering"}, num_logits=M), {"loss"}),
    (cluster_head, {"loss"}),
]


@pytest.mark.parametrize(("build", "free"), MEASURING)
def test_heads_measure_only_where_they_are_asked_to(
    build: Callable[[], Head], free: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    head = build().double()
    assert head.measuring  # in direct use all is reported
    start = {name: value.clone() for name, value in head.state_dict().items()}
    whole = head(record_of())
    assert {"loss", "entropy", "reconstruction", "mi_bound", "infonce"} <= set(whole)
    after = {name: value.clone() for name, value in head.state_dict().items()}

    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("nobody asked for it")

    for name in ("conditional_entropy", "infonce_bound", "discrete_reconstruction"):
        monkeypatch.setattr(measures, name, fail)
    head.load_state_dict(start)
    head.measuring = False
    few = head(record_of())
    assert set(few) == free
    assert all(torch.equal(few[name], whole[name]) for name in free)
    assert all(torch.equal(value, after[name]) for name, value in head.state_dict().items())


def test_each_target_s_entropy_is_taken_once(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[Tensor] = []

    def counted(z: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        taken.append(z)
        return information.entropy(z, *args, **kwargs)

    monkeypatch.setattr(measures, "entropy", counted)
    record = record_of(views=8, targets=2)
    assert len(view_pairs(record)) == 14
    measures.measure(record, KERNEL)
    assert len(taken) == 2 + 2  # and that of a prediction for each


@pytest.mark.parametrize(("views", "targets"), [(2, 2), (8, 2), (3, 1)])
def test_measures_are_the_bounds_of_the_pairs_bit_for_bit(views: int, targets: int) -> None:
    record = record_of(views, targets)
    unit = torch.nn.functional.normalize
    pairs = [
        (unit(record.p[v], dim=1), unit(record.target[g], dim=1)) for g, v in view_pairs(record)
    ]
    bounds = [er_bound(p, t, KERNEL) for p, t in pairs]
    found = measures.measure(record, KERNEL)
    for name, values in (
        ("entropy", [b.entropy for b in bounds]),
        ("reconstruction", [b.reconstruction for b in bounds]),
        ("mi_bound", [b.value for b in bounds]),
        ("infonce", [infonce_bound(p, t, KERNEL).value for p, t in pairs]),
    ):
        assert torch.equal(torch.as_tensor(found[name]), torch.stack(values).mean()), name
    assert found["mi_ceiling"] == bounds[0].ceiling


class TwoQueues(Head):
    """A head of a user's own that keeps queues where it likes."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__()
        self.first = EmbeddingQueue(first, D)
        self.others = torch.nn.ModuleDict({"second": EmbeddingQueue(second, D)})

    def compare(self, record: Embeddings) -> dict[str, Tensor]:
        return {"loss": record.z[0].mean()}


@pytest.mark.parametrize(("first", "second"), [(8, 10), (10, 8)])
def test_every_queue_in_a_head_is_checked_against_the_batch(first: int, second: int) -> None:
    TwoQueues(8, 12).check_batch(4)
    with pytest.raises(UserError, match="A queue of 10 is no multiple of the batch of 4"):
        TwoQueues(first, second).check_batch(4)


@pytest.mark.parametrize(
    ("head", "loss", "told"),
    [
        (PairHead, "SIGRegLoss", "PairHead takes a loss of pairs of embeddings, and SIGRegLoss"),
        (PairHead, "SoftCrossEntropyLoss", "is one of logits and distributions: give"),
        (JointHead, "SIGRegLoss", r"'NTXentLoss' or 'VICRegLoss', or one .*losses\.PairLoss\."),
        (
            RegularizedHead,
            "NTXentLoss",
            r"give 'SIGRegLoss' or 'VISRegLoss', or one derived from .*\.Regularizer\.",
        ),
        (ViewsHead, "SIGRegLoss", r"is one of the embeddings of one view: give 'EMPSSLLoss', "),
        (RegularizedHead, "MMCRLoss", "MMCRLoss is one of all views at once: give"),
    ],
)
def test_a_loss_of_another_kind_is_refused_when_the_head_is_built(
    head: type[Head], loss: str, told: str
) -> None:
    with pytest.raises(UserError, match=told):
        head({"type": loss})
