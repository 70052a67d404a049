"""Figures of ``docs/claims.md``, from the rows of ``claims.py`` and nothing else."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from claims_cells import Cell, Stored, cell  # beside this file
from claims_plan import CLUSTERING, MAIN, NAMES, SMALL_BATCH, SMALL_MOMENTA
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from rows import hashed  # lies beside the benchmarks

from mvssl.errors import UserError
from mvssl.files import write_atomically

BLUE, ORANGE = "#2f6fbf", "#d9822b"
COLORS = {"native": BLUE, "er": ORANGE}
SETTINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "base": ("-", {}),
    f"batch {SMALL_BATCH}": ("--", {"batch": SMALL_BATCH}),
    "EMA 0": (":", {"momentum": 0.0}),
}


def plot_curves(path: Path, rows: Sequence[Stored], of: Sequence[str]) -> None:
    """kNN, entropy and reconstruction over epochs: natively and with ER, at the base, with a small
    batch and with a small EMA coefficient; a line of panels for each method.
    """
    methods = [m for m in of if cell(rows, m, "native") and cell(rows, m, "er")]
    if not methods:
        return
    figure = Figure(figsize=(10.5, 2.35 * len(methods) + 0.5), layout="constrained")
    axes = figure.subplots(len(methods), 3, squeeze=False, sharex=True)
    handles: dict[str, Any] = {}
    for method, line in zip(methods, axes, strict=True):
        kind = "heldout_assigned_" if method == "dino" else "heldout_"
        panels = (
            ("knn_top1", f"{NAMES[method]}: kNN, test images", ""),
            (f"{kind}entropy", "entropy above its floor, nats", f"{kind}entropy_floor"),
            (f"{kind}reconstruction", "reconstruction, nats", ""),
        )
        _draw_level(line[0], _pixels(cell(rows, method, "native")), "raw pixels")
        _draw_level(line[1], _cap(cell(rows, method, "native"), kind), "cap")
        for axis, (name, title, floor) in zip(line, panels, strict=True):
            for setting, (style, asked) in SETTINGS.items():
                for objective, color in COLORS.items():
                    found = cell(rows, method, objective, **asked)
                    drawn = _draw(axis, found, name, floor, color, style)
                    if drawn is not None:
                        kept = "native" if objective == "native" else "with ER"
                        handles.setdefault(f"{kept}, {setting}", drawn)
            axis.set_title(title, fontsize=9, loc="left")
            axis.spines[["top", "right"]].set_visible(False)
            axis.tick_params(labelsize=8)
    for axis in axes[-1]:
        axis.set_xlabel("epoch", fontsize=8)
    figure.legend(
        handles.values(),
        handles.keys(),
        loc="outside upper center",
        ncols=max(len(handles) // 2, 1) if len(handles) > 4 else len(handles),
        frameon=False,
        fontsize=8,
    )
    _save(path, figure)


def _draw_level(axis: Axes, value: float | None, label: str) -> None:
    """A grey line over the whole panel, which says what it is."""
    if value is not None:
        axis.axhline(value, color="#8a8a8a", linewidth=0.8)
        axis.annotate(
            label,
            (0, value),
            xytext=(2, 2),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            fontsize=7,
            color="#666666",
        )


def _pixels(found: Cell) -> float | None:
    """kNN without any network."""
    values = [row.get("knn_top1_pixels") for row in found.rows.values()]
    return next((float(value) for value in values if value is not None), None)


def _cap(found: Cell, kind: str) -> float | None:
    """Of the entropy, above its floor."""
    cap, floor = (found.at(f"{kind}entropy_{name}", -1) for name in ("cap", "floor"))
    return statistics.fmean(cap[seed] - floor[seed] for seed in floor) if cap and floor else None


def _draw(axis: Axes, found: Cell, name: str, floor: str, color: str, style: str) -> Any:
    """The mean over seeds, and a band from the least to the most of them."""
    rows = [row for row in found.rows.values() if name in row["curves"]]
    if not rows:
        return None
    curves = [_above(row["curves"], name, floor) for row in rows]
    steps = np.array(rows[0]["curves"][name][0])
    epochs = steps * float(rows[0]["epochs"]) / float(rows[0]["steps"])
    if any(len(curve) != len(epochs) for curve in curves):
        raise UserError(f"{name}: the curves of {rows[0]['command']} and its other seeds differ.")
    values = np.array(curves)
    (line,) = axis.plot(epochs, values.mean(axis=0), style, color=color, linewidth=1.6)
    axis.fill_between(
        epochs, values.min(axis=0), values.max(axis=0), color=color, alpha=0.15, linewidth=0
    )
    return line


def _save(path: Path, figure: Figure) -> None:
    """As a PNG with a digest of what it shows, by which a test knows it: pixels differ between
    versions of matplotlib.
    """
    metadata = {"Source": _digest(figure)}
    write_atomically(
        path, lambda file: figure.savefig(file, format="png", dpi=130, metadata=metadata)
    )


def _digest(figure: Figure) -> str:
    """Of the panels' titles and of their lines, to four digits."""
    shown = [
        (axis.get_title(loc="left"), [[f"{x:.4g}" for x in _points(line)] for line in axis.lines])
        for axis in figure.axes
    ]
    return hashed(shown)


def _points(line: Line2D) -> list[float]:
    return np.asarray(line.get_xydata(), dtype=np.float64).ravel().tolist()


def _above(curves: dict[str, Any], name: str, floor: str) -> NDArray[np.float64]:
    values = np.array(curves[name][1], dtype=np.float64)
    return values - np.array(curves[floor][1]) if floor in curves else values


def plot_drops(path: Path, rows: Sequence[Stored]) -> None:
    """kNN at the base, with a small batch, and with small EMA coefficients."""
    settings: list[tuple[str, dict[str, Any]]] = [
        ("base", {}),
        (f"batch {SMALL_BATCH},\nequal\nepochs", {"batch": SMALL_BATCH}),
        (f"batch {SMALL_BATCH},\nequal\nsteps", {"batch": SMALL_BATCH, "length": "steps"}),
        *((f"EMA\n{momentum:g}", {"momentum": momentum}) for momentum in SMALL_MOMENTA),
    ]
    methods = [m for m in MAIN if cell(rows, m, "native")]
    if not methods:
        return
    figure = Figure(figsize=(3.6 * len(methods), 3.4), layout="constrained")
    handles: dict[str, Any] = {}
    for axis, method in zip(
        np.atleast_1d(figure.subplots(1, len(methods), sharey=True)), methods, strict=True
    ):
        shown = [
            (name, asked)
            for name, asked in settings
            if cell(rows, method, "native", **asked) and cell(rows, method, "er", **asked)
        ]
        for shift, objective in ((-0.12, "native"), (0.12, "er")):
            for place, (_, asked) in enumerate(shown):
                values = [*cell(rows, method, objective, **asked).knn.values()]
                x = [place + shift] * len(values)
                color = COLORS[objective]
                (dots,) = axis.plot(x, values, "o", color=color, markersize=3.5, alpha=0.7)
                handles["native" if objective == "native" else "with ER"] = dots
                axis.plot(place + shift, statistics.fmean(values), "_", color=color, markersize=16)
        axis.set_xticks(range(len(shown)), [name for name, _ in shown], fontsize=8)
        axis.set_xlim(-0.5, len(shown) - 0.5)
        axis.set_title(NAMES[method], fontsize=9, loc="left")
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
    figure.supylabel("kNN, test images; a dot for each seed", fontsize=8)
    figure.legend(
        handles.values(),
        handles.keys(),
        loc="outside upper center",
        ncols=2,
        frameon=False,
        fontsize=8,
    )
    _save(path, figure)


CLUSTERED = {
    "H(W)": ("entropy", BLUE, "-", 0),
    "H of the student's mean": ("student_entropy", "#4aa3a2", "-", 0),
    "H(W) − H(W|X)": ("information", ORANGE, "--", 0),
    "ER estimate": ("mi_bound", "#b8457a", "-", 0),
    "reconstruction": ("reconstruction", "#5b4aa3", "-", 1),
}
"""Curves by what they are called: name, colour, style, and the line of panels. Of clusters of
k-means H(W|X) is 0, and the third lies on the first."""


def plot_clustering(path: Path, rows: Sequence[Stored]) -> None:
    """The terms of the bound while clustering methods train natively, over their batches."""
    methods = [m for m in CLUSTERING if cell(rows, m, "native")]
    if not methods:
        return
    figure = Figure(figsize=(3.2 * len(methods) + 2.0, 4.6), layout="constrained")
    handles: dict[str, Any] = {}
    axes = figure.subplots(
        2, len(methods), sharey="row", sharex=True, squeeze=False, height_ratios=(3, 2)
    )
    for column, method in zip(axes.T, methods, strict=True):
        found = cell(rows, method, "native")
        cap = found.at("entropy_cap", -1)
        _draw_level(column[0], statistics.fmean(cap.values()) if cap else None, "cap")
        for label, (name, color, style, line) in CLUSTERED.items():
            drawn = _draw(column[line], found, name, "", color, style)
            if drawn is not None:
                handles.setdefault(label, drawn)
        column[0].set_title(f"{NAMES[method]}, nats", fontsize=9, loc="left")
        column[1].set_xlabel("epoch", fontsize=8)
        for axis in column:
            axis.spines[["top", "right"]].set_visible(False)
            axis.tick_params(labelsize=8)
    figure.legend(
        handles.values(), handles.keys(), loc="outside right upper", frameon=False, fontsize=8
    )
    _save(path, figure)
