"""Features of a data set, extracted once, on one process or many."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset

from mvssl.datasets.base import ImageDataset
from mvssl.distributed import all_gather_object, rank, world_size
from mvssl.models import MultiView
from mvssl.models.precision import at_least_float32
from mvssl.views import MultiViewPreprocessor
from mvssl.views.device_views import DeviceViews
from mvssl.views.host_views import HostViews
from mvssl.views.sets import View

__all__ = ["Features", "extract_features", "pixel_features", "still_projections"]

PIXEL_SIDE = 32


@dataclass(frozen=True)
class Features:
    """``x`` (N, C) float32 and ``labels`` (N,) int64, on the CPU, in the data set's order."""

    x: Tensor
    labels: Tensor


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, without gradients; the former mode comes back afterwards."""
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(was_training)


def extract_features(
    model: MultiView, dataset: ImageDataset, batch_size: int = 256, num_workers: int = 0
) -> Features:
    """Backbone features (N, C) of every image, each process computing its share.

    Every process calls this and receives all features.
    """
    own_x, own_labels = [], []
    with evaluating(model):
        for batch in _own_batches(dataset, batch_size, num_workers):
            images = model.data_preprocessor(batch)["inputs"]
            own_x.append(model.backbone(images).float().cpu())
            own_labels.append(batch["label"])
    return _join(own_x, own_labels, len(dataset))


def still_projections(
    model: MultiView, dataset: ImageDataset, batch_size: int = 256, num_workers: int = 0
) -> Tensor:
    """Projections (n, D) of this process's share of the images: rank, rank + W, ...

    Each image is shown whole (its largest square), without augmentation, at the size of the first
    view, in evaluation mode. Training clusters them (``ClusteringHook``); the function stands here
    since it goes through a data set as ``extract_features`` does.
    """
    shown = copy.copy(dataset)  # the original goes on making its own views
    show = _whole_image(model.data_preprocessor, shown)
    rows = []
    with evaluating(model):
        for batch in _own_batches(shown, batch_size, num_workers):
            rows.append(at_least_float32(model.neck(model.backbone(show(batch)))))
    if not rows:
        return torch.zeros(0, model.neck.out_channels, device=next(model.parameters()).device)
    return torch.cat(rows).clone()  # what is made in inference mode could not be changed later


def _whole_image(
    preprocessor: nn.Module, dataset: ImageDataset
) -> Callable[[dict[str, Any]], Tensor]:
    """What turns a batch of ``dataset`` into network inputs (b, 3, s, s) of whole images."""
    if not isinstance(preprocessor, MultiViewPreprocessor):  # the user's own knows its images
        return lambda batch: preprocessor(batch)["inputs"]
    size = preprocessor.views[0].size
    still = View(size, crop_scale=(1.0, 1.0), crop_ratio=(1.0, 1.0), flip=0.0)
    if preprocessor.engine == "host":
        dataset.view_transform = HostViews([still], seed=0)

    def show(batch: dict[str, Any]) -> Tensor:
        if "views" in batch:
            images = preprocessor.cast_data(batch["views"])[0].float().div_(255.0)
        else:
            images = preprocessor.cast_data(batch["image"])
            images = DeviceViews([still], seed=0)(images, batch["index"], batch["epoch"])[0]
        return preprocessor.normalize(images)

    return show


def pixel_features(dataset: ImageDataset, batch_size: int = 256, num_workers: int = 0) -> Features:
    """Raw pixels in [0, 1] as features (N, 3 s s), images averaged down to at most 32 x 32."""
    own_x, own_labels = [], []
    for batch in _own_batches(dataset, batch_size, num_workers):
        images = batch["image"].float().div_(255.0)
        if images.shape[-1] > PIXEL_SIDE:
            images = F.interpolate(images, size=(PIXEL_SIDE, PIXEL_SIDE), mode="area")
        own_x.append(images.flatten(1))
        own_labels.append(batch["label"])
    return _join(own_x, own_labels, len(dataset))


def _own_batches(
    dataset: ImageDataset, batch_size: int, num_workers: int
) -> DataLoader[dict[str, Tensor]]:
    own = range(rank(), len(dataset), world_size())
    return DataLoader(Subset(dataset, own), batch_size=batch_size, num_workers=num_workers)


def _join(own_x: list[Tensor], own_labels: list[Tensor], total: int) -> Features:
    # Shares differ in length by one, so they travel as objects and are put back in order here.
    mine = (torch.cat(own_x), torch.cat(own_labels)) if own_x else None
    shares = all_gather_object(mine)
    first = next(share for share in shares if share is not None)
    x = first[0].new_empty((total, first[0].shape[1]))
    labels = first[1].new_empty(total)
    for start, share in enumerate(shares):
        if share is not None:
            x[start :: len(shares)], labels[start :: len(shares)] = share
    return Features(x, labels)
