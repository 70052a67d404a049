"""The picture of docs/config.md: what every view set makes of a photograph, and of a digit.

python tools/figures/views.py
"""

from __future__ import annotations

import io
from collections import defaultdict
from pathlib import Path

import numpy as np
import PIL.Image
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.datasets import load_sample_image

from mvssl.datasets import Digits
from mvssl.registry import VIEW_SETS
from mvssl.views import HostViews, View, build_views

FOLDER = Path(__file__).parents[2] / "docs" / "figures"
SIZE = 72  # of a global view, in pixels
GAP, LABEL, HEAD = 6, 130, 24  # of the picture, in pixels
DPI = 100
SEED = 4

Image = NDArray[np.uint8]


def sets() -> dict[str, list[View]]:
    """View sets by their names, those that are alike in one row."""
    names: defaultdict[tuple[View, ...], list[str]] = defaultdict(list)
    for name in VIEW_SETS.module_dict:
        names[tuple(build_views(name, SIZE))].append(name)
    return {",\n".join(sorted(like)): list(views) for views, like in names.items()}


def row(name: str, views: list[View]) -> list[Image]:
    """The image and its views, (H, W, 3)."""
    image = load_sample_image("flower.jpg")[20:420, 120:520]
    if name.startswith("gentle"):
        image = Digits("train", SIZE).read(4)
    made = HostViews(views, SEED)(image, 0, 0)
    pixels = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float()
    whole = torch.nn.functional.interpolate(pixels, SIZE, mode="bilinear", antialias=True)[0]
    return [x.permute(1, 2, 0).round().byte().numpy() for x in (whole, *made)]


def draw(rows: dict[str, list[Image]], path: Path) -> None:
    width = LABEL + max(sum(image.shape[0] + GAP for image in images) for images in rows.values())
    width += 2 * GAP
    height = HEAD + len(rows) * (SIZE + GAP)
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")
    for x, text in ((LABEL, "image"), (LABEL + SIZE + 3 * GAP, "views")):
        figure.text(x / width, 1 - (HEAD - 8) / height, text, fontsize=8, color="#333333")
    for number, (name, images) in enumerate(rows.items()):
        top, left = HEAD + number * (SIZE + GAP), LABEL
        middle = 1 - (top + SIZE / 2) / height
        figure.text((LABEL - 12) / width, middle, name, ha="right", va="center", fontsize=8)
        for column, image in enumerate(images):
            side = image.shape[0]  # local crops are drawn as small as they are
            bottom = height - top - (SIZE + side) / 2
            axes = figure.add_axes((left / width, bottom / height, side / width, side / height))
            axes.imshow(image, interpolation="nearest")
            axes.set_axis_off()
            left += side + (GAP if column else 3 * GAP)
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    # A palette makes a third of the file, and the eye sees no difference.
    PIL.Image.open(buffer).convert("RGB").quantize(256).save(path, optimize=True)


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    draw({name: row(name, views) for name, views in sets().items()}, FOLDER / "view_sets.png")


if __name__ == "__main__":
    main()
