"""The record of the views of held-out images, on one process or many."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Subset

from mvssl.datasets.base import ImageDataset
from mvssl.distributed import all_gather_object
from mvssl.evaluation.features import interleave, own_batches
from mvssl.evaluation.network import evaluation_mode
from mvssl.models import MultiView
from mvssl.models.record import Embeddings
from mvssl.views import Preprocessor

__all__ = ["extract_record", "join_records", "spread"]


def extract_record(
    model: MultiView,
    dataset: ImageDataset,
    indices: Sequence[int] | None = None,
    batch_size: int = 256,
    num_workers: int = 0,
    between: Callable[[], object] | None = None,
    amp: bool = False,
) -> Embeddings:
    """Embeddings of the views of N images, in evaluation mode, without gradients, on the CPU.

    The views are drawn as in the first epoch of training, so they are the same at every call. Each
    process computes its share; every process calls this and receives the whole record, its rows in
    the order of ``indices`` (by default all images). ``between`` is as in ``own_batches``; ``amp``
    computes the network in bfloat16.
    """
    chosen = list(range(len(dataset)) if indices is None else indices)
    shown = _with_views(dataset, model.data_preprocessor)
    # Keys without an epoch are of epoch 0.
    parts = []
    with evaluation_mode(model), torch.inference_mode():
        for batch in own_batches(Subset(shown, chosen), batch_size, num_workers, between):
            made = model.data_preprocessor(batch, training=True)
            with torch.autocast(made["index"].device.type, torch.bfloat16, enabled=amp):
                record = model.embed(made["inputs"], made["index"])
            parts.append(_on_cpu(record.upcast()))
    shares = all_gather_object(join_records(parts) if parts else None)
    return _map(shares, lambda rows: interleave(rows, len(chosen)))


def spread(total: int, most: int | None) -> list[int]:
    """At most ``most`` numbers below ``total``, evenly spaced: images are often sorted by class."""
    count = total if most is None else min(most, total)
    return [number * total // count for number in range(count)]


def join_records(parts: Sequence[Embeddings]) -> Embeddings:
    """One record of several batches that follow each other."""
    return _map(parts, lambda rows: torch.cat([x for x in rows if x is not None]))


def _with_views(dataset: ImageDataset, preprocessor: Preprocessor) -> ImageDataset:
    """The data set, its samples as they are in training; the original stays as it is."""
    shown = copy.copy(dataset)
    transform = preprocessor.host_transform()
    if transform is not None:
        shown.view_transform = transform
        shown.size = None  # views are drawn from whole images
    return shown


def _on_cpu(record: Embeddings) -> Embeddings:
    return _map([record], lambda rows: rows[0].cpu())


def _map(records: Sequence[Embeddings | None], join: Any) -> Embeddings:
    """A record of whose tensors each is made from those in its place in ``records``."""
    like = next(record for record in records if record is not None)
    made: dict[str, Any] = {"views": like.views, "target_views": like.target_views}
    for field in fields(like):
        value = getattr(like, field.name)
        beside = [None if one is None else getattr(one, field.name) for one in records]
        if isinstance(value, Tensor):
            made[field.name] = join(beside)
        elif isinstance(value, list):
            made[field.name] = [
                join([None if one is None else one[number] for one in beside])
                for number in range(len(value))
            ]
    return Embeddings(**made)
