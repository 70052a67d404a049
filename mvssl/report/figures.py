"""Figures: how every picture is drawn, and that of the views which a run was trained on.

Drawn with Figure and FigureCanvasAgg alone: no pyplot, so that a notebook's own figures, backend
and style stay as they are.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from matplotlib import style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from numpy.typing import NDArray

from mvssl.files import write_bytes_atomically
from mvssl.opencv import cv2
from mvssl.words import printable

__all__ = ["DPI", "INK", "canvas", "plot_views", "shrunk"]

DPI = 120
INK = "#333333"
MAX_ROWS = 8
CELL, GAP, GROUP_GAP, MARGIN, HEAD = 128, 8, 28, 14, 52  # of the grid of views, in pixels


def plot_views(
    originals: torch.Tensor,
    views: Sequence[torch.Tensor],
    path: str | os.PathLike[str],
    sides: Sequence[tuple[int, int]] | None = None,
) -> Figure:
    """Draw images beside their views into a PNG: one row per image, eight rows at most.

    Args:
        originals: uint8 (n, 3, H, W).
        views: V float tensors (n, 3, s, s) in [0, 1]; the sizes s may differ.
        path: where the PNG goes, replaced at once.
        sides: height and width of each image where ``originals`` are smaller; None: they are whole.

    Raises:
        ValueError: if there is no image, or if the views are not of these images.
    """
    _check_views(originals, views)
    rows = min(len(originals), MAX_ROWS)
    columns = [("original", originals[:rows].float() / 255)]
    columns += [(f"view {v}", view[:rows].float()) for v, view in enumerate(views, start=1)]
    heads = [f"{name}\n{_by(images.shape[-2:])}" for name, images in columns]
    if sides is not None:
        found = set(sides[:rows])
        heads[0] = f"original\n{_by(found.pop()) if len(found) == 1 else 'own sizes'}"
    # Views of one size stand together; a wider gap sets them off from the next size.
    lefts = [MARGIN]
    for number, (_, images) in enumerate(columns[1:]):
        apart = number == 0 or images.shape[-2:] != columns[number][1].shape[-2:]
        lefts.append(lefts[-1] + CELL + (GROUP_GAP if apart else GAP))
    width = lefts[-1] + CELL + MARGIN
    height = HEAD + rows * (CELL + GAP) - GAP + MARGIN
    with canvas(path) as figure:
        figure.set_size_inches(width / DPI, height / DPI)
        for left, head, (_, images) in zip(lefts, heads, columns, strict=True):
            pixels = images.detach().clamp(0, 1).permute(0, 2, 3, 1).cpu().numpy()
            h, w = pixels.shape[1:3]
            figure.text(
                (left + CELL / 2) / width,
                1 - (HEAD - 10) / height,
                head,
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


def _by(side: Sequence[int]) -> str:
    return f"{side[0]} × {side[1]}"


def _check_views(originals: torch.Tensor, views: Sequence[torch.Tensor]) -> None:
    if originals.ndim != 4 or len(originals) == 0:
        raise ValueError(f"originals must be (n, 3, H, W), n >= 1, not {tuple(originals.shape)}")
    for number, view in enumerate(views, start=1):
        if view.ndim != 4 or len(view) != len(originals):
            raise ValueError(
                f"view {number} is {tuple(view.shape)}: there are {len(originals)} originals"
            )


def shrunk(pixels: NDArray[Any], side: int) -> tuple[NDArray[Any], float]:
    """An image whose longer side is at most ``side``, and by how much it was made smaller: what
    matplotlib would hold whole, several times over.

    Args:
        pixels: (H, W, 3), uint8 or float32.
    """
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return pixels, 1.0
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    made = cv2.resize(np.ascontiguousarray(pixels), size, interpolation=cv2.INTER_AREA)
    return made, scale


def _as_written(figure: Figure) -> None:
    """Have names of files and classes shown as they are, with whatever signs: no formulas."""
    axes = [axis for one in figure.axes for axis in (one.xaxis, one.yaxis)]
    powers: set[Any] = set()
    for axis in axes:
        labels = axis.get_ticklabels(which="both")
        if axis.get_scale() == "log":  # matplotlib's own formulas
            powers.update(labels)
    for text in figure.findobj(Text):
        if text not in powers:
            text.set_parse_math(False)
            text.set_text("\n".join(map(printable, text.get_text().split("\n"))))


@contextmanager
def canvas(path: str | os.PathLike[str]) -> Iterator[Figure]:
    """An empty figure that becomes the PNG ``path`` when the block ends."""
    # matplotlib's own defaults, so that a user's rcParams neither change the picture nor are
    # changed.
    with style.context("default"):
        figure = Figure(dpi=DPI, facecolor="white")
        yield figure
        _as_written(figure)
        buffer = io.BytesIO()
        with warnings.catch_warnings():
            # The names of files and classes may be written in any script.
            warnings.filterwarnings("ignore", r"Glyph .* missing from font", UserWarning)
            FigureCanvasAgg(figure).print_png(buffer)
    write_bytes_atomically(path, buffer.getvalue())
