"""A backbone in the form of another library: what ``tools/export.py`` and notebooks call.

It is written into a folder of its own, opened there by the library that it is for, and compared
with the backbone on photographs. Only then the folder gets its name.
"""

from __future__ import annotations

import io
import logging
import math
import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_sample_images
from torch import Tensor
from torch.utils.data import default_collate

from mvssl.apis.formats import FORMS, Exportable, Features, architecture_of
from mvssl.apis.given import open_images
from mvssl.arguments import check_choice
from mvssl.errors import RunError, UserError
from mvssl.evaluation.network import Network, as_network
from mvssl.evaluation.records import spread
from mvssl.files import WriteError
from mvssl.models.backbones import Which, load_backbone
from mvssl.models.backbones.export import weights_digest
from mvssl.models.backbones.opening import TIMM
from mvssl.process.places import given_path
from mvssl.process.signals import current
from mvssl.report.model_card import Card, model_card, run_of
from mvssl.report.model_code import model_code
from mvssl.words import count, first_line, some

__all__ = ["LIMIT", "export"]

LIMIT: Final = 1e-4
"""The largest difference of a feature that rounding explains, as a part of the features' root mean
square."""
MOST_IMAGES: Final = 8
CARD: Final = "README.md"


def export(
    source: str | os.PathLike[str],
    format: str,
    out: str | os.PathLike[str],
    *,
    data: str | os.PathLike[str] | None = None,
    which: Which = "student",
    image_size: int | None = None,
) -> float:
    """Write a backbone for another library, with a model card, and compare it there.

    Args:
        source: what :func:`mvssl.load_backbone` takes: a run, a file, a checkpoint, ``timm:NAME``.
        format: ``timm``, ``torchvision``, ``onnx``, ``torch_export`` or ``huggingface``.
        out: a folder, which is new or empty.
        data: a folder of images to compare on; by default squares of scikit-learn's photographs.
        which: ``student`` or ``teacher``.
        image_size: side of the images, where it is not that of training.

    Returns:
        The largest difference of a feature, as a part of the features' root mean square.

    Raises:
        UserError: something that was given is missing or does not fit, a package is missing, the
            format cannot hold this network, or the other library computes something else
            (RunError). Nothing is left then.
    """
    check_choice("export", "format", format, FORMS)
    form = FORMS[format]
    missing = [name for name in form.packages if find_spec(name) is None]
    if missing:
        raise UserError(f"{format} takes {some(missing)}: pip install {' '.join(form.packages)}.")
    target = _target(out)
    network = as_network(load_backbone(source, image_size, which))
    given = Exportable(network.backbone, _expected(network), _images(network, data))
    with _staged(target) as folder:
        found = _written(format, given, folder)
        worst = _compared(format, given, found)
        text = model_card(_card(source, which, format, given, worst))
        (folder / CARD).write_text(text, encoding="utf-8")
        names = sorted(file.name for file in folder.iterdir())
    images = count(len(given.images) // 2, "image")
    print(
        f"compared on {images}: largest difference {worst:.2g} of the features' root mean square "
        f"(at most {LIMIT:g})"
        if worst
        else f"compared on {images}: the same features"
    )
    print(f"written {os.fspath(out)}: {', '.join(names)}")
    return worst


def _target(out: str | os.PathLike[str]) -> Path:
    target = given_path(out).absolute()
    if target.exists() and not target.is_dir():
        raise UserError(f"--out {out} is a file: give a folder, which may be new.")
    if target.is_dir() and any(target.iterdir()):
        held = some(sorted(file.name for file in target.iterdir()))
        raise UserError(f"--out {out} is not empty ({held}): give a new folder.")
    return target


def _expected(network: Network) -> dict[str, Any]:
    """What the file says of images, with the defaults of what it does not say."""
    preprocessor: Any = network.preprocessor
    said: Any = network.backbone.preprocessing
    defaults: dict[str, Any] = preprocessor.describe_inputs()
    return defaults | {key: value for key, value in said.items() if value is not None}


def _images(network: Network, data: str | os.PathLike[str] | None) -> Tensor:
    """Some images, normalised, (N, c, s, s), with their mirror images, so that there are two."""
    dataset = open_images(_photographs(network) if data is None else data, network.backbone)
    batch = default_collate([dataset[number] for number in spread(len(dataset), MOST_IMAGES)])
    read = batch["replaced"] < 0
    if not read.any():
        raise UserError(f"{dataset.describe()}: none of the images can be read.")
    images: Tensor = network.preprocessor(batch)["inputs"][read]
    return torch.cat([images, images.flip(3)])


def _photographs(network: Network) -> NDArray[Any]:
    """Squares of scikit-learn's two, in the channels and the values of the images of training."""
    squares = [part for image in load_sample_images().images for part in _ends(image)]
    channels = getattr(network.backbone, "in_channels", 3)
    images: NDArray[Any] = np.stack(squares)[..., np.arange(channels) % 3]
    black, white = _expected(network).get("value_range") or (0, 255)
    if (black, white) == (0, 255):
        return images
    return (black + images / np.float32(255) * (white - black)).astype(np.float32)


def _ends(image: NDArray[Any]) -> list[NDArray[Any]]:
    side = min(image.shape[:2])
    return [image[:side, :side], image[-side:, -side:]]


@contextmanager
def _staged(target: Path) -> Iterator[Path]:
    """A folder that takes the name ``target`` where all goes well, and is gone where it does not.

    Files move into an empty folder that is there, which may be where the user stands.
    """
    stage = (target if target.is_dir() else target.parent) / f".{target.name}.{os.getpid()}.tmp"
    made = [stage, *(folder for folder in stage.parents if not folder.exists())]

    def clear() -> None:
        shutil.rmtree(stage, ignore_errors=True)
        for folder in made[1:]:
            with suppress(OSError):  # it holds what was written
                folder.rmdir()

    watch = current()
    if watch is not None:
        watch.cleanups.append(clear)
    try:
        stage.mkdir(parents=True)
        yield stage
        if target.is_dir():
            for file in stage.iterdir():
                file.replace(target / file.name)
        else:
            stage.replace(target)
    except OSError as error:
        raise WriteError(
            f"Cannot write {target}: {error.strerror or error}. Make room, or give another --out."
        ) from error
    finally:
        clear()
        if watch is not None:
            watch.cleanups.remove(clear)


def _written(format: str, given: Exportable, folder: Path) -> Features:
    """Write, and open again; what comes out of another library's depths becomes a sentence."""
    try:
        with _quiet():
            return FORMS[format].write(given, folder)
    except (UserError, OSError):
        raise
    except Exception as error:
        name = architecture_of(given.backbone)
        raise UserError(
            f"{format} cannot hold this {name} ({_cause(error)}): choose another --format."
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Libraries warn, log and print here for those who write networks."""
    said, before = io.StringIO(), logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(said), redirect_stderr(said):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _cause(error: BaseException) -> str:
    """The first line of what began it."""
    while error.__cause__ is not None:
        error = error.__cause__
    return first_line(error)


@torch.no_grad()
def _compared(format: str, given: Exportable, found: Features) -> float:
    """The largest difference, over one image and over all together.

    Raises:
        UserError: it is more than rounding; or there is nothing to compare.
    """
    worst = 0.0
    for images in (given.images[:1], given.images):
        expected = given.backbone(images)
        scale = expected.square().mean().sqrt()
        if not (torch.isfinite(scale) and scale > 0):
            raise UserError(
                f"The features of the backbone are {'0' if scale == 0 else 'not finite'}, so that "
                f"nothing can be compared: export an earlier checkpoint."
            )
        other = _run(format, found, images)
        if other.shape != expected.shape:
            raise RunError(
                f"{format} gives features {tuple(other.shape)}, and the backbone "
                f"{tuple(expected.shape)}: choose another --format."
            )
        worst = max(worst, float(((other - expected).abs().max() / scale).nan_to_num(math.inf)))
    if worst > LIMIT:
        raise RunError(
            f"{format} computes other features than the backbone: they differ by {worst:.2g} of "
            f"the features' root mean square, and rounding by {LIMIT:g} at most; choose another "
            f"--format."
        )
    return worst


def _run(format: str, found: Features, images: Tensor) -> Tensor:
    try:
        return found(images)
    except Exception as error:
        raise RunError(
            f"What {format} opens again takes no batch of {len(images)} ({_cause(error)}): choose "
            f"another --format."
        ) from error


def _card(
    source: str | os.PathLike[str], which: Which, format: str, given: Exportable, worst: float
) -> Card:
    backbone = given.backbone
    own = getattr(getattr(backbone, "model", None), "pretrained_cfg", None) or {}
    published = str(source).startswith(TIMM)
    name, shape = architecture_of(backbone), tuple(given.images.shape[1:])
    return Card(
        name=name,
        format=format,
        library=FORMS[format].library,
        code=model_code(format, name, shape, given.expected),
        licence=str(own.get("license")) if published and own.get("license") else "",
        source=str(source) if published else "",
        parameters=sum(x.numel() for x in backbone.parameters()),
        width=given.backbone(given.images[:1]).shape[1],
        shape=shape,
        expected=dict(given.expected),
        difference=worst,
        run=None if published else run_of(source, which, weights_digest(backbone)),
    )
