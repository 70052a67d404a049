"""The page of a run that is there: what ``tools/report.py`` and notebooks call."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.utils.data import Subset

from mvssl.apis.given import open_images, open_network
from mvssl.arguments import check_choice, check_count
from mvssl.datasets import Digits, ImageFolder
from mvssl.datasets.base import ImageDataset
from mvssl.errors import UserError
from mvssl.evaluation.features import own_batches
from mvssl.evaluation.network import Network, evaluation_mode
from mvssl.evaluation.records import spread
from mvssl.files import make_folder
from mvssl.process.places import PAGES, given_path, new_file
from mvssl.report.gallery import LAYOUTS, Gallery, check_layout, image_map, neighbours
from mvssl.report.html import Html, tag
from mvssl.report.page import NEIGHBOURS, write_run_page
from mvssl.report.recorded import Recorded, read_run
from mvssl.run_files import PAGE
from mvssl.views.preprocessor import unit

__all__ = ["ReportOptions", "report_run"]

BATCH = 128
FEWEST = 3


@dataclass(frozen=True)
class ReportOptions:
    """What ``tools/report.py`` is given.

    Attributes:
        run: folder of a run, finished or not.
        out: the page; by default ``report.html`` in the folder of the run.
        data: a folder of images to show neighbours and a map of; by default those that the run was
            trained on, where they are still there.
        images: the most that are shown there, evenly spread; 0 leaves them out.
        map: how their features are laid out: ``pca``, ``tsne`` or ``umap``.
        num_workers: processes that read images.
        overwrite: whether ``out`` may be there.
    """

    run: str
    out: str | None = None
    data: str | None = None
    images: int = 1000
    map: str = "pca"
    num_workers: int = 0
    overwrite: bool = False


class Images(NamedTuple):
    """Some images of a data set.

    Attributes:
        dataset: of them and of others.
        numbers: of those that are meant.
        place: where they are from, in a few words.
    """

    dataset: ImageDataset
    numbers: Sequence[int]
    place: str


def report_run(options: ReportOptions) -> Path:
    """Write the page of a run; where it is.

    Raises:
        UserError: there is no run, or something that was given is wrong; nothing was written then.
    """
    check_choice("report", "map", options.map, LAYOUTS)
    check_layout(options.map)
    check_count("report", at_least=0, images=options.images, num_workers=options.num_workers)
    folder = given_path(options.run)
    out = folder / PAGE
    if options.out is not None:
        out = new_file(options.out, PAGES, options.overwrite)
    if options.data is not None and not given_path(options.data).is_dir():
        raise UserError(f"--data: there is no folder {options.data}.")
    run = read_run(folder)
    print(f"reading {folder}", flush=True)  # its images take their time
    make_folder(out.parent)
    write_run_page(out, run, _pictures(run, options))
    return out


def _pictures(run: Recorded, options: ReportOptions) -> list[tuple[str, Html]]:
    """Sections made of images, or one that says why there are none."""
    if options.images == 0:
        return []
    try:
        network = open_network(run.folder)
        gallery = _gallery(network, _images(run, network.backbone, options), options)
    except UserError as error:
        if options.data is not None:
            raise
        # What was trained on may have gone since, and the rest of the page is there.
        print(f"note: no images are shown: {error}")
        return [(NEIGHBOURS, tag("p", f"Not shown: {error}", class_="soft small"))]
    return [(NEIGHBOURS, neighbours(gallery)), ("Map", image_map(gallery, options.map))]


def _images(run: Recorded, backbone: nn.Module, options: ReportOptions) -> Images:
    """Those that are given, else those of the run, as far as a checkpoint may name them."""
    if options.data is not None:
        found = _folder(options.data, backbone)
        return Images(found, range(len(found)), options.data)
    loader: Any = (run.values or {}).get("train_dataloader")
    said: Any = loader.get("dataset") if isinstance(loader, Mapping) else None
    dataset: Mapping[str, Any] = said if isinstance(said, Mapping) else {}
    kind = dataset.get("type")
    if kind == "Digits":
        size = (getattr(backbone, "preprocessing", None) or {}).get("size", 32)
        digits = Digits(size=size, **_part(dataset, ("split", "test_fraction", "seed")))
        return Images(digits, range(len(digits)), "digits")
    if kind == "ImageFolder" and isinstance(dataset.get("root"), str):
        root = Path(str(run.options.get("folder", ".")), given_path(dataset["root"]))
        return _trained_on(os.path.normpath(root), backbone, dataset)
    raise UserError("the run does not say where its images are: give them by --data FOLDER.")


def _trained_on(root: str, backbone: nn.Module, dataset: Mapping[str, Any]) -> Images:
    """Those images of a folder that a run has learned from, without those that it holds out."""
    whole = _folder(root, backbone)
    part = _part(dataset, ("split", "labels", "test_fraction", "seed", "per_class"))
    trained = {*ImageFolder(root, channels=whole.channels, **part).names()}
    chosen = [number for number, name in enumerate(whole.names()) if name in trained]
    alone = ", those in folders of classes" if len(chosen) < len(trained) else ""
    return Images(whole, chosen, f"{root}{alone}")


def _part(dataset: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """What a config says of which images a data set is made."""
    return {name: dataset[name] for name in names if name in dataset}


def _folder(root: str, backbone: nn.Module) -> ImageDataset:
    """With classes, where its sub-folders can be such."""
    try:
        return open_images(root, backbone, labels=True)
    except UserError:
        return open_images(root, backbone)


def _gallery(network: Network, images: Images, options: ReportOptions) -> Gallery:
    """Features and pixels of some images, read once."""
    dataset = images.dataset
    chosen = [images.numbers[n] for n in spread(len(images.numbers), options.images)]
    features, pixels, kept = [], [], []
    shown = list(dataset.shown_channels)
    with evaluation_mode(network.whole), torch.inference_mode():
        for batch in own_batches(Subset(dataset, chosen), BATCH, options.num_workers):
            readable = batch["replaced"] < 0
            made = network.features(batch).float().cpu()
            seen = (255.0 * unit(batch["image"])[:, shown]).round().to(torch.uint8)
            features.append(made[readable])
            pixels += list(seen[readable].permute(0, 2, 3, 1).contiguous().numpy())
            kept += batch["index"][readable].tolist()
    x = torch.cat(features).clone() if features else torch.zeros(0, 1)
    if len(x) < FEWEST:
        raise UserError(f"{dataset.describe()}: fewer than {FEWEST} images can be read.")
    if not bool(x.isfinite().all()):
        raise UserError(f"The features of {dataset.describe()} hold NaN or infinite numbers.")
    names, labels = dataset.names(), dataset.labels
    return Gallery(
        x,
        pixels,
        [names[number] for number in kept],
        None if labels is None else np.asarray(labels)[kept],
        dataset.classes,
        f"{len(kept):,} of {len(images.numbers):,} images ({images.place})",
    )
