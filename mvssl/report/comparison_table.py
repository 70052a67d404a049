"""Runs beside each other on a console."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import JustifyMethod
from rich.table import Table
from rich.text import Text

from mvssl.report.columns import Column, columns_of, health_of, of_group, seed_of, text_of
from mvssl.report.grouping import Group

__all__ = ["comparison_tables"]

ON_PAGE_ALONE = frozenset({"infonce"})  # a console is narrow
OWN = ("method", "objective", "data", "seed")
TEXTS = frozenset({"method", "objective", "data", "health"})
MEAN, DEVIATION = "mean", "±"
BETWEEN = 2
"""Characters between two columns."""


def comparison_tables(groups: Sequence[Group], width: int) -> list[Table]:
    """A row for each run, and for each group with several finished ones their mean and standard
    deviation. Where the columns do not fit beside each other they are in several tables, each with
    the first ones, so that no number is cut.

    Args:
        groups: that are shown.
        width: of a table, in characters.
    """
    columns = [one for one in columns_of(groups) if one.name not in ON_PAGE_ALONE]
    titles = [*OWN, *(column.title for column in columns), "health"]
    sections = [list(_rows(group, columns)) for group in groups]
    rows = [row for section in sections for row in section]
    cells = [[title, *(row[place] for row in rows)] for place, title in enumerate(titles)]
    widths = [max(len(line) for cell in one for line in cell.split("\n")) for one in cells]
    if sum(widths) + BETWEEN * len(widths) >= width:
        widths = _narrow(cells, width)
    own = len(OWN)
    room = width - 1 - sum(widths[:own]) - BETWEEN * own
    parts = _parts([one + BETWEEN for one in widths[own:]], room)
    shown = [[*range(own), *(own + place for place in part)] for part in parts]
    return [_table(titles, widths, sections, places) for places in shown]


def _rows(group: Group, columns: Sequence[Column]) -> Iterator[list[str]]:
    own = ["\n".join([group.method, *group.short_settings]), group.objective, group.data]
    for run in group.runs:
        values = [text_of(column.of(run), column) for column in columns]
        yield [*own, seed_of(run), *values, health_of(run)]
        own = [""] * len(own)
    if len(group.finished) > 1:
        for name, place in ((MEAN, 0), (DEVIATION, 1)):
            values = [text_of(of_group(group, column)[place], column) for column in columns]
            yield [*own, name, *values, ""]


def _narrow(cells: Sequence[Sequence[str]], width: int) -> list[int]:
    """Widths of columns in which only words of text are apart; what the first ones say of names is
    broken anywhere beyond a part of the width.
    """
    most = {"method": width // 4, "data": width // 6}
    words = [max(len(word) for cell in one for word in cell.split() or [""]) for one in cells]
    return [
        max(min(least, most.get(one[0], least)), len(one[0].split()[0]))
        for least, one in zip(words, cells, strict=True)
    ]


def _parts(widths: Sequence[int], room: int) -> list[list[int]]:
    """Places of columns that fit beside each other, one at least."""
    parts: list[list[int]] = [[]]
    left = room
    for place, width in enumerate(widths):
        if parts[-1] and width > left:
            parts.append([])
            left = room
        parts[-1].append(place)
        left -= width
    return parts


def _table(
    titles: Sequence[str],
    widths: Sequence[int],
    sections: Sequence[Sequence[Sequence[str]]],
    places: Sequence[int],
) -> Table:
    made = Table(box=box.HORIZONTALS, border_style="dim", header_style="bold", padding=(0, 1, 0, 0))
    for place in places:
        text = titles[place] in TEXTS
        justify: JustifyMethod = "left" if text else "right"
        made.add_column(titles[place], justify=justify, overflow="fold", width=widths[place])
    for rows in sections:
        for row in rows:
            style = "bold" if row[OWN.index("seed")] in (MEAN, DEVIATION) else None
            made.add_row(*(Text(row[place]) for place in places), style=style)
        made.add_section()
    return made
