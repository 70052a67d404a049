"""Runs beside each other: groups of runs that differ in nothing but their seed, and what is shown
of them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from mvssl.engine.history import format_duration, format_scalar
from mvssl.evaluation import Shown
from mvssl.report.charts import chart, number
from mvssl.report.curves import Curve, Panel, curve_of, end_of, smoothed
from mvssl.report.html import Html, document, join, table, tag
from mvssl.report.recorded import Recorded, number_of, told_progress
from mvssl.words import count, some

__all__ = ["Group", "compared", "comparison_page", "comparison_table", "grouped", "remarks"]

TONES = tuple(f"t{number}" for number in range(1, 11))
DASH = "\N{EN DASH}"
NATS = Shown("MI", "nats", 2)
# Name, title and unit of the curves that are laid over each other, beside those of evaluators.
CURVES = (
    ("mi_bound", "Mutual information: ER estimate", "nats"),
    ("infonce", "Mutual information: InfoNCE", "nats"),
    ("entropy", "Entropy", "nats"),
    ("reconstruction", "Reconstruction", "nats"),
    ("rankme", "RankMe of the projections", "effective rank"),
    ("features_rankme", "RankMe of the features", "effective rank"),
    ("alignment", "Alignment", "lower: views agree"),
    ("uniformity", "Uniformity", "lower: more spread"),
    ("loss", "Training loss", ""),
    ("lr", "Learning rate", ""),
)


@dataclass(frozen=True)
class Group:
    """Runs of one config, with the same options, on the same data.

    Attributes:
        method: name of the config.
        objective: ``native`` or ``er``.
        data: what they were trained on.
        settings: what else their command line said.
        runs: by their seeds.
    """

    method: str
    objective: str
    data: str
    settings: str
    runs: tuple[Recorded, ...]

    @property
    def finished(self) -> list[Recorded]:
        """The runs from which means are taken."""
        return [run for run in self.runs if run.state == "finished"]

    @property
    def name(self) -> str:
        """In legends."""
        er = " + ER" if self.objective == "er" else ""
        return f"{self.method}{er}{f', {self.settings}' if self.settings else ''}"


def grouped(runs: Sequence[Recorded]) -> list[Group]:
    """Groups in the order of their first runs."""
    found: dict[str, list[Recorded]] = {}
    for run in runs:
        found.setdefault(_key(run), []).append(run)
    return [
        Group(
            some[0].name,
            some[0].objective,
            some[0].data or DASH,
            _settings(some[0].options),
            tuple(sorted(some, key=lambda run: number_of(run.summary, "seed") or 0.0)),
        )
        for some in found.values()
    ]


def _key(run: Recorded) -> str:
    """What runs must agree in to be told apart by their seed alone."""
    if run.values is not None:
        values = {key: value for key, value in run.values.items() if key != "er_head"}
        told: list[Any] = [run.name, values, run.images, run.options.get("amp")]
    else:
        names = ("config", "head", "batch_size", "epochs", "images")
        told = [run.name, [run.summary.get(name) for name in names]]
    return json.dumps(told, sort_keys=True, default=str)


def _settings(options: Mapping[str, Any]) -> str:
    given = options.get("cfg_options")
    words = [f"{path}={value}" for path, value in (given or {}).items()]
    for name in ("backbone", "image_size", "batch_size"):
        if options.get(name) is not None:
            words.append(f"{name}={options[name]}")
    return " ".join([*words, *(["amp"] if options.get("amp") else [])])


def remarks(groups: Sequence[Group]) -> list[str]:
    """What is to be known before numbers are compared."""
    told = []
    runs = [run for group in groups for run in group.runs]
    data: dict[Any, list[Recorded]] = {}
    for run in runs:
        data.setdefault(run.images or (run.data, run.summary.get("images")), []).append(run)
    if len(data) > 1:
        listed = "; ".join(
            f"{same[0].data or 'unknown data'}, {same[0].summary.get('images', '?')} images: "
            f"{some(str(run.folder) for run in same)}"
            for same in data.values()
        )
        told.append(
            f"The runs are of different data, and numbers can be compared within one alone "
            f"({listed})."
        )
    partly = [run for run in runs if run.state != "finished"]
    if partly:
        listed = "; ".join(f"{run.folder} after {told_progress(run)}" for run in partly)
        told.append(f"Not finished, marked by *, and in no mean: {listed}.")
    for group in groups:
        seeds = [run.summary.get("seed") for run in group.finished]
        if len(set(map(str, seeds))) < len(seeds):
            told.append(
                f"{group.name}: several runs are of the same seed, and count each for itself."
            )
    return told


@dataclass(frozen=True)
class _Column:
    """A number of every run: its name in the JSON file, its title, and how it is written."""

    name: str
    title: str
    of: Callable[[Recorded], float | None]
    text: Callable[[float], str]


def _columns(groups: Sequence[Group]) -> list[_Column]:
    """Of numbers that some run has."""
    runs = [run for group in groups for run in group.runs]
    shown = {name: how for run in runs for name, how in run.results.items() if how.listed}
    columns = [
        _Column(name, how.label, _number_named(name), _decimals(how.decimals))
        for name, how in shown.items()
    ]
    columns += [
        _Column("mi_bound", "MI, nats", _number_named("mi_bound"), _decimals(2)),
        _Column("mi_ceiling", "at most", _number_named("mi_ceiling"), _decimals(2)),
        _Column("infonce", "InfoNCE", _number_named("infonce"), _decimals(2)),
        _Column("rank", "rank", _rank, format_scalar),
        _Column("seconds", "time", _number_named("seconds"), format_duration),
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


def _health(run: Recorded) -> str:
    health = run.summary.get("health")
    return str(health.get("kind") or DASH) if isinstance(health, Mapping) else DASH


def _mean(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Mean and standard deviation, the latter of two or more."""
    if not values:
        return None, None
    return fmean(values), stdev(values) if len(values) > 1 else None


def _of_group(group: Group, column: _Column) -> tuple[float | None, float | None]:
    return _mean([x for run in group.finished if (x := column.of(run)) is not None])


def _rows(groups: Sequence[Group]) -> Iterator[tuple[Group, Recorded | None, list[str]]]:
    """Cells of every run, and after several finished ones of a group those of their mean."""
    columns = _columns(groups)
    several = any(group.settings for group in groups)
    for group in groups:
        own = [group.method, group.objective, group.data, *([group.settings] if several else [])]
        for run in group.runs:
            seed = str(run.summary.get("seed", DASH))
            seed += "" if run.state == "finished" else "*"
            values = [_text(column.of(run), column) for column in columns]
            yield group, run, [*own, seed, *values, _health(run)]
        if len(group.finished) > 1:
            values = []
            for column in columns:
                mean, deviation = _of_group(group, column)
                spread = "" if deviation is None else f" ± {column.text(deviation)}"
                values.append(f"{_text(mean, column)}{spread}")
            yield group, None, [*own, f"mean of {len(group.finished)}", *values, ""]


def _text(value: float | None, column: _Column) -> str:
    return DASH if value is None else column.text(value)


def _titles(groups: Sequence[Group]) -> list[str]:
    settings = ["settings"] if any(group.settings for group in groups) else []
    titles = [column.title for column in _columns(groups)]
    return ["method", "objective", "data", *settings, "seed", *titles, "health"]


def comparison_table(groups: Sequence[Group]) -> Table:
    """A row for each run, and for each group with several finished ones their mean and standard
    deviation.
    """
    made = Table(box=box.HORIZONTALS, border_style="dim", header_style="bold")
    for title in _titles(groups):
        words = title in ("method", "objective", "data", "settings", "health")
        made.add_column(title, justify="left" if words else "right", overflow="fold")
    before: Group | None = None
    for group, run, cells in _rows(groups):
        if before is not None and before is not group:
            made.add_section()
        same = len(cells) - len(_columns(groups)) - 2  # what all runs of a group share
        shown = ["" if group is before and n < same else cell for n, cell in enumerate(cells)]
        made.add_row(*map(Text, shown), style="bold" if run is None else None)
        before = group
    return made


def compared(
    groups: Sequence[Group], left_out: Mapping[str, str], notes: Sequence[str]
) -> dict[str, Any]:
    """The same as plain values: ``runs``, ``groups`` (means and standard deviations over finished
    runs), ``left_out`` with the reasons, ``notes``.
    """
    columns = _columns(groups)
    return {
        "runs": [
            {
                "folder": str(run.folder),
                **_told(group),
                "seed": run.summary.get("seed"),
                "state": run.state,
                "epochs": run.epochs,
                "images": run.summary.get("images"),
                "health": _health(run),
                "results": {column.name: column.of(run) for column in columns},
            }
            for group in groups
            for run in group.runs
        ],
        "groups": [
            {
                **_told(group),
                "seeds": [run.summary.get("seed") for run in group.finished],
                "mean": {column.name: _of_group(group, column)[0] for column in columns},
                "deviation": {column.name: _of_group(group, column)[1] for column in columns},
            }
            for group in groups
        ],
        "left_out": dict(left_out),
        "notes": list(notes),
    }


def _told(group: Group) -> dict[str, str]:
    return {name: getattr(group, name) for name in ("method", "objective", "data", "settings")}


def comparison_page(
    groups: Sequence[Group], left_out: Mapping[str, str], notes: Sequence[str]
) -> bytes:
    """The same as a page, with the curves of all runs over each other."""
    told = [*notes, *(f"Left out: {why}" for why in left_out.values())]
    number_of_runs = sum(len(group.runs) for group in groups)
    about = f"{count(number_of_runs, 'run')} in {count(len(groups), 'group')}"
    rows = [
        [tag("span", cell, class_="mean") if run is None else cell for cell in cells]
        for _, run, cells in _rows(groups)
    ]
    body = join(
        tag("header", tag("h1", "Runs beside each other"), tag("p", about, class_="about")),
        tag(
            "main",
            tag("div", [tag("p", one) for one in told], class_="notice") if told else None,
            tag("section", tag("h2", "Numbers"), table(rows, _titles(groups), class_="numbers")),
            tag("section", tag("h2", "Curves"), _charts(groups)),
        ),
    )
    return document("Runs beside each other - mvssl", body)


def _charts(groups: Sequence[Group]) -> Html:
    results = {
        name: how
        for group in groups
        for run in group.runs
        for name, how in run.results.items()
        if how.panel is not None
    }
    sketches = [(name, str(how.panel), how.unit, how.decimals) for name, how in results.items()]
    panels = []
    for name, title, unit, digits in [*sketches, *((*one, None) for one in CURVES)]:
        curves = [
            (place, _curve(group, run, name, place))
            for place, group in enumerate(groups)
            for run in group.runs
        ]
        curves = [(place, curve) for place, curve in curves if len(curve.x)]
        if curves:
            panels.append((Panel(title, unit, [c for _, c in curves], digits), curves))
    if not panels:
        return tag("p", "No checkpoint is left that would hold curves.", class_="soft")
    end = end_of([curve for panel, _ in panels for curve in panel.curves])
    drawn = [chart(panel, end, _legend(groups, curves, panel.digits)) for panel, curves in panels]
    return tag("div", drawn, class_="charts")


def _curve(group: Group, run: Recorded, name: str, place: int) -> Curve:
    label = f"{group.name}, seed {run.summary.get('seed', DASH)}"
    return curve_of(run.history, run.steps_per_epoch, name, label, TONES[place % len(TONES)])


def _legend(
    groups: Sequence[Group], curves: Sequence[tuple[int, Curve]], digits: int | None
) -> Html:
    """Each group once, with the mean of its last values."""
    lines = []
    for place, group in enumerate(groups):
        ends = [float(smoothed(one.y)[-1]) for at, one in curves if at == place]
        if ends and all(map(math.isfinite, ends)):
            mark = tag("i", class_=f"swatch {TONES[place % len(TONES)]}")
            lines.append(tag("li", mark, group.name, " ", tag("b", number(fmean(ends), digits))))
    return tag("ul", lines, class_="legend")
