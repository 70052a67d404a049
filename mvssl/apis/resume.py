"""A resumed run beside the run that it was: what is adopted, refused, or said."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import UnionType
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from timm.layers import DropPath
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from mvssl.apis.options import TrainOptions
from mvssl.checkpoint import RunCheckpoint
from mvssl.config.changes import Change, Rule, changes, plain_values
from mvssl.datasets import ImageDataset
from mvssl.distributed import world_size
from mvssl.engine import Job
from mvssl.errors import UserError
from mvssl.models import MultiView

__all__ = ["adopt", "compare_config", "compare_data", "compare_run", "described"]

# What the ``meta`` of a checkpoint must hold, and its options.
KINDS: dict[str, type | UnionType] = {
    "epoch": int,
    "epoch_images": int,
    "epoch_means": Mapping,
    "iter": int,
    "max_epochs": int,
    "names": Tensor,
    "options": Mapping,
    "seconds": int | float,
    "steps_per_epoch": int,
    "stop_training": bool,
    "values": Mapping,
    "world_size": int,
}
OPTIONS: dict[str, type | UnionType] = {
    "amp": bool,
    "cfg_options": Mapping,
    "config": str,
    "data": str | None,
    "folder": str,
    "labels": bool,
    "objective": str,
}
MOST = 4


class Compared(NamedTuple):
    """What is said of a config that is not the one of the checkpoint, and where they differ."""

    notes: list[str]
    changed: frozenset[str]


def described(options: TrainOptions, job: Job) -> dict[str, Any]:
    """What a checkpoint holds, so that a resumed run can be compared with the run that it was."""
    return {
        "values": plain_values(job.cfg.to_dict()),
        "options": {
            "config": str(options.config),
            "objective": options.objective or "native",
            "data": None if options.data is None else str(options.data),
            "labels": options.labels,
            "amp": options.amp,
            "cfg_options": plain_values(options.cfg_options),
            "folder": str(Path.cwd()),
        },
        "names": torch.from_numpy(_digests(job.dataset)),
    }


def stored(checkpoint: RunCheckpoint) -> Mapping[str, Any]:
    """The ``meta`` of a checkpoint, with what :func:`described` put there.

    Raises:
        UserError: something is not there, or of another kind.
    """
    meta = checkpoint.content["meta"]
    faults = _faults(meta, KINDS) or [
        f"options.{name}" for name in _faults(meta["options"], OPTIONS)
    ]
    if faults:
        raise UserError(
            f"{checkpoint.path} does not say what its run was (of its meta {', '.join(faults)} "
            f"{'is' if len(faults) == 1 else 'are'} missing or of another kind): give an "
            f"epoch_*.pth file that this version wrote, or load its weights by "
            f"model.backbone.checkpoint."
        )
    found: Mapping[str, Any] = meta
    return found


def _faults(found: Any, kinds: Mapping[str, type | UnionType]) -> list[str]:
    held = found if isinstance(found, Mapping) else {}
    return [name for name, kind in kinds.items() if not isinstance(held.get(name, ...), kind)]


def adopt(options: TrainOptions, checkpoint: RunCheckpoint) -> tuple[TrainOptions, list[str]]:
    """The options, with those that the run began with where nothing else is said now; a note.

    Raises:
        UserError: the checkpoint does not say how its run began.
    """
    before = stored(checkpoint)["options"]
    given = before["cfg_options"]
    again = {path: value for path, value in given.items() if path not in options.cfg_options}
    words = [f"{path}={value}" for path, value in again.items()]
    taken: dict[str, Any] = {"cfg_options": {**again, **options.cfg_options}}
    words = ["--cfg-options", *words] if words else []
    if options.amp is False and before["amp"] and "optim_wrapper.type" not in options.cfg_options:
        taken["amp"] = True
        words.insert(0, "--amp")
    if options.labels is False and before["labels"]:
        taken["labels"] = True
        words.insert(0, "--labels")
    if options.data is None and before["data"] is not None:
        elsewhere = before["folder"] != str(Path.cwd())
        data = Path(before["data"]).expanduser()
        taken["data"] = str(Path(before["folder"]) / data) if elsewhere else before["data"]
        words[:0] = ["--data", taken["data"]]
    if options.objective is None:
        taken["objective"] = before["objective"]
        words[:0] = [] if before["objective"] == "native" else ["--objective", before["objective"]]
    told = [f"note: goes on as it began, with {' '.join(words)}."] if words else []
    return replace(options, **taken), told


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
    meta = stored(checkpoint)
    found = changes(meta["values"], plain_values(values))
    refused = [change for change in found if change.rule is Rule.AGREES]
    if refused:
        raise UserError(_refusal(refused, checkpoint, meta["options"]["config"], options))
    notes = []
    for change in found:
        if change.rule is Rule.CHANGES:
            notes.append(f"note: {change} from here on.")
        elif change.rule is Rule.OVER:
            notes.append(
                f"note: {change}, which has no effect on a run that goes on: its weights are those "
                f"of {checkpoint.path}."
            )
    return Compared(notes, frozenset(change.path for change in found))


def _refusal(
    refused: Sequence[Change], checkpoint: RunCheckpoint, began: str, options: TrainOptions
) -> str:
    listed = "; ".join(str(change) for change in refused[:MOST])
    more = f"; and {len(refused) - MOST} more" if len(refused) > MOST else ""
    paths = [change.path for change in refused]
    said = [
        f"{name}={value}"
        for name, value in options.cfg_options.items()
        if any(f"{path}.".startswith(f"{name}.") or name.startswith(f"{path}.") for path in paths)
    ]
    said = ["--cfg-options", *said] if said else []
    if options.objective is not None and any(path.startswith("model.head") for path in paths):
        said = ["--objective", options.objective, *said]
    if options.data is not None and any(path.startswith("train_dataloader") for path in paths):
        said = ["--data", str(options.data), *said]
    if Path(began).resolve() != Path(options.config).resolve():
        what = f"give {began}, the config that it was begun with"
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
    meta = stored(checkpoint)
    before, now = meta["names"].numpy(), _digests(dataset)
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
    meta = stored(checkpoint)
    epochs, most = meta["epoch"], job.cfg.train_cfg.max_epochs
    images = meta["epoch_images"]
    done = f"{_count(epochs, 'epoch')} behind it" + (
        f" and {images} images of another" * (images > 0)
    )
    if epochs + (images > 0) > most:
        raise UserError(
            f"{checkpoint.path} has {done}, and train_cfg.max_epochs={most}: give at least "
            f"{epochs + (images > 0)}, or the path of an earlier checkpoint."
        )
    notes = [f"note: goes on from {checkpoint.path}, which has {done}, of {most}."]
    if epochs == most:
        notes.append("note: nothing is left to train; give train_cfg.max_epochs for more.")
    before, now = meta["world_size"], world_size()
    if before != now:
        drawn = (
            "; dropout and drop-path draw other numbers than they would have"
            if draws_in_training(job.model)
            else ""
        )
        notes.append(f"note: goes on with {_count(now, 'process')}, was with {before}{drawn}.")
    return notes


def draws_in_training(model: nn.Module) -> bool:
    """Whether a training step draws random numbers that differ between processes."""
    parts = list(model.modules())
    dropped = [part.p for part in parts if isinstance(part, _DropoutNd)]
    dropped += [part.drop_prob or 0.0 for part in parts if isinstance(part, DropPath)]
    return any(dropped)


def _count(number: int, noun: str) -> str:
    plural = "es" if noun.endswith("s") else "s"
    return f"{number} {noun}{'' if number == 1 else plural}"


def _digests(dataset: ImageDataset) -> NDArray[np.int64]:
    """A number for each image's name (N,): names are long, and there may be millions."""
    digests = (
        hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest()
        for name in dataset.names()
    )
    return np.frombuffer(b"".join(digests), dtype=np.int64).copy()
