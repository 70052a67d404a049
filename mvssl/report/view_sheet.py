"""A picture of images beside all of their views, with what was drawn for each."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from mvssl.errors import UserError
from mvssl.report.figures import DPI, INK, canvas, shrunk
from mvssl.views.told import Box

__all__ = ["ShownSample", "ShownView", "plot_view_sheet"]

# In pixels.
CELL, GAP, GROUP_GAP, MARGIN = 176, 12, 30, 22
LINE, ABOVE_CAPTION, BETWEEN_ROWS = 14, 8, 16
TITLE, HEADING = 34, 15
MOST_ACROSS = 10  # views beside each other; others stand below
MOST_HIGH = 2**15
LETTERS = 29  # of a caption's line
FAINT = "#8a8a8a"
COLORS = (
    *("#d1495b", "#2e86ab", "#3f9b57", "#e08e2b", "#7d5ba6"),
    *("#1fa3a3", "#b5651d", "#d16ba5", "#6b7f1e", "#5b6c8f"),
)


@dataclass(frozen=True)
class ShownView:
    """One view.

    Attributes:
        pixels: (s, s, 3), in [0, 1].
        words: what was drawn for it; None where that is not known.
        box: the piece of the image that it shows, where that is known.
    """

    pixels: NDArray[Any]
    words: Sequence[str] | None = None
    box: Box | None = None


@dataclass(frozen=True)
class ShownSample:
    """An image and its views.

    Attributes:
        name: a few lines that say which it is.
        pixels: (H, W, 3), uint8 or in [0, 1].
    """

    name: Sequence[str]
    pixels: NDArray[Any]
    views: Sequence[ShownView]


def plot_view_sheet(
    path: str | PathLike[str],
    title: str,
    lines: Sequence[str],
    headings: Sequence[Sequence[str]],
    samples: Sequence[ShownSample],
) -> None:
    """Draw a row for each image into a PNG: itself with the pieces that its views show, the views,
    and below each what was drawn for it.

    Args:
        path: where the PNG goes, replaced at once.
        title, lines: what stands above.
        headings: a few lines for each view.
        samples: one or more, each with a view for every heading.

    Raises:
        UserError: the picture would be too high.
    """
    across = min(len(headings), MOST_ACROSS)
    heads = max(map(len, headings)) * HEADING + 10
    heights = [[_height(line) for line in _lines_of(sample)] for sample in samples]
    top = MARGIN + TITLE + len(lines) * HEADING + 18
    deep = -(-len(headings) // across)  # lines of views
    height = top + heads * deep + sum(map(sum, heights)) + MARGIN - BETWEEN_ROWS
    if height > MOST_HIGH:
        raise UserError(f"The picture would be {height:,} pixels high: show fewer images, --num 1.")
    width = MARGIN * 2 + CELL + GROUP_GAP + across * (CELL + GAP) - GAP
    width = max(width, 2 * MARGIN + round(6.6 * max(map(len, lines), default=0)))
    with canvas(path) as figure:
        sheet = _Sheet(figure, width, height)
        sheet.write(MARGIN, MARGIN + 14, title, fontsize=12, color=INK, weight="bold")
        for number, line in enumerate(lines):
            sheet.write(MARGIN, MARGIN + TITLE + number * HEADING, line, fontsize=8, color=FAINT)
        sheet.write(MARGIN, top + HEADING, "original", fontsize=8.5, color=INK, weight="bold")
        for deepest in range(deep):
            _head(sheet, top, headings[deepest * across :][:across], deepest * across)
            top += heads
        for sample, high in zip(samples, heights, strict=True):
            _draw_sample(sheet, top, sample, high)
            top += sum(high)


class _Sheet:
    """A figure on which places are pixels from the upper left corner."""

    def __init__(self, figure: Figure, width: int, height: int) -> None:
        self.figure, self.width, self.height = figure, width, height
        figure.set_size_inches(width / DPI, height / DPI)

    def write(self, left: float, baseline: float, text: str, **how: Any) -> None:
        """A dollar sign in a file's name begins no formula."""
        place = left / self.width, 1 - baseline / self.height
        self.figure.text(*place, text, parse_math=False, ha="left", va="baseline", **how)

    def frame(self, left: float, top: float) -> Axes:
        """A square cell."""
        bottom = self.height - top - CELL
        box = left / self.width, bottom / self.height, CELL / self.width, CELL / self.height
        axes = self.figure.add_axes(box)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
        return axes


def _left(number: int) -> int:
    """Of the view ``number`` in its line."""
    return MARGIN + CELL + GROUP_GAP + number * (CELL + GAP)


def _head(sheet: _Sheet, top: int, headings: Sequence[Sequence[str]], first: int) -> None:
    for number, heading in enumerate(headings):
        how: dict[str, Any] = dict(fontsize=8.5, color=_color(first + number), weight="bold")
        for below, text in enumerate(heading):
            sheet.write(_left(number), top + HEADING * (below + 1), text, **how)
            how = dict(fontsize=7.5, color=FAINT)


def _color(number: int) -> str:
    return COLORS[number % len(COLORS)]


def _lines_of(sample: ShownSample) -> list[list[list[str]]]:
    """Captions, line by line of the views; that of the image stands with those of the first."""
    own = [text for part in sample.name for text in textwrap.wrap(part, LETTERS)]
    captions = [_caption(view.words) for view in sample.views]
    lines = [captions[n : n + MOST_ACROSS] for n in range(0, len(captions), MOST_ACROSS)]
    return [[own, *lines[0]], *lines[1:]]


def _caption(words: Sequence[str] | None) -> list[str]:
    """``words`` in few lines; an operation that says several things has lines of its own."""
    if words is None:
        return []
    lines, alone = list[str](), True
    for told in words or ["untouched"]:
        parts = told.split(", ")
        alone = alone or len(parts) > 1
        for part in parts:
            for text in textwrap.wrap(part, LETTERS):
                joined = f"{lines[-1]}, {text}" if lines and not alone else text
                fits = not alone and len(joined) <= LETTERS
                lines = [*lines[:-1], joined] if fits else [*lines, text]
                alone = False
        alone = len(parts) > 1
    return lines


def _height(captions: Sequence[Sequence[str]]) -> int:
    return CELL + ABOVE_CAPTION + max(map(len, captions)) * LINE + BETWEEN_ROWS


def _draw_sample(sheet: _Sheet, top: int, sample: ShownSample, heights: Sequence[int]) -> None:
    axes = sheet.frame(MARGIN, top)
    scale = _show(axes, sample.pixels)
    for number, view in enumerate(sample.views):
        if view.box is not None:
            thin = len(sample.views) > 4
            _draw_box(axes, view.box, scale, _color(number), 1.0 if thin else 1.5)
    lines = _lines_of(sample)
    height, width = sample.pixels.shape[:2]
    below = CELL - round(CELL * min(height / width, 1.0))  # of a wide image
    _write_caption(sheet, MARGIN, top - below, lines[0].pop(0))
    for deep, (captions, height) in enumerate(zip(lines, heights, strict=True)):
        for number, caption in enumerate(captions):
            place = deep * MOST_ACROSS + number
            cell = sheet.frame(_left(number), top)
            cell.spines[:].set(visible=True, color=_color(place), linewidth=1.4)
            _show(cell, sample.views[place].pixels)
            _write_caption(sheet, _left(number), top, caption)
        top += height


def _write_caption(sheet: _Sheet, left: int, top: int, caption: Sequence[str]) -> None:
    for number, text in enumerate(caption, start=1):
        baseline = top + CELL + ABOVE_CAPTION + number * LINE - 3
        sheet.write(left, baseline, text, fontsize=6.8, color=INK)


def _show(axes: Axes, pixels: NDArray[Any]) -> float:
    """Show an image, whole; by how much it is made smaller before."""
    pixels, scale = shrunk(pixels, 2 * CELL)
    # Enlarged pixels stay squares; near the size of the cell and above, they would alias.
    how = "nearest" if 2 * max(pixels.shape[:2]) <= CELL else "antialiased"
    shown = pixels if pixels.dtype == np.uint8 else pixels.clip(0, 1)
    axes.imshow(shown, interpolation=how, vmin=0, vmax=1)
    axes.set_anchor("N")  # its caption is below
    return scale


def _draw_box(axes: Axes, box: Box, scale: float, color: str, width: float) -> None:
    # Between pixels: the centre of the first one is at 0.
    corner = box.left * scale - 0.5, box.top * scale - 0.5
    axes.add_patch(
        Rectangle(
            corner,
            box.width * scale,
            box.height * scale,
            fill=False,
            edgecolor=color,
            linewidth=width,
            clip_on=False,
            path_effects=[withStroke(linewidth=width + 1.2, foreground="white", alpha=0.75)],
        )
    )
