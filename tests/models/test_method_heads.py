"""Heads of the methods against formulas written from their papers, float64.

Shape suffixes: B images in the batch, D embedding size, q queue, N images of the data set, m
prototypes.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax
from torch import Tensor

from mvssl.errors import UserError
from mvssl.models import Embeddings
from mvssl.models.heads import (
    AssignmentHead,
    InstanceHead,
    JointHead,
    MoCoHead,
    PairHead,
    RegularizedHead,
    RelationHead,
    ViewsHead,
)
from mvssl.models.memory import MemoryBank, last_occurrence
from mvssl.models.record import view_pairs
from mvssl.models.targets import BankTargets, MeanTargets, NearestNeighborTargets, ViewTargets

B, D, M, N = 6, 5, 4, 20


def draw(number: int, seed: int, size: int = D, grad: bool = False) -> list[Tensor]:
    g = torch.Generator().manual_seed(seed)
    return [
        torch.randn(B, size, generator=g, dtype=torch.float64).requires_grad_(grad)
        for _ in range(number)
    ]


def record_of(p: list[Tensor], target: list[Tensor], **more: Any) -> Embeddings:
    fields: dict[str, Any] = {"features": p, "z": p, "p": p, "target": target}
    return Embeddings(**{**fields, "index": torch.arange(len(p[0])), **more})


def unit(x: Tensor) -> np.ndarray:
    rows = x.detach().numpy()
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_moco_contrasts_with_its_queue_alone_in_one_direction() -> None:
    """He et al. 2020, equation 1: the teacher sees view 0, the student view 1."""
    head = MoCoHead(queue_size=2 * B, in_channels=D, temperature=0.3).double()
    past: list[np.ndarray] = []
    for step in range(4):
        (q,), (k,) = draw(1, step, grad=True), draw(1, 50 + step)
        record = record_of([q], [k], views=(1,), target_views=((0,),))
        loss = head(record)["loss"]
        queue = np.concatenate([*past[-2:], np.empty((0, D))])
        expected = []
        for i in range(B):
            positive = unit(q)[i] @ unit(k)[i] / 0.3
            negatives = queue @ unit(q)[i] / 0.3
            expected.append(-log_softmax([positive, *negatives])[0])
        assert loss.item() == pytest.approx(np.mean(expected), rel=1e-12, abs=1e-12)
        past.append(unit(k))
    loss.backward()
    assert q.grad is not None
    assert torch.autograd.gradcheck(
        lambda x: MoCoHead(B, D).double()(record_of([x], [k], views=(1,)))["loss"], (q,)
    )


def test_mocos_loss_of_the_first_step_is_zero() -> None:
    head = MoCoHead(queue_size=B, in_channels=D).double()
    assert head(record_of(draw(2, 0), draw(1, 1)))["loss"].item() == pytest.approx(0.0, abs=1e-12)


def test_ressl_matches_relations_with_past_embeddings() -> None:
    """Zheng et al. 2021, equations 4 to 6."""
    head = RelationHead(queue_size=2 * B, in_channels=D, student_temp=0.2, teacher_temp=0.05)
    head = head.double()
    first = draw(1, 9)
    assert head(record_of(draw(1, 8), first, views=(1,)))["loss"].item() == 0.0
    (weak,), (strong,) = draw(1, 10), draw(1, 11)
    loss = head(record_of([strong], [weak], views=(1,), target_views=((0,),)))["loss"]
    queue = unit(first[0])
    t = softmax(unit(weak) @ queue.T / 0.05, axis=1)
    log_s = log_softmax(unit(strong) @ queue.T / 0.2, axis=1)
    assert loss.item() == pytest.approx(-(t * log_s).sum(axis=1).mean(), rel=1e-12)


@pytest.mark.parametrize("negatives", [None, 12])
def test_instance_recognition_is_a_softmax_over_the_bank(negatives: int | None) -> None:
    """Wu et al. 2018, equation 2, over all images or over the drawn ones."""
    head = InstanceHead(0.1, 0.5, negatives, num_samples=N, in_channels=D).double()
    bank = head.target.bank.data.clone().numpy()
    index = torch.tensor([3, 0, 7, 19, 4, 4])
    (z,) = draw(1, 3)
    others = head._candidates(index.device).numpy()
    assert len(others) == (negatives or N)
    loss = head(record_of([z], [z], index=index))["loss"]
    expected = []
    for row, i in zip(unit(z), index.tolist(), strict=True):
        scores = [row @ bank[i] / 0.1] + [row @ bank[j] / 0.1 for j in others if j != i]
        expected.append(-log_softmax(scores)[0])
    assert loss.item() == pytest.approx(np.mean(expected), rel=1e-12)
    moved = head.target.bank.data.numpy()
    for row, i in list(zip(unit(z), index.tolist(), strict=True))[:4]:
        new = 0.5 * bank[i] + 0.5 * row
        np.testing.assert_allclose(moved[i], new / np.linalg.norm(new))
    new = 0.5 * bank[4] + 0.5 * unit(z)[5]  # of an image that is there twice the last one counts
    np.testing.assert_allclose(moved[4], new / np.linalg.norm(new))
    untouched = [i for i in range(N) if i not in index]
    np.testing.assert_array_equal(moved[untouched], bank[untouched])


def test_drawn_negatives_change_from_step_to_step() -> None:
    head = InstanceHead(num_negatives=12, num_samples=N, in_channels=D).double()
    before = head._candidates(torch.device("cpu"))
    head(record_of(draw(1, 0), draw(1, 0)))
    assert not torch.equal(before, head._candidates(torch.device("cpu")))


def test_lejepa_pulls_views_to_the_mean_of_the_global_ones() -> None:
    head = RegularizedHead({"type": "SIGRegLoss", "num_slices": 8}, weight=0.2).double()
    z = draw(3, 4, grad=True)
    outputs = head(record_of(z, z[:2]))
    centre = (z[0] + z[1]).detach().numpy() / 2
    distance = np.mean([((x.detach().numpy() - centre) ** 2).mean() for x in z])
    sigreg = torch.stack([head.loss(x, 0) for x in z]).mean().item()
    assert outputs["view_distance"].item() == pytest.approx(distance)
    assert outputs["regularizer"].item() == pytest.approx(sigreg)
    assert outputs["loss"].item() == pytest.approx(0.8 * distance + 0.2 * sigreg)
    assert head.steps.count == 1
    outputs["loss"].backward()
    # The mean takes part: without its gradient the distances' pulls would not cancel.
    free = RegularizedHead({"type": "SIGRegLoss", "num_slices": 8}, weight=1e-8).double()
    for x in z:
        x.grad = None
    free(record_of(z, z[:2]))["loss"].backward()
    pulls = [x.grad for x in z if x.grad is not None]
    expected = [2 * (x.detach() - torch.from_numpy(centre)) / (3 * B * D) for x in z]
    share = sum(expected, torch.zeros(())) / 2
    for pull, own, takes_part in zip(pulls, expected, (1, 1, 0), strict=True):
        torch.testing.assert_close(pull, own - takes_part * share, rtol=1e-6, atol=1e-9)


def sinkhorn(scores: np.ndarray, epsilon: float, iterations: int) -> np.ndarray:
    """Caron et al. 2020, algorithm 1."""
    q = np.exp(scores / epsilon).T
    q /= q.sum()
    for _ in range(iterations):
        q /= q.sum(axis=1, keepdims=True) * q.shape[0]
        q /= q.sum(axis=0, keepdims=True) * q.shape[1]
    return (q * q.shape[1]).T


@pytest.mark.parametrize("use_queue", [True, False])
def test_swav_predicts_balanced_assignments(use_queue: bool) -> None:
    head = AssignmentHead(
        {"type": "Sinkhorn", "epsilon": 0.05, "iterations": 3},
        student_temp=0.1,
        num_prototypes=M,
        queue_size=2 * B,
        in_channels=D,
    ).double()
    head.use_queue = use_queue
    assert head.prototypes is not None
    w = unit(head.prototypes.weights[0])
    earlier = draw(2, 20)
    head(record_of(earlier, earlier))
    z = draw(3, 21, grad=True)
    outputs = head(record_of(z, z[:2]))
    logits = [unit(x) @ w.T for x in z]
    past = unit(earlier[0]) @ w.T
    losses = []
    for g, v in [(0, 1), (0, 2), (1, 0), (1, 2)]:
        joined = np.concatenate([logits[g], past]) if use_queue else logits[g]
        t = sinkhorn(joined, 0.05, 3)[:B]
        losses.append(-(t * log_softmax(logits[v] / 0.1, axis=1)).sum(axis=1).mean())
    assert outputs["loss"].item() == pytest.approx(np.mean(losses), rel=1e-9)
    # What is reported are the terms of the same objective.
    assert outputs["reconstruction"].item() == pytest.approx(-np.mean(losses), rel=1e-9)
    parts = outputs["conditional_entropy"] + outputs["kl"]
    torch.testing.assert_close(parts, -outputs["reconstruction"])
    if not use_queue:
        assert outputs["entropy"].item() == pytest.approx(math.log(M), abs=0.05)


def test_dino_predicts_centred_and_sharpened_teachers() -> None:
    """Caron et al. 2021, algorithm 1, two steps: the centre moves after it was used."""
    head = AssignmentHead(
        {"type": "Centering", "teacher_temp": 0.05, "momentum": 0.8}, 0.1, num_logits=M
    ).double()
    center = np.zeros(M)
    for step in range(2):
        student, teacher = draw(4, step, M), draw(2, 30 + step, M)
        record = record_of(draw(4, 1), draw(2, 2), logits=student, target_logits=teacher)
        loss = head(record)["loss"].item()
        losses = []
        for g in range(2):
            t = softmax((teacher[g].numpy() - center) / 0.05, axis=1)
            for v in range(4):
                if v != g:
                    log_s = log_softmax(student[v].numpy() / 0.1, axis=1)
                    losses.append(-(t * log_s).sum(axis=1).mean())
        assert loss == pytest.approx(np.mean(losses), rel=1e-9)
        center = 0.8 * center + 0.2 * np.concatenate([x.numpy() for x in teacher]).mean(axis=0)


def test_moco_v3_sums_both_directions_with_factor_two_tau() -> None:
    """Chen et al. 2021, algorithm 1."""
    tau = 0.3
    head = PairHead({"type": "InfoNCELoss", "temperature": tau}, loss_weight=4 * tau)
    q, k = draw(2, 40), draw(2, 41)
    expected = 0.0
    for one, other in ((0, 1), (1, 0)):
        logits = unit(q[one]) @ unit(k[other]).T / tau
        expected += 2 * tau * -np.diag(log_softmax(logits, axis=1)).mean()
    assert head(record_of(q, k))["loss"].item() == pytest.approx(expected, rel=1e-12)


def test_nnclr_takes_the_nearest_past_projection_as_positive() -> None:
    """Dwibedi et al. 2021, equations 2 and 3."""
    target = {"type": "NearestNeighborTargets", "queue_size": 2 * B}
    head = PairHead(
        {"type": "InfoNCELoss", "temperature": 0.1, "anchor": "target"}, target, in_channels=D
    ).double()
    earlier = draw(2, 50)
    head(record_of(earlier, earlier))
    z, p = draw(2, 51, grad=True), draw(2, 52, grad=True)
    loss = head(record_of(p, z, z=z))["loss"]
    queue = unit(earlier[0])
    losses = []
    for g, v in ((0, 1), (1, 0)):
        nearest = queue[(unit(z[g]) @ queue.T).argmax(axis=1)]
        losses.append(-np.diag(log_softmax(nearest @ unit(p[v]).T / 0.1, axis=1)).mean())
    assert loss.item() == pytest.approx(np.mean(losses), rel=1e-12)
    loss.backward()
    assert all(x.grad is None for x in z)
    assert isinstance(head.target, NearestNeighborTargets)
    kept = head.target.queue.read().numpy()
    np.testing.assert_allclose(kept, np.concatenate([queue, unit(z[0])]))


def test_joint_heads_train_both_sides_of_each_pair_once() -> None:
    head = JointHead({"type": "NTXentLoss", "temperature": 0.5})
    z = draw(3, 60, grad=True)
    loss = head(record_of(z, z[:2]))["loss"]
    pairs = [(0, 1), (0, 2), (1, 2)]
    expected = torch.stack([head.loss(z[a], z[b]) for a, b in pairs]).mean()
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert all(x.grad is not None and x.grad.abs().max() > 0 for x in z)


def test_view_targets_keep_the_gradient_where_the_method_does() -> None:
    record = record_of(draw(2, 0, grad=True), draw(2, 1, grad=True))
    assert all(x.requires_grad for x in ViewTargets(stop_gradient=False)(record).target)
    assert not any(x.requires_grad for x in ViewTargets()(record).target)


def test_a_bank_s_entry_is_the_target_of_every_view() -> None:
    source = BankTargets(0.5, num_samples=N, in_channels=D).double()
    resolved = source(record_of(draw(2, 0), draw(2, 1)))
    assert resolved.target_views == ((),)
    assert view_pairs(resolved) == [(0, 0), (0, 1)]
    torch.testing.assert_close(resolved.target[0], source.bank.data[:B])


def test_student_and_teacher_may_see_different_views() -> None:
    record = record_of(draw(1, 0), draw(1, 1), views=(1,), target_views=((0,),))
    assert view_pairs(record) == [(0, 0)]
    assert view_pairs(record_of(draw(1, 0), draw(1, 0))) == []


def test_means_are_of_the_targets_of_all_other_views() -> None:
    z = draw(4, 0, grad=True)
    p = draw(4, 10, grad=True)
    head = PairHead({"type": "CosineSimilarityLoss"}, target={"type": "MeanTargets"})
    loss = head(record_of(p, z))["loss"]
    expected = []
    for v in range(4):
        mean = np.mean([unit(z[g]) for g in range(4) if g != v], axis=0)
        lengths = np.linalg.norm(mean, axis=1)
        expected.append(np.mean(2 - 2 * (mean * unit(p[v])).sum(axis=1) / lengths))
    assert loss.item() == pytest.approx(np.mean(expected), rel=1e-12)
    loss.backward()
    assert all(x.grad is None for x in z)
    assert all(x.grad is not None for x in p)


def test_the_mean_of_one_other_view_is_that_view() -> None:
    record = record_of(draw(2, 0), draw(2, 1))
    means, views = MeanTargets()(record), ViewTargets()(record)
    pairs = view_pairs(means)
    assert len(pairs) == 2
    found = {v: means.target[g] for g, v in pairs}
    for g, v in view_pairs(views):
        torch.testing.assert_close(found[v], torch.from_numpy(unit(views.target[g])))


def test_means_are_not_rounded_where_targets_are_of_half_precision() -> None:
    halves = [x.bfloat16() for x in draw(3, 1)]
    (found, *_) = MeanTargets()(record_of(draw(3, 0), halves)).target
    expected = np.mean([unit(x.double()) for x in halves[1:]], axis=0)
    np.testing.assert_allclose(found.double().numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("views", "targets", "shown"),
    [
        (4, 4, {0: [(1, 2, 3)], 1: [(0, 2, 3)], 2: [(0, 1, 3)], 3: [(0, 1, 2)]}),
        # A small crop, which is no target.
        (3, 2, {0: [(1,)], 1: [(0,)], 2: [(1,), (0,), (0, 1)]}),
        # The view that is the only target has nothing to predict.
        (3, 1, {0: [], 1: [(0,)], 2: [(0,)]}),
    ],
)
def test_which_means_a_view_is_shown(
    views: int, targets: int, shown: dict[int, list[tuple[int, ...]]]
) -> None:
    resolved = MeanTargets()(record_of(draw(views, 0), draw(targets, 1)))
    pairs = view_pairs(resolved)
    for view, wanted in shown.items():
        assert [resolved.target_views[g] for g, v in pairs if v == view] == wanted


def test_a_head_of_all_views_gives_its_loss_all_views_in_order() -> None:
    head = ViewsHead({"type": "FroSSLLoss"})
    z = draw(3, 70, grad=True)
    loss = head(record_of(z, z[:2]))["loss"]
    torch.testing.assert_close(loss, head.loss(torch.stack(z)))
    loss.backward()
    assert all(x.grad is not None and x.grad.abs().max() > 0 for x in z)


def test_the_last_of_equal_numbers() -> None:
    assert last_occurrence(torch.tensor([4, 2, 4, 4, 2, 9])).tolist() == [3, 4, 3, 3, 4, 5]


@pytest.mark.parametrize(
    ("build", "told"),
    [
        (lambda: MoCoHead(8, D, temperature=0.0), "MoCoHead: temperature"),
        (lambda: MoCoHead(0, D), "queue_size is an integer and at least 1"),
        (lambda: RelationHead(8, D, 0.04, 0.1), "smaller than student_temp"),
        (lambda: InstanceHead(in_channels=D), "needs num_samples"),
        (lambda: InstanceHead(num_samples=N, in_channels=D, num_negatives=0), "num_negatives"),
        (lambda: MemoryBank(N, D, momentum=1.0), "give less than 1"),
        (lambda: RegularizedHead({"type": "SIGRegLoss"}, weight=1.0), r"in \(0, 1\)"),
        (
            lambda: AssignmentHead({"type": "Sinkhorn"}, queue_size=8, num_logits=M),
            "prototypes of the head's own",
        ),
        (
            lambda: AssignmentHead({"type": "Centering"}, num_prototypes=[M, M], in_channels=D),
            "statistics of one set",
        ),
        (
            lambda: AssignmentHead({"type": "Sinkhorn"}, num_prototypes=1, in_channels=D),
            "num_prototypes is an integer and at least 2",
        ),
    ],
)
def test_what_cannot_be_is_said(build: Any, told: str) -> None:
    with pytest.raises(UserError, match=told):
        build()


def test_a_queue_that_does_not_fit_the_batch_is_told_before_training() -> None:
    for head in (
        MoCoHead(10, D),
        PairHead(
            {"type": "CosineSimilarityLoss"},
            {"type": "NearestNeighborTargets", "queue_size": 10},
            in_channels=D,
        ),
        AssignmentHead({"type": "Sinkhorn"}, num_prototypes=M, queue_size=10, in_channels=D),
    ):
        with pytest.raises(UserError, match="no multiple of the batch of 4"):
            head.check_batch(4)
