"""Loaders in which one process equals several."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Sampler, default_collate, get_worker_info

from mvssl.arguments import check_count, check_not_negative, is_integer
from mvssl.datasets.base import ImageDataset
from mvssl.datasets.loading import TIMEOUT, WatchedLoader
from mvssl.distributed import rank, world_size
from mvssl.errors import UserError
from mvssl.process.signals import leave_workers_alone
from mvssl.words import count

__all__ = ["MOST_WORKERS", "REPEAT", "EpochSampler", "build_loader"]

REPEAT = 2**20
"""Step between the key epochs of a sample that comes up several times in an epoch."""


MOST_WORKERS = 1024
"""Of a loader: far more than a machine has cores for."""


class EpochSampler(Sampler[tuple[int, int]]):
    """Yields sample keys (index, epoch), shuffled by (seed, epoch), whole batches only.

    The batch of a step is the same set of images on any number of processes: each rank takes its
    slice of it, and the slices in rank order are the batch of a single process.

    Args:
        num_samples: size of the data set.
        batch_size: images of a step over all processes.
        seed: of the shuffle.
        window: None: any order is as likely as any other. A number: shards come in random order,
            and of the samples in this order each stands less than so many places from its own.
        shards: number of the first sample of each, ascending from 0; for ``window``.

    Attributes:
        skip: images at the start of the epoch, over all processes, that are left out, since a run
            that is resumed has seen them.
    """

    def __init__(
        self,
        num_samples: int,
        batch_size: int,
        seed: int,
        window: int | None = None,
        shards: NDArray[np.int64] | None = None,
    ) -> None:
        self.num_samples = num_samples
        self.window = window
        self.shards = shards
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0
        self.skip = 0
        self._members: list[Tensor] | None = None

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def balance(self, labels: Tensor | None) -> None:
        """Draw uniformly over the labels (N,) that occur, as many samples as an epoch has.

        The samples of a label come up in turn, in a random order; one that comes up for the r-th
        time (from 0) in an epoch has the key epoch + r * ``REPEAT``, so its views are others.
        None: draw uniformly over the samples again.
        """
        self._members = None
        if labels is not None:
            labels = labels.cpu()
            counts = torch.bincount(labels)
            members = labels.argsort(stable=True).split(counts.tolist())
            self._members = [x for x in members if len(x)]

    def __len__(self) -> int:
        """Samples that this process sees in an epoch."""
        return self.num_samples // self.batch_size * self.batch_size // world_size()

    @property
    def steps_left(self) -> int:
        """Whole batches after those that are left out."""
        return max(self.num_samples - self.skip, 0) // self.batch_size

    def _order(self, generator: torch.Generator) -> Tensor:
        if self.window is None or self.shards is None:
            return torch.randperm(self.num_samples, generator=generator)
        shards = torch.from_numpy(self.shards)
        return _in_windows(shards, self.num_samples, self.window, generator)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        steps = self.steps_left
        total = self.skip + steps * self.batch_size
        if self._members is None:
            order = self._order(generator)[:total]
            repeats = torch.zeros_like(order)
        else:
            order, repeats = _balanced(self._members, total, generator)
        keys = torch.stack([order, self.epoch + repeats * REPEAT], dim=1)[self.skip :]
        share = self.batch_size // world_size()
        own = keys.view(steps, world_size(), share, 2)[:, rank()].flatten(0, 1)
        for index, epoch in own.tolist():  # noqa: UP028  # a data set takes tuples for keys
            yield index, epoch


def _in_windows(shards: Tensor, number: int, window: int, generator: torch.Generator) -> Tensor:
    """Shards one after the other in random order, then shuffled within windows of that, (number,).

    Windows begin elsewhere in each epoch, or some samples would never meet.
    """
    pieces = torch.arange(number).tensor_split(shards[1:])
    turns = torch.randperm(len(pieces), generator=generator).tolist()
    order = torch.cat([pieces[one] for one in turns])
    before = torch.randint(window, (1,), generator=generator)
    windows = (torch.arange(number) + before) // window
    within = torch.rand(number, generator=generator, dtype=torch.float64)
    return order[(windows + within).argsort(stable=True)]


def _balanced(
    members: list[Tensor], total: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """``total`` samples, as many of each group as of another, and how often each came up before."""
    quotas = torch.full((len(members),), total // len(members))
    quotas[torch.randperm(len(members), generator=generator)[: total % len(members)]] += 1
    samples, repeats = [], []
    for group, quota in zip(members, quotas.tolist(), strict=True):
        rounds = -(-quota // len(group))
        turns = [torch.randperm(len(group), generator=generator) for _ in range(rounds)]
        if turns:
            samples.append(group[torch.cat(turns)[:quota]])
            repeats.append(torch.arange(quota) // len(group))
    shuffle = torch.randperm(total, generator=generator)
    return torch.cat(samples)[shuffle], torch.cat(repeats)[shuffle]


def build_loader(
    dataset: ImageDataset,
    batch_size: int,
    seed: int,
    num_workers: int = 0,
    timeout: float = TIMEOUT,
    shuffle_window: int | None = None,
) -> DataLoader[Any]:
    """The training loader.

    Args:
        dataset: takes keys (index, epoch).
        batch_size: images of a step over *all* processes, so that a config means the same run on
            one GPU and on eight.
        seed: of the shuffle.
        num_workers: of each process.
        timeout: seconds without a batch from a worker, after which the run ends; 0: it waits.
        shuffle_window: samples among which is shuffled, so that a data set in shards is read nearly
            in order; None: among all.

    Raises:
        UserError: the batch does not divide among the processes, or exceeds the data set; or this
            has no shards, and a window is given.
    """
    if not is_integer(batch_size) or batch_size < 1:
        raise UserError(f"train_dataloader.batch_size is a positive number, got {batch_size!r}.")
    check_count("train_dataloader", 0, MOST_WORKERS, num_workers=num_workers)
    check_not_negative("train_dataloader", timeout=timeout)
    if shuffle_window is not None:
        check_count("train_dataloader", shuffle_window=shuffle_window)
        if dataset.shard_starts is None:
            raise UserError(
                f"train_dataloader.shuffle_window is for data sets in shards, whose order is "
                f"shuffled too, such as TarShards; {type(dataset).__name__} has none: leave it out."
            )
    if batch_size > len(dataset):
        raise UserError(
            f"train_dataloader.batch_size is {batch_size}, but the data set holds "
            f"{count(len(dataset), 'image')}: lower it."
        )
    if batch_size % world_size():
        raise UserError(
            f"train_dataloader.batch_size is the total over all processes: {batch_size} does not "
            f"divide among {world_size()}. Give a multiple of {world_size()}."
        )
    return WatchedLoader(
        dataset,
        batch_size=batch_size // world_size(),
        sampler=EpochSampler(len(dataset), batch_size, seed, shuffle_window, dataset.shard_starts),
        num_workers=num_workers,
        timeout=timeout if num_workers else 0,
        collate_fn=default_collate,
        drop_last=True,
        pin_memory=torch.cuda.is_available(),
        persistent_workers=num_workers > 0,
        generator=torch.Generator(),
        worker_init_fn=partial(_begin_worker, seed),
    )


def _begin_worker(seed: int, _: int) -> None:
    """Leave signals to the process that trains, and seed what draws globally per sample.

    Which worker makes a sample, and after which others, is another thing in a run that is resumed.
    """
    leave_workers_alone()
    info = get_worker_info()
    if info is not None and isinstance(info.dataset, ImageDataset):
        info.dataset.sample_seed = seed
