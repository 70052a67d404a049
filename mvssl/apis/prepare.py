"""Everything that is built, and every fault that is told, before anything is written."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, _ParamScheduler  # the base of all schedulers, exported
from torch.utils.data import DataLoader

from mvssl.apis.data_facts import data_facts, with_facts
from mvssl.apis.fitting import Fitted, fit_to_data
from mvssl.apis.hook_faults import hook_faults, hook_notes
from mvssl.apis.hooks import (
    bind_schedules,
    build_custom_hooks,
    build_default_hooks,
    missing_hooks,
)
from mvssl.apis.least_batch import check_enough, check_least_batch
from mvssl.apis.lengths import length_notes
from mvssl.apis.loggers import try_visualizer
from mvssl.apis.trial import check_views, try_sample
from mvssl.arguments import is_integer
from mvssl.config.checks import Problem, check_config, complain
from mvssl.config.components import as_mapping
from mvssl.config.evaluation import takes_whole_images
from mvssl.config.faults import attempt
from mvssl.config.scale import AutoScaleLR
from mvssl.config.settings import Environment, check_log_level, check_scope
from mvssl.datasets import ImageDataset
from mvssl.datasets.faults import MINIMUM, check_some
from mvssl.engine.compiled import check_compile
from mvssl.engine.hooks import DataFaultHook, EvaluationHook
from mvssl.engine.job import Job
from mvssl.engine.loaders import build_loader
from mvssl.engine.loop import check_lengths
from mvssl.engine.optim import build_optim_wrapper, build_schedulers
from mvssl.engine.recompute import part_names, recomputed_parts
from mvssl.errors import UserError
from mvssl.models import MultiView
from mvssl.models.backbones import TimmBackbone
from mvssl.registry import DATASETS, HEADS, MODELS

__all__ = ["build_dataset", "prepare"]

T = TypeVar("T")

COUNTS = "accumulative_counts"
MICRO = "micro_batch_size"

# Images of a data set that could not be built: enough for any number of clusters.
STAND_IN_SAMPLES = 2**16


def prepare(cfg: Config, config: str, seed: int, given: Mapping[str, Any] | None = None) -> Job:
    """Build and check everything that a run is made of.

    Args:
        cfg: the config, with what the command line said.
        config: its path.
        seed: of weights, shuffling and views.
        given: what the command line says by path, where numbers that the data set cannot fill are
            lowered, all others; None: none is.

    Raises:
        UserError: something is wrong; all that can be found is told at once.
    """
    plain = cfg.to_dict()
    parts = _Parts(plain, check_config(plain))
    for where, check in _settings(plain).items():
        parts.build(where, check)
    default = parts.build("default_hooks", lambda: build_default_hooks(cfg))
    dataset = _data(parts, default or {})
    facts = parts.build("model", lambda: data_facts(plain, dataset)) if dataset else None
    cfg = with_facts(cfg, facts or {})
    parts.plain = cfg.to_dict()
    fitted = Fitted({}, [])
    if dataset is not None and given is not None:
        fitted = fit_to_data(cfg, len(dataset), given)
        parts.plain = cfg.to_dict()
    also = ("evaluation", "schedules")
    custom = parts.build("custom_hooks", lambda: build_custom_hooks(cfg), *also)
    parts.build("evaluation", lambda: _check_evaluated(custom or [], dataset))
    model = _model(parts, cfg, dataset)
    loader = None if dataset is None else _loader(parts, dataset, model, seed)
    wrapper = None if model is None else _training(parts, cfg, model, default, custom)
    schedulers = None
    if dataset and loader and model and wrapper and not parts.problems:
        model.data_preprocessor.seed = seed
        dataset.view_transform = model.data_preprocessor.host_transform()
        schedulers = _tried(parts, dataset, model, wrapper, len(loader))
    complain(config, parts.problems)
    built = Job(
        config=config,
        cfg=cfg,
        seed=seed,
        loader=_built(loader),
        model=_built(model),
        optim_wrapper=_built(wrapper),
        schedulers=_built(schedulers),
        default_hooks=_built(default),
        custom_hooks=_built(custom),
        fitted=fitted.values,
        facts=facts or {},
    )
    built.notes += _fact_notes(built.facts, built.model)
    built.notes += [*_origins(built.model), *fitted.notes]
    built.notes += [*hook_notes(built.hooks), *length_notes(built)]
    return built


class _Parts:
    """Builds parts of a config and collects what is wrong with them.

    Args:
        plain: the config.
        problems: known so far. What is described wrongly cannot be built; what can be is, to find
            its faults too.
    """

    def __init__(self, plain: dict[str, Any], problems: list[Problem]) -> None:
        self.plain = plain
        self.problems = problems
        self.broken = {problem.path.split(".")[0] for problem in problems}

    def build(self, where: str, make: Callable[[], T], *also: str) -> T | None:
        """What ``make`` makes; None, and one problem more, where that fails."""
        return None if {where, *also} & self.broken else attempt(where, make, self.problems)


def _data(parts: _Parts, hooks: Mapping[str, Hook | None]) -> ImageDataset | None:
    where = "train_dataloader"
    return parts.build(where, lambda: _readable(build_dataset(parts.plain[where]), hooks))


def _loader(
    parts: _Parts, dataset: ImageDataset, model: MultiView | None, seed: int
) -> DataLoader[Any] | None:
    where = "train_dataloader"
    cfg: dict[str, Any] = {**parts.plain[where], "dataset": dataset, "seed": seed}
    batch: Any = cfg.get("batch_size")
    micro: Any = as_mapping(parts.plain.get("train_cfg")).get(MICRO)
    usual = all(is_integer(one) and one > 0 for one in (batch, 1 if micro is None else micro))

    def build() -> DataLoader[Any]:
        if model is not None and usual:
            check_enough(model, len(dataset), batch, micro)
        return build_loader(**cfg)

    return parts.build(where, build)


def _readable(dataset: ImageDataset, hooks: Mapping[str, Hook | None]) -> ImageDataset:
    """The data set, of which some images have been read."""
    limits = [hook for hook in hooks.values() if isinstance(hook, DataFaultHook)]
    if limits:
        check_some(dataset, limits[0].minimum, limits[0].fraction)
    else:
        check_some(dataset)
    return dataset


def _check_evaluated(hooks: Sequence[Hook], dataset: ImageDataset | None) -> None:
    for hook in hooks:
        if isinstance(hook, EvaluationHook):
            check_some(hook.train_set, MINIMUM)
            check_some(hook.test_set, MINIMUM)
            if dataset is not None:
                hook.check_training(dataset)


def _model(parts: _Parts, cfg: Config, dataset: ImageDataset | None) -> MultiView | None:
    if "model" in parts.broken:
        return None
    described = parts.plain["model"]
    size = None if dataset is None else len(dataset)
    filled = parts.build("model.head", lambda: _with_num_samples(described, size))
    return parts.build("model", lambda: _build_model(filled or described, cfg))


def _training(
    parts: _Parts,
    cfg: Config,
    model: MultiView,
    default: dict[str, Hook | None] | None,
    custom: list[Hook] | None,
) -> OptimWrapper | None:
    """The optimiser, and whether it and the hooks suit the model."""
    plain = parts.plain
    hooks = [hook for hook in (*(default or {}).values(), *(custom or [])) if hook]
    wrapper = parts.build(
        "optim_wrapper", lambda: build_optim_wrapper(plain["optim_wrapper"], model)
    )
    if not {"optim_wrapper", "train_cfg"} & parts.broken:
        parts.problems += _accumulation(cfg, model)
    names = plain.get("activation_checkpointing")
    parts.build("activation_checkpointing", lambda: recomputed_parts(model, part_names(names)))
    parts.problems += bind_schedules(model, wrapper, hooks)
    if default is not None and custom is not None:
        parts.problems += missing_hooks(model, hooks)
        parts.problems += hook_faults(hooks, bool(cfg.get("param_scheduler")))
    return wrapper


def _tried(
    parts: _Parts, dataset: ImageDataset, model: MultiView, wrapper: OptimWrapper, steps: int
) -> list[_ParamScheduler] | None:
    """The schedules, where all else is built; and whether the parts work together."""
    plain = parts.plain
    batch_size = plain["train_dataloader"]["batch_size"]
    micro = plain["train_cfg"].get(MICRO)
    schedulers = parts.build("param_scheduler", lambda: _build_schedulers(plain, wrapper, steps))
    parts.build("model", lambda: check_least_batch(model, batch_size, micro))
    parts.build("train_dataloader", lambda: try_sample(model, dataset, batch_size))
    parts.build("optim_wrapper", lambda: _check_updates(plain, steps))
    return schedulers


def _origins(model: MultiView) -> list[str]:
    """Where the backbone's weights come from, a sentence for each part that has any."""
    parts = [part for part in model.backbone.modules() if isinstance(part, TimmBackbone)]
    return [f"note: {part.origin}." for part in parts if part.origin is not None]


def _settings(plain: dict[str, Any]) -> dict[str, Callable[[], object]]:
    """What is checked of the settings that no part of the model depends on, by their names."""
    return {
        "log_level": lambda: check_log_level(plain.get("log_level", "INFO")),
        "default_scope": lambda: check_scope(plain.get("default_scope")),
        "auto_scale_lr": lambda: AutoScaleLR(**(plain.get("auto_scale_lr") or {})),
        "env_cfg": lambda: Environment(**(plain.get("env_cfg") or {})),
        "train_cfg": lambda: _check_lengths(plain["train_cfg"]),
        "compile": lambda: check_compile(plain.get("compile")),
        "visualizer": lambda: try_visualizer(plain.get("visualizer")),
    }


def _fact_notes(facts: Mapping[str, Any], model: MultiView) -> list[str]:
    notes = []
    if "mean" in facts:
        measured = f"mean {facts['mean']}, std {facts['std']}"
        notes.append(f"note: measured {measured} of values in [0, 1].")
    left_out = getattr(model.data_preprocessor, "left_out", [])
    if left_out:
        notes.append(
            f"note: no channels of the images are red, green and blue, so what means colours is "
            f"left out: {', '.join(left_out)}."
        )
    return notes


def _built(part: T | None) -> T:
    """What has been built, since there was no fault."""
    assert part is not None
    return part


def build_dataset(cfg: dict[str, Any]) -> ImageDataset:
    """The data set of a loader's config."""
    dataset: ImageDataset = DATASETS.build(cfg["dataset"])
    return dataset


def _with_num_samples(cfg: dict[str, Any], size: int | None) -> dict[str, Any]:
    """The model's config, its head told how many images the data set holds where it asks for it.

    It is a copy: the config that a run saves can be used with other data. Where the number is not
    known, the run ends with the data set's fault; another stands in for it, so that the model is
    built and its faults are told beside.
    """
    model = copy.deepcopy(cfg)
    head = model.get("head")
    if not isinstance(head, Mapping):
        return model  # of a model of one's own, which is refused as such
    kind = HEADS.find(head["type"])
    if "num_samples" not in inspect.signature(kind).parameters:
        return model
    given = head.get("num_samples")
    if size is not None and given not in (None, size):
        raise UserError(
            f"model.head.num_samples is that of the data set, {size}, which is filled in; "
            f"got {given}: leave it out."
        )
    model["head"] = {**head, "num_samples": STAND_IN_SAMPLES if size is None else size}
    return model


def _build_model(filled: dict[str, Any], cfg: Config) -> MultiView:
    model = MODELS.build(filled)
    if not isinstance(model, MultiView):
        raise UserError(
            f"model: {type(model).__name__} is not derived from mvssl.models.MultiView."
        )
    check_views(model, evaluated=takes_whole_images(cfg))
    return model


def _check_lengths(cfg: dict[str, Any]) -> None:
    check_lengths(cfg["max_epochs"], cfg.get(MICRO))


def _accumulation(cfg: Config, model: MultiView) -> list[Problem]:
    """What is wrong with micro-batches, and with small batches whose gradients are added up."""
    steps = as_mapping(cfg.get("optim_wrapper")).get(COUNTS, 1)
    if not isinstance(steps, int) or steps < 1:
        return []  # told as such
    micro = as_mapping(cfg.get("train_cfg")).get(MICRO)
    told = None
    if steps != 1 and micro is not None:
        told = (
            f"optim_wrapper.accumulative_counts={steps} and "
            f"train_cfg.micro_batch_size={micro} are two ways to a large batch: leave "
            f"accumulative_counts out, and multiply train_dataloader.batch_size by {steps}."
        )
    elif steps != 1 and model.head.crosses_samples:
        told = (
            f"optim_wrapper.accumulative_counts={steps} adds up gradients of small batches, and "
            f"{type(model.head).__name__} looks across the samples of a batch, so that is not the "
            f"large batch: leave it out, multiply train_dataloader.batch_size by {steps}, and give "
            f"train_cfg.micro_batch_size."
        )
    return [] if told is None else [Problem("optim_wrapper", told)]


def _check_updates(cfg: dict[str, Any], steps: int) -> None:
    """That gradients are not added up over more small batches than the run has."""
    total, counts = steps * cfg["train_cfg"]["max_epochs"], cfg["optim_wrapper"].get(COUNTS, 1)
    if counts > total:
        raise UserError(
            f"optim_wrapper.{COUNTS} is {counts}, and the run has {total} small batches in all: "
            f"lower it, or raise train_cfg.max_epochs."
        )


def _build_schedulers(
    cfg: dict[str, Any], wrapper: OptimWrapper, steps: int
) -> list[_ParamScheduler]:
    total = steps * cfg["train_cfg"]["max_epochs"]
    return build_schedulers(cfg.get("param_scheduler"), wrapper, total, steps)
