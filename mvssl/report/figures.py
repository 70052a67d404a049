"""Figures of a run: its curves, and the views that it was trained on.

Drawn with Figure and FigureCanvasAgg alone: no pyplot, so that a notebook's own figures, backend
and style stay as they are.
"""

from __future__ import annotations

import io
import itertools
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from mvssl.engine.history import History, format_scalar
from mvssl.files import write_bytes_atomically

Array = NDArray[np.float64]

DPI = 120
# Okabe and Ito's palette: told apart with any colour vision.
BLUE, ORANGE, GREEN, GREY, INK = "#0072B2", "#D55E00", "#009E73", "#7F7F7F", "#333333"
SMOOTHED_FROM = 60  # points from which on a curve is drawn smoothed, over its pale raw self
MAX_POINTS = 1500  # more than a panel can show: averaged in bins
ROWS = ((), (1,), (2,), (3,), (2, 2), (3, 2))  # panels in each row, by how many there are
MAX_ROWS = 8
CELL, GAP, GROUP_GAP, MARGIN, HEAD = 128, 8, 28, 14, 52  # of the grid of views, in pixels


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
    steps_per_epoch: int,
    knn_pixels: float | None = None,
) -> Figure:
    """Draw a run's curves over epochs into a PNG; panels without data are left out.

    Args:
        history: the run's scalars (names in `History`); entropies and bounds in nats.
        path: where the PNG goes, replaced at once.
        steps_per_epoch: iterations in an epoch.
        knn_pixels: kNN top-1 accuracy on raw pixels, a thin line in the kNN panel.
    """
    panels = _panels(history, steps_per_epoch, knn_pixels)
    end = _end([curve for panel in panels for curve in panel.curves if not curve.reference])
    with _canvas(path) as figure:
        columns = ROWS[len(panels)]
        figure.set_size_inches(12.0, 7.0 if len(columns) > 1 else 4.4)
        figure.set_layout_engine("constrained", w_pad=0.08, h_pad=0.1, wspace=0.04, hspace=0.04)
        if not panels:
            figure.text(0.5, 0.5, "nothing was recorded", ha="center", color=GREY, fontsize=12)
        # A figure of its own for each row: panels of rows of two and three share no margins.
        first = 0
        for row, count in enumerate(columns):
            part = figure.add_subfigure(figure.add_gridspec(len(columns), 1)[row])
            places = part.subplots(1, count, squeeze=False).flat
            for axes, panel in zip(places, panels[first : first + count], strict=True):
                _draw(axes, panel, end)
            first += count
    return figure


def plot_views(
    originals: torch.Tensor, views: Sequence[torch.Tensor], path: str | os.PathLike[str]
) -> Figure:
    """Draw images beside their views into a PNG: one row per image, eight rows at most.

    Args:
        originals: uint8 (n, 3, H, W).
        views: V float tensors (n, 3, s, s) in [0, 1]; the sizes s may differ.
        path: where the PNG goes, replaced at once.

    Raises:
        ValueError: if there is no image, or if the views are not of these images.
    """
    if originals.ndim != 4 or len(originals) == 0:
        raise ValueError(f"originals must be (n, 3, H, W), n >= 1, not {tuple(originals.shape)}")
    for number, view in enumerate(views, start=1):
        if view.ndim != 4 or len(view) != len(originals):
            raise ValueError(
                f"view {number} is {tuple(view.shape)}: there are {len(originals)} originals"
            )
    rows = min(len(originals), MAX_ROWS)
    columns = [("original", originals[:rows].float() / 255)]
    columns += [(f"view {v}", view[:rows].float()) for v, view in enumerate(views, start=1)]
    # Views of one size stand together; a wider gap sets them off from the next size.
    lefts = [MARGIN]
    for number, (_, images) in enumerate(columns[1:]):
        apart = number == 0 or images.shape[-2:] != columns[number][1].shape[-2:]
        lefts.append(lefts[-1] + CELL + (GROUP_GAP if apart else GAP))
    width = lefts[-1] + CELL + MARGIN
    height = HEAD + rows * (CELL + GAP) - GAP + MARGIN
    with _canvas(path) as figure:
        figure.set_size_inches(width / DPI, height / DPI)
        for left, (name, images) in zip(lefts, columns, strict=True):
            pixels = images.detach().clamp(0, 1).permute(0, 2, 3, 1).cpu().numpy()
            h, w = pixels.shape[1:3]
            figure.text(
                (left + CELL / 2) / width,
                1 - (HEAD - 10) / height,
                f"{name}\n{h} × {w}",
                ha="center",
                va="baseline",
                fontsize=8.5,
                color=INK,
            )
            # Enlarged pixels stay squares; near the size of the cell and above, they would alias.
            how = "nearest" if 2 * max(h, w) <= CELL else "antialiased"
            for row, image in enumerate(pixels):
                bottom = height - HEAD - CELL - row * (CELL + GAP)
                box = (left / width, bottom / height, CELL / width, CELL / height)
                axes = figure.add_axes(box)
                axes.imshow(image, interpolation=how, vmin=0, vmax=1)
                axes.set_axis_off()
    return figure


@contextmanager
def _canvas(path: str | os.PathLike[str]) -> Iterator[Figure]:
    """An empty figure that becomes the PNG ``path`` when the block ends."""
    # matplotlib's own defaults, so that a user's rcParams neither change the picture nor are
    # changed.
    with style.context("default"):
        figure = Figure(dpi=DPI, facecolor="white")
        yield figure
        buffer = io.BytesIO()
        FigureCanvasAgg(figure).print_png(buffer)
    write_bytes_atomically(path, buffer.getvalue())


def _panels(history: History, steps_per_epoch: int, knn_pixels: float | None) -> list[Panel]:
    """The panels that there is data for."""

    def curve(name: str, label: str, color: str, reference: bool = False) -> Curve:
        steps, values = history.series(name)
        finite = np.isfinite(values)
        return Curve(steps[finite] / steps_per_epoch, values[finite], label, color, reference)

    knn = curve("knn_top1", "features", BLUE)
    thin = [knn]
    if knn_pixels is not None:
        thin.append(_constant(knn_pixels, "raw pixels", ORANGE))
    if len(knn.x) > 1 and knn.x[0] == 0:
        thin.append(_constant(float(knn.y[0]), "at the start", GREY))
    entropies = [
        curve("entropy", "target", BLUE),
        curve("entropy_trained", "trained", ORANGE),
        curve("entropy_cap", "cap", GREY, reference=True),
        curve("entropy_floor", "floor", GREY, reference=True),
    ]
    bounds = [
        curve("mi_bound", "ER estimate", BLUE),
        curve("infonce", "InfoNCE", ORANGE),
        curve("mi_ceiling", "ER ceiling", GREY, reference=True),
    ]
    panels = [
        Panel("Training loss", "loss", [curve("loss", "", BLUE)]),
        Panel("Entropy", "nats", entropies),
        Panel("Reconstruction", "nats", [curve("reconstruction", "", GREEN)]),
        Panel("Mutual information between views", "nats", bounds, zero=True),
        Panel("kNN accuracy", "top-1 accuracy", thin, digits=3),
    ]
    kept = []
    for panel in panels:
        curves = [one for one in panel.curves if len(one.x)]
        if any(not one.reference for one in curves):
            kept.append(Panel(panel.title, panel.unit, curves, panel.digits, panel.zero))
    return kept


def _constant(value: float, label: str, color: str) -> Curve:
    return Curve(np.zeros(1), np.full(1, value), label, color, reference=True)


def _end(curves: Sequence[Curve]) -> float:
    """Where the axis of epochs ends: with the data, or with the epoch if that is nearly over."""
    end = max((float(curve.x[-1]) for curve in curves), default=0.0) or 1.0
    whole = float(math.ceil(end))
    return whole if whole - end < max(0.1, 0.05 * end) else end


def _draw(axes: Axes, panel: Panel, end: float) -> None:
    low, high = (0.0, 0.0) if panel.zero else (np.inf, -np.inf)
    for curve in panel.curves:
        x, y = _binned(curve.x, curve.y)
        if curve.reference:
            x, y = np.array([0.0, *x, end]), np.array([y[0], *y, y[-1]])
            axes.plot(x, y, color=curve.color, linewidth=1.1, linestyle=(0, (5, 3)), zorder=1.5)
            shown = y
        elif len(y) >= SMOOTHED_FROM:
            axes.plot(x, y, color=curve.color, linewidth=0.7, alpha=0.28)
            y = _smooth(y)
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
    ends = [(_smooth(c.y) if len(c.y) >= SMOOTHED_FROM else c.y)[-1] for c in panel.curves]
    heights = _spread([(value - bottom) / (top - bottom) for value in ends], 0.085)
    for curve, value, height in zip(panel.curves, ends, heights, strict=True):
        number = format_scalar(value) if panel.digits is None else f"{value:.{panel.digits}f}"
        axes.text(
            1.02,
            height,
            f"{curve.label} {number}".strip().replace("-", "\N{MINUS SIGN}"),
            transform=axes.transAxes,
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


def _binned(x: Array, y: Array) -> tuple[Array, Array]:
    """At most `MAX_POINTS` points, each the mean of its neighbours."""
    if len(x) <= MAX_POINTS:
        return x, y
    starts = np.linspace(0, len(x), MAX_POINTS, endpoint=False).astype(np.int64)
    counts = np.diff([*starts, len(x)])
    return np.add.reduceat(x, starts) / counts, np.add.reduceat(y, starts) / counts


def _smooth(y: Array) -> Array:
    """Centred moving average over a fortieth of the curve, cut off at the ends."""
    half = max(len(y) // 80, 1)
    sums = np.concatenate([[0.0], np.cumsum(y)])
    index = np.arange(len(y))
    first, last = np.maximum(index - half, 0), np.minimum(index + half + 1, len(y))
    return (sums[last] - sums[first]) / (last - first)
