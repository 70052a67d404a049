"""The numbers of runs beside each other, and of groups of them, as text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from mvssl.checkpoint import number_of
from mvssl.engine.history import format_duration, format_scalar
from mvssl.measured import MEASURED
from mvssl.report.grouping import DASH, Group
from mvssl.report.recorded import Recorded

__all__ = ["Column", "columns_of", "health_of", "of_group", "seed_of", "text_of"]


@dataclass(frozen=True)
class Column:
    """A number of every run: its name in the JSON file, its title, and how it is written."""

    name: str
    title: str
    of: Callable[[Recorded], float | None]
    text: Callable[[float], str]


def columns_of(groups: Sequence[Group]) -> list[Column]:
    """A column of each number that some run has."""
    runs = [run for group in groups for run in group.runs]
    shown = {name: how for run in runs for name, how in run.results.items() if how.listed}
    columns = [
        Column(name, how.label, _number_named(name), how.text) for name, how in shown.items()
    ]
    columns += [
        Column(name, one.column, _number_named(name), _decimals(2))
        for name, one in MEASURED.items()
        if one.column
    ]
    columns += [
        Column("rank", "rank", _rank, format_scalar),
        Column("seconds", "time", _number_named("seconds"), format_duration),
    ]
    return [one for one in columns if any(one.of(run) is not None for run in runs)]


def _number_named(name: str) -> Callable[[Recorded], float | None]:
    return lambda run: number_of(run.summary, name)


def _decimals(decimals: int) -> Callable[[float], str]:
    return lambda value: f"{value:.{decimals}f}"


def _rank(run: Recorded) -> float | None:
    health = run.summary.get("health")
    figures = health.get("figures") if isinstance(health, Mapping) else None
    found = number_of(figures, "rankme") if isinstance(figures, Mapping) else None
    return found if found is not None else run.history.latest.get("rankme")


def health_of(run: Recorded) -> str:
    """The kind of the doctor's verdict."""
    health = run.summary.get("health")
    return str(health.get("kind") or DASH) if isinstance(health, Mapping) else DASH


def _mean(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Mean and standard deviation, the latter of two or more."""
    if not values:
        return None, None
    return fmean(values), stdev(values) if len(values) > 1 else None


def of_group(group: Group, column: Column) -> tuple[float | None, float | None]:
    """Mean and standard deviation over the finished runs, the latter of two or more."""
    return _mean([x for run in group.finished if (x := column.of(run)) is not None])


def text_of(value: float | None, column: Column) -> str:
    """A value as its column writes it."""
    return DASH if value is None else column.text(value)


def seed_of(run: Recorded) -> str:
    """With an asterisk where the run is not finished."""
    return f"{run.summary.get('seed', DASH)}{'' if run.state == 'finished' else '*'}"
