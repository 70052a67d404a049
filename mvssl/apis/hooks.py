"""Hooks of a config: built, and checked against the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper

from mvssl.apis.config_checks import Problem
from mvssl.apis.faults import COMPONENT_ERRORS, as_user_error
from mvssl.engine.hooks import ScheduleHook, TeacherHook
from mvssl.errors import UserError
from mvssl.models import MultiView
from mvssl.registry import HOOKS

__all__ = ["bind_schedules", "build_custom_hooks", "build_default_hooks", "teacher_stands_still"]


def build_default_hooks(cfg: Config) -> dict[str, Hook | None]:
    """``default_hooks`` by their names."""
    # None stays: it tells mmengine to leave out one of its own.
    hooks = (cfg.get("default_hooks") or {}).items()
    return {name: None if hook is None else _build_hook(name, hook) for name, hook in hooks}


def build_custom_hooks(cfg: Config) -> list[Hook]:
    """Evaluations, schedules and ``custom_hooks``, in this order."""
    named = [*(cfg.get("evaluation") or {}).items()]
    named += [(f"schedules.{n}", h) for n, h in (cfg.get("schedules") or {}).items()]
    named += [(f"custom_hooks.{n}", h) for n, h in enumerate(cfg.get("custom_hooks") or [])]
    return [_build_hook(name, hook) for name, hook in named if hook is not None]


def _build_hook(name: str, hook: Mapping[str, Any]) -> Hook:
    try:
        arguments = {key: value for key, value in hook.items() if key != "priority"}
        built: Hook = HOOKS.build(arguments)
    except COMPONENT_ERRORS as error:
        told = as_user_error(f"hook {name}", error)
        raise told from told.__cause__
    if "priority" in hook:
        built.priority = hook["priority"]
    return built


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
    return problems


def teacher_stands_still(model: MultiView, hooks: list[Hook | None]) -> list[Problem]:
    """Whether there is a teacher and nothing that moves it."""
    if model.teacher is None or any(isinstance(hook, TeacherHook) for hook in hooks):
        return []
    text = (
        "model.teacher is moved by TeacherHook, and there is none among the hooks: add "
        "default_hooks = dict(teacher=dict(type='TeacherHook')), or set model.teacher=None."
    )
    return [Problem("default_hooks", text)]
