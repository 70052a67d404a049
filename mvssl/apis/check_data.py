"""A folder of images, read once from end to end: what ``tools/check_data.py`` tells."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvssl.arguments import check_count
from mvssl.datasets.folder import ImageFolder
from mvssl.datasets.headers import Kind, kind_of_image
from mvssl.datasets.values import mean_and_std, moments
from mvssl.errors import UserError
from mvssl.files import make_folder, write_bytes_atomically
from mvssl.process.places import given_path
from mvssl.report.data_sheet import COLUMNS, ROWS, THUMBNAIL, plot_data
from mvssl.report.figures import shrunk
from mvssl.words import count, printable, some

__all__ = ["DataReport", "check_data", "draw", "of_list", "write_list"]

AHEAD = 64  # images that are read before they are asked for


@dataclass(frozen=True)
class Looked:
    """What one image is.

    Attributes:
        fault: why it cannot be read; the rest is then empty.
        side: height and width.
        kind: what the file's header says.
        size: of the file, in bytes.
        digest: equal for images with equal pixels.
        moments: (2, C), means of the values in [0, 1] and of their squares.
    """

    fault: str = ""
    side: tuple[int, int] = (0, 0)
    kind: Kind | None = None
    size: int = 0
    digest: bytes = b""
    moments: NDArray[np.float64] | None = None


@dataclass
class DataReport:
    """What is known of a folder of images.

    Attributes:
        dataset: all of its images.
        good: numbers of those that can be read, and are no copies of one before.
        faults: why the others cannot be read, by number.
        copies: groups of numbers whose pixels are equal.
        sides: (N, 2), height and width of those that can be read, in the order of ``readable``.
        readable: their numbers.
        kinds: images by channels and depth of their files.
        bytes: of all files that can be read.
        mean, std: of every channel, values in [0, 1]; each image counts the same.
        classes: images that can be read by class, if there are labels.
    """

    dataset: ImageFolder
    good: list[int] = field(default_factory=list)
    faults: dict[int, str] = field(default_factory=dict)
    copies: list[list[int]] = field(default_factory=list)
    sides: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 2), np.int64))
    readable: list[int] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    bytes: int = 0
    mean: list[float] = field(default_factory=list)
    std: list[float] = field(default_factory=list)
    classes: dict[str, int] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """What the console shows."""
        dataset = self.dataset
        told = [("folder", printable(str(dataset.root)))]
        told += [("", note) for note in dataset.notes]
        told += [("images", self._readable()), *self._sizes()]
        told += [("kinds", ", ".join(f"{n:,} {kind}" for kind, n in self.kinds.most_common()))]
        if dataset.value_range is not None:
            low, high = dataset.value_range
            told.append(("value range", f"{low:g} (black) to {high:g} (white)"))
        told += [("mean", _numbers(self.mean)), ("std", _numbers(self.std))]
        told += [("copies", self._copies()), *self._classes()]
        return [f"{name:<12} {text}" for name, text in told if text]

    def _readable(self) -> str:
        whole = f"{len(self.readable):,} of {len(self.dataset):,} can be read"
        return f"{whole}, {self.bytes / 2**20:,.0f} MiB"

    def _sizes(self) -> list[tuple[str, str]]:
        if not len(self.sides):
            return []
        height, width = np.median(self.sides, axis=0)
        short = self.sides.min(axis=1)
        least, most = int(short.min()), int(short.max())
        return [
            ("size", f"{width:.0f} x {height:.0f} (median width and height)"),
            ("short side", f"{least:,} to {most:,}, median {np.median(short):,.0f} pixels"),
        ]

    def _copies(self) -> str:
        if not self.copies:
            return "none"
        over = sum(len(group) - 1 for group in self.copies)
        first = " = ".join(self.name(number) for number in self.copies[0][:3])
        return f"{count(over, 'image')} equal to another one, such as {first}"

    def _classes(self) -> list[tuple[str, str]]:
        if not self.classes:
            return []
        sizes = sorted(self.classes.items(), key=lambda item: item[1])
        ends = f"{sizes[0][1]:,} ({sizes[0][0]}) to {sizes[-1][1]:,} ({sizes[-1][0]}) images"
        empty = [name for name, number in sizes if not number]
        told = [("classes", f"{len(sizes):,}, of {ends}")]
        return [*told, ("", f"without an image that can be read: {some(empty)}")][: 1 + bool(empty)]

    def name(self, number: int) -> str:
        """A file below the folder, as it can be printed."""
        return printable(Path(self.dataset.path(number)).relative_to(self.dataset.root).as_posix())


def check_data(root: str | Path, labels: bool = False, workers: int = 4) -> DataReport:
    """Read every image below a folder once.

    Args:
        root: the folder.
        labels: whether its sub-folders are classes.
        workers: threads that read.

    Raises:
        UserError: there is no such folder, or no image below, or ``workers`` is no number of them.
    """
    check_count("check_data", workers=workers)
    report = DataReport(ImageFolder(root, split="all", labels=labels))
    alike: defaultdict[bytes, list[int]] = defaultdict(list)
    measured, sides = list[NDArray[np.float64]](), list[tuple[int, int]]()
    for number, looked in _look_at_all(report.dataset, workers):
        if looked.fault:
            report.faults[number] = looked.fault
            continue
        report.readable.append(number)
        report.bytes += looked.size
        report.kinds[_in_words(looked.kind)] += 1
        if looked.digest not in alike:
            report.good.append(number)
        alike[looked.digest].append(number)
        sides.append(looked.side)
        if looked.moments is not None:
            measured.append(looked.moments)
    report.copies = [group for group in alike.values() if len(group) > 1]
    if measured:
        report.sides = np.array(sides, np.int64)
        mean, std = mean_and_std(measured)
        report.mean, report.std = mean.tolist(), std.tolist()
    report.classes = _count_classes(report)
    return report


def write_list(report: DataReport, path: str | Path) -> list[str]:
    """Write the good images as a list for ``ImageList``: ``.txt``, or ``.jsonl`` with labels.

    Paths are relative to the folder, which is to be the ``root`` of that data set.

    Returns:
        Files that a text cannot name, and that are therefore left out.

    Raises:
        UserError: the list is neither, or cannot be written.
    """
    dataset, target = report.dataset, given_path(path)
    names = dataset.names()
    left_out: list[str] = []
    if target.suffix == ".txt":
        left_out = [names[n] for n in report.good if names[n] != printable(names[n]).strip()]
        lines = [names[n] for n in report.good if names[n] not in set(left_out)]
    elif target.suffix == ".jsonl":
        rows = ({"image": names[n], **_label(report, n)} for n in report.good)
        lines = [json.dumps(row) for row in rows]
    else:
        raise UserError(f"--good {target}: give a name that ends in .txt or .jsonl.")
    make_folder(target.parent)
    write_bytes_atomically(target, "".join(f"{line}\n" for line in lines).encode())
    return [printable(name) for name in left_out]


def of_list(report: DataReport, path: str | Path) -> str:
    """The data set of a list that ``write_list`` wrote, as a config has it."""
    said = {"type": "ImageList", "file": os.path.abspath(given_path(path))}
    said["root"] = os.path.abspath(report.dataset.root)
    if Path(path).suffix == ".jsonl" and report.dataset.labels is not None:
        said["label"] = "label"
    return f"dict({', '.join(f'{name}={value!r}' for name, value in said.items())})"


def draw(report: DataReport, path: str | Path) -> None:
    """Draw images that are evenly spread over the folder, their sizes and classes, as a PNG.

    Raises:
        UserError: no image can be read.
    """
    if not report.readable:
        raise UserError(f"{report.dataset.root}: no image can be read, so there is none to draw.")
    spread = np.linspace(0, len(report.readable) - 1, COLUMNS * ROWS).round().astype(int)
    shown = [report.readable[place] for place in sorted(set(spread.tolist()))]
    images = [image for number in shown if (image := _small(report.dataset, number)) is not None]
    make_folder(given_path(path).parent)
    plot_data(given_path(path), images, report.sides, report.classes)


def _small(dataset: ImageFolder, number: int) -> NDArray[Any] | None:
    """An image as it is drawn, one at a time: a camera's take 36 MB each."""
    image = dataset.pixels(number, lambda height, width: max(height, width) / THUMBNAIL)
    return None if image is None else shrunk(image[..., dataset.shown_channels], THUMBNAIL)[0]


def _label(report: DataReport, number: int) -> dict[str, str]:
    labels, classes = report.dataset.labels, report.dataset.classes
    return {} if labels is None or classes is None else {"label": classes[labels[number]]}


def _look_at_all(dataset: ImageFolder, workers: int) -> Iterator[tuple[int, Looked]]:
    """In order, a few images ahead: decoding leaves Python alone."""
    with ThreadPoolExecutor(workers) as pool:
        for first in range(0, len(dataset), AHEAD):
            numbers = range(first, min(first + AHEAD, len(dataset)))
            yield from zip(
                numbers, pool.map(lambda number: _look(dataset, number), numbers), strict=True
            )


def _look(dataset: ImageFolder, number: int) -> Looked:
    try:
        data = dataset.content(number)
    except Exception:  # whatever a file system raises; the fault says it
        return Looked(fault=dataset.fault(number))
    image = dataset.pixels_of(data)
    if image is None:
        return Looked(fault=dataset.fault(number))
    shape = np.array(image.shape, np.int64).tobytes()
    pixels = np.ascontiguousarray(image).data
    digest = hashlib.blake2b(pixels, key=shape, digest_size=16).digest()
    side = (image.shape[0], image.shape[1])
    return Looked("", side, kind_of_image(data), len(data), digest, moments(image))


def _in_words(kind: Kind | None) -> str:
    if kind is None:
        return "of an unknown kind"
    named = {1: "grey", 3: "colour"}.get(kind.bands - kind.alpha, f"of {kind.bands} channels")
    beside = " with transparency" if kind.alpha else ""
    beside += f" in {kind.pages} pages" if kind.pages > 1 else ""
    return f"{named}{beside}, {'more than 8' if kind.deep else '8'} bits"


def _count_classes(report: DataReport) -> dict[str, int]:
    labels, classes = report.dataset.labels, report.dataset.classes
    if labels is None or classes is None:
        return {}
    counts = np.bincount(labels[report.readable], minlength=len(classes))
    return dict(zip(classes, counts.tolist(), strict=True))


def _numbers(values: list[Any]) -> str:
    return f"[{', '.join(f'{value:.4f}' for value in values)}]" if values else ""
