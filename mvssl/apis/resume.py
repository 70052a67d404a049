"""What a run leaves for those that resume it, and what they adopt of it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import timm
import torch
from mmengine.config import Config

from mvssl.apis.adopted import adoptable
from mvssl.apis.compared import SIZES, digests, is_same_file
from mvssl.apis.fitting import put_back
from mvssl.apis.options import TrainOptions
from mvssl.checkpoint import RunCheckpoint
from mvssl.config.adapt import is_timm_name
from mvssl.config.changes import plain_values
from mvssl.config.scale import BATCH
from mvssl.engine import Job
from mvssl.errors import UserError
from mvssl.models.backbones import describe_backbone
from mvssl.models.backbones.export import without_origin
from mvssl.process.places import given_path
from mvssl.words import printable

__all__ = [
    "adopt",
    "choose_seed",
    "described",
    "read_adopted",
    "without_sources",
]


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
        "backbone": _description(job),
        "facts": job.facts,
        "names": torch.from_numpy(digests(job.dataset)),
    }


def _description(job: Job) -> dict[str, str]:
    """How the backbone is built, as its file says it."""
    built = job.cfg.model.backbone.to_dict()
    return describe_backbone(job.model.backbone, built, job.expected)[1]


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
        data = given_path(before["data"])
        taken["data"] = str(Path(before["folder"]) / data) if elsewhere else before["data"]
        words[:0] = ["--data", taken["data"]]
    if options.objective is None:
        taken["objective"] = before["objective"]
        words[:0] = [] if before["objective"] == "native" else ["--objective", before["objective"]]
    told = [f"note: goes on as before, with {' '.join(words)}."] if words else []
    return replace(options, **taken), told


def _timm_name(value: int | str, checkpoint: RunCheckpoint) -> int | str:
    """``value``; of a name, one that timm itself registers, so that nothing is fetched."""
    if isinstance(value, str) and not timm.is_model(value):
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
        if options == said or is_same_file(began, options):
            raise
        raise UserError(
            f"{checkpoint.path} is of a run of another config, and what was said then does not fit "
            f"this one: give {began['config']}, or start a new run without --resume. {error}"
        ) from error


def without_sources(cfg: Config) -> Config:
    """A copy of a config by which its backbone is built without the weights that it began with.

    Those of the checkpoint take their place, and a file that they came from may be gone.
    """
    cfg = copy.deepcopy(cfg)
    backbone = cfg.get("model", {}).get("backbone")
    if isinstance(backbone, Mapping):
        cfg.model.backbone = without_origin(backbone)
    return cfg
