"""Everything that is built, and every fault that is told, before anything is written."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper

from mvssl.apis.hooks import (
    bind_schedules,
    build_custom_hooks,
    build_default_hooks,
    missing_hooks,
)
from mvssl.apis.view_checks import check_views
from mvssl.config.checks import Problem, check_config, complain
from mvssl.config.evaluation import takes_whole_images
from mvssl.config.faults import attempt
from mvssl.config.read import load_config
from mvssl.datasets.base import ImageDataset
from mvssl.engine.loaders import build_loader
from mvssl.engine.optim import build_schedulers
from mvssl.errors import UserError
from mvssl.models import MultiView
from mvssl.models.heads import Head
from mvssl.registry import DATASETS, HEADS, MODELS, OPTIM_WRAPPER_CONSTRUCTORS

__all__ = ["Job", "TrainOptions", "prepare"]

# Images of a data set that could not be built: enough for any number of clusters.
STAND_IN_SAMPLES = 2**16

# Attributes that MultiView reads: the part that has them, and what they are.
CONTRACT = {
    "num_features": ("backbone", "num_features, the width C of its features (an int)"),
    "out_channels": ("neck", "out_channels, the width D of its projections (an int)"),
    "needs_logits": ("head", "what a head has: derive it from mvssl.models.heads.Head"),
    "min_views": ("head", "what a head has: derive it from mvssl.models.heads.Head"),
}


@dataclass(frozen=True)
class TrainOptions:
    """What the command line of ``tools/train.py`` says.

    Attributes:
        config: path of the config.
        work_dir: folder of the outputs; by default ``work_dirs/<config>/<timestamp>``.
        data: folder of images that takes the place of the config's data.
        labels: whether sub-folders of ``data`` are classes (for evaluation alone).
        objective: ``native`` or ``er``.
        resume: ``True`` for the newest run, or the path of a checkpoint.
        seed: of weights, shuffling and views; by default 0, or that of the run which is resumed.
        amp: mixed precision (bfloat16 where the device has it).
        dry_run: show what would run, train on one batch, write nothing.
        launcher: ``none``, ``pytorch`` or ``slurm``.
        cfg_options: config values by dotted path.
    """

    config: str
    work_dir: str | None = None
    data: str | None = None
    labels: bool = False
    objective: str = "native"
    resume: bool | str = False
    seed: int | None = None
    amp: bool = False
    dry_run: bool = False
    launcher: str = "none"
    cfg_options: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Job:
    """Everything that is built before anything is written."""

    options: TrainOptions
    cfg: Config
    dataset: ImageDataset
    model: MultiView
    default_hooks: dict[str, Hook | None]
    custom_hooks: list[Hook]
    notes: list[str]


def prepare(options: TrainOptions) -> Job:
    """Read the config and build data sets, evaluation and model; all faults are told at once."""
    cfg = load_config(
        options.config, options.objective, options.data, options.labels, options.cfg_options
    )
    if options.amp and isinstance(cfg.get("optim_wrapper"), Mapping):
        cfg.optim_wrapper.type = _amp_wrapper()
    problems = check_config(cfg.to_dict())
    # What is described wrongly cannot be built; what can be is, to find its faults too.
    broken = {problem.path.split(".")[0] for problem in problems}
    dataset = model = default_hooks = custom_hooks = None
    if "train_dataloader" not in broken:
        dataset = attempt("train_dataloader", lambda: _build_dataset(cfg), problems)
    if "default_hooks" not in broken:
        default_hooks = attempt("default_hooks", lambda: build_default_hooks(cfg), problems)
    if not {"custom_hooks", "evaluation", "schedules"} & broken:
        custom_hooks = attempt("custom_hooks", lambda: build_custom_hooks(cfg), problems)
    if "model" not in broken:
        filled = attempt("model.head", lambda: _with_num_samples(cfg, dataset), problems)
        model = attempt("model", lambda: _build_model(cfg, filled or cfg.model), problems)
    if model is not None:
        hooks = [*(default_hooks or {}).values(), *(custom_hooks or [])]
        problems += _misfits(cfg, model, dataset, hooks, broken, bool(problems))
        if default_hooks is not None and custom_hooks is not None:
            problems += missing_hooks(model, hooks)
    complain(options.config, problems)
    assert dataset is not None
    assert model is not None
    assert default_hooks is not None
    assert custom_hooks is not None
    notes = _notes(options, cfg)
    return Job(options, cfg, dataset, model, default_hooks, custom_hooks, notes)


def _misfits(
    cfg: Config,
    model: MultiView,
    dataset: ImageDataset | None,
    hooks: list[Hook | None],
    broken: set[str],
    faulty: bool,
) -> list[Problem]:
    """What does not fit the model: optimiser, schedules, and (where nothing is wrong) batches."""
    problems: list[Problem] = []
    wrapper = None
    if "optim_wrapper" not in broken:
        wrapper = attempt("optim_wrapper", lambda: _build_optimizer(cfg, model), problems)
        problems += _accumulation(cfg, model)
    problems += bind_schedules(model, wrapper, hooks)
    if dataset is not None and wrapper is not None and not (faulty or problems):
        number, size = len(dataset), cfg.train_dataloader.batch_size
        attempt("param_scheduler", lambda: _try_schedulers(cfg, wrapper, number), problems)
        attempt("model.head", lambda: model.head.check_batch(size), problems)
    return problems


def _accumulation(cfg: Config, model: MultiView) -> list[Problem]:
    steps = cfg.get("optim_wrapper", {}).get("accumulative_counts", 1)
    micro = model.micro_batch_size
    problems = []
    if steps != 1 and micro is not None:
        problems.append(
            f"optim_wrapper.accumulative_counts={steps} and model.micro_batch_size={micro} are two "
            f"ways to a large batch: leave accumulative_counts out, and multiply "
            f"train_dataloader.batch_size by {steps}."
        )
    elif steps != 1 and model.head.crosses_samples:
        problems.append(
            f"optim_wrapper.accumulative_counts={steps} adds up gradients of small batches, and "
            f"{type(model.head).__name__} looks across the samples of a batch, so that is not the "
            f"large batch: leave it out, multiply train_dataloader.batch_size by {steps}, and give "
            f"model.micro_batch_size."
        )
    if micro is not None and cfg.get("model_wrapper_cfg") is not None:
        problems.append(
            f"model.micro_batch_size={micro} needs mvssl's own wrapper of the model for several "
            f"processes: leave model_wrapper_cfg out."
        )
    return [Problem("optim_wrapper", text) for text in problems]


def _with_num_samples(cfg: Config, dataset: ImageDataset | None) -> dict[str, Any]:
    """The model's config, its head told how many images the data set holds where it asks for it.

    It is a copy: the config that a run saves can be used with other data. Where the number is not
    known, the run ends with the data set's fault; another stands in for it, so that the model is
    built and its faults are told beside.
    """
    model: dict[str, Any] = copy.deepcopy(cfg.model)
    head = model.get("head")
    if not isinstance(head, Mapping):
        return model  # of a model of one's own, which is refused as such
    kind = HEADS.resolve(head["type"]) if isinstance(head["type"], str) else head["type"]
    if "num_samples" not in inspect.signature(kind).parameters:
        return model
    given = head.get("num_samples")
    if dataset is not None and given not in (None, len(dataset)):
        raise UserError(
            f"model.head.num_samples is that of the data set, {len(dataset)}, which is filled in; "
            f"got {given}: leave it out."
        )
    number = STAND_IN_SAMPLES if dataset is None else len(dataset)
    model["head"] = {**head, "num_samples": number}
    return model


def _build_model(cfg: Config, filled: dict[str, Any]) -> MultiView:
    try:
        model = MODELS.build(filled)
    except AttributeError as error:
        if error.name not in CONTRACT:
            raise
        raise _breach(error.name, type(error.obj).__name__) from error
    if not isinstance(model, MultiView):
        raise UserError(
            f"model: {type(model).__name__} is not derived from mvssl.models.MultiView."
        )
    for part, name in ((model.backbone, "num_features"), (model.neck, "out_channels")):
        if not isinstance(getattr(part, name), Integral):
            raise _breach(name, type(part).__name__)
    if not isinstance(model.head, Head):
        raise _breach("min_views", type(model.head).__name__)
    check_views(model, evaluated=takes_whole_images(cfg))
    return model


def _breach(attribute: str, kind: str) -> UserError:
    part, needs = CONTRACT[attribute]
    return UserError(f"model.{part}: {kind} lacks {needs}; see docs/custom_component.md.")


def _build_dataset(cfg: Config) -> ImageDataset:
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    if not isinstance(dataset, ImageDataset):
        raise UserError(
            f"train_dataloader.dataset: {type(dataset).__name__} is not derived from "
            f"mvssl.datasets.ImageDataset; see docs/custom_component.md."
        )
    # Checks the batch size against the data set; the Runner builds its own.
    build_loader(**{**cfg.train_dataloader, "dataset": dataset}, seed=0)
    return dataset


def _build_optimizer(cfg: Config, model: MultiView) -> OptimWrapper:
    """Built to check its numbers, and what schedules find there; the Runner builds its own."""
    wrapper = cfg.to_dict()["optim_wrapper"]
    constructor = {
        "type": wrapper.pop("constructor", "DefaultOptimWrapperConstructor"),
        "paramwise_cfg": wrapper.pop("paramwise_cfg", None),
        "optim_wrapper_cfg": wrapper,
    }
    built: OptimWrapper = OPTIM_WRAPPER_CONSTRUCTORS.build(constructor)(model)
    return built


def _try_schedulers(cfg: Config, wrapper: OptimWrapper, num_samples: int) -> None:
    """Build them to check their numbers; the Runner builds its own."""
    plain = cfg.to_dict()
    steps = num_samples // plain["train_dataloader"]["batch_size"]
    total = steps * plain["train_cfg"]["max_epochs"]
    build_schedulers(plain.get("param_scheduler"), wrapper, total, steps)


def _notes(options: TrainOptions, cfg: Config) -> list[str]:
    notes = []
    views = (cfg.model.get("data_preprocessor") or {}).get("views")
    if options.data is not None and views == "gentle":
        notes.append(
            "note: this config's views (no flip, no colour, mild crops) were made for digits; "
            "configs/photos/ has views for photographs."
        )
    evaluators = (cfg.get("evaluation") or {}).get("evaluators") or {}
    left_out = [name for name, one in evaluators.items() if one is None]
    if options.data is not None and not options.labels and left_out:
        notes.append(
            f"note: evaluation by {', '.join(left_out)} is left out, for want of labels (add "
            f"--labels where sub-folders are classes)."
        )
    return notes


def _amp_wrapper() -> str:
    if get_device() == "cuda" and not torch.cuda.is_bf16_supported():
        return "AmpOptimWrapper"
    return "AutocastOptimWrapper"
