"""Groups of scalars, as TensorBoard and other loggers show them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, Final

__all__ = ["CHARTS", "tag_of"]

# The first that fits the beginning of a name; heads of one's own may report any others.
_GROUPS: Final = {
    "information": r"(student_|conditional_)?entropy|reconstruction|mi_|infonce|information|kl$"
    r"|features_(entropy|reconstruction|mi_|infonce)",
    "geometry": r"alignment|uniformity|(features_)?rankme|embedding_std",
    "health": r"healthy|teacher_(distance|moved)|weights_moved",
    "optim": r"loss|.*_loss|lr|momentum|weight_decay|grad|teacher_momentum",
    "speed": r"images_per_second|.*time|memory",
}

_LIMITS: Final = {
    "entropy": ("_floor", "_cap"),
    "features_entropy": ("_floor", "_cap"),
    "rankme": ("_cap",),
    "features_rankme": ("_cap",),
    "embedding_std": ("_cap",),
}


def tag_of(name: str, evaluated: Collection[str] = ()) -> str:
    """``information/entropy`` for ``entropy``: the name behind that of its group.

    Args:
        name: of a scalar.
        evaluated: names of what evaluators give, which are ``eval/``.
    """
    if name in evaluated or name.removesuffix("_pixels") in evaluated:
        return f"eval/{name}"
    found = (group for group, names in _GROUPS.items() if re.match(names, name))
    return f"{next(found, 'other')}/{name}"


def _charts() -> dict[str, dict[str, list[Any]]]:
    charts: dict[str, dict[str, list[Any]]] = {"information": {}, "geometry": {}}
    for name, limits in _LIMITS.items():
        tags = [tag_of(one) for one in (name, *(name + limit for limit in limits))]
        charts[tags[0].partition("/")[0]][name] = ["Multiline", [f"^{tag}$" for tag in tags]]
    for name in ("", "features_"):
        tags = [tag_of(name + one) for one in ("mi_bound", "mi_ceiling", "infonce")]
        title = f"{name}mutual information"
        charts["information"][title] = ["Multiline", [f"^{tag}$" for tag in tags]]
    return charts


CHARTS: Final[Mapping[str, Any]] = _charts()
"""Curves that share a chart with their floor, cap or ceiling: a layout of TensorBoard."""
