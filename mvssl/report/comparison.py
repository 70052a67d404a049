"""Runs beside each other: groups of runs that differ in nothing but their seed, and what is shown
of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from mvssl.engine.history import format_duration, format_scalar
from mvssl.report.charts import MINUS, chart, last_value, number
from mvssl.report.curves import Curve, Panel, curve_of, end_of
from mvssl.report.html import Html, Part, document, join, table, tag
from mvssl.report.recorded import Recorded, number_of, told_progress
from mvssl.words import count, some

__all__ = ["Group", "compared", "comparison_page", "comparison_table", "grouped", "remarks"]

TONES = tuple(f"t{number}" for number in range(1, 11))
DASH = "\N{EN DASH}"
ON_PAGE_ALONE = frozenset({"infonce"})  # a console is narrow
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
        settings: what else their command line said, but for what all groups have in common.
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
    def short_settings(self) -> list[str]:
        """With the last parts of paths, where there is little room."""
        settings = (one.rpartition("=") for one in self.settings.split(", ") if one)
        return [f"{path.split('.')[-1]}={value}" for path, _, value in settings]


def grouped(runs: Sequence[Recorded]) -> list[Group]:
    """Groups in the order of their first runs."""
    found: dict[str, list[Recorded]] = {}
    for run in runs:
        found.setdefault(_key(run), []).append(run)
    said = [_settings(same[0].options) for same in found.values()]
    common = set.intersection(*({*one.items()} for one in said)) if len(said) > 1 else set()
    return [
        Group(
            same[0].name,
            same[0].objective,
            same[0].data or DASH,
            ", ".join(
                f"{path}={value}" for path, value in one.items() if (path, value) not in common
            ),
            tuple(sorted(same, key=lambda run: number_of(run.summary, "seed") or 0.0)),
        )
        for same, one in zip(found.values(), said, strict=True)
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


def _settings(options: Mapping[str, Any]) -> dict[str, str]:
    given = options.get("cfg_options")
    said = dict(given) if isinstance(given, Mapping) else {}
    for name in ("backbone", "image_size", "batch_size", "amp"):
        if options.get(name):
            said[name] = options[name]
    return {str(path): str(value) for path, value in said.items()}


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
                f"{group.method}: several runs are of the same seed, and count each for itself."
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


def _text(value: float | None, column: _Column) -> str:
    return DASH if value is None else column.text(value)


def _seed(run: Recorded) -> str:
    return f"{run.summary.get('seed', DASH)}{'' if run.state == 'finished' else '*'}"


def comparison_table(groups: Sequence[Group]) -> Table:
    """A row for each run, and for each group with several finished ones their mean and standard
    deviation.
    """
    columns = [one for one in _columns(groups) if one.name not in ON_PAGE_ALONE]
    made = Table(box=box.HORIZONTALS, border_style="dim", header_style="bold", padding=(0, 1, 0, 0))
    for title in ("method", "objective", "data"):
        made.add_column(title, overflow="fold", no_wrap=title == "objective")
    for title in ("seed", *(column.title for column in columns)):
        made.add_column(title, justify="right", no_wrap=True)
    made.add_column("health", overflow="fold")
    for group in groups:
        own = ["\n".join([group.method, *group.short_settings]), group.objective, group.data]
        for run in group.runs:
            values = [_text(column.of(run), column) for column in columns]
            made.add_row(*map(Text, [*own, _seed(run), *values, _health(run)]))
            own = [""] * 3
        if len(group.finished) > 1:
            for name, place in (("mean", 0), ("±", 1)):
                values = [_text(_of_group(group, column)[place], column) for column in columns]
                made.add_row(*map(Text, ["", "", "", name, *values, ""]), style="bold")
        made.add_section()
    return made


def _page_table(groups: Sequence[Group]) -> Html:
    columns = _columns(groups)
    several = any(group.settings for group in groups)
    settings = ["settings"] if several else []
    titles = [column.title for column in columns]
    head = ["method", "objective", "data", *settings, "seed", *titles, "health"]
    rows: list[list[Part]] = []
    for place, group in enumerate(groups):
        mark = tag("i", class_=f"dot {TONES[place % len(TONES)]}")
        own = [[mark, group.method], group.objective, group.data]
        short = tag("span", "\n".join(group.short_settings), title=group.settings)
        own += [short] if several else []
        for run in group.runs:
            values = [_text(column.of(run), column).replace("-", MINUS) for column in columns]
            rows.append([*own, tag("span", _seed(run), title=run.folder), *values, _health(run)])
            own = [""] * len(own)
        if len(group.finished) > 1:
            values = [_with_deviation(group, column) for column in columns]
            cells = [*own, f"mean of {len(group.finished)}", *values, ""]
            rows.append([tag("span", cell, class_="mean") for cell in cells])
    return table(rows, head, class_="numbers")


def _with_deviation(group: Group, column: _Column) -> str:
    mean, deviation = _of_group(group, column)
    spread = "" if deviation is None else f" ± {column.text(deviation)}"
    return f"{_text(mean, column)}{spread}".replace("-", MINUS)


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
    body = join(
        tag("header", tag("h1", "Runs beside each other"), tag("p", about, class_="about")),
        tag(
            "main",
            tag("div", [tag("p", one) for one in told], class_="notice") if told else None,
            tag("section", tag("h2", "Numbers"), _page_table(groups)),
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
    panels, names = [], _names(groups)
    for name, title, unit, digits in [*sketches, *((*one, None) for one in CURVES)]:
        curves = [
            (place, _curve(names[place], run, name, place))
            for place, group in enumerate(groups)
            for run in group.runs
        ]
        curves = [(place, curve) for place, curve in curves if len(curve.x)]
        if curves:
            panels.append((Panel(title, unit, [c for _, c in curves], digits), curves))
    if not panels:
        return tag("p", "No checkpoint is left that would hold curves.", class_="soft")
    end = end_of([curve for panel, _ in panels for curve in panel.curves])
    drawn = [chart(panel, end, _legend(names, curves, panel.digits)) for panel, curves in panels]
    return tag("div", drawn, class_="charts")


def _names(groups: Sequence[Group]) -> list[str]:
    """Of groups in legends: with their settings where these alone tell them apart."""
    plain = [f"{one.method}{' + ER' * (one.objective == 'er')}" for one in groups]
    return [
        ", ".join([name, *(group.short_settings if plain.count(name) > 1 else [])])
        for name, group in zip(plain, groups, strict=True)
    ]


def _curve(name_of_group: str, run: Recorded, name: str, place: int) -> Curve:
    label = f"{name_of_group}, seed {run.summary.get('seed', DASH)}"
    return curve_of(run.history, run.steps_per_epoch, name, label, TONES[place % len(TONES)])


def _legend(names: Sequence[str], curves: Sequence[tuple[int, Curve]], digits: int | None) -> Html:
    """Each group once, with the mean of where the lines of its runs end."""
    lines = []
    for place, name in enumerate(names):
        ends = [last_value(one) for at, one in curves if at == place]
        if ends:
            mark = tag("i", class_=f"swatch {TONES[place % len(TONES)]}")
            lines.append(tag("li", mark, name, " ", tag("b", number(fmean(ends), digits))))
    return tag("ul", lines, class_="legend")
