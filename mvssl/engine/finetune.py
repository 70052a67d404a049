"""Training of a classifier from a pretrained backbone, on one process or several."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from timm.data import Mixup
from timm.optim import param_groups_layer_decay, param_groups_weight_decay
from torch import Tensor, nn

from mvssl.arguments import check_count, check_fraction, check_not_negative, check_positive
from mvssl.datasets.base import ImageDataset
from mvssl.datasets.loading import TIMEOUT, WatchedLoader
from mvssl.distributed import (
    all_gather_object,
    all_reduce_sum,
    average_gradients,
    rank,
    world_size,
)
from mvssl.errors import UserError
from mvssl.evaluation.classes import accuracy, balanced_accuracy
from mvssl.evaluation.features import interleave, own_batches
from mvssl.evaluation.network import Network, evaluation_mode
from mvssl.models.backbones import TimmBackbone
from mvssl.models.backbones.export import exported
from mvssl.models.batch_norm import share_of_batch, synchronize_batch_norm
from mvssl.process.signals import leave_workers_alone
from mvssl.schedules import warmup_cosine
from mvssl.views import HostViews
from mvssl.views.view import View

__all__ = ["Classifier", "Finetuned", "Recipe", "train_classifier"]

BATCH_OF_LR: Final = 256
BATCH_OF_TEST: Final = 256
MOST_WARMUP: Final = 5.0


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a classifier is trained; the defaults follow Touvron et al. 2021 (DeiT) and He et al.
    2022 (MAE), without mixing.

    Attributes:
        epochs: over the training images.
        batch_size: images of a step, over all processes. The images of an epoch are parted into
            batches of about one size, none of them larger (but two and more).
        lr: of a batch of 256, at the end of the warm-up; it grows with the batch.
        weight_decay: of AdamW, for matrices alone.
        layer_decay: each layer learns at so many times the rate of the one above it; 1 for all
            alike. From random weights it is always 1.
        warmup_epochs: of the rate; a cosine to 0 follows. None: a tenth of the epochs, 5 at most.
        crop_scale: least part of the image's area that a crop holds.
        mixup, cutmix: alpha of the mixing of images; 0: none.
        smoothing: of the labels.
        amp: whether the network computes in bfloat16.
        num_workers: processes that read images, of each process.
        seed: of what is drawn.
    """

    epochs: int = 50
    batch_size: int = 64
    lr: float = 1e-3
    weight_decay: float = 0.05
    layer_decay: float = 0.75
    warmup_epochs: float | None = None
    crop_scale: float = 0.3
    mixup: float = 0.0
    cutmix: float = 0.0
    smoothing: float = 0.1
    amp: bool = False
    num_workers: int = 0
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
        for name in ("weight_decay", "mixup", "cutmix"):
            check_not_negative(owner, **{name: getattr(self, name)})
        if self.warmup_epochs is not None:
            check_not_negative(owner, warmup_epochs=self.warmup_epochs)
        check_fraction(owner, smoothing=self.smoothing)
        if self.batch_size % 2 and (self.mixup or self.cutmix):
            raise UserError(
                f"finetune: batch_size is {self.batch_size}, and images are mixed in pairs: give "
                f"an even one."
            )

    @property
    def warmup(self) -> float:
        """Epochs in which the rate rises."""
        usual = min(MOST_WARMUP, self.epochs / 10)
        return usual if self.warmup_epochs is None else self.warmup_epochs

    def steps(self, images: int) -> int:
        """Of an epoch: BatchNorm takes no batch of one."""
        return max(min(math.ceil(images / self.batch_size), images // 2), 1)


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


def train_classifier(
    name: str,
    model: Classifier,
    network: Network,
    train: ImageDataset,
    test: ImageDataset,
    kept: NDArray[np.int64],
    recipe: Recipe,
) -> Finetuned:
    """Train, and test after every epoch; every process calls this and has the same weights and
    results, those of one process up to rounding.

    Args:
        name: of what is trained, for the lines that the first process prints.
        model: alike on all processes.
        network: prepares images.
        train, test: labelled; all images of ``test`` are asked, whole.
        kept: numbers of the training images that are used.
        recipe: checked.

    Raises:
        UserError: the loss is no number any more, or there are too few images for the processes.
    """
    steps = recipe.steps(len(kept))
    _check_shares(len(kept) // steps)
    if world_size() > 1:
        synchronize_batch_norm(model)
    optimizer = _optimizer(model, recipe)
    schedule = _schedule(optimizer, steps, recipe)
    mix = _mix(model.head.out_features, recipe)
    shown = _with_crops(train, recipe)
    torch.manual_seed(recipe.seed + rank())  # what layers drop differs between processes
    curve: list[float] = []
    told = max(recipe.epochs // 10, 1)
    for epoch in range(recipe.epochs):
        model.train()
        for total, images, labels in _batches(shown, kept, epoch, steps, recipe):
            x = network.preprocessor({"image": images})["inputs"]
            with share_of_batch(model, len(x) * world_size() / total):
                loss = _loss(model, x, labels.to(x.device), mix, recipe) / total
            reached = all_reduce_sum(loss).item()
            if not math.isfinite(reached):
                raise UserError(
                    f"finetune: the loss is {reached} in epoch {epoch + 1}: lower lr "
                    f"({recipe.lr:g})."
                )
            optimizer.zero_grad()
            (world_size() * loss).backward()
            average_gradients(model.parameters())
            optimizer.step()
            schedule.step()
        predicted, asked = _predicted(model, network, test, recipe)
        curve.append(accuracy(predicted, asked))
        if rank() == 0 and ((epoch + 1) % told == 0 or epoch + 1 == recipe.epochs):
            print(f"{name:<10}  epoch {epoch + 1:>3}  top-1 {curve[-1]:.3f}", flush=True)
    return Finetuned(curve[-1], balanced_accuracy(predicted, asked), curve)


def _check_shares(images: int) -> None:
    """That every process has images of the smallest batch, and a pair to mix."""
    if images < 2 * world_size() and world_size() > 1:
        raise UserError(
            f"finetune: batches of {images} images are too few for {world_size()} processes, each "
            f"of which takes 2 and more: start fewer, or give a larger batch_size where there are "
            f"as many images."
        )


def _loss(model: Classifier, x: Tensor, y: Tensor, mix: Mixup | None, recipe: Recipe) -> Tensor:
    """Cross-entropy, summed over the images of this process."""
    smoothing = recipe.smoothing if mix is None else 0.0  # mixed labels are smooth already
    if mix is not None:
        even = len(x) - len(x) % 2
        classes = model.head.out_features
        alone = F.one_hot(y[even:], classes) * (1 - recipe.smoothing) + recipe.smoothing / classes
        mixed, soft = mix(x[:even].clone(), y[:even])
        x, y = torch.cat([mixed, x[even:]]), torch.cat([soft, alone.to(soft.dtype)])
    with torch.autocast(x.device.type, torch.bfloat16, enabled=recipe.amp):
        logits = model(x)
    return F.cross_entropy(logits.float(), y, reduction="sum", label_smoothing=smoothing)


def _optimizer(model: Classifier, recipe: Recipe) -> torch.optim.Optimizer:
    rate = recipe.lr * recipe.batch_size / BATCH_OF_LR
    inner = exported(model.backbone)
    if recipe.layer_decay < 1.0 and isinstance(model.backbone, TimmBackbone):
        decay = recipe.layer_decay
        groups = param_groups_layer_decay(inner, recipe.weight_decay, layer_decay=decay)
    else:
        groups = param_groups_weight_decay(inner, recipe.weight_decay)
    groups += param_groups_weight_decay(model.head, recipe.weight_decay)
    for group in groups:
        group["lr"] = rate * group.pop("lr_scale", 1.0)
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=rate)


def _schedule(
    optimizer: torch.optim.Optimizer, steps_of_epoch: int, recipe: Recipe
) -> torch.optim.lr_scheduler.LambdaLR:
    steps = recipe.epochs * steps_of_epoch
    warmup = min(round(recipe.warmup * steps_of_epoch), steps // 2)
    return torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: warmup_cosine(min(step, steps - 1), steps, warmup)
    )


def _mix(classes: int, recipe: Recipe) -> Mixup | None:
    if not (recipe.mixup or recipe.cutmix):
        return None
    return Mixup(
        mixup_alpha=recipe.mixup,
        cutmix_alpha=recipe.cutmix,
        label_smoothing=recipe.smoothing,
        num_classes=classes,
    )


def _with_crops(train: ImageDataset, recipe: Recipe) -> ImageDataset:
    shown = copy.copy(train)
    view = View.flat(train.size or 224, crop_scale=(recipe.crop_scale, 1.0), flip=0.5)
    shown.view_transform = HostViews([view], recipe.seed)
    shown.size = None  # crops are cut from whole images
    return shown


def _batches(
    shown: ImageDataset, kept: NDArray[np.int64], epoch: int, steps: int, recipe: Recipe
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Of the batches of an epoch, in an order of its own: images of all processes, and crops
    (B, C, s, s) and labels (B,) of this one's.
    """
    order = np.random.default_rng([recipe.seed, epoch]).permutation(kept)
    batches = np.array_split(order, steps)
    keys: Any = [[(int(index), epoch) for index in _own(batch)] for batch in batches]
    loader = WatchedLoader(
        shown,
        batch_sampler=keys,
        num_workers=recipe.num_workers,
        worker_init_fn=leave_workers_alone,
        timeout=TIMEOUT if recipe.num_workers else 0,
    )
    for whole, batch in zip(batches, loader, strict=True):
        yield len(whole), batch["views"][0], batch["label"]


def _own(batch: NDArray[np.int64]) -> NDArray[np.int64]:
    """This process's share, in which the images that are mixed with each other, n and the n-th from
    behind, stay together; an odd one comes last.
    """
    pairs = len(batch) // 2
    first = np.arange(rank(), pairs, world_size())
    odd = batch[2 * pairs :] if pairs % world_size() == rank() else batch[:0]
    return np.concatenate([batch[first], batch[2 * pairs - 1 - first[::-1]], odd])


@torch.inference_mode()
def _predicted(
    model: Classifier, network: Network, test: ImageDataset, recipe: Recipe
) -> tuple[Tensor, Tensor]:
    """Classes of the held-out images, whole, and those that are right; of all processes."""
    predicted, labels = [], []
    with evaluation_mode(model):
        for batch in own_batches(test, BATCH_OF_TEST, recipe.num_workers):
            x = network.preprocessor(batch)["inputs"]
            with torch.autocast(x.device.type, torch.bfloat16, enabled=recipe.amp):
                predicted.append(model(x).argmax(dim=1).cpu())
            labels.append(batch["label"])
    own = (torch.cat(predicted), torch.cat(labels)) if labels else (None, None)
    first, second = zip(*all_gather_object(own), strict=True)
    return interleave(first, len(test)), interleave(second, len(test))
