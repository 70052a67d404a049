"""Groups of scalars, as TensorBoard and other loggers show them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from mvssl.measured import PANELS

__all__ = ["CHARTS", "tag_of"]

# Heads of one's own may report any others: the first that fits the beginning of a name.
_OTHERS: Final = {
    "information": r"mi_",
    "optim": r"loss|.*_loss|momentum|weight_decay|grad",
    "speed": r".*time|memory",
}


def tag_of(name: str, evaluated: Collection[str] = ()) -> str:
    """``information/entropy`` for ``entropy``: the name behind that of its group.

    Args:
        name: of a scalar.
        evaluated: names of what evaluators give, which are ``eval/``.
    """
    if name in evaluated or name.removesuffix("_pixels") in evaluated:
        return f"eval/{name}"
    known = (
        panel.group
        for panel in PANELS
        for one in panel.members
        if f"{name}_".startswith(f"{one.name}_")
    )
    found = (group for group, names in _OTHERS.items() if re.match(names, name))
    return f"{next(known, None) or next(found, 'other')}/{name}"


def _charts() -> dict[str, dict[str, list[Any]]]:
    charts: dict[str, dict[str, list[Any]]] = {}
    for panel in PANELS:
        for title in dict.fromkeys(one.chart for one in panel.members if one.chart):
            tags = [tag_of(one.name) for one in panel.members if one.chart == title]
            group = charts.setdefault(panel.group, {})
            group[title] = ["Multiline", [f"^{tag}$" for tag in tags]]
    return charts


CHARTS: Final[Mapping[str, Any]] = _charts()
"""Curves that share a chart with their floor, cap or ceiling: a layout of TensorBoard."""
