"""Features of a data set, extracted once, on one process or many."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import Subset

from mvssl.datasets.base import ImageDataset
from mvssl.datasets.loading import TIMEOUT, WatchedLoader
from mvssl.distributed import all_gather_object, rank, world_size
from mvssl.evaluation.network import Network, as_network, evaluation_mode
from mvssl.models import MultiView
from mvssl.models.precision import at_least_float32
from mvssl.process.signals import leave_workers_alone
from mvssl.views.host_views import HostViews
from mvssl.views.preprocessor import unit
from mvssl.views.view import View

__all__ = [
    "Features",
    "extract_features",
    "interleave",
    "own_batches",
    "pixel_features",
    "still_projections",
    "stream_features",
    "view_features",
]

PIXEL_SIDE = 32


@dataclass(frozen=True)
class Features:
    """``x`` (N, C) float32 and ``labels`` (N,) int64, on the CPU, in the data set's order.

    ``replaced`` are the images that could not be read; another one stands in for each.
    """

    x: Tensor
    labels: Tensor
    replaced: frozenset[int] = frozenset()


def extract_features(
    model: nn.Module | Network,
    dataset: ImageDataset,
    batch_size: int = 256,
    num_workers: int = 0,
    between: Callable[[], object] | None = None,
) -> Features:
    """Backbone features (N, C) of every image, each process computing its share.

    Every process calls this and receives all features.

    Args:
        model: a ``MultiView``, or a backbone that ``mvssl.load_backbone`` returned.
        dataset: images of one size.
        batch_size: images embedded at once by each process.
        num_workers: of the loader of each process.
        between: as in :func:`own_batches`.
    """
    network = as_network(model)
    own_x, own_labels, own_replaced = [], [], []
    with evaluation_mode(network.whole), torch.inference_mode():
        for batch in own_batches(dataset, batch_size, num_workers, between):
            own_x.append(network.features(batch).float().cpu())
            own_labels.append(batch["label"])
            own_replaced.append(batch["replaced"])
    return _join(own_x, own_labels, own_replaced, len(dataset))


def stream_features(
    model: nn.Module | Network,
    dataset: ImageDataset,
    take: Callable[[Tensor, Tensor], object],
    batch_size: int = 256,
    num_workers: int = 0,
    between: Callable[[], object] | None = None,
) -> None:
    """:func:`extract_features` in parts, none of which is kept.

    Args:
        model, dataset, batch_size, num_workers, between: as there.
        take: called on every process alike with the rows (n, C) that follow in the data set's
            order, of one batch of all processes together, and with the numbers (n,) of the images
            that could not be read, -1 in the rows of the others.
    """
    network = as_network(model)
    own: tuple[Tensor, Tensor] | None = None

    def join() -> None:
        # Images r, r + W, ... of this part, as of the whole.
        nonlocal own
        x, replaced = zip(*all_gather_object(own or (None, None)), strict=True)
        own = None
        total = sum(len(share) for share in x if share is not None)
        take(interleave(x, total), interleave(replaced, total))
        if between is not None:
            between()

    with evaluation_mode(network.whole):
        for batch in own_batches(dataset, batch_size, num_workers, join):
            with torch.inference_mode():
                own = network.features(batch).float().cpu(), batch["replaced"]


def view_features(
    network: Network,
    dataset: ImageDataset,
    view: View,
    seed: int,
    epoch: int,
    batch_size: int = 256,
    num_workers: int = 0,
    between: Callable[[], object] | None = None,
) -> Features:
    """Backbone features (N, C) of one view of every image, drawn from (seed, epoch, image); the
    backbone is in evaluation mode, without gradients.

    Views are drawn from whole images in the loader's workers. Otherwise as
    :func:`extract_features`.
    """
    shown = copy.copy(dataset)
    shown.view_transform = HostViews([view], seed)
    shown.size = None
    keys: Any = [(index, epoch) for index in range(len(dataset))]
    own_x, own_labels, own_replaced = [], [], []
    with evaluation_mode(network.whole), torch.inference_mode():
        for batch in own_batches(Subset(shown, keys), batch_size, num_workers, between):
            (images,) = batch["views"]
            own_x.append(network.features({**batch, "image": images}).float().cpu())
            own_labels.append(batch["label"])
            own_replaced.append(batch["replaced"])
    return _join(own_x, own_labels, own_replaced, len(dataset))


def still_projections(
    model: MultiView,
    dataset: ImageDataset,
    batch_size: int = 256,
    num_workers: int = 0,
    between: Callable[[], object] | None = None,
) -> Tensor:
    """Projections (n, D) of this process's share of the images: rank, rank + W, ...

    Each image is shown whole (its largest square), without augmentation, at the size of the first
    view, in evaluation mode. Training clusters them (``ClusteringHook``); the function stands here
    since it goes through a data set as ``extract_features`` does.
    """
    shown = copy.copy(dataset)  # the original goes on making its own views
    shown.view_transform = model.data_preprocessor.still_transform()
    rows = []
    with evaluation_mode(model), torch.inference_mode():
        for batch in own_batches(shown, batch_size, num_workers, between):
            rows.append(
                at_least_float32(model.neck(model.backbone(model.data_preprocessor.whole(batch))))
            )
    if not rows:
        return torch.zeros(0, model.neck.out_channels, device=next(model.parameters()).device)
    return torch.cat(rows).clone()  # what is made in inference mode could not be changed later


def pixel_features(
    dataset: ImageDataset,
    batch_size: int = 256,
    num_workers: int = 0,
    between: Callable[[], object] | None = None,
) -> Features:
    """Raw pixels in [0, 1] as features (N, C s s), images averaged down to at most 32 x 32."""
    own_x, own_labels, own_replaced = [], [], []
    for batch in own_batches(dataset, batch_size, num_workers, between):
        images = unit(batch["image"])
        if images.shape[-1] > PIXEL_SIDE:
            images = F.interpolate(images, size=(PIXEL_SIDE, PIXEL_SIDE), mode="area")
        own_x.append(images.flatten(1))
        own_labels.append(batch["label"])
        own_replaced.append(batch["replaced"])
    return _join(own_x, own_labels, own_replaced, len(dataset))


def own_batches(
    dataset: ImageDataset | Subset[dict[str, Tensor]],
    batch_size: int,
    num_workers: int,
    between: Callable[[], object] | None = None,
) -> Iterator[dict[str, Tensor]]:
    """Batches of this process's share of the images: rank, rank + W, ...

    Args:
        dataset: of all processes.
        batch_size: images of a batch.
        num_workers: of the loader.
        between: called after each batch, equally often on every process, though one may have a
            batch less; so processes may agree there, and what it raises on all of them ends this.
    """
    own = range(rank(), len(dataset), world_size())
    loader = WatchedLoader(
        Subset(dataset, own),
        batch_size=batch_size,
        num_workers=num_workers,
        worker_init_fn=leave_workers_alone,
        timeout=TIMEOUT if num_workers else 0,
        generator=torch.Generator(),  # measuring draws nothing from the one that training uses
    )
    longest = len(range(0, len(dataset), world_size()))
    batches = iter(loader)
    for _ in range(0, longest, batch_size):
        batch = next(batches, None)
        if batch is not None:
            yield batch
        if between is not None:
            between()


def _join(
    own_x: list[Tensor], own_labels: list[Tensor], own_replaced: list[Tensor], total: int
) -> Features:
    bad = {number for batch in own_replaced for number in batch.tolist() if number >= 0}
    mine = (torch.cat(own_x), torch.cat(own_labels), bad) if own_x else (None, None, bad)
    x, labels, replaced = zip(*all_gather_object(mine), strict=True)
    all_replaced = frozenset[int]().union(*replaced)
    return Features(interleave(x, total), interleave(labels, total), all_replaced)


def interleave(shares: Sequence[Tensor | None], total: int) -> Tensor:
    """Rows r, r + W, r + 2 W, ... of process r, in their order; None of one that had none.

    Shares differ in length by one, so they travel as objects, and are put back in order here.
    """
    first = next(share for share in shares if share is not None)
    rows = first.new_empty((total, *first.shape[1:]))
    for start, share in enumerate(shares):
        if share is not None:
            rows[start :: len(shares)] = share
    return rows
