"""A classifier from a pretrained backbone: what ``tools/finetune.py`` and notebooks call."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import nn

from mvssl.apis.given import open_network, open_parts
from mvssl.arguments import check_positive
from mvssl.checkpoint import write_safetensors
from mvssl.datasets.base import ImageDataset
from mvssl.distributed import on_all_ranks, on_first_rank, rank
from mvssl.distributed.launch import processes
from mvssl.engine.environment import versions
from mvssl.engine.finetune import Classifier, Finetuned, Recipe, train_classifier
from mvssl.engine.generators import seed_everything
from mvssl.errors import UserError
from mvssl.evaluation import Shown
from mvssl.evaluation.classes import check_classes, draw_of_each_class, known_labels
from mvssl.evaluation.network import Network, evaluation_mode
from mvssl.files import make_folder
from mvssl.models.backbones import TimmBackbone, Which, describe_backbone
from mvssl.models.backbones.export import exported
from mvssl.process.places import new_folder
from mvssl.report.tables import write_summary

__all__ = ["FinetuneOptions", "Finetuned", "finetune"]

SUMMARY: Final = "finetune.json"
WEIGHTS: Final = "classifier.safetensors"
TOP1: Final = Shown("top-1")


@dataclass(frozen=True)
class FinetuneOptions(Recipe):
    """What ``tools/finetune.py`` is given: the recipe, and

    Attributes:
        source: what :func:`mvssl.load_backbone` takes.
        data: a folder of images, whose sub-folders are classes.
        out: folder of the outputs, new or empty.
        test: a folder whose images are held out, by default a part of ``data``.
        which, image_size: as of :func:`mvssl.extract`.
        label_fraction: part of the training images of each class that is used.
        baseline: whether the same network is trained from random weights beside.
        launcher: ``none``, ``pytorch`` (torchrun) or ``slurm`` (srun).
    """

    source: str
    data: str
    out: str
    test: str | None = None
    which: Which = "student"
    image_size: int | None = None
    label_fraction: float = 1.0
    baseline: bool = False
    launcher: str = "none"

    def check(self) -> None:
        super().check()
        check_positive("finetune", at_most=1.0, label_fraction=self.label_fraction)


def finetune(options: FinetuneOptions) -> dict[str, Finetuned]:
    """Train, test and write ``finetune.json`` and ``classifier.safetensors``.

    Every process of a launcher calls this; the first one prints and writes.

    Returns:
        ``pretrained`` and, where it was asked for, ``random``.

    Raises:
        UserError: something that was given is missing or does not fit; nothing was written then.
    """
    options.check()
    with processes(options.launcher):
        return _finetune(options)


def _finetune(options: FinetuneOptions) -> dict[str, Finetuned]:
    out = on_first_rank(lambda: _free(options.out))
    network, train, test = on_all_ranks(lambda: _opened(options))
    on_first_rank(lambda: _check_space(out, network.backbone))
    kept = _kept(train, options)
    random = _drawn_anew(network.backbone, options) if options.baseline else None
    if rank() == 0:
        print(
            f"{options.source}: {len(kept):,} images of {len(train.classes or [])} classes to "
            f"train on, {len(test):,} to test",
            flush=True,
        )
    found: dict[str, Finetuned] = {}
    trained: Classifier | None = None
    for name, backbone in (("pretrained", network.backbone), ("random", random)):
        if backbone is None:
            continue
        seed_everything(options.seed)
        model = Classifier(backbone, _width(backbone, network, train), len(train.classes or []))
        model.to(next(backbone.parameters()).device)
        recipe = options if name == "pretrained" else replace(options, layer_decay=1.0)
        found[name] = train_classifier(name, model, network, train, test, kept, recipe)
        trained = trained or model
    assert trained is not None
    images = {"train": len(kept), "test": len(test)}
    on_first_rank(lambda: _write(out, trained, network, train, found, images, options))
    return found


def _free(place: str) -> Path:
    out = new_folder(place)
    if out.is_dir() and any(out.iterdir()):
        raise UserError(f"--out {place} is there already: give a folder that is new or empty.")
    return out


def _check_space(out: Path, backbone: nn.Module) -> None:
    """Raises a UserError where the weights will not find room, for which all was trained."""
    size = sum(one.nbytes for one in backbone.state_dict().values())
    folder = next(one for one in (out, *out.absolute().parents) if one.exists())
    free = shutil.disk_usage(folder).free
    if free < size:
        raise UserError(
            f"--out {out}: {free / 2**20:.1f} MiB are free there, and the weights take "
            f"{size / 2**20:.1f}: make room, or give another place."
        )


def _opened(options: FinetuneOptions) -> tuple[Network, ImageDataset, ImageDataset]:
    network = open_network(options.source, options.image_size, options.which)
    train, test = open_parts(options.data, options.test, network.backbone, labels=True)
    check_classes("finetune", train, test)
    return network, train, test


def _kept(train: ImageDataset, options: FinetuneOptions) -> np.ndarray[Any, Any]:
    """Numbers of the training images that are used: at least one of each class."""
    labels = known_labels(train)
    if options.label_fraction == 1.0:
        return np.arange(len(labels))
    generator = np.random.default_rng(options.seed)
    return draw_of_each_class(
        labels, lambda n: max(round(options.label_fraction * n), 1), generator
    )


def _drawn_anew(backbone: nn.Module, options: FinetuneOptions) -> nn.Module:
    """The same network with random weights."""
    if not isinstance(backbone, TimmBackbone):
        raise UserError(
            f"--baseline: weights of {type(backbone).__name__} cannot be drawn anew, which is "
            f"known of timm's models alone: leave it out."
        )
    seed_everything(options.seed)
    made = TimmBackbone(backbone.name, backbone.model_args, stem=backbone.stem)
    return made.to(next(backbone.parameters()).device)


def _width(backbone: nn.Module, network: Network, train: ImageDataset) -> int:
    with evaluation_mode(backbone), torch.no_grad():
        batch = {"image": train[0]["image"][None]}
        return int(backbone(network.preprocessor(batch)["inputs"]).shape[1])


def _write(
    out: Path,
    model: Classifier,
    network: Network,
    train: ImageDataset,
    found: Mapping[str, Finetuned],
    images: Mapping[str, int],
    options: FinetuneOptions,
) -> None:
    make_folder(out)
    weights = {
        **{f"backbone.{name}": one for name, one in exported(model.backbone).state_dict().items()},
        **{f"head.{name}": one for name, one in model.head.state_dict().items()},
    }
    tensors = {name: one.detach().cpu().clone().contiguous() for name, one in weights.items()}
    expected = getattr(network.backbone, "preprocessing", None)
    metadata = {"classes": json.dumps(train.classes or []), "preprocessing": json.dumps(expected)}
    if isinstance(model.backbone, TimmBackbone):
        built = {
            "type": "TimmBackbone",
            "name": model.backbone.name,
            "model_args": model.backbone.model_args,
            "stem": model.backbone.stem,
        }
        metadata = describe_backbone(model.backbone, built, expected)[1] | metadata
    write_summary(
        out / SUMMARY,
        {
            "results": {name: asdict(one) for name, one in found.items()},
            "images": images,
            "image_size": train.size,
            "classes": train.classes or [],
            "options": {**asdict(options), "source": os.fspath(options.source)},
            "versions": versions(),
        },
    )
    write_safetensors(out / WEIGHTS, tensors, metadata)
    print(f"written {out / SUMMARY} and {out / WEIGHTS}")
    if len(found) > 1:
        before, after = found["random"].top1, found["pretrained"].top1
        gain = TOP1.gain(before, after)
        print(f"pretrained {TOP1.text(after)}, random {TOP1.text(before)} ({gain})")
