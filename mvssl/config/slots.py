"""What a config may hold: its top-level names, and the places of components."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import torch

from mvssl import registry
from mvssl.config.scale import AutoScaleLR
from mvssl.config.settings import Environment, Processes
from mvssl.engine.hooks import EvaluationHook, ScheduleHook
from mvssl.engine.loaders import build_loader
from mvssl.views import Preprocessor

__all__ = ["KINDS", "REQUIRED", "SLOTS", "TOP_LEVEL", "Slot", "slot_of"]

TOP_LEVEL = (
    "activation_checkpointing",
    "auto_scale_lr",
    "compile",
    "custom_hooks",
    "custom_imports",
    "default_hooks",
    "default_scope",
    "env_cfg",
    "er_head",
    "evaluation",
    "find_unused_parameters",
    "log_level",
    "model",
    "optim_wrapper",
    "param_scheduler",
    "schedules",
    "train_cfg",
    "train_dataloader",
    "visualizer",
)
REQUIRED = ("model", "optim_wrapper", "train_cfg", "train_dataloader")


# What a top-level name holds, where something else would not even be looked into.
KINDS: dict[str, tuple[type | tuple[type, ...], str]] = {
    "activation_checkpointing": ((list, tuple, str), "a list of names of parts of the model"),
    "auto_scale_lr": (dict, "a dict"),
    "compile": ((bool, dict), "True, False or a dict of arguments of torch.compile"),
    "custom_hooks": (list, "a list"),
    "custom_imports": (dict, "a dict"),
    "default_hooks": (dict, "a dict"),
    "env_cfg": (dict, "a dict"),
    "er_head": (dict, "a dict"),
    "evaluation": (dict, "a dict"),
    "find_unused_parameters": (bool, "True or False"),
    "param_scheduler": ((dict, list, tuple), "a dict or a list of dicts"),
    "schedules": (dict, "a dict"),
    "visualizer": (dict, "a dict"),
    **{name: (dict, "a dict") for name in REQUIRED},
}


class Slot(NamedTuple):
    """A place in a config that holds a component."""

    pattern: str
    """Regular expression of the dotted path."""
    registry: registry.Registry | None
    """Where its ``type`` is looked up; None where ``default`` is the only one."""
    default: str | Callable[..., Any] | None = None
    """What it is where it has no ``type``."""
    extra: tuple[str, ...] = ()
    """Keys that are no arguments of the constructor."""
    filled: tuple[str, ...] = ()
    """Arguments that a neighbour, the Runner or mmengine gives, so that a config need not."""
    base: type | None = None
    """What a class must be derived from, where that is more than its registry's base."""
    optional: bool = False
    """Whether an empty dict means that there is none."""
    also: tuple[type, ...] = ()
    """What it may be beside a dict."""


HEAD = r"(model\.head|er_head)"
VIEW_OPERATION = r"model\.data_preprocessor\.views\.\d+\.operations\.\d+"
HOOK = r"(default_hooks|custom_hooks)\.\w+"
SLOTS = (
    Slot(r"model", registry.MODELS),
    Slot(r"model\.backbone(\.parts\.\d+)?", registry.BACKBONES),
    Slot(r"model\.neck(\.projector)?", registry.NECKS, filled=("in_channels",)),
    Slot(r"model\.predictor", registry.NECKS, filled=("in_channels", "out_channels")),
    Slot(r"model\.teacher", registry.MODELS, "EMATeacher"),
    Slot(r"model\.data_preprocessor", registry.MODELS, base=Preprocessor),
    Slot(
        r"model\.data_preprocessor\.views",
        registry.VIEW_SETS,
        filled=("size",),
        also=(str, list, tuple),
    ),
    Slot(VIEW_OPERATION, registry.VIEW_OPS),
    Slot(HEAD, registry.HEADS, filled=("in_channels", "num_logits", "num_samples")),
    Slot(HEAD + r"\.loss", registry.LOSSES),
    Slot(HEAD + r"\.assigner", registry.ASSIGNERS, filled=("num_prototypes",)),
    Slot(HEAD + r"\.target", registry.TARGETS, filled=("in_channels", "num_samples")),
    Slot(r"train_dataloader", None, build_loader, filled=("seed",)),
    Slot(r"train_dataloader\.dataset", registry.DATASETS),
    Slot(HOOK, registry.HOOKS, extra=("priority",)),
    Slot(r"schedules\.\w+", registry.HOOKS, extra=("priority",), base=ScheduleHook),
    Slot(
        r"evaluation",
        registry.HOOKS,
        "EvaluationHook",
        extra=("priority",),
        base=EvaluationHook,
        optional=True,
    ),
    Slot(r"evaluation\.(train|test)", registry.DATASETS),
    Slot(r"evaluation\.evaluators\.\w+", registry.EVALUATORS),
    Slot(
        r"optim_wrapper",
        registry.OPTIM_WRAPPERS,
        "OptimWrapper",
        extra=("constructor", "paramwise_cfg"),
    ),
    Slot(r"optim_wrapper\.optimizer", registry.OPTIMIZERS, filled=("params",)),
    Slot(
        r"param_scheduler(\.\d+)?",
        registry.PARAM_SCHEDULERS,
        extra=("convert_to_iter_based",),
        filled=("epoch_length", "iters_per_epoch", "optimizer", "total_iters"),
        also=(list, tuple),
    ),
    Slot(
        r"train_cfg",
        registry.LOOPS,
        "TrainLoop",
        extra=("by_epoch",),  # as OpenMMLab's configs have it
        filled=("dataloader", "runner"),
    ),
    Slot(r"visualizer", registry.VISUALIZERS, filled=("name", "save_dir"), optional=True),
    Slot(
        r"visualizer\.vis_backends\.\d+",
        registry.VISBACKENDS,
        extra=("name",),
        filled=("save_dir",),
    ),
    Slot(r"compile", None, torch.compile, filled=("model",), optional=True, also=(bool,)),
    Slot(r"auto_scale_lr", None, AutoScaleLR, optional=True),
    Slot(r"env_cfg", None, Environment, optional=True),
    Slot(r"env_cfg\.mp_cfg", None, Processes, optional=True),
)


@lru_cache(maxsize=4096)
def slot_of(where: str) -> Slot | None:
    """The place at a dotted path, None where there is no component."""
    return next((slot for slot in SLOTS if re.fullmatch(slot.pattern, where)), None)
