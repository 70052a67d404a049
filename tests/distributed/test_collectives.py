from __future__ import annotations

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mvssl import distributed
from mvssl.errors import UserError
from tests.gloo_pool import GlooPool, RankError

WORLDS = (1, 2, 4)


def _batch(seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(8, 3, generator=generator, dtype=torch.float64)


def _share(x: Tensor) -> Tensor:
    return x.chunk(dist.get_world_size())[dist.get_rank()]


def _all_pairs_loss(z: Tensor) -> Tensor:
    return (z @ z.T).tanh().sum() + z.std(dim=0).prod()


def test_one_process_without_a_group_communicates_nothing() -> None:
    x = _batch().requires_grad_()
    assert not distributed.is_distributed()
    assert (distributed.world_size(), distributed.rank()) == (1, 0)
    assert distributed.gather(x) is x
    detached = distributed.gather_detached(x)
    assert not detached.requires_grad
    assert torch.equal(detached, x)
    assert torch.equal(distributed.all_reduce_mean(x), x)
    assert distributed.all_gather_object({"a": 1}) == [{"a": 1}]
    assert distributed.broadcast_object("config") == "config"
    assert distributed.broadcast_(x) is x
    distributed.barrier()


def _report_identity() -> tuple[bool, int, int]:
    return distributed.is_distributed(), distributed.world_size(), distributed.rank()


@pytest.mark.parametrize("world", WORLDS)
def test_ranks_know_themselves(run_distributed: GlooPool, world: int) -> None:
    assert run_distributed(_report_identity, world) == [(True, world, r) for r in range(world)]


def _train_through_ddp() -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    model = DistributedDataParallel(nn.Linear(3, 5).double())
    loss = _all_pairs_loss(distributed.gather(model(_share(_batch()))))
    loss.backward()
    return loss.detach(), model.module.weight.grad


@pytest.mark.parametrize("world", WORLDS)
def test_gather_under_ddp_gives_the_gradient_of_the_joined_batch(
    run_distributed: GlooPool, world: int
) -> None:
    torch.manual_seed(1)
    model = nn.Linear(3, 5).double()
    expected = _all_pairs_loss(model(_batch()))
    expected.backward()
    for loss, grad in run_distributed(_train_through_ddp, world):
        torch.testing.assert_close(loss, expected.detach(), rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(grad, model.weight.grad, rtol=1e-12, atol=1e-12)


def _train_on_own_rows() -> Tensor:
    """Every rank's loss differs: its rows against everyone's."""
    theta = torch.eye(3, dtype=torch.float64, requires_grad=True)
    own = _share(_batch()) @ theta
    loss = (own @ distributed.gather(own).T).exp().mean(dim=1).log().mean()
    loss.backward()
    assert theta.grad is not None
    return distributed.all_reduce_mean(theta.grad)


@pytest.mark.parametrize("world", WORLDS)
def test_gather_trains_the_mean_of_the_ranks_losses(run_distributed: GlooPool, world: int) -> None:
    theta = torch.eye(3, dtype=torch.float64, requires_grad=True)
    z = _batch() @ theta
    (z @ z.T).exp().mean(dim=1).log().mean().backward()
    for grad in run_distributed(_train_on_own_rows, world):
        torch.testing.assert_close(grad, theta.grad, rtol=1e-12, atol=1e-12)


def _gather_kinds() -> list[Tensor]:
    r = distributed.rank()
    return [
        distributed.gather_detached(torch.full((2, 1), r, dtype=torch.int64)),
        distributed.gather_detached(torch.full((1,), r, dtype=torch.bfloat16)),
        distributed.gather_detached(torch.tensor([r % 2 == 0])),
        distributed.gather_detached(torch.full((3, 2), float(r)).T),  # not contiguous
    ]


def test_gather_keeps_rank_order_for_every_dtype(run_distributed: GlooPool) -> None:
    for whole, half, flags, transposed in run_distributed(_gather_kinds, 4):
        assert whole.flatten().tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
        assert half.dtype == torch.bfloat16
        assert half.tolist() == [0, 1, 2, 3]
        assert flags.tolist() == [True, False, True, False]
        assert transposed.shape == (8, 3)
        assert transposed[:, 0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def _gather_mismatched(kind: str) -> tuple[str, int]:
    r = dist.get_rank()
    x = {
        "rows": torch.zeros(4 - (r == 1), 3),
        "columns": torch.zeros(4, 3 + (r == 0)),
        "dtype": torch.zeros(4, 3, dtype=torch.float64 if r else torch.float32),
        "scalar": torch.zeros(()) if r else torch.zeros(2),
    }[kind]
    with pytest.raises(UserError) as caught:
        distributed.gather(x)
    # The group is still in step: an error before the collective leaves nothing pending.
    return str(caught.value), int(distributed.gather_detached(torch.ones(1)).sum())


@pytest.mark.parametrize("kind", ["rows", "columns", "dtype", "scalar"])
def test_unequal_tensors_are_refused_on_every_rank(run_distributed: GlooPool, kind: str) -> None:
    for message, ranks in run_distributed(_gather_mismatched, 2, kind):
        assert ranks == 2
        if kind == "rows":
            assert "rank 0: (4, 3) float32, rank 1: (3, 3) float32" in message
            assert "drop_last=True" in message


def _reduce_and_broadcast() -> dict[str, object]:
    r = distributed.rank()
    strided = torch.full((2, 3), float(r)).T
    returned = distributed.broadcast_(strided, src=1)
    mean_input = torch.tensor([float(r), 2.0], requires_grad=True)
    mean = distributed.all_reduce_mean(mean_input)
    distributed.barrier()
    return {
        "same": returned is strided,
        "strided": strided.tolist(),
        "mean": mean.tolist(),
        "untouched": mean_input.tolist() == [float(r), 2.0] and not mean.requires_grad,
        "count": float(distributed.all_reduce_mean(torch.tensor(r))),
        "objects": distributed.all_gather_object(("rank", r)),
        "object": distributed.broadcast_object({"from": r}, src=1),
    }


def test_reductions_and_broadcasts(run_distributed: GlooPool) -> None:
    for result in run_distributed(_reduce_and_broadcast, 2):
        assert result == {
            "same": True,
            "strided": [[1.0, 1.0]] * 3,
            "mean": [0.5, 2.0],
            "untouched": True,
            "count": 0.5,
            "objects": [("rank", 0), ("rank", 1)],
            "object": {"from": 1},
        }


def _fail_on_rank_one() -> None:
    if dist.get_rank() == 1:
        raise RuntimeError("rank one gives up")
    dist.barrier()


def _hang_on_rank_zero() -> int:
    if dist.get_rank() == 0:
        dist.recv(torch.zeros(1), src=1)
    return 1


def test_pool_reports_failures_and_survives_them() -> None:
    pool = GlooPool(size=2)
    try:
        with pytest.raises(RankError, match="rank one gives up"):
            pool(_fail_on_rank_one, 2)
        assert pool(_report_identity, 2) == [(True, 2, 0), (True, 2, 1)]
        with pytest.raises(RankError, match="no answer from ranks"):
            pool(_hang_on_rank_zero, 2, timeout=3)
        assert pool(_report_identity, 1) == [(True, 1, 0)]
    finally:
        pool.close()


def _agree(brought: list[list[int]]) -> list[int]:
    agreement = distributed.HostAgreement()
    own = brought[distributed.rank()]
    answers = [agreement.exchange(number, 2 * number) for number in own]
    last = agreement.settle()
    assert all(second == 2 * first for first, second in [*answers, last or (0, 0)])
    return [first for first, _ in answers] + list(last[:1])


@pytest.mark.parametrize("world", [2, 4])
def test_ranks_agree_one_step_later_on_the_largest_number(
    run_distributed: GlooPool, world: int
) -> None:
    brought = [[0, 0, 0, 2], [0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]][:world]
    assert run_distributed(_agree, world, brought) == [[0, 0, 1, 0, 2]] * world


def test_one_process_agrees_with_itself_at_once() -> None:
    assert _agree([[0, 3, 0]]) == [0, 3, 0]
