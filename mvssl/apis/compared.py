"""A resumed run beside the run that it was: what is refused, and what is said."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from timm.layers import DropPath
from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from mvssl.apis.options import TrainOptions
from mvssl.checkpoint import RunCheckpoint
from mvssl.config.changes import Change, Rule, changes, is_absent, plain_values
from mvssl.datasets import ImageDataset
from mvssl.distributed import world_size
from mvssl.engine import Job
from mvssl.errors import UserError
from mvssl.models import MultiView
from mvssl.words import count

__all__ = [
    "SIZES",
    "Compared",
    "compare_config",
    "compare_data",
    "compare_run",
    "digests",
    "draws_in_training",
    "is_same_file",
]

MOST = 4
SIZES = ("image_size", "backbone", "batch_size")
"""Options that change a config beside ``--cfg-options``."""


class Compared(NamedTuple):
    """What is said of a config that is not the one of the checkpoint, and where they differ."""

    notes: list[str]
    changed: frozenset[str]


def compare_config(
    values: Mapping[str, Any], checkpoint: RunCheckpoint, options: TrainOptions
) -> Compared:
    """Compare a config with the one that a checkpoint was written with.

    Args:
        values: the present config.
        checkpoint: of the run.
        options: what is said now, without what was adopted.

    Raises:
        UserError: they differ in what must agree.
    """
    meta = checkpoint.content["meta"]
    found = changes(meta["values"], plain_values(values))
    refused = [change for change in found if change.rule is Rule.AGREES]
    if refused:
        raise UserError(_refusal(refused, checkpoint, options))
    notes = []
    for change in found:
        if change.rule is Rule.CHANGES:
            notes.append(f"note: {change} from here on.")
        elif change.rule is Rule.OVER and not is_absent(change.now):
            notes.append(
                f"note: {change}, which has no effect on a run that goes on: its weights are those "
                f"of {checkpoint.path}."
            )
    return Compared(notes, frozenset(change.path for change in found))


def _refusal(refused: Sequence[Change], checkpoint: RunCheckpoint, options: TrainOptions) -> str:
    listed = "; ".join(str(change) for change in refused[:MOST])
    more = f"; and {len(refused) - MOST} more" if len(refused) > MOST else ""
    paths = [change.path for change in refused]
    said = [
        f"{name}={value}"
        for name, value in options.cfg_options.items()
        if any(f"{path}.".startswith(f"{name}.") or name.startswith(f"{path}.") for path in paths)
    ]
    said = ["--cfg-options", *said] if said else []
    for name in SIZES:
        if getattr(options, name) is not None:
            said = [f"--{name.replace('_', '-')}", str(getattr(options, name)), *said]
    if options.objective is not None and any(path.startswith("model.head") for path in paths):
        said = ["--objective", options.objective, *said]
    if options.data is not None and any(path.startswith("train_dataloader") for path in paths):
        said = ["--data", str(options.data), *said]
    began = checkpoint.content["meta"]["options"]
    if not is_same_file(began, options):
        what = f"give {began['config']}, the config that it was begun with"
    elif said:
        what = f"leave out {' '.join(said)}"
    else:
        what = f"put it back in {options.config}"
    return (
        f"{checkpoint.path} is of another run, and a resumed run stays what it was ({listed}"
        f"{more}): {what}, or start a new run without --resume."
    )


def compare_data(dataset: ImageDataset, model: MultiView, checkpoint: RunCheckpoint) -> list[str]:
    """What is said of images that have come or gone since a checkpoint was written.

    Raises:
        UserError: none is left; or the model keeps something for each image, and they are others.
    """
    meta = checkpoint.content["meta"]
    before, now = meta["names"].numpy(), digests(dataset)
    if np.array_equal(before, now):
        return []
    gone = int((~np.isin(before, now)).sum())
    new = np.flatnonzero(~np.isin(now, before))
    if gone == len(before):
        raise UserError(
            f"None of the {gone} images that {checkpoint.path} was trained on is in "
            f"{dataset.describe()}: give its data, or start a new run on these, from its weights "
            f"by model.backbone.checkpoint."
        )
    such = f" (such as {dataset.names()[new[0]]})" if len(new) else ""
    told = [f"{gone} of {len(before)} are gone"] * bool(gone)
    told += [f"{len(new)} are new{such}"] * bool(len(new))
    what = " and ".join(told) or f"{len(before)} became {len(now)}, or their order is another"
    if any(getattr(part, "keyed_by_image", False) for part in model.modules()):
        raise UserError(
            f"The images are not those that {checkpoint.path} was trained on ({what}), and "
            f"{type(model.head).__name__} keeps something for each of them by its number: put them "
            f"back as they were, or start a new run without --resume."
        )
    anew = " The epoch under way is shuffled anew." if meta["epoch_images"] else ""
    return [
        f"note: of the images {what}; from here on it is trained on the {len(now)} there are.{anew}"
    ]


def compare_run(job: Job, checkpoint: RunCheckpoint) -> list[str]:
    """What is said of how far a run is, and of its processes.

    Raises:
        UserError: the run is to have fewer epochs than it has behind it.
    """
    meta = checkpoint.content["meta"]
    epochs, most = meta["epoch"], job.cfg.train_cfg.max_epochs
    images = meta["epoch_images"]
    place = f"after {count(epochs, 'epoch')}"
    if images:
        place = f"in epoch {epochs + 1}, after {images} of its images"
    if epochs + (images > 0) > most:
        raise UserError(
            f"{checkpoint.path} stands {place}, and train_cfg.max_epochs={most}: give at least "
            f"{epochs + (images > 0)}, or the path of an earlier checkpoint."
        )
    notes = [f"note: goes on from {checkpoint.path}, {place}; the run has {count(most, 'epoch')}."]
    if epochs == most:
        notes.append("note: nothing is left to train; give train_cfg.max_epochs for more.")
    before, now = meta["world_size"], world_size()
    if before != now:
        drawn = (
            "; dropout and drop-path draw other numbers than they would have"
            if draws_in_training(job.model)
            else ""
        )
        notes.append(f"note: goes on with {count(now, 'process')}, was with {before}{drawn}.")
    return notes


def draws_in_training(model: nn.Module) -> bool:
    """Whether a training step draws random numbers that differ between processes."""
    parts = list(model.modules())
    dropped = [part.p for part in parts if isinstance(part, _DropoutNd)]
    dropped += [part.drop_prob or 0.0 for part in parts if isinstance(part, DropPath)]
    return any(dropped)


def digests(dataset: ImageDataset) -> NDArray[np.int64]:
    """A number for each image's name (N,): names are long, and there may be millions."""
    digests = (
        hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest()
        for name in dataset.names()
    )
    return np.frombuffer(b"".join(digests), dtype=np.int64).copy()


def is_same_file(began: Mapping[str, Any], options: TrainOptions) -> bool:
    """Whether a run began with the config that is given now."""
    return Path(began["folder"], began["config"]).resolve() == Path(options.config).resolve()
