"""What is given after training: backbones by their sources, and images for them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from mmengine.device import get_device
from numpy.typing import NDArray
from torch import nn

from mvssl.datasets import ArrayImages, ImageFolder
from mvssl.datasets.base import ImageDataset
from mvssl.errors import UserError
from mvssl.evaluation.features import PIXEL_SIDE
from mvssl.evaluation.network import Network, as_network
from mvssl.models.backbones import Which, load_backbone
from mvssl.words import count, some

__all__ = ["Images", "open_images", "open_network", "open_parts"]

Images = str | os.PathLike[str] | ImageDataset | NDArray[Any]
"""A folder, a data set, or an array (N, H, W, C)."""


def open_network(
    source: nn.Module | str | os.PathLike[str],
    image_size: int | None = None,
    which: Which = "student",
    amp: bool = False,
) -> Network:
    """A backbone and what prepares its images, on the device that computes.

    Args:
        source: what :func:`mvssl.load_backbone` takes, or what it has returned.
        image_size: side of the images, where it is not that of training.
        which: ``student`` or ``teacher``.
        amp: whether features are computed in bfloat16.

    Raises:
        UserError: as :func:`mvssl.load_backbone`; or it is not known what the backbone expects.
    """
    loaded = source if isinstance(source, nn.Module) else load_backbone(source, image_size, which)
    if torch.cuda.is_available():
        loaded = loaded.to(get_device())
    return replace(as_network(loaded), amp=amp)


def open_images(
    images: Images,
    backbone: nn.Module | None,
    *,
    labels: bool = False,
    split: str = "all",
) -> ImageDataset:
    """Whole images as the backbone expects them: their largest squares, or the inner part of these
    that its file names (``crop_pct``), at its size.

    Args:
        images: a folder; a data set, which is taken as it is; or an array (N, H, W, C).
        backbone: for which they are; None: they are squares of 32 pixels.
        labels: whether sub-folders are classes.
        split: of a folder.

    Raises:
        UserError: there are none, or they have other channels than those of training.
    """
    if isinstance(images, ImageDataset):
        return images
    expected: dict[str, Any] = getattr(backbone, "preprocessing", None) or {}
    size: int = expected.get("size") or (PIXEL_SIDE if backbone is None else 224)
    limits: Sequence[float] | None = expected.get("value_range")
    channels: int | None = getattr(backbone, "in_channels", None)
    if isinstance(images, np.ndarray):
        if limits is None and backbone is not None:
            limits = _limits_of(images)
        found: ImageDataset = ArrayImages(images, size=size, value_range=limits)
    else:
        found = ImageFolder(
            os.fspath(images),
            split=split,
            labels=labels,
            size=size,
            crop_pct=expected.get("crop_pct") or 1.0,
            channels=channels,
            value_range=limits,
        )
    if channels not in (None, found.channels):
        raise UserError(
            f"{found.describe()} has images of {found.channels} channels, and the backbone was "
            f"trained on images of {channels}: give images of the same kind."
        )
    return found


def _limits_of(images: NDArray[Any]) -> tuple[float, float] | None:
    """Black and white of an array for a backbone that knows 8 bits: of no sample of it, or an image
    would have other features beside other images.
    """
    if images.dtype == np.uint8:
        return None
    fractions = images.dtype.kind == "f" and images.size
    if fractions and np.nanmin(images) >= 0 and np.nanmax(images) <= 1:
        return 0.0, 1.0
    raise UserError(
        f"The images are {images.dtype}, and the backbone was trained on 8 bits: give uint8, or "
        f"fractions from 0 to 1, or say what is black and white by "
        f"mvssl.datasets.ArrayImages(images, size=..., value_range=(black, white))."
    )


def open_parts(
    data: str, test: str | None, backbone: nn.Module | None, labels: bool
) -> tuple[ImageDataset, ImageDataset]:
    """Images to learn from or look up, and held-out ones: parts of one folder, or two folders.

    Args:
        data: a folder.
        test: the folder of the held-out images; None: they are a part of ``data``. Without labels
            both are all of it then.
        backbone, labels: as of :func:`open_images`.

    Raises:
        UserError: as of :func:`open_images`; or the folders have different classes, or images in
            common, which would be held out from themselves.
    """
    splits = ("train", "test") if labels and test is None else ("all", "all")
    first, second = (
        open_images(place, backbone, labels=labels, split=split)
        for place, split in zip((data, test or data), splits, strict=True)
    )
    if first.classes != second.classes:
        alone = sorted({*(first.classes or ())} ^ {*(second.classes or ())})
        raise UserError(
            f"{data} and {test} have different classes ({some(alone)} "
            f"{'is' if len(alone) == 1 else 'are'} in one alone): give folders with the same ones."
        )
    if test is not None and labels:
        _check_apart(data, test, first, second)
    return first, second


def _check_apart(data: str, test: str, first: ImageDataset, second: ImageDataset) -> None:
    """Raises a UserError where files are in both, by whatever path or link."""
    known = {_file(first.path(index)) for index in range(len(first))}
    both = [index for index in range(len(second)) if _file(second.path(index)) in known]
    if both:
        raise UserError(
            f"{count(len(both), 'image')} of --test {test} {'is' if len(both) == 1 else 'are'} in "
            f"--data {data} too (such as {second.path(both[0])}), and would be held out from "
            f"themselves: give folders apart, or {data} alone, of which a test folder or a part of "
            f"every class is held out."
        )


def _file(path: str) -> object:
    try:
        found = os.stat(path)
    except OSError:  # it tells when it is read
        return path
    return found.st_dev, found.st_ino
