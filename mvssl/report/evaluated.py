"""What an evaluation of backbones shows: a table, nearest neighbours, a confusion matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from rich import box
from rich.table import Table
from rich.text import Text

from mvssl.datasets.base import ImageDataset
from mvssl.evaluation import Evaluator, Inputs, Shown, balanced_accuracy, knn_predict
from mvssl.evaluation.classes import accuracy
from mvssl.evaluation.correlation import Correlation
from mvssl.evaluation.records import spread
from mvssl.report.figures import canvas
from mvssl.report.tables import print_table
from mvssl.words import printable

__all__ = [
    "plot_confusion",
    "plot_correlations",
    "plot_neighbours",
    "print_checkpoints",
    "print_results",
]

QUERIES, NEIGHBOURS = 8, 8
CELL_IN = 0.85
MOST_CLASSES = 60
"""Beyond which names and numbers of a confusion matrix cannot be read."""
MOST_NUMBERS = 20
ACROSS = 5
"""Panels of correlations side by side."""
RIGHT, WRONG, INK = "#2a7f3f", "#c23b22", "#222222"
K = 20


def print_results(
    found: Sequence[tuple[str, Mapping[str, float]]], evaluators: Mapping[str, Evaluator]
) -> None:
    """A row for each result, a column for each backbone, with the protocol of every evaluator."""
    table = Table(box=box.HORIZONTALS, border_style="dim", header_style="bold")
    table.add_column("")
    for label, _ in found:
        table.add_column(Text(label), justify="right", overflow="fold")
    pixels = any(label == "pixels" for label, _ in found)
    for one in evaluators.values():
        left_out = "" if one.on_pixels or not pixels else "  (not of raw pixels)"
        title = f"{type(one).__name__}  {one.short_protocol}{left_out}"
        table.add_row(Text(title, style="dim"))
        for name, shown in one.results.items():
            if any(name in results for _, results in found):
                values = [Text(shown.text(results.get(name))) for _, results in found]
                table.add_row(Text(f"  {shown.label}"), *values)
        table.add_section()
    print_table(table)


def print_checkpoints(
    epochs: Sequence[float],
    columns: Mapping[str, Sequence[float | None]],
    shown: Mapping[str, Shown],
    found: Mapping[str, Mapping[str, Correlation]],
) -> None:
    """A row for each checkpoint with the results that are listed, then one for each measure with
    its correlation with every accuracy.
    """
    listed = [name for name in columns if name in shown and shown[name].listed]
    table = Table(box=box.HORIZONTALS, border_style="dim", header_style="bold")
    table.add_column("epoch", justify="right")
    for name in listed:
        table.add_column(Text(shown[name].label), justify="right")
    for row, epoch in enumerate(epochs):
        table.add_row(f"{epoch:g}", *(shown[name].text(columns[name][row]) for name in listed))
    print_table(table)
    measures = list(dict.fromkeys(name for one in found.values() for name in one))
    if not measures:
        return
    table = Table(box=box.HORIZONTALS, border_style="dim", header_style="bold")
    table.add_column("Spearman's rank correlation")
    for name in found:
        table.add_column(Text(f"with {shown[name].label}"), justify="right")
    table.add_column("checkpoints", justify="right")
    for name in measures:
        beside = [one[name] for one in found.values()]
        points = max(one.points for one in beside)
        table.add_row(Text(name), *(one.text() for one in beside), str(points))
    print_table(table)


def plot_correlations(
    path: str | PathLike[str],
    epochs: Sequence[float],
    columns: Mapping[str, Sequence[float | None]],
    of_labels: str,
    measures: Sequence[str],
    found: Mapping[str, Correlation],
) -> None:
    """An accuracy over each measure, a point for every checkpoint, the later the darker.

    Args:
        path: of the PNG.
        epochs: of the checkpoints.
        columns: values by name.
        of_labels, measures: names of what is drawn: an accuracy, and what it is drawn over.
        found: correlations with the accuracy, by measure.
    """
    rows = -(-len(measures) // ACROSS)
    shade = np.linspace(0.25, 1.0, len(epochs))
    with canvas(path) as figure:
        figure.set_size_inches(2.6 * min(ACROSS, len(measures)) + 0.4, 2.4 * rows + 0.3)
        figure.set_layout_engine("constrained")
        places = figure.subplots(rows, min(ACROSS, len(measures)), squeeze=False, sharey=True)
        for axes in places.flat[len(measures) :]:
            axes.set_axis_off()
        for axes, name in zip(places.flat, measures, strict=False):
            x, y = (np.array(columns[one], dtype=float) for one in (name, of_labels))
            axes.scatter(x, y, c=shade, cmap="Blues", vmin=0, vmax=1, edgecolors=INK, lw=0.5)
            axes.set_title(f"{name}\n{found[name].text()}", fontsize=8, color=INK)
            axes.tick_params(labelsize=7)
        for axes in places[:, 0]:
            axes.set_ylabel(of_labels, fontsize=8, color=INK)


def plot_neighbours(path: str | PathLike[str], inputs: Inputs) -> None:
    """Held-out images, each beside the training images whose features are nearest to its own.

    Args:
        path: of the PNG.
        inputs: whose features are there; cosine similarity stands below each neighbour, and with
            labels a frame says whether the class is that of the image.
    """
    train, test = inputs.train, inputs.test
    same = inputs.train_set.describe() == inputs.test_set.describe()
    queries = spread(len(test.x), QUERIES)
    similarity = F.normalize(test.x[queries], dim=1) @ F.normalize(train.x, dim=1).T
    if same:  # an image is its own nearest
        similarity[torch.arange(len(queries)), queries] = -2.0
    nearest = similarity.topk(min(NEIGHBOURS, len(train.x) - same), dim=1)
    columns = nearest.values.shape[1] + 1
    with canvas(path) as figure:
        figure.set_size_inches((columns + 0.3) * CELL_IN, len(queries) * (CELL_IN + 0.2) + 0.35)
        grid = figure.add_gridspec(
            len(queries),
            columns + 1,
            width_ratios=[1, 0.15, *[1] * (columns - 1)],
            hspace=0.25,
            wspace=0.05,
            left=0.01,
            right=0.99,
            top=1 - 0.35 / figure.get_figheight(),
            bottom=0.02,
        )
        for row, query in enumerate(queries):
            own = int(test.labels[query])
            axes = figure.add_subplot(grid[row, 0])
            _show(axes, inputs.test_set, query, _class(inputs.test_set, own))
            if row == 0:
                axes.set_title("held out", fontsize=8, color=INK)
            for column in range(columns - 1):
                number = int(nearest.indices[row, column])
                axes = figure.add_subplot(grid[row, column + 2])
                label = int(train.labels[number])
                _show(axes, inputs.train_set, number, f"{nearest.values[row, column]:.2f}")
                if label >= 0:
                    color = RIGHT if label == own else WRONG
                    frame = Rectangle((0, 0), 1, 1, transform=axes.transAxes, fill=False)
                    frame.set(edgecolor=color, linewidth=3)
                    axes.add_patch(frame)
                if row == 0 and column == 0:
                    axes.set_title("nearest of train", fontsize=8, color=INK, loc="left")


def _class(dataset: ImageDataset, label: int) -> str:
    return "" if dataset.classes is None or label < 0 else dataset.classes[label][:16]


def _show(axes: Any, dataset: ImageDataset, index: int, text: str) -> None:
    image = dataset[index]["image"].numpy().transpose(1, 2, 0)[..., list(dataset.shown_channels)]
    axes.imshow(image, interpolation="nearest" if len(image) < 64 else "antialiased")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.set_xlabel(text, fontsize=7, color=INK, labelpad=2)


def plot_confusion(path: str | PathLike[str], inputs: Inputs, k: int = K) -> None:
    """How often held-out images of one class are taken for another by their nearest neighbours.

    Args:
        path: of the PNG.
        inputs: whose features and labels are there.
        k: neighbours that vote, weighted as in ``KNN``.
    """
    train, test = inputs.train, inputs.test
    classes = inputs.train_set.classes
    assert classes is not None
    count = len(classes)
    predicted = knn_predict(test.x, train.x, train.labels, count, min(k, len(train.x)))
    matrix = np.zeros((count, count), np.int64)
    np.add.at(matrix, (test.labels.numpy(), predicted.numpy()), 1)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    side = min(max(0.32 * count, 3.0), 14.0)
    with canvas(path) as figure:
        figure.set_size_inches(side + 2.2, side + 1.9)
        axes = figure.add_axes(
            (1.8 / (side + 2.2), 1.2 / (side + 1.9), side / (side + 2.2), side / (side + 1.9))
        )
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        axes.set_title(
            f"kNN (k = {min(k, len(train.x))}): {accuracy(predicted, test.labels):.3f} right, "
            f"mean of the classes {balanced_accuracy(predicted, test.labels):.3f}",
            fontsize=9,
            color=INK,
        )
        axes.set_xlabel("taken for", color=INK)
        axes.set_ylabel("class", color=INK)
        if count <= MOST_CLASSES:
            names = [printable(name)[:18] for name in classes]
            axes.set_xticks(range(count), names, rotation=90, fontsize=7)
            axes.set_yticks(range(count), names, fontsize=7)
        if count <= MOST_NUMBERS:
            _write_numbers(axes, matrix, shares)


def _write_numbers(axes: Any, matrix: NDArray[np.int64], shares: NDArray[np.float64]) -> None:
    for (row, column), number in np.ndenumerate(matrix):
        if number:
            color = "white" if shares[row, column] > 0.5 else INK
            axes.text(column, row, str(number), ha="center", va="center", fontsize=7, color=color)
