"""A resumed run beside the run that it was: what is adopted, refused, or said."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import timm
import torch
from mmengine.config import Config
from numpy.typing import NDArray
from timm.layers import DropPath
from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from mvssl.apis.adopted import adoptable
from mvssl.apis.fitting import put_back
from mvssl.apis.options import TrainOptions
from mvssl.checkpoint import RunCheckpoint
from mvssl.config.adapt import is_timm_name
from mvssl.config.changes import Change, Rule, changes, is_absent, plain_values
from mvssl.config.scale import BATCH
from mvssl.datasets import ImageDataset
from mvssl.distributed import world_size
from mvssl.engine import Job
from mvssl.errors import UserError
from mvssl.models import MultiView
from mvssl.models.backbones.export import without_origin
from mvssl.words import count, printable

__all__ = [
    "adopt",
    "choose_seed",
    "compare_config",
    "compare_data",
    "compare_run",
    "described",
    "read_adopted",
    "without_sources",
]

MOST = 4
SIZES = ("image_size", "backbone", "batch_size")


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
            **{name: getattr(options, name) for name in SIZES},
            "backbone": _backbone(options),
            "cfg_options": plain_values(options.cfg_options),
            "fitted": dict(job.fitted),
            "folder": str(Path.cwd()),
        },
        "facts": job.facts,
        "names": torch.from_numpy(_digests(job.dataset)),
    }


def _backbone(options: TrainOptions) -> str | None:
    """The backbone that was asked for, by its own name or by that of its weights."""
    source = options.init_from
    return source if source is not None and is_timm_name(source) else options.backbone


def choose_seed(given: int | None, checkpoint: RunCheckpoint | None) -> int:
    """The seed of the run: the one given or 0, and of a resumed run the one that it began with.

    Raises:
        UserError: another one is given for a resumed run.
    """
    if given is not None and not 0 <= given < 2**32:
        raise UserError(f"--seed is a number from 0 to {2**32 - 1}, got {given}.")
    if checkpoint is None:
        return given or 0
    began: int = checkpoint.content["meta"]["seed"]
    if given not in (None, began):
        raise UserError(
            f"{checkpoint.path} is of a run with seed {began}, which it keeps when it goes on: "
            f"leave out --seed {given}, or start a new run without --resume."
        )
    return began


def adopt(options: TrainOptions, checkpoint: RunCheckpoint) -> tuple[TrainOptions, list[str]]:
    """The options, with those that the run began with where nothing else is said now; a note.

    Raises:
        UserError: the checkpoint names what no file may.
    """
    before = checkpoint.content["meta"]["options"]
    given = before["cfg_options"]
    said = {*options.cfg_options, *([BATCH] if options.batch_size is not None else [])}
    again = {path: value for path, value in given.items() if path not in said}
    again = adoptable(again, checkpoint.path)
    words = [f"{path}={value}" for path, value in again.items()]
    taken: dict[str, Any] = {"cfg_options": {**again, **options.cfg_options}}
    words = ["--cfg-options", *words] if words else []
    for name in reversed(SIZES):
        if (
            getattr(options, name) is None
            and before[name] is not None
            and not (name == "backbone" and options.init_from is not None)
        ):
            taken[name] = _timm_name(before[name], checkpoint)
            words[:0] = [f"--{name.replace('_', '-')}", str(before[name])]
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
    told = [f"note: goes on as before, with {' '.join(words)}."] if words else []
    return replace(options, **taken), told


def _timm_name(value: int | str, checkpoint: RunCheckpoint) -> int | str:
    """``value``; of a name, one that timm itself registers, so that nothing is fetched."""
    if isinstance(value, str) and not timm.is_model(value.split(".")[0]):
        raise UserError(
            f"{checkpoint.path} says that its run was begun with --backbone "
            f"{printable(value)[:80]}, which is no model of timm: give the one that you began it "
            f"with, or start a new run without --resume."
        )
    return value


def read_adopted(
    options: TrainOptions, said: TrainOptions, checkpoint: RunCheckpoint, notes: list[str]
) -> Config:
    """The config with what is said now and what was adopted.

    Args:
        options: all of it.
        said: without what was adopted.
        checkpoint: of the run. What its run had fitted to the data stays as it was.
        notes: gets what followed from what was said.

    Raises:
        UserError: as :meth:`TrainOptions.read`; where what was adopted is put onto another config
            than it was said of, that the run's own is to be given.
    """
    try:
        cfg = options.read(notes)
        fitted = adoptable(checkpoint.content["meta"]["options"]["fitted"], checkpoint.path)
        put_back(cfg, {k: v for k, v in fitted.items() if k not in options.cfg_options})
        return cfg
    except UserError as error:
        began = checkpoint.content["meta"]["options"]
        if options == said or _is_same_file(began, options):
            raise
        raise UserError(
            f"{checkpoint.path} is of a run of another config, and what was said then does not fit "
            f"this one: give {began['config']}, or start a new run without --resume. {error}"
        ) from error


def _is_same_file(began: Mapping[str, Any], options: TrainOptions) -> bool:
    return Path(began["folder"], began["config"]).resolve() == Path(options.config).resolve()


def without_sources(cfg: Config) -> Config:
    """A copy of a config by which its backbone is built without the weights that it began with.

    Those of the checkpoint take their place, and a file that they came from may be gone.
    """
    cfg = copy.deepcopy(cfg)
    backbone = cfg.get("model", {}).get("backbone")
    if isinstance(backbone, Mapping):
        cfg.model.backbone = without_origin(backbone)
    return cfg


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
    if not _is_same_file(began, options):
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


def _digests(dataset: ImageDataset) -> NDArray[np.int64]:
    """A number for each image's name (N,): names are long, and there may be millions."""
    digests = (
        hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest()
        for name in dataset.names()
    )
    return np.frombuffer(b"".join(digests), dtype=np.int64).copy()
