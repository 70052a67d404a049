"""Runs beside each other: a page, and plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from mvssl.measured import PANELS
from mvssl.report.charts import MINUS, chart, last_value, number
from mvssl.report.columns import Column, columns_of, health_of, of_group, seed_of, text_of
from mvssl.report.curves import Curve, Panel, curve_of, end_of
from mvssl.report.grouping import DASH, Group
from mvssl.report.html import Html, Part, document, join, table, tag
from mvssl.report.recorded import Recorded
from mvssl.words import count

__all__ = ["compared", "comparison_page"]

TONES = tuple(f"t{number}" for number in range(1, 11))


def _page_table(groups: Sequence[Group]) -> Html:
    columns = columns_of(groups)
    several = any(group.settings for group in groups)
    settings = ["settings"] if several else []
    titles = [column.title for column in columns]
    head = ["method", "objective", "data", *settings, "seed", *titles, "health"]
    rows: list[list[Part]] = []
    for place, group in enumerate(groups):
        mark = tag("i", class_=f"dot {TONES[place % len(TONES)]}")
        own = [[mark, group.method], group.objective, group.data]
        short = tag("span", "\n".join(group.short_settings), title=group.told_settings)
        own += [short] if several else []
        for run in group.runs:
            values = [text_of(column.of(run), column).replace("-", MINUS) for column in columns]
            rows.append(
                [*own, tag("span", seed_of(run), title=run.folder), *values, health_of(run)]
            )
            own = [""] * len(own)
        if len(group.finished) > 1:
            values = [_with_deviation(group, column) for column in columns]
            cells = [*own, f"mean of {len(group.finished)}", *values, ""]
            rows.append([tag("span", cell, class_="mean") for cell in cells])
    return table(rows, head, class_="numbers")


def _with_deviation(group: Group, column: Column) -> str:
    mean, deviation = of_group(group, column)
    spread = "" if deviation is None else f" ± {column.text(deviation)}"
    return f"{text_of(mean, column)}{spread}".replace("-", MINUS)


def compared(
    groups: Sequence[Group], left_out: Mapping[str, str], notes: Sequence[str]
) -> dict[str, Any]:
    """The same as plain values: ``runs``, ``groups`` (means and standard deviations over finished
    runs), ``left_out`` with the reasons, ``notes``.
    """
    columns = columns_of(groups)
    return {
        "runs": [
            {
                "folder": str(run.folder),
                **_told(group),
                "seed": run.summary.get("seed"),
                "state": run.state,
                "epochs": run.epochs,
                "images": run.summary.get("images"),
                "health": health_of(run),
                "results": {column.name: column.of(run) for column in columns},
            }
            for group in groups
            for run in group.runs
        ],
        "groups": [
            {
                **_told(group),
                "seeds": [run.summary.get("seed") for run in group.finished],
                "mean": {column.name: of_group(group, column)[0] for column in columns},
                "deviation": {column.name: of_group(group, column)[1] for column in columns},
            }
            for group in groups
        ],
        "left_out": dict(left_out),
        "notes": list(notes),
    }


def _told(group: Group) -> dict[str, str]:
    told = {name: getattr(group, name) for name in ("method", "objective", "data")}
    return {**told, "settings": group.told_settings}


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
    for name, title, unit, digits in [*sketches, *_compared_curves()]:
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


def _compared_curves() -> list[tuple[str, str, str, None]]:
    """Name, title and unit of what was measured in training, to be laid over each other."""
    found = [
        (one.compared, one, panel.unit)
        for panel in PANELS
        for one in panel.members
        if one.compared is not None
    ]
    ordered = sorted(found, key=lambda one: one[0])
    return [(one.name, one.title, unit, None) for _, one, unit in ordered]


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
