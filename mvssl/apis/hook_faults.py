"""Hooks that cannot do their work in a run, and hooks without which a run would not do its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.hooks import (
    DistSamplerSeedHook,
    EarlyStoppingHook,
    EMAHook,
    Hook,
    LoggerHook,
    NaiveVisualizationHook,
    ParamSchedulerHook,
    RuntimeInfoHook,
    SyncBuffersHook,
)

from mvssl.config.checks import Problem
from mvssl.engine.hooks import DataFaultHook, ScalarsHook, ScheduleHook
from mvssl.registry import HOOKS

__all__ = ["hook_faults", "hook_notes"]

# What cannot work, and what to do instead; with it all that is derived from it.
UNFIT: Mapping[type[Hook], str] = {
    EarlyStoppingHook: "waits for validation, and a run has no validation loop: a hook of your own "
    "ends a run by runner.train_loop.stop_training = True, see docs/custom_component.md",
    EMAHook: "keeps an average that would only be looked at in validation, and a run has no "
    "validation loop: the average of a method is model.teacher=dict(momentum=...), moved by "
    "TeacherHook",
    SyncBuffersHook: "averages all buffers over the processes, queues and centres included, which "
    "are kept equal as they are: leave it out",
    LoggerHook: "writes what mmengine's own loop measures: ScalarsHook writes the log, the curves "
    "and TensorBoard, so leave it out (default_hooks.logger=None)",
    NaiveVisualizationHook: "draws in testing, and a run has no test loop: views.png shows what "
    "the network sees, so leave it out",
}

# Without which a run is not what it says, and why; None in a config leaves out nothing else.
NEEDED: Mapping[str, tuple[type[Hook], str]] = {
    "runtime_info": (
        RuntimeInfoHook,
        "nothing would note the epoch and the iteration for loggers and hooks of mmengine: give "
        "dict(type='RunInfoHook')",
    ),
    "sampler_seed": (
        DistSamplerSeedHook,
        "images would come in the same order in every epoch: give dict(type='DistSamplerSeedHook')",
    ),
    "scalars": (
        ScalarsHook,
        "there would be no curves, no log and nobody to notice a loss that is NaN: give "
        "dict(type='ScalarsHook')",
    ),
}
SCHEDULER = (
    "default_hooks.param_scheduler is None, and the learning rate would stay at its first value: "
    "give dict(type='ParamSchedulerHook'), or param_scheduler=None for a constant rate."
)

VALIDATION = ("val", "test")


def hook_faults(hooks: Sequence[Hook], schedules: bool) -> list[Problem]:
    """Hooks that are there in vain or twice, and those that are missing.

    Args:
        hooks: all of a run.
        schedules: whether the learning rate has any.
    """
    told = [text for hook in hooks if (text := _unfit(hook)) is not None]
    told += _twice(hooks)
    for name, (kind, why) in NEEDED.items():
        if not any(isinstance(hook, kind) for hook in hooks):
            told.append(f"default_hooks.{name} is None, and {why}.")
    if schedules and not any(isinstance(hook, ParamSchedulerHook) for hook in hooks):
        told.append(SCHEDULER)
    return [Problem("default_hooks", text) for text in told]


def hook_notes(hooks: Sequence[Hook]) -> list[str]:
    """What a user should know of hooks that were left out, which may be meant."""
    notes = []
    saves: Any = HOOKS.find("CheckpointHook")
    if not any(isinstance(hook, saves) for hook in hooks):
        notes.append(
            "note: there is no CheckpointHook, so nothing is saved to go on from (--resume)."
        )
    if not any(isinstance(hook, DataFaultHook) for hook in hooks):
        notes.append(
            "note: there is no DataFaultHook, so another image takes the place of each that cannot "
            "be read, and nothing tells."
        )
    return notes


def _unfit(hook: Hook) -> str | None:
    """The sentence about a hook that would do nothing, or harm."""
    name = type(hook).__name__
    for kind, why in UNFIT.items():
        if isinstance(hook, kind):
            return f"{name} {why}."
    # Before a run a hook prepares what it does later.
    stages = {*hook.get_triggered_stages()} - {"before_run"}
    if stages and all(stage.split("_")[1] in VALIDATION for stage in stages):
        return (
            f"{name} acts in {min(stages)} and the like alone, and a run has no validation loop: "
            f"measure held-out images by evaluation=dict(evaluators=...), or act in "
            f"after_train_epoch."
        )
    return None


def _twice(hooks: Sequence[Hook]) -> list[str]:
    """Of hooks that come with mvssl or mmengine each has its work once in a step."""
    told, seen = [], list[tuple[type[Hook], str]]()
    for hook in hooks:
        kind = next(
            k for k in type(hook).__mro__ if k.__module__.startswith(("mvssl.", "mmengine."))
        )
        if kind is Hook or kind is ScheduleHook:
            continue
        for other, name in seen:
            if issubclass(kind, other) or issubclass(other, kind):
                both = {name: None, type(hook).__name__: None}
                twice = "There are two hooks" if len(both) > 1 else "There is twice the hook"
                told.append(
                    f"{twice} {' and '.join(both)}, and the second would do the work of the first "
                    f"again: leave one of them out of default_hooks and custom_hooks."
                )
                break
        seen.append((kind, type(hook).__name__))
    return told
