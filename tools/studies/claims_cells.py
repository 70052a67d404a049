"""Rows of the study by setting and seed, and their paired differences."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from claims_plan import BASE_BATCH  # beside this file
from rows import BySeed  # lies beside the benchmarks

Stored = dict[str, Any]
"""A row as it lies in the file."""


class Cell:
    """What the seeds of one setting reached.

    Attributes:
        rows: by seed.
        knn: kNN accuracy of each seed, on test images after the last epoch.
    """

    def __init__(self, rows: Iterable[Stored]) -> None:
        self.rows = {row["asked"]["seed"]: row for row in rows}
        self.knn = {seed: float(row["knn_top1"]) for seed, row in self.rows.items()}

    def __bool__(self) -> bool:
        return bool(self.rows)

    def at(self, curve: str, place: int) -> BySeed:
        """A point of a curve, -1 its last, of the seeds that have it."""
        curves = {seed: row["curves"] for seed, row in self.rows.items()}
        return {seed: float(x[curve][1][place]) for seed, x in curves.items() if curve in x}

    def text(self) -> str:
        """Mean and deviation of the accuracy over the seeds."""
        if not self.rows:
            return "not run"
        values = [*self.knn.values()]
        spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
        return f"{statistics.fmean(values):.3f}{spread} ({len(values)})"

    def reached(self, name: str) -> str:
        """Mean over the seeds of a number that rows have beside their curves."""
        values = [float(row[name]) for row in self.rows.values() if row.get(name) is not None]
        return f"{statistics.fmean(values):.3f}" if values else "–"

    def nats(self, curve: str, place: int = -1) -> str:
        """Mean over the seeds of a point of a curve."""
        values = self.at(curve, place).values()
        return f"{statistics.fmean(values):.2f}" if values else "–"


def shared(*cells: Cell) -> list[Cell]:
    """These with the seeds alone that all have which were run, so that means differ by what is
    said of them.
    """
    ran = [cell.rows.keys() for cell in cells if cell]
    seeds = set[int]().union(*ran).intersection(*ran)
    return [Cell(row for seed, row in one.rows.items() if seed in seeds) for one in cells]


def cell(rows: Sequence[Stored], method: str, objective: str, **asked: Any) -> Cell:
    """Rows of the test images with these settings and otherwise the plain ones."""
    wanted = {
        "method": method,
        "objective": objective,
        "variant": "",
        "batch": BASE_BATCH,
        "group": None,
        "momentum": None,
        "length": "epochs",
        "part": "test",
        **asked,
    }
    momentum = wanted.pop("momentum")
    return Cell(
        row
        for row in rows
        if wanted.items() <= row["asked"].items() and _has_momentum(row, momentum)
    )


def _has_momentum(row: Stored, momentum: float | None) -> bool:
    """A coefficient that is the tuned one is that of the plain rows."""
    asked = row["asked"]["momentum"]
    return asked == momentum or (asked is None and row["momentum"] == momentum)
