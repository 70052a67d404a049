"""Curves of a run, a panel for each thing that was measured."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from mvssl.engine.history import History, format_scalar
from mvssl.evaluation import Shown
from mvssl.measured import PANELS, Scalars
from mvssl.report.figures import INK, canvas

__all__ = [
    "BLUE",
    "GREEN",
    "GREY",
    "ORANGE",
    "SMOOTHED_FROM",
    "Curve",
    "Panel",
    "binned",
    "constant",
    "curve_of",
    "end_of",
    "measured_panel",
    "plot_curves",
    "result_panels",
    "smoothed",
    "with_data",
]

Array = NDArray[np.float64]

# Okabe and Ito's palette: told apart with any colour vision.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#7F7F7F"
TONES = (BLUE, ORANGE, GREEN)
SMOOTHED_FROM = 60  # points from which on a curve is drawn smoothed, over its pale raw self
MAX_POINTS = 1500  # more than a panel can show: averaged in bins


@dataclass(frozen=True)
class Curve:
    """A curve over epochs, or a reference: a value drawn dashed across the whole panel."""

    x: Array
    y: Array
    label: str
    color: str
    reference: bool = False


@dataclass(frozen=True)
class Panel:
    """Curves that share an axis."""

    title: str
    unit: str
    curves: list[Curve]
    digits: int | None = None  # decimals of the values beside the curves; None: as they need
    zero: bool = False  # whether the axis must reach down to 0


def plot_curves(
    history: History,
    path: str | os.PathLike[str],
    *,
    steps_per_epoch: float,
    results: Mapping[str, Shown] | None = None,
) -> Figure:
    """Draw a run's curves over epochs into a PNG; panels without data are left out.

    Args:
        history: the run's scalars (names in `History`); entropies and bounds in nats.
        path: where the PNG goes, replaced at once.
        steps_per_epoch: iterations in an epoch.
        results: what evaluators gave, by name; those that ask for a panel get one.
    """
    panels = _panels(history, steps_per_epoch, results or {})
    end = end_of([curve for panel in panels for curve in panel.curves if not curve.reference])
    with canvas(path) as figure:
        rows = _rows(len(panels))
        figure.set_size_inches(12.0, 4.4 if len(rows) < 2 else 3.5 * len(rows))
        figure.set_layout_engine("constrained", w_pad=0.08, h_pad=0.1, wspace=0.04, hspace=0.04)
        if not panels:
            figure.text(0.5, 0.5, "nothing was recorded", ha="center", color=GREY, fontsize=12)
        # A figure of its own for each row: panels of rows of two and three share no margins.
        first = 0
        for row, count in enumerate(rows):
            part = figure.add_subfigure(figure.add_gridspec(len(rows), 1)[row])
            places = part.subplots(1, count, squeeze=False).flat
            for axes, panel in zip(places, panels[first : first + count], strict=True):
                _draw(axes, panel, end)
            first += count
    return figure


def _rows(panels: int) -> list[int]:
    """Panels in each row: three at most, and rows of two rather than one of one."""
    if panels < 2:
        return [1] * panels
    rows = math.ceil(panels / 3)
    threes = panels - 2 * rows
    return [3] * threes + [2] * (rows - threes)


def _panels(history: History, steps_per_epoch: float, results: Mapping[str, Shown]) -> list[Panel]:
    """The panels that there is data for."""
    pictured = [(one.picture, one) for one in PANELS if one.picture is not None]
    panels = [
        measured_panel(history, steps_per_epoch, scalars)
        for _, scalars in sorted(pictured, key=lambda one: one[0])
    ]
    return with_data([*panels, *result_panels(history, steps_per_epoch, results)])


def measured_panel(history: History, steps_per_epoch: float, scalars: Scalars) -> Panel:
    """Of what was measured in training; limits are grey."""
    drawn = [one for one in scalars.members if one.drawn]
    curves = [
        curve_of(
            history,
            steps_per_epoch,
            one.name,
            one.label,
            GREY if one.limit else TONES[one.tone],
            one.limit,
        )
        for one in sorted(drawn, key=lambda one: one.limit)
    ]
    return Panel(scalars.title, scalars.unit, curves, zero=scalars.zero)


def curve_of(
    history: History,
    steps_per_epoch: float,
    name: str,
    label: str,
    color: str,
    reference: bool = False,
) -> Curve:
    """One name of a history over epochs; what is no finite number is left out."""
    steps, values = history.series(name)
    finite = np.isfinite(values)
    return Curve(steps[finite] / steps_per_epoch, values[finite], label, color, reference)


def result_panels(
    history: History, steps_per_epoch: float, results: Mapping[str, Shown]
) -> list[Panel]:
    """Of those results that ask for one."""
    panels = []
    for name, shown in results.items():
        if shown.panel is not None:
            reached = curve_of(history, steps_per_epoch, name, shown.curve, BLUE)
            pixels = curve_of(history, steps_per_epoch, f"{name}_pixels", "raw pixels", ORANGE)
            curves = _with_references(reached, pixels)
            panels.append(Panel(shown.panel, shown.unit, curves, digits=shown.decimals))
    return panels


def with_data(panels: Sequence[Panel]) -> list[Panel]:
    """The panels that have a curve, each with those that it has."""
    kept = []
    for panel in panels:
        curves = [one for one in panel.curves if len(one.x)]
        if any(not one.reference for one in curves):
            kept.append(replace(panel, curves=curves))
    return kept


def _with_references(reached: Curve, pixels: Curve) -> list[Curve]:
    """A result beside what raw pixels reach, and what it was before training."""
    curves = [reached]
    if len(pixels.y):
        curves.append(constant(float(pixels.y[0]), pixels.label, pixels.color))
    if len(reached.x) > 1 and reached.x[0] == 0:
        curves.append(constant(float(reached.y[0]), "at the start", GREY))
    return curves


def constant(value: float, label: str, color: str) -> Curve:
    """A reference that is the same throughout."""
    return Curve(np.zeros(1), np.full(1, value), label, color, reference=True)


def end_of(curves: Sequence[Curve]) -> float:
    """Where the axis of epochs ends: with the data, or with the epoch if that is nearly over."""
    end = max((float(curve.x[-1]) for curve in curves), default=0.0) or 1.0
    whole = float(math.ceil(end))
    return whole if whole - end < max(0.1, 0.05 * end) else end


def _draw(axes: Axes, panel: Panel, end: float) -> None:
    low, high = (0.0, 0.0) if panel.zero else (np.inf, -np.inf)
    for curve in panel.curves:
        x, y = binned(curve.x, curve.y)
        if curve.reference:
            x, y = np.array([0.0, *x, end]), np.array([y[0], *y, y[-1]])
            axes.plot(x, y, color=curve.color, linewidth=1.1, linestyle=(0, (5, 3)), zorder=1.5)
            shown = y
        elif len(y) >= SMOOTHED_FROM:
            axes.plot(x, y, color=curve.color, linewidth=0.7, alpha=0.28)
            y = smoothed(y)
            axes.plot(x, y, color=curve.color, linewidth=1.8)
            # The odd spike of the raw curve may leave the panel; the smooth one may not.
            shown = np.array([y.min(), y.max(), *np.percentile(curve.y, [1, 99])])
        else:
            (line,) = axes.plot(x, y, color=curve.color, linewidth=1.8)
            line.set(marker="o", markersize=4, clip_on=False, zorder=3)
            shown = y
        low, high = min(low, float(shown.min())), max(high, float(shown.max()))
    margin = 0.07 * (high - low) or 0.05 * abs(high) or 1.0
    bottom = low if panel.zero and low == 0 else low - margin
    axes.set(xlim=(0, end), ylim=(bottom, high + margin), xlabel="epoch", ylabel=panel.unit)
    axes.set_title(panel.title, loc="left", fontsize=11, fontweight="bold", color=INK, pad=8)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=end >= 3, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    axes.ticklabel_format(useOffset=False)
    axes.grid(axis="y", color="#E6E6E6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=9, color="#BBBBBB", labelcolor=INK)
    axes.xaxis.label.set(fontsize=9.5, color=INK)
    axes.yaxis.label.set(fontsize=9.5, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#BBBBBB")
    _label(axes, panel)


def _label(axes: Axes, panel: Panel) -> None:
    """Names and last values at the right end of the curves, instead of a legend."""
    bottom, top = axes.get_ylim()
    ends = [(smoothed(c.y) if len(c.y) >= SMOOTHED_FROM else c.y)[-1] for c in panel.curves]
    heights = _spread([(value - bottom) / (top - bottom) for value in ends], 0.085)
    for curve, value, height in zip(panel.curves, ends, heights, strict=True):
        number = format_scalar(value) if panel.digits is None else f"{value:.{panel.digits}f}"
        axes.annotate(
            f"{curve.label} {number}".strip().replace("-", "\N{MINUS SIGN}"),
            (1, height),
            xycoords="axes fraction",
            xytext=(8, 0),
            textcoords="offset points",
            annotation_clip=False,
            va="center",
            fontsize=9,
            color=curve.color,
            fontweight="normal" if curve.reference else "bold",
        )


def _spread(heights: Sequence[float], gap: float) -> list[float]:
    """Heights moved apart to at least ``gap``, in their order, none above 1 if they fit."""
    order = np.argsort(heights, kind="stable")
    placed = np.array(heights, dtype=float)
    for lower, upper in itertools.pairwise(order):
        placed[upper] = max(placed[upper], placed[lower] + gap)
    ceiling = 1.0
    for index in order[::-1]:
        placed[index] = min(placed[index], ceiling)
        ceiling = placed[index] - gap
    return [float(height) for height in placed]


def binned(x: Array, y: Array, most: int = MAX_POINTS) -> tuple[Array, Array]:
    """At most ``most`` points, each the mean of its neighbours."""
    if len(x) <= most:
        return x, y
    starts = np.linspace(0, len(x), most, endpoint=False).astype(np.int64)
    counts = np.diff([*starts, len(x)])
    return np.add.reduceat(x, starts) / counts, np.add.reduceat(y, starts) / counts


def smoothed(y: Array) -> Array:
    """Centred moving average over a fortieth of the curve, cut off at the ends."""
    half = max(len(y) // 80, 1)
    sums = np.concatenate([[0.0], np.cumsum(y)])
    index = np.arange(len(y))
    first, last = np.maximum(index - half, 0), np.minimum(index + half + 1, len(y))
    return (sums[last] - sums[first]) / (last - first)
