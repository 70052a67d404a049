"""A picture of a data set: some of its images, their sizes and classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from mvssl.report.figures import DPI, canvas
from mvssl.words import printable

__all__ = ["COLUMNS", "ROWS", "THUMBNAIL", "plot_data"]

COLUMNS, ROWS = 10, 4
THUMBNAIL_IN = 0.9
THUMBNAIL = round(2 * THUMBNAIL_IN * DPI)
"""Longer side in pixels, beyond which no more of an image is seen."""
MOST_CLASSES = 20
COLOR = "#4878a8"


def plot_data(
    path: str | PathLike[str],
    images: Sequence[NDArray[Any]],
    sides: NDArray[np.int64],
    classes: Mapping[str, int],
) -> None:
    """Draw up to 40 images, and beside them how their sizes and classes are distributed.

    Args:
        path: of the PNG.
        images: (H, W, 3) each, uint8 or in [0, 1].
        sides: (N, 2), height and width of all images.
        classes: images by class; empty without labels.
    """
    shown = images[: COLUMNS * ROWS]
    rows = max(-(-len(shown) // COLUMNS), 1)
    with canvas(path) as figure:
        top = rows * THUMBNAIL_IN
        figure.set_size_inches(COLUMNS * THUMBNAIL_IN + 0.4, top + 3.0)
        # Labels are as wide as numbers and names are.
        figure.set_layout_engine("constrained", w_pad=0.06, h_pad=0.06, wspace=0, hspace=0)
        parts = figure.add_gridspec(2, 1, height_ratios=[top, 2.6])
        grid = parts[0].subgridspec(rows, COLUMNS)
        for number, image in enumerate(shown):
            axes = figure.add_subplot(grid[number // COLUMNS, number % COLUMNS])
            axes.imshow(image)
            axes.set_axis_off()
        below = parts[1].subgridspec(1, 2 if classes else 1)
        _plot_sides(figure.add_subplot(below[0]), sides)
        if classes:
            _plot_classes(figure.add_subplot(below[1]), classes)


def _plot_sides(axes: Any, sides: NDArray[np.int64]) -> None:
    height, width = sides.T
    axes.scatter(width, height, s=9, alpha=0.35, color=COLOR, edgecolors="none")
    axes.set(xlabel="width (pixels)", ylabel="height (pixels)")
    # From a phone's to an icon's.
    if max(sides.max() / max(sides.min(), 1), 1) > 20:
        axes.set(xscale="log", yscale="log")
    else:
        axes.set(xlim=(0, 1.08 * width.max()), ylim=(0, 1.08 * height.max()))
    axes.spines[["top", "right"]].set_visible(False)


def _plot_classes(axes: Any, classes: Mapping[str, int]) -> None:
    ordered = sorted(classes.items(), key=lambda item: -item[1])
    shown = [printable(name) for name, _ in ordered[:MOST_CLASSES]]
    names = [name if len(name) < 14 else f"{name[:12]}…" for name in shown]
    places = range(len(names))
    axes.bar(places, [number for _, number in ordered[:MOST_CLASSES]], color=COLOR)
    axes.set_xticks(
        places,
        names,
        rotation=40 if len(names) > 5 else 0,
        ha="right" if len(names) > 5 else "center",
    )
    over = len(ordered) - len(names)
    axes.set_ylabel("images" + (f" ({over:,} smaller classes left out)" if over else ""))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.spines[["top", "right"]].set_visible(False)
