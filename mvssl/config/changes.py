"""What may change in the config of a run that is resumed, and what must agree."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from mvssl.config.components import default_at
from mvssl.words import shown

__all__ = ["ORIGIN", "RULES", "Change", "Rule", "changes", "is_absent", "plain_values"]


class Rule(Enum):
    """What is done where a value is not what it was."""

    AGREES = "is refused"
    CHANGES = "takes effect, and is said"
    OVER = "is said to have no effect any more"
    SILENT = "is not looked at"


OPTIONS = "lr|weight_decay|momentum|betas|eps|alpha|dampening|nesterov|trust_coeff|lr_decay"
ORIGIN = r"model\.backbone(\.parts\.\d+)?\.(checkpoint|pretrained)"
"""Path of where weights came from at the start, which a run that goes on never fetches."""

RULES: tuple[tuple[str, Rule], ...] = (
    (ORIGIN, Rule.OVER),
    (r"model\.teacher\.momentum", Rule.CHANGES),
    (r"model", Rule.AGREES),
    # It stands in model.head where it is used.
    (r"auto_scale_lr", Rule.SILENT),  # the rate that it makes is compared
    (r"er_head|default_scope|custom_imports|train_cfg\.by_epoch", Rule.SILENT),
    # Images are compared by their names, so a folder may have moved.
    (r"train_dataloader\.dataset\.root", Rule.SILENT),
    (r"train_dataloader\.dataset\.(type|size|crop_pct|channels|value_range|rgb)", Rule.AGREES),
    (r"train_dataloader\.shuffle_window", Rule.AGREES),  # of which an epoch under way is made
    (r"train_cfg\.type", Rule.AGREES),
    (rf"optim_wrapper\.optimizer\.({OPTIONS})", Rule.CHANGES),
    (r"optim_wrapper\.(optimizer|constructor|paramwise_cfg)", Rule.AGREES),
    (r".*", Rule.CHANGES),
)
"""By dotted path, the first that fits; what lies inside of a path goes with it.

Before them: a schedule of a part of the model agrees, but for that of the teacher's momentum.
"""

SCHEDULED = r"((?:schedules|custom_hooks)\.\w+)(\..*)?"


@dataclass(frozen=True)
class Change:
    """A value of a config that is not what it was when the checkpoint was written."""

    path: str
    before: Any
    now: Any
    rule: Rule

    def __str__(self) -> str:
        return f"{self.path} was {_shown(self.before)} and is {_shown(self.now)}"


class _Nothing:
    """Stands for what is not there."""


NOTHING = _Nothing()


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Change]:
    """All differences of two configs, in the order of the first.

    Args:
        before: what :func:`plain_values` made of the config of a checkpoint.
        now: of the present one.
    """
    found = [
        Change(path, old, new, _rule_of(path, before, now))
        for path, old, new in _differences(before, now, "")
    ]
    # Where a component is another one, its arguments say no more.
    others = [c.path.removesuffix("type") for c in found if c.path.endswith(".type")]
    return [
        change
        for change in found
        if change.rule is not Rule.AGREES
        or change.path.endswith(".type")
        or not change.path.startswith(tuple(others))
    ]


def _differences(before: Any, now: Any, where: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in {**before, **now}:
            inner = f"{where}.{key}" if where else str(key)
            old, new = before.get(key, NOTHING), now.get(key, NOTHING)
            if NOTHING not in (old, new) or not _is_default(where, now, key, (old, new)):
                yield from _differences(old, new, inner)
    elif _listed(before) and _listed(now) and len(before) == len(now):
        for number, (old, new) in enumerate(zip(before, now, strict=True)):
            yield from _differences(old, new, f"{where}.{number}")
    elif before != now and {is_absent(before), is_absent(now)} != {True}:
        yield where, before, now


def _is_default(where: str, node: Mapping[str, Any], key: str, values: Sequence[Any]) -> bool:
    """Whether an argument that is said in one of two configs alone is what a component takes
    where nothing is said.
    """
    said = next(value for value in values if value is not NOTHING)
    return bool(plain_values(default_at(where, node, key)) == said)


def _listed(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def is_absent(value: Any) -> bool:
    """Whether there is nothing: None leaves out a part, and so does an empty dict or list."""
    return value is NOTHING or value is None or value in ({}, [])


def _rule_of(path: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> Rule:
    entry = re.fullmatch(SCHEDULED, path)
    targets = [_at(values, f"{entry[1]}.path") for values in (before, now)] if entry else []
    if any(str(t).startswith("model.") and t != "model.teacher.momentum" for t in targets):
        return Rule.AGREES
    return next(rule for pattern, rule in RULES if re.fullmatch(rf"({pattern})(\..*)?", path))


def _at(values: Any, path: str) -> Any:
    """The value at a dotted path, None where there is none."""
    for key in path.split("."):
        if _listed(values) and key.isdigit() and int(key) < len(values):
            values = values[int(key)]
        elif isinstance(values, Mapping):
            values = values.get(key)
        else:
            return None
    return values


def _shown(value: Any) -> str:
    return "not there" if value is NOTHING else shown(value, 60)


def plain_values(value: Any) -> Any:
    """A config, or a part of it, as a checkpoint can hold it: classes and functions as names."""
    if isinstance(value, Mapping):
        return {str(key): plain_values(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_values(item) for item in value]
    if callable(value):
        return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', value)}"
    if isinstance(value, np.generic):
        return value.item()
    return value if value is None or type(value) in (bool, int, float, str) else str(value)
