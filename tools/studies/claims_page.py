"""Tables and figures of ``docs/claims.md``, from the rows of ``claims.py`` and nothing else."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rows as store  # lies beside the benchmarks
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from mvssl.files import write_bytes_atomically

BASE_BATCH = 256
SMALL_BATCH = 32
BLUE, ORANGE, GREY = "#2f6fbf", "#d9822b", "#8a8a8a"

Row = dict[str, Any]


def write(page: Path, rows: Sequence[Row]) -> None:
    """Write the page's tables and its figures anew.

    Args:
        page: holds ``<!-- table: NAME -->`` ... ``<!-- end -->`` for each table.
        rows: all that were stored.
    """
    text = page.read_text()
    for name, table in (
        ("tuning", tuning(rows)),
        ("competitive", competitive(rows)),
        ("batch", batch(rows)),
        ("ema", ema(rows)),
        ("centre", centre(rows)),
        ("runs", runs(rows)),
    ):
        before, after = store.split_page(text, name)
        text = f"{before}\n{table}\n{after}"
    figures = page.parent / "figures"
    plot_curves(figures / "claims_curves.png", rows)
    plot_drops(figures / "claims_drops.png", rows)
    write_bytes_atomically(page, text.encode())


# Rows that differ in their seed alone.


class Cell:
    """What the seeds of one setting reached.

    Attributes:
        rows: by seed.
    """

    def __init__(self, rows: Iterable[Row], name: str = "knn_top1") -> None:
        self.rows = {row["asked"]["seed"]: row for row in rows}
        self.name = name

    def __bool__(self) -> bool:
        return bool(self.rows)

    @property
    def values(self) -> dict[int, float]:
        return {seed: value_of(row, self.name) for seed, row in self.rows.items()}

    def text(self) -> str:
        """Mean and deviation over the seeds."""
        if not self.rows:
            return "not run"
        values = [*self.values.values()]
        spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
        return f"{statistics.fmean(values):.3f}{spread} ({len(values)})"

    def minus(self, other: Cell) -> list[float]:
        """Differences of the seeds that both have."""
        both = sorted(self.values.keys() & other.values.keys())
        return [self.values[seed] - other.values[seed] for seed in both]


def value_of(row: Row, name: str) -> float:
    """A number of a row, or the last of a curve."""
    if row.get(name) is not None:
        return float(row[name])
    return float(row["curves"][name][1][-1])


def with_interval(differences: Sequence[float]) -> str:
    """Mean of paired differences with its 95% interval (Student's t)."""
    if not differences:
        return "–"
    mean = statistics.fmean(differences)
    if len(differences) < 2:
        return f"{mean:+.3f}"
    half = float(stats.t.ppf(0.975, len(differences) - 1))
    half *= statistics.stdev(differences) / math.sqrt(len(differences))
    return f"{mean:+.3f} [{mean - half:+.3f}, {mean + half:+.3f}]"


def cell(rows: Sequence[Row], method: str, objective: str, **asked: Any) -> Cell:
    """Rows of the test images with these settings and otherwise the plain ones."""
    wanted = {
        "data": "cifar10",
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
    return Cell(row for row in rows if wanted.items() <= row["asked"].items())


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rule = "|---" * len(head) + "|"
    body = [_line(line) for line in lines]
    return "\n".join([_line(head), rule, *body]) if body else "Not run yet."


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def methods_of(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row["asked"]["method"] for row in rows))


def tuning(rows: Sequence[Row]) -> str:
    """kNN on validation images for every cell of the grids."""
    lines = []
    for row in rows:
        asked = row["asked"]
        if asked["part"] != "validation":
            continue
        momentum = "–" if asked["momentum"] is None else f"{asked['momentum']:g}"
        name = f"{asked['method']}{' + ER' if asked['objective'] == 'er' else ''}"
        sharpness = "–" if asked["sharpness"] is None else f"{asked['sharpness']:g}"
        lines.append([name, sharpness, f"{row['rate']:g}", momentum, f"{row['knn_top1']:.3f}"])
    lines.sort(key=lambda line: line[0])
    return _table(["", "sharpness", "learning rate", "EMA", "kNN, validation"], lines)


def competitive(rows: Sequence[Row]) -> str:
    lines = []
    for method in methods_of(rows):
        native, er = cell(rows, method, "native"), cell(rows, method, "er")
        if not native and not er:
            continue
        probes = [Cell(one.rows.values(), "online_top1") for one in (native, er)]
        lines.append(
            [
                method,
                native.text(),
                er.text(),
                with_interval(er.minus(native)),
                with_interval(probes[1].minus(probes[0])),
            ]
        )
    head = ["method", "kNN, native", "kNN, ER", "ER - native, kNN", "ER - native, online probe"]
    return _table(head, lines)


def _drops(
    rows: Sequence[Row], method: str, small: dict[str, Any], base: dict[str, Any]
) -> list[str]:
    """Cells of a line: natively, with ER, and how much more falls natively."""
    texts, drops = [], {}
    for objective in ("native", "er"):
        shared = base if objective == "er" else {}
        start = cell(rows, method, objective, **shared)
        end = cell(rows, method, objective, **small)
        drops[objective] = {
            seed: start.values[seed] - end.values[seed]
            for seed in start.values.keys() & end.values.keys()
        }
        texts += [start.text(), end.text(), with_interval([*drops[objective].values()])]
    both = sorted(drops["native"].keys() & drops["er"].keys())
    return [*texts, with_interval([drops["native"][s] - drops["er"][s] for s in both])]


DROP_HEAD = [
    "native, base",
    "native, small",
    "native falls by",
    "ER, base",
    "ER, small",
    "ER falls by",
    "native falls by more",
]


def batch(rows: Sequence[Row]) -> str:
    lines = []
    for method in methods_of(rows):
        for length in ("epochs", "steps"):
            small = {"batch": SMALL_BATCH, "length": length}
            for k, base in (("batch", {}), (str(SMALL_BATCH), {"group": SMALL_BATCH})):
                if cell(rows, method, "native", **small) or cell(rows, method, "er", **small):
                    lines.append([method, length, k, *_drops(rows, method, small, base)])
    return _table(["method", "equal", "ER's k", *DROP_HEAD], lines)


def ema(rows: Sequence[Row]) -> str:
    found = {
        row["asked"]["momentum"]
        for row in rows
        if row["asked"]["part"] == "test" and row["asked"]["momentum"] is not None
    }
    lines = []
    for method in methods_of(rows):
        for momentum in sorted(found, reverse=True):
            small = {"momentum": momentum}
            if cell(rows, method, "native", **small) or cell(rows, method, "er", **small):
                lines.append([method, f"{momentum:g}", *_drops(rows, method, small, {})])
    return _table(["method", "EMA", *DROP_HEAD], lines)


def centre(rows: Sequence[Row]) -> str:
    lines = []
    for name, objective, variant in (
        ("DINO", "native", ""),
        ("DINO without its centre", "native", "no centre"),
        ("DINO with Sinkhorn in its place", "native", "Sinkhorn"),
        ("DINO + ER (no centre)", "er", ""),
    ):
        found = cell(rows, "dino", objective, variant=variant)
        terms = [
            f"{statistics.fmean(Cell(found.rows.values(), name).values.values()):.2f}"
            if found
            else "–"
            for name in ("entropy", "reconstruction")
        ]
        lines.append([name, found.text(), *terms])
    return _table(["", "kNN", "H(W), nats", "reconstruction, nats"], lines)


def runs(rows: Sequence[Row]) -> str:
    """What made the rows: processors, versions, times."""
    processors = sorted({row["processor"] for row in rows})
    versions = sorted({f"torch {row['versions']['torch']}" for row in rows})
    seconds = sorted(float(row["seconds"]) for row in rows)
    middle = f"{statistics.median(seconds) / 60:.1f}" if seconds else "–"
    return _table(
        ["runs", "processor", "versions", "median minutes of a run"],
        [[str(len(rows)), ", ".join(processors), ", ".join(versions), middle]],
    )


# Figures.


def plot_curves(path: Path, rows: Sequence[Row]) -> None:
    """kNN, entropy and reconstruction over epochs, natively and with ER; a row for each method."""
    methods = [m for m in methods_of(rows) if cell(rows, m, "native") and cell(rows, m, "er")]
    if not methods:
        return
    panels = (
        ("knn_top1", "kNN, test"),
        ("entropy", "entropy of targets, nats"),
        ("reconstruction", "reconstruction, nats"),
    )
    figure = Figure(figsize=(11, 2.6 * len(methods)), layout="constrained")
    axes = figure.subplots(len(methods), len(panels), squeeze=False)
    for method, line in zip(methods, axes, strict=True):
        for axis, (name, title) in zip(line, panels, strict=True):
            for objective, color in (("native", BLUE), ("er", ORANGE)):
                label = method if objective == "native" else f"{method} + ER"
                _draw(axis, cell(rows, method, objective), name, color, label)
            axis.set_title(title, fontsize=9, loc="left")
            axis.spines[["top", "right"]].set_visible(False)
            axis.tick_params(labelsize=8)
            if name == "entropy":
                _draw_limits(axis, cell(rows, method, "er"))
        line[0].legend(frameon=False, fontsize=8)
    for axis in axes[-1]:
        axis.set_xlabel("epoch", fontsize=8)
    figure.savefig(path, dpi=130)


def _draw(axis: Axes, found: Cell, name: str, color: str, label: str) -> None:
    """The mean over seeds, and from the least to the most of them."""
    curves = [row["curves"][name] for row in found.rows.values() if name in row["curves"]]
    if not curves:
        return
    epochs = np.array(curves[0][0]) * _epochs_per_step(next(iter(found.rows.values())))
    values = np.array([curve[1] for curve in curves if len(curve[1]) == len(epochs)])
    axis.plot(epochs, values.mean(axis=0), color=color, label=label, linewidth=1.6)
    axis.fill_between(
        epochs, values.min(axis=0), values.max(axis=0), color=color, alpha=0.18, linewidth=0
    )


def _epochs_per_step(row: Row) -> float:
    return float(row["epochs"]) / float(row["steps"])


def _draw_limits(axis: Axes, found: Cell) -> None:
    for row in [*found.rows.values()][:1]:
        for name, text in (("entropy_floor", "floor"), ("entropy_cap", "cap")):
            if name in row["curves"]:
                value = row["curves"][name][1][-1]
                axis.axhline(value, color=GREY, linewidth=0.8, linestyle="--")
                axis.annotate(text, (0, value), fontsize=7, color=GREY, va="bottom")


def plot_drops(path: Path, rows: Sequence[Row]) -> None:
    """kNN at the base, with a small batch, and with small EMA coefficients."""
    settings: list[tuple[str, dict[str, Any]]] = [
        ("base", {}),
        (f"batch {SMALL_BATCH}", {"batch": SMALL_BATCH}),
        ("EMA 0.8", {"momentum": 0.8}),
        ("EMA 0.5", {"momentum": 0.5}),
        ("EMA 0", {"momentum": 0.0}),
    ]
    methods = [m for m in ("simclr", "byol", "dino") if cell(rows, m, "native")]
    if not methods:
        return
    figure = Figure(figsize=(3.6 * len(methods), 3.0), layout="constrained")
    for axis, method in zip(
        np.atleast_1d(figure.subplots(1, len(methods), sharey=True)), methods, strict=True
    ):
        shown = [
            (name, asked)
            for name, asked in settings
            if cell(rows, method, "native", **asked) and cell(rows, method, "er", **asked)
        ]
        for shift, objective, color in ((-0.12, "native", BLUE), (0.12, "er", ORANGE)):
            for place, (_, asked) in enumerate(shown):
                values = [*cell(rows, method, objective, **asked).values.values()]
                x = [place + shift] * len(values)
                axis.plot(x, values, "o", color=color, markersize=3.5, alpha=0.7)
                axis.plot(place + shift, statistics.fmean(values), "_", color=color, markersize=16)
        axis.set_xticks(range(len(shown)), [name for name, _ in shown], fontsize=8)
        axis.set_title(f"{method} (blue) and + ER (orange)", fontsize=9, loc="left")
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
    figure.supylabel("kNN, test images; a dot for each seed", fontsize=8)
    figure.savefig(path, dpi=130)
