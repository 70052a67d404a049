"""Which curves of a run stand beside each other on its page."""

from __future__ import annotations

from collections.abc import Mapping

from mvssl.engine.history import History
from mvssl.evaluation import Shown
from mvssl.measured import MEASURED, PANELS
from mvssl.report.curves import (
    BLUE,
    Curve,
    Panel,
    curve_of,
    measured_panel,
    result_panels,
    with_data,
)

__all__ = ["curve_groups"]


def curve_groups(
    history: History, steps_per_epoch: float, results: Mapping[str, Shown]
) -> dict[str, list[Panel]]:
    """The panels that there is data for, by the title of their group.

    Args:
        history: the run's scalars. What none of the known panels shows has one of its own.
        steps_per_epoch: iterations in an epoch.
        results: how the results of evaluators are shown.
    """
    groups = {"Evaluation": with_data(result_panels(history, steps_per_epoch, results))}
    for section in dict.fromkeys(one.section for one in PANELS):
        panels = [one for one in PANELS if one.section == section]
        drawn = [measured_panel(history, steps_per_epoch, one) for one in panels]
        groups[section] = with_data(drawn)
    known = {*MEASURED, *results, *(f"{name}_pixels" for name in results)}
    others = [name for name in history.names() if name not in known]
    groups["Others"] = with_data([_alone(history, steps_per_epoch, name) for name in others])
    return groups


def _alone(history: History, steps_per_epoch: float, name: str) -> Panel:
    curve: Curve = curve_of(history, steps_per_epoch, name, "", BLUE)
    return Panel(name, "", [curve])
