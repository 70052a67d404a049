"""Rows of a benchmark: one training run each, kept in a file, so that a benchmark can go on."""

from __future__ import annotations

import contextlib
import json
import statistics
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mvssl.apis import TrainOptions, train
from mvssl.files import write_bytes_atomically

KEPT = (
    "knn_top1_init",
    "knn_top1",
    "knn_top1_pixels",
    "entropy",
    "reconstruction",
    "mi_bound",
    "mi_ceiling",
    "infonce",
    "health",
    "seconds",
    "images_per_second",
    "epochs",
    "versions",
)


def run(options: TrainOptions) -> dict[str, Any]:
    """What a training run reached; its other outputs are thrown away, its console is stderr."""
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.redirect_stdout(sys.stderr),
    ):
        summary = train(replace(options, work_dir=folder))
    assert summary is not None
    return {name: summary.get(name) for name in KEPT}


def complete(
    path: Path, wanted: Iterable[tuple[dict[str, Any], TrainOptions]]
) -> list[dict[str, Any]]:
    """The file's rows, and one for each wanted run that it lacks, written as soon as it is done.

    Args:
        wanted: what tells a run from all others, which becomes part of its row, and its options.
    """
    rows = read(path)
    for settings, options in wanted:
        # Overrides that a row does not tell are none.
        done = [all(row.get(name, []) == v for name, v in settings.items()) for row in rows]
        if not any(done):
            rows.append(settings | run(options))
            write(path, rows)
    return rows


def read(path: Path) -> list[dict[str, Any]]:
    """The rows so far, none where there is no file."""
    rows: list[dict[str, Any]] = json.loads(path.read_text()) if path.is_file() else []
    return rows


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    """All rows at once, a line each: an interruption leaves the file of before or after."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(row) for row in rows)
    write_bytes_atomically(path, f"[\n{lines}\n]\n".encode())


def median(rows: Iterable[Mapping[str, Any]], name: str) -> float | None:
    """Over the rows that have the value; None where none has."""
    values = _values(rows, name)
    return statistics.median(values) if values else None


def mean(rows: Iterable[Mapping[str, Any]], name: str) -> float | None:
    """Likewise."""
    values = _values(rows, name)
    return statistics.fmean(values) if values else None


def deviation(rows: Iterable[Mapping[str, Any]], name: str) -> float | None:
    """Standard deviation of a sample, likewise; None where fewer than two rows have the value."""
    values = _values(rows, name)
    return statistics.stdev(values) if len(values) > 1 else None


def _values(rows: Iterable[Mapping[str, Any]], name: str) -> list[float]:
    return [row[name] for row in rows if row.get(name) is not None]


def show(value: float | None, form: str) -> str:
    """A cell of a table."""
    return "–" if value is None else f"{value:{form}}"


def split_page(page: str, name: str) -> tuple[str, str]:
    """What stands before and after a table, its marks included."""
    start, end = f"<!-- table: {name} -->", "<!-- end -->"
    before, found, rest = page.partition(start)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise SystemExit(f"The page has no '{start}' with an '{end}' behind it.")
    return before + start + "\n", "\n" + end + after
