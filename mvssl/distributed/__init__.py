"""Several processes as one: collectives with correct gradients, and how processes meet."""

from mvssl.distributed.collectives import (
    all_gather_object,
    all_reduce_mean,
    all_reduce_sum,
    average_gradients,
    barrier,
    broadcast_,
    broadcast_object,
    gather,
    gather_detached,
    gather_interleaved,
    is_distributed,
    mean_over_ranks,
    on_all_ranks,
    on_first_rank,
    rank,
    world_size,
)
from mvssl.distributed.host import HostAgreement

__all__ = [
    "HostAgreement",
    "all_gather_object",
    "all_reduce_mean",
    "all_reduce_sum",
    "average_gradients",
    "barrier",
    "broadcast_",
    "broadcast_object",
    "gather",
    "gather_detached",
    "gather_interleaved",
    "is_distributed",
    "mean_over_ranks",
    "on_all_ranks",
    "on_first_rank",
    "rank",
    "world_size",
]
