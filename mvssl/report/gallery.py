"""Images by what a backbone makes of them: nearest neighbours, and a map."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from sklearn.manifold import TSNE
from torch import Tensor

from mvssl.errors import UserError
from mvssl.evaluation.records import spread
from mvssl.models.clustering import KMeans
from mvssl.opencv import cv2
from mvssl.report.html import Html, join, picture, tag
from mvssl.words import count

__all__ = ["LAYOUTS", "Gallery", "check_layout", "image_map", "neighbours"]

LAYOUTS = ("pca", "tsne", "umap")
QUERIES, NEIGHBOURS = 8, 7
CLUSTERS = 8
THUMBNAIL, SMALL = 128, 64
MOST_GROUPS = 10
FEW = 15
WIDTH, HEIGHT, EDGE = 640, 460, 14
QUALITY = 82
OTHERS = "others"
"""What images are called that are of no class with a colour of its own."""


@dataclass(frozen=True)
class Gallery:
    """Images and their features.

    Attributes:
        x: features, (N, C), float32, finite.
        pixels: the images as squares, each (s, s, 3) of uint8.
        names: of the images.
        labels: class of each, (N,), or None.
        classes: names of the classes, or None.
        described: what they are of, in a few words.
    """

    x: Tensor
    pixels: Sequence[NDArray[np.uint8]]
    names: Sequence[str]
    labels: NDArray[np.int64] | None
    classes: Sequence[str] | None
    described: str

    @property
    def directions(self) -> Tensor:
        """Features of length 1, by whose cosine images are compared."""
        return F.normalize(self.x, dim=1)

    def class_of(self, number: int) -> str | None:
        """Name of an image's class, where there are classes."""
        if self.labels is None or self.classes is None or self.labels[number] < 0:
            return None
        return self.classes[int(self.labels[number])]


def neighbours(gallery: Gallery) -> Html:
    """Some images, each beside those whose features are nearest to its own.

    Args:
        gallery: of two images or more; with classes a frame says whether they agree.
    """
    directions = gallery.directions
    queries = spread(len(directions), QUERIES)
    similarity = directions[queries] @ directions.T
    similarity[torch.arange(len(queries)), queries] = -2.0  # an image is its own nearest
    found = similarity.topk(min(NEIGHBOURS, len(directions) - 1), dim=1)
    decimals = _decimals(1.0 - float(found.values.min()))
    rows = []
    for query, values, indices in zip(
        queries, found.values.tolist(), found.indices.tolist(), strict=True
    ):
        own = gallery.class_of(query)
        shown = [_thumbnail(gallery, query, own or "image", None)]
        for value, index in zip(values, indices, strict=True):
            other = gallery.class_of(index)
            agrees = None if own is None or other is None else own == other
            shown.append(_thumbnail(gallery, index, f"{value:.{decimals}f}", agrees))
        rows.append(tag("div", shown, class_="row", style=f"--columns: {len(shown)}"))
    about = f"Of {gallery.described}: each image beside its nearest, with the cosine of features."
    if gallery.classes is not None:
        about += " A solid frame: the same class; a dashed one: another."
    return join(tag("p", about, class_="soft small"), tag("div", rows, class_="card"))


def _decimals(extent: float) -> int:
    """So many that cosines differ from 1 where features nearly point in one direction."""
    return min(max(math.ceil(-math.log10(max(extent, 1e-6))) + 1, 3), 6)


def _thumbnail(gallery: Gallery, number: int, caption: str, agrees: bool | None) -> Html:
    title = " - ".join(filter(None, (gallery.names[number], gallery.class_of(number))))
    pixels = gallery.pixels[number]
    side = min(THUMBNAIL, max(len(pixels), SMALL))
    source = picture(_jpeg(_resized(pixels, side)), "jpeg")
    image = tag("img", src=source, alt=title, title=title, width="100%", class_="thumb")
    kind = {None: None, True: "same", False: "other"}[agrees]
    return tag("figure", tag("div", image), tag("figcaption", caption), class_=kind)


def _resized(pixels: NDArray[np.uint8], side: int) -> NDArray[Any]:
    # Enlarged pixels stay squares.
    how = cv2.INTER_AREA if len(pixels) >= side else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(pixels, (side, side), interpolation=how))


def _jpeg(pixels: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


def check_layout(layout: str) -> None:
    """Raises a UserError where a layout takes a package that is not installed."""
    if layout == "umap" and find_spec("umap") is None:
        raise UserError("--map umap takes the package umap-learn: pip install umap-learn.")


def image_map(gallery: Gallery, layout: str) -> Html:
    """Every image as a dot, near those whose features are like its own.

    Args:
        gallery: of three images or more. Colours are those of its classes, or of clusters found by
            k-means where it has none.
        layout: ``pca``, ``tsne`` or ``umap``.
    """
    places, how = _laid_out(gallery.directions, layout)
    groups, names, what = _groups(gallery)
    low, extent = places.min(axis=0), np.ptp(places, axis=0)
    scale = np.array([WIDTH, HEIGHT]) - 2 * EDGE
    x, y = (EDGE + scale * (places - low) / np.where(extent > 0, extent, 1.0)).T
    y = HEIGHT - y
    tones = ["grey" if name is None else f"t{n + 1}" for n, name in enumerate(names)]
    dots = [
        tag("circle", cx=f"{a:.1f}", cy=f"{b:.1f}", r=4.2, class_=tones[group])
        for a, b, group in zip(x, y, groups, strict=True)
    ]
    sizes = np.bincount(groups, minlength=len(names))
    legend = [
        tag(
            "li",
            tag("i", class_=f"dot {tone}"),
            tag("bdi", name or OTHERS),
            " ",
            tag("b", f"{size:,}"),
        )
        for tone, name, size in zip(tones, names, sizes, strict=True)
        if size
    ]
    columns = math.ceil(math.sqrt(len(dots)))
    own = [gallery.class_of(n) or names[groups[n]] or OTHERS for n in range(len(dots))]
    held = {
        "columns": columns,
        "x": [round(float(one), 1) for one in x],
        "y": [round(float(one), 1) for one in y],
        "names": list(gallery.names),
        "groups": own,
    }
    sheet = f"--sheet: url({picture(_jpeg(_sheet(gallery.pixels, columns)), 'jpeg')})"
    drawn = tag(
        "svg", dots, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label="map of images"
    )
    about = f"Of {gallery.described}. {how} Colours are {what}. Point at a dot to see its image."
    return join(
        tag("p", about, class_="soft small"),
        tag(
            "figure",
            tag("ul", legend, class_="legend"),
            drawn,
            class_="card map",
            data_map=held,
            style=sheet,
        ),
    )


def _laid_out(directions: Tensor, layout: str) -> tuple[NDArray[np.float64], str]:
    """Places (N, 2), and a sentence that says what they are."""
    x = directions.numpy().astype(np.float64)
    x -= x.mean(axis=0)
    left, sizes, _ = np.linalg.svd(x, full_matrices=False)
    if np.allclose(sizes, 0.0, atol=1e-6):
        return np.zeros((len(x), 2)), "All features are equal."
    if layout == "tsne":
        perplexity = min(30.0, (len(x) - 1) / 3)
        made = TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(x)
        return np.asarray(made, np.float64), f"t-SNE, perplexity {perplexity:.0f}."
    if layout == "umap":
        umap = import_module("umap")
        near = min(15, len(x) - 1)
        # With a seed it takes one thread, and warns where it is not told so.
        begin = "spectral" if len(x) > FEW else "random"  # of few it knows no spectrum
        how = umap.UMAP(near, metric="cosine", init=begin, random_state=0, n_jobs=1)
        made = how.fit_transform(x)
        return np.asarray(made, np.float64), f"UMAP, {near} neighbours."
    made = np.zeros((len(x), 2))
    number = min(2, len(sizes))
    made[:, :number] = left[:, :number] * sizes[:number]
    shares = " and ".join(f"{100 * one:.0f}%" for one in sizes[:2] ** 2 / (sizes**2).sum())
    return made, f"Principal components: {shares} of the variance."


def _groups(gallery: Gallery) -> tuple[NDArray[np.int64], list[str | None], str]:
    """Group of each image, names of the groups (None: of all the rest), and what they are."""
    if gallery.labels is None or gallery.classes is None:
        number = min(CLUSTERS, len(gallery.x))
        labels = KMeans(number, iterations=30).fit(gallery.x).labels.numpy()
        clusters: list[str | None] = [f"cluster {n + 1}" for n in range(number)]
        return labels, clusters, f"{count(number, 'cluster')} found by k-means"
    sizes = np.bincount(gallery.labels[gallery.labels >= 0], minlength=len(gallery.classes))
    largest = np.argsort(-sizes, kind="stable")
    unknown = bool((gallery.labels < 0).any())
    if len(largest) > MOST_GROUPS or unknown:
        largest = largest[: MOST_GROUPS - 1]
    largest = np.sort(largest)
    places = np.full(len(gallery.classes) + 1, len(largest))  # the last is that of -1
    places[largest] = np.arange(len(largest))
    names: list[str | None] = [gallery.classes[n] for n in largest]
    if len(largest) < len(gallery.classes) or unknown:
        names.append(None)
    return places[gallery.labels], names, "those of the classes"


def _sheet(pixels: Sequence[NDArray[np.uint8]], columns: int) -> NDArray[np.uint8]:
    """All images, small, row by row."""
    rows = math.ceil(len(pixels) / columns)
    sheet = np.full((rows * SMALL, columns * SMALL, 3), 127, np.uint8)
    for number, image in enumerate(pixels):
        top, left = SMALL * (number // columns), SMALL * (number % columns)
        sheet[top : top + SMALL, left : left + SMALL] = _resized(image, SMALL)
    return sheet
