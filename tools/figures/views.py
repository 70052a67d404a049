"""The pictures of docs/config.md: every view set, drawn from two photographs.

    python tools/figures/views.py [--out docs/figures/views]

One PNG a set: a row for each photograph (those that scikit-learn ships), whole in the first column,
then its views in their order (small ones from top to bottom), at their sizes relative to each
other. Takes ten seconds on one core.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_image

from mvssl.opencv import cv2
from mvssl.registry import VIEW_SETS
from mvssl.views import MultiViewPreprocessor

PHOTOGRAPHS = ("china.jpg", "flower.jpg")
SIDE = 224  # of a global view
SMALL_SIDE = 32  # of those that are made for images of 32 pixels
SHOWN = 144  # pixels of a global view in the picture
GAP, APART, MARGIN = 6, 22, 8
EPOCH = 3  # of the draw
PAPER = "#e4e4e4"  # not white, as parts of a sky are
COLORS = 256  # of a picture: photographs in PNG would be three times as large
SPACES = {"cmc": "lab", "gentle_cmc": "sobel"}

Pixels = NDArray[np.uint8]


def sets() -> dict[str, list[str]]:
    """Every view set under its first name, with all of its names."""
    names: dict[Callable[..., object], list[str]] = {}
    for name, make in VIEW_SETS.module_dict.items():
        names.setdefault(make, []).append(name)
    return {several[0]: several for several in names.values()}


def side_of(name: str) -> int:
    return SMALL_SIDE if name.startswith("cifar") else SIDE


def photographs(side: int) -> list[Pixels]:
    """Their central squares, a little larger than a view, as data sets hold images."""
    squares = []
    for file in PHOTOGRAPHS:
        image = load_sample_image(file)
        height, width = image.shape[:2]
        short = min(height, width)
        top, left = (height - short) // 2, (width - short) // 2
        square = image[top : top + short, left : left + short]
        if side == SMALL_SIDE:  # images of such data sets are as small as the views
            square = cv2.resize(square, (side, side), interpolation=cv2.INTER_AREA)
        squares.append(np.ascontiguousarray(square))
    return squares


def drawn(name: str) -> list[list[Pixels]]:
    """For each photograph, itself and its views, as a network is given them."""
    preprocessor = MultiViewPreprocessor(
        views=name, size=side_of(name), engine="host", color_space=SPACES.get(name, "rgb")
    )
    transform = preprocessor.host_transform()
    assert transform is not None
    rows = []
    for index, image in enumerate(photographs(side_of(name))):
        views = transform(image, index, EPOCH)
        made = [view[None].float() / 255 for view in views]
        inputs = [preprocessor.finish(number, one)[0].numpy() for number, one in enumerate(made)]
        channels = [view.channels for view in preprocessor.views]
        shown = [
            view.permute(1, 2, 0).numpy() if chosen is None else modality(given, name)
            for view, given, chosen in zip(views, inputs, channels, strict=True)
        ]
        rows.append([image, *shown])
    return rows


def modality(given: NDArray[np.float32], name: str) -> Pixels:
    """Normalised channels (c, s, s) as a picture: one in grey, two as colours of one lightness."""
    if len(given) == 1:
        gray = given[0] / 2 + 0.5 if name == "cmc" else given[0] * 0.25 + 0.5
        image = np.repeat(gray[..., None], 3, axis=2)
    elif name == "cmc":
        a, b = given * 110
        lab = np.stack([np.full_like(a, 65), a, b], axis=2).astype(np.float32)
        image = cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)
    else:
        across, down = given / 4 + 0.5
        image = np.stack([across, down, np.full_like(down, 0.5)], axis=2)
    return np.rint(image.clip(0, 1) * 255).astype(np.uint8)


def picture(rows: list[list[Pixels]], side: int) -> Image.Image:
    """All rows on light grey, each view at about its size relative to a global one."""

    def shown(image: Pixels, first: bool) -> Image.Image:
        part = 1.0 if first else image.shape[0] / side
        size = round(part * SHOWN) - (GAP // 2 if part < 1 else 0)  # two halves fill the height
        how = Image.Resampling.NEAREST if side == SMALL_SIDE else Image.Resampling.LANCZOS
        return Image.fromarray(image).resize((size, size), how)

    lines = [[shown(image, n == 0) for n, image in enumerate(row)] for row in rows]
    places = list(corners([one.width for one in lines[0]]))
    width = max(left + one.width for one, (left, _) in zip(lines[0], places, strict=True)) + MARGIN
    height = 2 * MARGIN + len(lines) * (SHOWN + GAP) - GAP
    sheet = Image.new("RGB", (width, height), PAPER)
    for number, line in enumerate(lines):
        for one, (left, top) in zip(line, places, strict=True):
            sheet.paste(one, (left, top + number * (SHOWN + GAP)))
    return sheet.quantize(COLORS, dither=Image.Dither.FLOYDSTEINBERG)


def corners(sides: list[int]) -> Iterator[tuple[int, int]]:
    """Left and top of each image of a row; small ones stand below each other where they fit."""
    left, top = MARGIN, MARGIN
    for number, (side, following) in enumerate(zip(sides, [*sides[1:], SHOWN], strict=True)):
        yield left, top
        top += side + GAP
        if top + following > MARGIN + SHOWN or following != side:
            left, top = left + side + (APART if number == 0 else GAP), MARGIN


def draw(name: str, folder: Path) -> Path:
    """Write the picture of one set; its path."""
    buffer = io.BytesIO()
    picture(drawn(name), side_of(name)).save(buffer, "PNG", optimize=True)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.png"
    path.write_bytes(buffer.getvalue())
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("docs/figures/views"))
    out = parser.parse_args().out
    for name in sets():
        path = draw(name, out)
        print(f"written {path}, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
