"""Hooks of a config: built, and checked against the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.runner import Priority

from mvssl.arguments import is_integer
from mvssl.config.checks import Problem
from mvssl.config.evaluation import active_evaluators
from mvssl.config.faults import as_user_error
from mvssl.engine.hooks import ScheduleHook
from mvssl.errors import UserError
from mvssl.models import MultiView
from mvssl.registry import HOOKS
from mvssl.words import near_names

__all__ = ["bind_schedules", "build_custom_hooks", "build_default_hooks", "missing_hooks"]


# Hooks that mmengine adds where a config does not say otherwise.
# Here they are what _base_/runtime.py has.
MMENGINES: Mapping[str, Mapping[str, Any] | None] = {
    "runtime_info": {"type": "RunInfoHook"},
    "timer": None,
    "sampler_seed": {"type": "DistSamplerSeedHook"},
    "logger": None,
    "param_scheduler": {"type": "ParamSchedulerHook"},
    "checkpoint": {"type": "CheckpointHook", "interval": 10, "max_keep_ckpts": 2},
}


def build_default_hooks(cfg: Config) -> dict[str, Hook | None]:
    """``default_hooks`` by their names."""
    hooks = {**MMENGINES, **(cfg.get("default_hooks") or {})}
    built = {name: hook and _build_hook(name, hook) for name, hook in hooks.items()}
    # None tells mmengine to leave out one of its own; of others it would try to make a hook.
    return {name: hook for name, hook in built.items() if hook is not None or name in MMENGINES}


def build_custom_hooks(cfg: Config) -> list[Hook]:
    """Evaluation, schedules and ``custom_hooks``, in this order."""
    named: list[tuple[str, Any]] = []
    if active_evaluators(cfg):
        named.append(("evaluation", {"type": "EvaluationHook", **cfg.evaluation}))
    named += [(f"schedules.{n}", h) for n, h in (cfg.get("schedules") or {}).items()]
    named += [(f"custom_hooks.{n}", h) for n, h in enumerate(cfg.get("custom_hooks") or [])]
    return [_build_hook(name, hook) for name, hook in named if hook is not None]


def _build_hook(name: str, hook: Mapping[str, Any]) -> Hook:
    try:
        arguments = {key: value for key, value in hook.items() if key != "priority"}
        built: Hook = HOOKS.build(arguments)
    except Exception as error:  # a component raises what it likes
        told = as_user_error(f"hook {name}", error)
        raise told from told.__cause__
    if "priority" in hook:
        built.priority = hook["priority"]
    _check_priority(name, built.priority)
    return built


def _check_priority(name: str, priority: Any) -> None:
    if isinstance(priority, Priority) or (is_integer(priority) and 0 <= priority <= 100):
        return
    known = [level.name for level in Priority]
    if not isinstance(priority, str) or priority.upper() not in known:
        near = near_names(priority.upper(), known) if isinstance(priority, str) else "."
        raise UserError(
            f"hook {name}: priority is a whole number from 0 (first) to 100 or one of "
            f"{', '.join(known)}, got {priority!r}{near}"
        )


def bind_schedules(
    model: MultiView, wrapper: OptimWrapper | None, hooks: list[Hook | None]
) -> list[Problem]:
    """Show every schedule what it is to set; what is wrong with them."""
    problems = []
    seen: set[str] = set()
    for schedule in hooks:
        if not isinstance(schedule, ScheduleHook):
            continue
        try:
            schedule.bind(model, None if wrapper is None else wrapper.optimizer)
        except UserError as error:
            problems.append(Problem("schedules", str(error)))
        if schedule.path in seen:
            text = f"two schedules set '{schedule.path}': leave one of them out."
            problems.append(Problem("schedules", text))
        seen.add(schedule.path)
    return problems or _together(model, [one for one in hooks if isinstance(one, ScheduleHook)])


def _together(model: MultiView, schedules: Sequence[ScheduleHook]) -> list[Problem]:
    """What is wrong with the head's numbers where all schedules begin, or where they end."""
    places: tuple[Literal["start", "end"], ...] = ("start", "end")
    for place in places:
        try:
            for schedule in schedules:
                schedule.put(place)
            model.head.check_numbers()
        except UserError as error:
            return [Problem("schedules", f"at the {place} of the schedules, {error}")]
        finally:
            for schedule in schedules:
                schedule.put("value")
    return []


def missing_hooks(model: MultiView, hooks: Sequence[Hook | None]) -> list[Problem]:
    """Hooks that the config does not have, without which something it asks for would not happen.

    A part of the model says which it needs: ``needed_hooks``, and for each attribute that does
    nothing by itself when a schedule sets it ``hooks_of_schedules``. Both give a hook's name in
    HOOKS and the sentence for the user.
    """
    needs: dict[str, str] = {}
    for part in model.modules():
        needs |= getattr(part, "needed_hooks", {})
    for hook in hooks:
        if isinstance(hook, ScheduleHook) and hook.target is not None:
            part, attribute = hook.target
            needs |= getattr(part, "hooks_of_schedules", {}).get(attribute, {})
    return [Problem("default_hooks", text) for name, text in needs.items() if not _has(hooks, name)]


def _has(hooks: Sequence[Hook | None], name: str) -> bool:
    kind = HOOKS.find(name)
    return isinstance(kind, type) and any(isinstance(hook, kind) for hook in hooks)
