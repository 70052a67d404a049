"""Every collective operation of the package, with correct gradients.

All functions may be called unconditionally: with one process (no initialised process group) they
are identities and communicate nothing. With several processes every rank must call them, in the
same order; never put one inside an ``if`` that only some ranks enter.

**Gradient convention.** Each rank computes a loss ``L_r`` and ``DistributedDataParallel`` averages
the parameters' gradients over the ``W`` ranks, so what is trained is ``(1/W) sum_r L_r``.
:func:`gather` is differentiated for exactly that: its backward *sums* over ranks the gradients
that reached the joined tensor and hands each rank its own rows. Hence, where every rank computes
the same loss from gathered tensors, the averaged gradient equals the gradient of one process that
holds the joined batch, with no factor of W to remember. Where nothing averages the gradients
(plain ``backward`` without DDP), average them yourself, e.g. with :func:`all_reduce_mean`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from mvssl.errors import UserError

T = TypeVar("T")

_MAX_DIMS = 8
_side_group: tuple[Any, Any] | None = None  # (the world group it belongs to, its gloo twin)


def is_distributed() -> bool:
    """Whether a process group is initialised (also true for a group of one process)."""
    return dist.is_available() and dist.is_initialized()


def world_size() -> int:
    """Number of processes, 1 where there is no process group."""
    return dist.get_world_size() if is_distributed() else 1


def rank() -> int:
    """Index of this process, 0 where there is no process group."""
    return dist.get_rank() if is_distributed() else 0


def gather(x: Tensor) -> Tensor:
    """Joins the ranks' tensors along dim 0, in rank order; differentiable.

    Every rank passes ``(n, ...)`` of one shape and dtype and receives ``(W * n, ...)``. Backward
    sums the ranks' gradients and returns each rank its rows (see the module's text for why this is
    the gradient of the joined batch under DDP). Backward communicates: every rank must run it.

    Raises:
        UserError: on every rank, if the ranks' shapes or dtypes differ, as with an uneven last
            batch. The shapes travel through host memory, so no step synchronises the device.
    """
    if world_size() == 1:
        return x
    _check_equal_shapes(x)
    result: Tensor = _Gather.apply(x)
    return result


def gather_detached(x: Tensor) -> Tensor:
    """:func:`gather` without gradient, for queues, banks and figures; any dtype."""
    x = x.detach()
    if world_size() == 1:
        return x
    _check_equal_shapes(x)
    return _all_gather(x)


def all_reduce_mean(x: Tensor) -> Tensor:
    """The mean over ranks, without gradient, as a new tensor; integers become float32."""
    x = x.detach()
    if not (x.is_floating_point() or x.is_complex()):
        x = x.float()
    if world_size() == 1:
        return x.clone()
    total = x.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total, op=dist.ReduceOp.SUM)
    return total / world_size()


def all_reduce_sum(x: Tensor) -> Tensor:
    """The sum over ranks, without gradient, as a new tensor of the same dtype."""
    total = x.detach().clone(memory_format=torch.contiguous_format)
    if world_size() > 1:
        dist.all_reduce(total, op=dist.ReduceOp.SUM)
    return total


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Put the mean over ranks into the gradients of parameters that no DDP looks after.

    A parameter without a gradient has none on any rank, as all ranks compute alike.
    """
    if world_size() == 1:
        return
    grads = [p.grad for p in parameters if p.grad is not None]
    if not grads:
        return
    mean = all_reduce_mean(torch.cat([grad.flatten() for grad in grads]))
    for grad, part in zip(grads, mean.split([grad.numel() for grad in grads]), strict=True):
        grad.copy_(part.view_as(grad))


def gather_interleaved(x: Tensor, total: int) -> Tensor:
    """Joins shares of which rank r holds rows r, r + W, r + 2 W, ... of ``total``, in their order.

    Without gradient. The last row of some shares may be missing, so ranks may differ in length by
    one.
    """
    x = x.detach()
    if world_size() == 1:
        return x
    longest = -(-total // world_size())
    padded = x.new_zeros((longest, *x.shape[1:]))
    padded[: len(x)] = x
    joined = gather_detached(padded).unflatten(0, (world_size(), longest))
    return joined.transpose(0, 1).flatten(0, 1)[:total]


def all_gather_object(obj: T) -> list[T]:
    """Every rank's (picklable) object, in rank order."""
    if world_size() == 1:
        return [obj]
    objects: list[Any] = [None] * world_size()
    dist.all_gather_object(objects, obj)
    return objects


def broadcast_object(obj: T, src: int = 0) -> T:
    """The (picklable) object of rank ``src``, on every rank."""
    if world_size() == 1:
        return obj
    objects: list[Any] = [obj]
    dist.broadcast_object_list(objects, src=src)
    result: T = objects[0]
    return result


def broadcast_(tensor: Tensor, src: int = 0) -> Tensor:
    """Overwrites ``tensor`` with that of rank ``src``, without gradient, and returns it.

    Queues, centres and prototypes that are drawn at random pass through here once, so that all
    ranks start from one draw. Shapes and dtypes must agree.
    """
    if world_size() == 1:
        return tensor
    # NCCL takes neither host memory nor strided views.
    buffer = tensor.detach().to(_collective_device(tensor)).contiguous()
    dist.broadcast(buffer, src=src)
    with torch.no_grad():
        tensor.copy_(buffer)
    return tensor


def barrier() -> None:
    """Waits until every rank has arrived."""
    if world_size() > 1:
        dist.barrier()


def mean_over_ranks(x: Tensor) -> Tensor:
    """The mean over ranks, differentiable: statistics of a batch that is spread over ranks.

    Backward is the gradient of the *sum* of the ranks' losses, as for :func:`gather`.
    """
    if world_size() == 1:
        return x
    result: Tensor = _MeanOverRanks.apply(x)
    return result


class _MeanOverRanks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return all_reduce_mean(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return all_reduce_mean(grad)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.rows = x.shape[0]
        return _all_gather(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        # all_reduce and not reduce_scatter: gloo has no reduce_scatter in older releases.
        total = grad.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total, op=dist.ReduceOp.SUM)
        start = dist.get_rank() * ctx.rows
        return total[start : start + ctx.rows]


def _all_gather(x: Tensor) -> Tensor:
    x = x.contiguous()
    parts = [torch.empty_like(x) for _ in range(world_size())]
    dist.all_gather(parts, x)
    return torch.cat(parts)


def _check_equal_shapes(x: Tensor) -> None:
    """Raises on every rank alike, before a collective that would hang or mix up rows."""
    problem = x.dim() == 0 or x.dim() > _MAX_DIMS
    described = torch.full((_MAX_DIMS + 2,), -1, dtype=torch.int64)
    described[0] = -1 if problem else x.dim()
    described[1] = _DTYPES.index(x.dtype) if x.dtype in _DTYPES else -1
    if not problem:
        described[2 : 2 + x.dim()] = torch.tensor(x.shape, dtype=torch.int64)
    everyone = [torch.empty_like(described) for _ in range(world_size())]
    dist.all_gather(everyone, described, group=host_group())
    rows = [row.tolist() for row in everyone]
    if any(row[0] < 0 for row in rows):
        raise UserError(
            f"gather needs tensors of 1 to {_MAX_DIMS} dimensions on every rank; "
            f"rank {rank()} has shape {tuple(x.shape)}."
        )
    if any(row != rows[0] for row in rows):
        listed = ", ".join(f"rank {r}: {_describe(row)}" for r, row in enumerate(rows))
        raise UserError(
            f"gather needs the same shape and dtype on every rank, found {listed}. "
            "With an uneven last batch set drop_last=True in the data loader."
        )


_DTYPES = (
    torch.float32,
    torch.float64,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.bool,
)


def _describe(row: list[int]) -> str:
    dtype = str(_DTYPES[row[1]]).removeprefix("torch.") if row[1] >= 0 else "another dtype"
    return f"{tuple(row[2 : 2 + row[0]])} {dtype}"


def host_group() -> Any:
    """A gloo group of all ranks, so that host-side facts travel without touching the device."""
    global _side_group
    world = dist.group.WORLD
    if dist.get_backend() == "gloo":
        return world
    if _side_group is None or _side_group[0] is not world:
        _side_group = (world, dist.new_group(backend="gloo"))
    return _side_group[1]


def _collective_device(tensor: Tensor) -> torch.device:
    if dist.get_backend() == "nccl" and tensor.device.type == "cpu":
        return torch.device("cuda", torch.cuda.current_device())
    return tensor.device


def on_all_ranks(action: Callable[[], T]) -> T:
    """The result of ``action``; a ``UserError`` on any process is raised on all of them.

    Without this a process that goes on alone would wait for the others without end.
    """
    result: T | None = None
    own: UserError | None = None
    try:
        result = action()
    except UserError as error:
        own = error
    gathered = all_gather_object(None if own is None else (type(own), str(own)))
    first = next((fault for fault in gathered if fault is not None), None)
    if first is not None:
        kind, text = first
        # Its own knows what it was caused by.
        raise own if own is not None and str(own) == text else kind(text)
    return cast(T, result)


def on_first_rank(action: Callable[[], T]) -> T:
    """The result of ``action`` on the first process, on all; so with a ``UserError`` of it.

    For what may differ between processes: clocks, and folders that appear while others look.
    """
    result = on_all_ranks(lambda: action() if rank() == 0 else None)
    return cast(T, broadcast_object(result))
