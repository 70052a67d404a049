"""Hooks of a config: built, and checked against the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper

from mvssl.config.checks import Problem
from mvssl.config.evaluation import active_evaluators
from mvssl.config.faults import COMPONENT_ERRORS, as_user_error
from mvssl.engine.hooks import ClusteringHook, FreezeHook, ScheduleHook, TeacherHook
from mvssl.errors import UserError
from mvssl.models import MultiView
from mvssl.models.clustering import ClusteringHead
from mvssl.registry import HOOKS

__all__ = ["bind_schedules", "build_custom_hooks", "build_default_hooks", "missing_hooks"]


def build_default_hooks(cfg: Config) -> dict[str, Hook | None]:
    """``default_hooks`` by their names."""
    # None stays: it tells mmengine to leave out one of its own.
    hooks = (cfg.get("default_hooks") or {}).items()
    return {name: None if hook is None else _build_hook(name, hook) for name, hook in hooks}


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


class _Need(NamedTuple):
    """A hook without which something that a config asks for would silently not happen."""

    arises: Callable[[MultiView, Sequence[Hook | None]], bool]
    hook: type[Hook]
    text: str


def _has_teacher(model: MultiView, _: Sequence[Hook | None]) -> bool:
    return model.teacher is not None


def _has_clusters(model: MultiView, _: Sequence[Hook | None]) -> bool:
    return isinstance(model.head, ClusteringHead)


def _freezes(_: MultiView, hooks: Sequence[Hook | None]) -> bool:
    return any(isinstance(h, ScheduleHook) and h.path.endswith(".frozen") for h in hooks)


NEEDS = (
    _Need(
        _has_teacher,
        TeacherHook,
        "model.teacher is moved by TeacherHook, and there is none among the hooks: add "
        "default_hooks = dict(teacher=dict(type='TeacherHook')), or set model.teacher=None.",
    ),
    _Need(
        _has_clusters,
        ClusteringHook,
        "the clusters of model.head are found by ClusteringHook, and there is none among the "
        "hooks: add default_hooks = dict(clustering=dict(type='ClusteringHook')).",
    ),
    _Need(
        _freezes,
        FreezeHook,
        "what a schedule of '....frozen' names is kept still by FreezeHook, and there is none "
        "among the hooks: add default_hooks = dict(freeze=dict(type='FreezeHook')), or set the "
        "schedule to None.",
    ),
)


def missing_hooks(model: MultiView, hooks: Sequence[Hook | None]) -> list[Problem]:
    """Hooks that model and schedules need and the config does not have."""
    return [
        Problem("default_hooks", need.text)
        for need in NEEDS
        if need.arises(model, hooks) and not any(isinstance(hook, need.hook) for hook in hooks)
    ]
