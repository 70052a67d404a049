"""Training a classifier from a pretrained backbone: ``tools/finetune.py`` and notebooks call it."""

from __future__ import annotations

import copy
import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from timm.data import Mixup
from timm.loss import SoftTargetCrossEntropy
from timm.optim import param_groups_layer_decay, param_groups_weight_decay
from torch import Tensor, nn

from mvssl.apis.given import open_network, open_parts
from mvssl.arguments import check_count, check_fraction, check_not_negative, check_positive
from mvssl.checkpoint import write_safetensors
from mvssl.datasets.base import ImageDataset
from mvssl.datasets.loading import TIMEOUT, WatchedLoader
from mvssl.engine.environment import versions
from mvssl.engine.generators import seed_everything
from mvssl.errors import UserError
from mvssl.evaluation.classes import (
    accuracy,
    balanced_accuracy,
    check_classes,
    draw_of_each_class,
    known_labels,
)
from mvssl.evaluation.network import Network, evaluation_mode
from mvssl.files import WriteError
from mvssl.models.backbones import TimmBackbone, Which, describe_backbone
from mvssl.models.backbones.export import exported
from mvssl.report.tables import write_summary
from mvssl.schedules import warmup_cosine
from mvssl.views import HostViews
from mvssl.views.view import View

__all__ = ["FinetuneOptions", "Finetuned", "finetune"]

SUMMARY: Final = "finetune.json"
WEIGHTS: Final = "classifier.safetensors"
BATCH_OF_LR: Final = 256


@dataclass(frozen=True)
class FinetuneOptions:
    """What ``tools/finetune.py`` is given; the defaults follow Touvron et al. 2021 (DeiT) and He et
    al. 2022 (MAE), without mixing.

    Attributes:
        source: what :func:`mvssl.load_backbone` takes.
        data: a folder of images, whose sub-folders are classes.
        out: folder of the outputs, new or empty.
        test: a folder whose images are held out, by default a part of ``data``.
        which, image_size, num_workers: as of :func:`mvssl.extract`.
        amp: whether the network computes in bfloat16.
        epochs: over the training images.
        batch_size: images of a step.
        lr: of a batch of 256, at the end of the warm-up; it grows with the batch.
        weight_decay: of AdamW, for matrices alone.
        layer_decay: each layer learns at so many times the rate of the one above it; 1 for all
            alike. From random weights it is always 1.
        warmup_epochs: of the rate; a cosine to 0 follows.
        crop_scale: least part of the image's area that a crop holds.
        mixup, cutmix: alpha of the mixing of images; 0: none.
        smoothing: of the labels.
        label_fraction: part of the training images of each class that is used.
        baseline: whether the same network is trained from random weights beside.
        seed: of what is drawn.
    """

    source: str
    data: str
    out: str
    test: str | None = None
    which: Which = "student"
    image_size: int | None = None
    num_workers: int = 0
    amp: bool = False
    epochs: int = 50
    batch_size: int = 64
    lr: float = 1e-3
    weight_decay: float = 0.05
    layer_decay: float = 0.75
    warmup_epochs: float = 5.0
    crop_scale: float = 0.3
    mixup: float = 0.0
    cutmix: float = 0.0
    smoothing: float = 0.1
    label_fraction: float = 1.0
    baseline: bool = False
    seed: int = 0

    def check(self) -> None:
        """Raises a UserError where a number is out of its range."""
        owner = "finetune"
        check_count(owner, epochs=self.epochs)
        check_count(owner, at_least=2, batch_size=self.batch_size)
        check_count(owner, at_least=0, num_workers=self.num_workers, seed=self.seed)
        check_positive(owner, at_most=1e3, lr=self.lr)
        check_positive(owner, at_least=1e-3, at_most=1.0, layer_decay=self.layer_decay)
        check_positive(owner, at_most=1.0, crop_scale=self.crop_scale)
        check_positive(owner, at_most=1.0, label_fraction=self.label_fraction)
        for name in ("weight_decay", "warmup_epochs", "mixup", "cutmix"):
            check_not_negative(owner, **{name: getattr(self, name)})
        check_fraction(owner, smoothing=self.smoothing)
        if self.batch_size % 2 and (self.mixup or self.cutmix):
            raise UserError(
                f"finetune: batch_size is {self.batch_size}, and images are mixed in pairs: give "
                f"an even one."
            )


@dataclass(frozen=True)
class Finetuned:
    """What a classifier reaches on the held-out images, after every epoch and at the end."""

    top1: float
    balanced: float
    curve: list[float]


class Classifier(nn.Module):
    """A backbone and a linear layer: normalised images (N, c, s, s) to logits (N, K)."""

    def __init__(self, backbone: nn.Module, width: int, classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(width, classes)
        # All classes alike at the start, however far features reach.
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.backbone(images))


def finetune(options: FinetuneOptions) -> dict[str, Finetuned]:
    """Train, test and write ``finetune.json`` and ``classifier.safetensors``.

    Returns:
        ``pretrained`` and, where it was asked for, ``random``.

    Raises:
        UserError: something that was given is missing or does not fit; nothing was written then.
    """
    options.check()
    out = Path(options.out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"--out {out} is there already: give a folder that is new or empty.")
    network = open_network(options.source, options.image_size, options.which)
    train, test = open_parts(options.data, options.test, network.backbone, labels=True)
    check_classes("finetune", train, test)
    classes = train.classes or []
    kept = _kept(train, options)
    random = _drawn_anew(network.backbone, options) if options.baseline else None
    print(
        f"{options.source}: {len(kept):,} images of {len(classes)} classes to train on, "
        f"{len(test):,} to test",
        flush=True,
    )
    found: dict[str, Finetuned] = {}
    trained: Classifier | None = None
    for name, backbone in (("pretrained", network.backbone), ("random", random)):
        if backbone is None:
            continue
        seed_everything(options.seed)
        model = Classifier(backbone, _width(backbone, network, train), len(classes))
        model.to(next(backbone.parameters()).device)
        decay = options.layer_decay if name == "pretrained" else 1.0
        found[name] = _trained(name, model, network, train, test, kept, decay, options)
        trained = trained or model
    assert trained is not None
    _write(out, trained, network, classes, found, len(kept), len(test), options)
    return found


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


def _trained(
    name: str,
    model: Classifier,
    network: Network,
    train: ImageDataset,
    test: ImageDataset,
    kept: np.ndarray[Any, Any],
    layer_decay: float,
    options: FinetuneOptions,
) -> Finetuned:
    optimizer = _optimizer(model, layer_decay, options)
    size = min(options.batch_size, len(kept))
    steps = options.epochs * math.ceil(len(kept) / size)
    warmup = min(round(options.warmup_epochs * steps / options.epochs), steps // 2)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: warmup_cosine(min(step, steps - 1), steps, warmup)
    )
    mix, loss_of = _objective(model.head.out_features, options)
    shown = _with_crops(train, options)
    curve: list[float] = []
    told = max(options.epochs // 10, 1)
    for epoch in range(options.epochs):
        model.train()
        for images, labels in _batches(shown, kept, epoch, size, options):
            x = network.preprocessor({"image": images})["inputs"]
            y: Tensor = labels.to(x.device)
            if mix is not None and len(x) % 2 == 0:
                x, y = mix(x, y)
            elif mix is not None:  # the last batch may be odd
                y = F.one_hot(y, model.head.out_features).float()
            with torch.autocast(x.device.type, torch.bfloat16, enabled=options.amp):
                logits = model(x)
            loss = loss_of(logits.float(), y)
            if not torch.isfinite(loss):
                raise UserError(
                    f"finetune: the loss is {loss.item()} in epoch {epoch + 1}: lower lr "
                    f"({options.lr:g})."
                )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        predicted, labels = _predicted(model, network, test, options)
        curve.append(accuracy(predicted, labels))
        if (epoch + 1) % told == 0 or epoch + 1 == options.epochs:
            print(f"{name:<10}  epoch {epoch + 1:>3}  top-1 {curve[-1]:.3f}", flush=True)
    return Finetuned(curve[-1], balanced_accuracy(predicted, labels), curve)


def _optimizer(
    model: Classifier, layer_decay: float, options: FinetuneOptions
) -> torch.optim.Optimizer:
    rate = options.lr * options.batch_size / BATCH_OF_LR
    inner = exported(model.backbone)
    if layer_decay < 1.0 and isinstance(model.backbone, TimmBackbone):
        groups = param_groups_layer_decay(inner, options.weight_decay, layer_decay=layer_decay)
    else:
        groups = param_groups_weight_decay(inner, options.weight_decay)
    groups += param_groups_weight_decay(model.head, options.weight_decay)
    for group in groups:
        group["lr"] = rate * group.pop("lr_scale", 1.0)
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=rate)


def _objective(classes: int, options: FinetuneOptions) -> tuple[Mixup | None, nn.Module]:
    if not (options.mixup or options.cutmix):
        return None, nn.CrossEntropyLoss(label_smoothing=options.smoothing)
    mix = Mixup(
        mixup_alpha=options.mixup,
        cutmix_alpha=options.cutmix,
        label_smoothing=options.smoothing,
        num_classes=classes,
    )
    return mix, SoftTargetCrossEntropy()


def _with_crops(train: ImageDataset, options: FinetuneOptions) -> ImageDataset:
    shown = copy.copy(train)
    view = View.flat(train.size or 224, crop_scale=(options.crop_scale, 1.0), flip=0.5)
    shown.view_transform = HostViews([view], options.seed)
    shown.size = None  # crops are cut from whole images
    return shown


def _batches(
    shown: ImageDataset,
    kept: np.ndarray[Any, Any],
    epoch: int,
    size: int,
    options: FinetuneOptions,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Crops (B, C, s, s) and labels (B,) of an epoch, in an order of its own."""
    order = np.random.default_rng([options.seed, epoch]).permutation(kept)
    keys: Any = [(int(index), epoch) for index in order]
    loader = WatchedLoader(
        shown,
        sampler=keys,
        batch_size=size,
        num_workers=options.num_workers,
        timeout=TIMEOUT if options.num_workers else 0,
        # BatchNorm takes no batch of one.
        drop_last=len(keys) % size == 1,
    )
    for batch in loader:
        yield batch["views"][0], batch["label"]


@torch.inference_mode()
def _predicted(
    model: Classifier, network: Network, test: ImageDataset, options: FinetuneOptions
) -> tuple[Tensor, Tensor]:
    """Classes of the held-out images, whole, and those that are right."""
    model.eval()
    predicted, labels = [], []
    for batch in WatchedLoader(test, batch_size=256, num_workers=0):
        x = network.preprocessor(batch)["inputs"]
        with torch.autocast(x.device.type, torch.bfloat16, enabled=options.amp):
            predicted.append(model(x).argmax(dim=1).cpu())
        labels.append(batch["label"])
    return torch.cat(predicted), torch.cat(labels)


def _write(
    out: Path,
    model: Classifier,
    network: Network,
    classes: list[str],
    found: Mapping[str, Finetuned],
    trained_on: int,
    tested_on: int,
    options: FinetuneOptions,
) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(f"{out} cannot be made: {error.strerror}. Give another --out.") from error
    weights = {
        **{f"backbone.{name}": one for name, one in exported(model.backbone).state_dict().items()},
        **{f"head.{name}": one for name, one in model.head.state_dict().items()},
    }
    tensors = {name: one.detach().cpu().clone().contiguous() for name, one in weights.items()}
    expected = getattr(network.backbone, "preprocessing", None)
    metadata = {"classes": json.dumps(classes), "preprocessing": json.dumps(expected)}
    if isinstance(model.backbone, TimmBackbone):
        built = {
            "type": "TimmBackbone",
            "name": model.backbone.name,
            "model_args": model.backbone.model_args,
            "stem": model.backbone.stem,
        }
        metadata = describe_backbone(model.backbone, built, expected)[1] | metadata
    write_safetensors(out / WEIGHTS, tensors, metadata)
    write_summary(
        out / SUMMARY,
        {
            "results": {name: asdict(one) for name, one in found.items()},
            "images": {"train": trained_on, "test": tested_on},
            "classes": classes,
            "options": {**asdict(options), "source": os.fspath(options.source)},
            "versions": versions(),
        },
    )
    print(f"written {out / SUMMARY} and {out / WEIGHTS}")
