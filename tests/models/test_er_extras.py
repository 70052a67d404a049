"""Queues, discrete support and local entropies of the ER heads, and the geometry of a record.

Shape suffixes: B images in the batch, D embedding size, m prototypes.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from mvssl.errors import UserError
from mvssl.information import VonMisesFisher, entropy
from mvssl.models import Embeddings
from mvssl.models.heads import DiscreteERHead, ERHead, MoCoHead, RelationHead
from mvssl.models.measures import measure_geometry
from mvssl.models.memory import EmbeddingQueue
from tests.gloo_pool import GlooPool

B, D, M = 8, 5, 6
VMF = VonMisesFisher(10.0)


def draw(seed: int, columns: int = D) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(B, columns, generator=generator, dtype=torch.float64) for _ in range(2)]


def record_of(p: list[Tensor], target: list[Tensor], **more: Any) -> Embeddings:
    lists = {"features": p, "z": p, "p": p, "target": target, **more}
    return Embeddings(**lists, index=torch.arange(len(p[0])))


def share(x: Tensor) -> Tensor:
    return x.chunk(dist.get_world_size())[dist.get_rank()]


def test_a_queue_keeps_the_last_rows_and_starts_empty() -> None:
    queue = EmbeddingQueue(6, 2)
    batches = [torch.full((2, 2), float(n)) for n in range(5)]
    assert queue.read().shape == (0, 2)
    for number, batch in enumerate(batches, start=1):
        queue.push(batch)
        kept = batches[max(0, number - 3) : number]
        assert sorted(queue.read()[:, 0].tolist()) == sorted(torch.cat(kept)[:, 0].tolist())
    other = EmbeddingQueue(6, 2)
    other.load_state_dict(queue.state_dict())
    assert torch.equal(other.read(), queue.read())
    other.push(batches[0])
    queue.push(batches[0])
    assert torch.equal(other.read(), queue.read())


def test_a_queue_that_is_no_multiple_of_the_batch_says_so() -> None:
    with pytest.raises(UserError, match=r"no multiple of the batch of 4.*queue_size=4"):
        EmbeddingQueue(6, 2).push(torch.zeros(4, 2))


def test_the_entropy_with_a_queue_counts_past_first_views() -> None:
    head = ERHead(queue_size=2 * B, in_channels=D).double()
    first, second = draw(1), draw(2)
    target = draw(3)
    plain = ERHead()(record_of(first, target))["entropy_trained"]
    torch.testing.assert_close(head(record_of(first, target))["entropy_trained"], plain)
    unit = [F.normalize(x, dim=1) for x in second]
    past = F.normalize(first[0], dim=1)
    expected = torch.stack([entropy(x, VMF, queue=past) for x in unit]).mean()
    torch.testing.assert_close(head(record_of(second, target))["entropy_trained"], expected)
    assert head.entropy.queue is not None
    assert len(head.entropy.queue.read()) == 2 * B
    head.eval()(record_of(second, target))
    assert torch.equal(head.entropy.queue.read()[:B], past)  # evaluation pushes nothing


GROUPED = [
    lambda **more: ERHead(**more),
    lambda **more: ERHead(estimator="loo", **more),
    lambda **more: DiscreteERHead(**more),
]


@pytest.mark.parametrize("build", GROUPED)
def test_groups_of_half_a_batch_are_two_batches(build: Any) -> None:
    """Loss and gradient of a batch with groups are the mean of those of its parts."""
    whole = [torch.cat(pair).requires_grad_() for pair in zip(draw(1, M), draw(2, M), strict=True)]
    targets = [torch.cat(pair) for pair in zip(draw(3, M), draw(4, M), strict=True)]

    def loss_of(head: Any, rows: slice) -> Tensor:
        p, t = [x[rows] for x in whole], [x[rows] for x in targets]
        loss: Tensor = head.double()(record_of(p, t, logits=p, target_logits=t))["loss"]
        return loss

    grouped = loss_of(build(entropy_group=B), slice(None))
    halves = [loss_of(build(), rows) for rows in (slice(0, B), slice(B, 2 * B))]
    expected = torch.stack(halves).mean()
    torch.testing.assert_close(grouped, expected)
    assert not torch.allclose(loss_of(build(), slice(None)), expected)
    for found, wanted in zip(
        torch.autograd.grad(grouped, whole), torch.autograd.grad(expected, whole), strict=True
    ):
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("kind", [ERHead, DiscreteERHead])
def test_groups_fill_the_batch(kind: Any) -> None:
    head = kind(entropy_group=4)
    head.check_batch(12)
    for batch in (2, 6):
        with pytest.raises(UserError, match=rf"entropy_group=4 does not divide .*{batch} images"):
            head.check_batch(batch)
    for size in (1, 0, 2.5, True):
        with pytest.raises(UserError, match="entropy_group"):
            kind(entropy_group=size)
    x = [torch.randn(6, D) for _ in range(2)]
    with pytest.raises(UserError, match="entropy_group=4"):
        head(record_of(x, x, logits=x, target_logits=x))


def _queue_after_two_steps() -> tuple[Tensor, Tensor]:
    head = ERHead(queue_size=2 * B, in_channels=D).double()
    for seed in (1, 2):
        p, target = [share(x) for x in draw(seed)], [share(x) for x in draw(seed + 5)]
        trained = head(record_of(p, target))["entropy_trained"]
    assert head.entropy.queue is not None
    return head.entropy.queue.read(), trained


def test_queues_are_equal_on_all_processes(run_distributed: GlooPool) -> None:
    (expected, value), *_ = run_distributed(_queue_after_two_steps, 1)
    for rows, trained in run_distributed(_queue_after_two_steps, 2):
        assert torch.equal(rows, expected)
        torch.testing.assert_close(trained, value, rtol=1e-6, atol=0)


def test_the_entropy_can_be_taken_on_the_projection() -> None:
    z, p, target = draw(1), draw(2), draw(3)
    record = record_of(p, target, z=z)
    expected = torch.stack([entropy(F.normalize(x, dim=1), VMF) for x in z]).mean()
    value = ERHead(entropy_on="projection")(record)["entropy_trained"]
    torch.testing.assert_close(value, expected)


def _own_entropy() -> Tensor:
    p = [share(x) for x in draw(1)]
    return ERHead(gather=False)(record_of(p, [share(x) for x in draw(2)]))["entropy_trained"]


def test_without_gather_every_process_has_its_own_entropy(run_distributed: GlooPool) -> None:
    for number, value in enumerate(run_distributed(_own_entropy, 2)):
        own = [F.normalize(x.chunk(2)[number], dim=1) for x in draw(1)]
        expected = torch.stack([entropy(x, VMF) for x in own]).mean()
        torch.testing.assert_close(value, expected)


def by_hand(student: list[Tensor], target: list[Tensor], beta: float) -> dict[str, Tensor]:
    """The definitions, written out for the pairs (0, 1) and (1, 0)."""
    s = [torch.softmax(x / 0.1, dim=1) for x in student]
    sharp = [torch.softmax(x / 0.05, dim=1) for x in student]
    t = [torch.softmax(x / 0.05, dim=1) for x in target]

    def h(rows: Tensor) -> Tensor:
        mean = rows.mean(dim=0)
        return -(mean * mean.log()).sum()

    pairs = [(0, 1), (1, 0)]
    fit = sum(((t[g] * s[v].log()).sum(dim=1).mean() for g, v in pairs), torch.zeros(())) / 2
    trained = (h(sharp[0]) + h(sharp[1])) / 2
    conditional = -torch.cat([x * x.log() for x in t]).sum() / (2 * B)
    kl = sum(((t[g] * (t[g] / s[v]).log()).sum() / B for g, v in pairs), torch.zeros(())) / 2
    return {
        "loss": -(beta * trained + fit),
        "entropy_trained": trained,
        "entropy": (h(t[0]) + h(t[1])) / 2,
        "reconstruction": fit,
        "mi_bound": (h(t[0]) + h(t[1])) / 2 + fit,
        "conditional_entropy": conditional,
        "kl": kl,
        "information": (h(t[0]) + h(t[1])) / 2 - conditional,
    }


@pytest.mark.parametrize("beta", [1.0, 0.3])
def test_discrete_er_is_what_its_definitions_say(beta: float) -> None:
    student, target = draw(1, M), draw(2, M)
    record = record_of(draw(3), draw(4), logits=student, target_logits=target)
    outputs = DiscreteERHead(entropy_weight=beta)(record)
    for name, expected in by_hand(student, target, beta).items():
        torch.testing.assert_close(outputs[name], expected, msg=name)
    assert outputs["mi_ceiling"].item() == pytest.approx(math.log(M))
    assert outputs["infonce"] <= math.log(B)


def test_rows_that_all_name_one_prototype_are_worth_nothing() -> None:
    """Whatever their softness; the entropy at the student's temperature would give 2.1 nats."""
    values, soft = [], []
    for height in torch.linspace(0.0, 1.0, 41, dtype=torch.float64):
        rows = torch.zeros(B, 64, dtype=torch.float64)
        rows[:, 0] = height
        record = record_of(draw(3), draw(4), logits=[rows, rows], target_logits=[rows, rows])
        values.append(-DiscreteERHead()(record)["loss"].item())
        soft.append(-DiscreteERHead(entropy_temp=0.1)(record)["loss"].item())
    assert max(values) == pytest.approx(0.0, abs=1e-9)
    assert max(soft) == pytest.approx(2.11, abs=0.05)


def test_discrete_er_compares_with_prototypes_of_its_own() -> None:
    head = DiscreteERHead(num_prototypes=M, in_channels=D).double()
    p, target = draw(1), draw(2)
    p[0].requires_grad_()
    outputs = head(record_of(p, target))
    assert head.prototypes is not None
    w = F.normalize(head.prototypes.weights[0], dim=1)
    student = [F.normalize(x, dim=1) @ w.T for x in p]
    expected = by_hand(student, [F.normalize(x, dim=1) @ w.T for x in target], 1.0)
    torch.testing.assert_close(outputs["loss"], expected["loss"])
    outputs["loss"].backward()
    assert head.prototypes.weights[0].grad is not None
    assert p[0].grad is not None


BOTH_SIDES: dict[str, Any] = {
    "assigner": {"type": "Sharpening", "teacher_temp": 0.1},
    "entropy_temp": 0.1,
    "target": {"type": "ViewTargets", "stop_gradient": False},
}
"""One softmax for both terms, and a gradient in both views, as in the paper's code."""


def test_one_softmax_with_gradient_in_both_views_is_the_paper_s_code() -> None:
    def written_out(a: Tensor, b: Tensor) -> Tensor:
        rows = [torch.softmax(x / 0.1, dim=1) for x in (a, b)]
        means = [x.mean(dim=0) for x in rows]
        h = -sum(((m * m.log()).sum() for m in means), torch.zeros(()))
        fits = [(rows[i] * rows[1 - i].log()).sum(dim=1).mean() for i in range(2)]
        return -(h + fits[0] + fits[1]) / 2

    def head(a: Tensor, b: Tensor) -> Tensor:
        record = record_of(draw(3), draw(4), logits=[a, b], target_logits=[a, b])
        return DiscreteERHead(**BOTH_SIDES)(record)["loss"]

    views = [0.3 * x for x in draw(1, M)]
    results = []
    for function in (head, written_out):
        leaves = [x.clone().requires_grad_() for x in views]
        value = function(*leaves)
        results.append((value.detach(), *torch.autograd.grad(value, leaves)))
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected)
    assert torch.autograd.gradcheck(head, [x.clone().requires_grad_() for x in views])


def test_targets_are_trained_through_own_prototypes_where_they_are_to_be() -> None:
    for more, trained in ((BOTH_SIDES, True), ({}, False)):
        head = DiscreteERHead(num_prototypes=M, in_channels=D, **more).double()
        p, target = draw(1), [x.requires_grad_() for x in draw(2)]
        outputs = head(record_of(p, target))
        outputs["loss"].backward()
        assert [x.grad is not None for x in target] == [trained, trained]
        assert not outputs["information"].requires_grad


def _discrete(gather: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    head = DiscreteERHead(num_prototypes=M, in_channels=D, gather=gather).double()
    theta = torch.eye(D, dtype=torch.float64, requires_grad=True)
    p = [share(x) @ theta for x in draw(1)]
    outputs = head(record_of(p, [share(x) for x in draw(2)]))
    outputs["loss"].backward()
    assert theta.grad is not None
    assert head.prototypes is not None
    assert head.prototypes.weights[0].grad is not None
    return (
        outputs["loss"].detach(),
        theta.grad,
        head.prototypes.weights[0].grad,
        outputs["entropy_trained"],
    )


@pytest.mark.parametrize("world", [2, 4])
def test_discrete_er_on_several_processes_is_that_on_one(
    run_distributed: GlooPool, world: int
) -> None:
    (single,) = run_distributed(_discrete, 1, True)
    several = run_distributed(_discrete, world, True)
    for expected, parts in zip(single, zip(*several, strict=True), strict=True):
        torch.testing.assert_close(torch.stack(parts).mean(0), expected, rtol=1e-6, atol=1e-9)


def test_discrete_er_can_take_each_process_s_own_entropy(run_distributed: GlooPool) -> None:
    (joined,) = run_distributed(_discrete, 1, True)
    apart = run_distributed(_discrete, 2, False)
    # The entropy is concave, so that of the mean is the larger one.
    assert torch.stack([part[3] for part in apart]).mean() < joined[3]
    for number, part in enumerate(apart):
        (alone,) = run_distributed(_discrete_of_half, 1, number)
        torch.testing.assert_close(part[3], alone)


def _discrete_of_half(number: int) -> Tensor:
    torch.manual_seed(0)
    head = DiscreteERHead(num_prototypes=M, in_channels=D).double()
    p, target = ([x.chunk(2)[number] for x in draw(seed)] for seed in (1, 2))
    return head(record_of(p, target))["entropy_trained"]


@pytest.mark.parametrize(
    ("head", "told"),
    [
        (
            lambda: DiscreteERHead(
                8, 0.1, {"type": "Sharpening", "teacher_temp": 0.1}, in_channels=D
            ),
            "smaller than student_temp",
        ),
        (
            lambda: DiscreteERHead(**{**BOTH_SIDES, "assigner": {"type": "Sinkhorn"}}),
            "assignments of Sinkhorn carry no gradient",
        ),
        (
            lambda: DiscreteERHead(num_prototypes=1, in_channels=D),
            "num_prototypes is an integer and at least 2",
        ),
        (lambda: ERHead(queue_size=-4), "queue_size is an integer and at least 0"),
        (lambda: ERHead(queue_size=8), "queue_size needs in_channels"),
        (lambda: ERHead(entropy_on="features"), "one of prediction, projection"),
    ],
)
def test_what_cannot_be_is_said(head: Any, told: str) -> None:
    with pytest.raises(UserError, match=told):
        head()


def test_geometry_knows_collapse_and_a_full_sphere() -> None:
    spread = torch.randn(4096, D, dtype=torch.float64)
    record = record_of([spread, spread], [spread, spread])
    full = measure_geometry(record, VMF)
    assert float(full["alignment"]) == pytest.approx(0.0, abs=1e-12)
    assert float(full["rankme"]) == pytest.approx(D, rel=0.01)
    assert float(full["embedding_std"]) == pytest.approx(full["embedding_std_cap"], rel=0.01)
    one = spread[:1].expand(64, D)
    flat = measure_geometry(record_of([one, one], [one, one]), VMF)
    assert float(flat["rankme"]) == pytest.approx(1.0, abs=1e-3)
    assert float(flat["embedding_std"]) == pytest.approx(0.0, abs=1e-12)
    assert float(flat["uniformity"]) == pytest.approx(0.0, abs=1e-9)
    assert float(flat["features_entropy"]) == pytest.approx(flat["features_entropy_floor"])
    assert float(full["features_entropy"]) <= float(full["features_entropy_cap"])


def test_a_queue_goes_on_around_its_end_with_another_batch() -> None:
    queue = EmbeddingQueue(size=6, channels=1)
    queue.push(torch.tensor([[0.0], [1.0]]))
    for start in (2, 5):
        queue.push(torch.arange(start, start + 3.0)[:, None])
    assert sorted(queue.read()[:, 0].tolist()) == [2.0, 3.0, 4.0, 5.0, 6.0, 7.0]


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_heads_compute_in_float32_without_a_model_too(half: torch.dtype) -> None:
    p, target, logits, past = (draw(seed) for seed in (1, 2, 3, 4))
    lists = {"logits": logits, "target_logits": past}
    exact = record_of(p, target, **lists).map(lambda x: x.to(half) if x.is_floating_point() else x)
    wide = exact.map(lambda x: x.double() if x.is_floating_point() else x)
    heads = [
        DiscreteERHead(),
        ERHead(),
        MoCoHead(queue_size=2 * B, in_channels=D),
        RelationHead(queue_size=2 * B, in_channels=D),
    ]
    for head in heads:
        head(wide.map(lambda x: x.float() if x.is_floating_point() else x))  # queues are filled
        state = {name: x.clone() for name, x in head.state_dict().items()}
        found = head(exact)["loss"]
        head.load_state_dict(state)
        assert found.dtype == torch.float32
        torch.testing.assert_close(
            found.double(), head.double()(wide)["loss"].double(), rtol=1e-4, atol=1e-5
        )


def test_a_sphere_has_two_dimensions_and_leave_one_out_two_images() -> None:
    with pytest.raises(UserError, match=r"ERHead: on a sphere of one .* out_channels of 2 or more"):
        ERHead(in_channels=1)
    one = [torch.ones(1, D), torch.ones(1, D)]
    with pytest.raises(UserError, match=r"ERHead compares images .* batch_size of 2 or more"):
        ERHead(estimator="loo")(record_of(one, one))
