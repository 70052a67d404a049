"""The linear protocol of the papers: a layer on the frozen backbone, trained by SGD on views.

Shape suffixes: n images of a batch, c channels, k classes, h heads.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mvssl.arguments import check_count, check_number, check_positive, check_seed, each_of
from mvssl.datasets.base import ImageDataset
from mvssl.evaluation.base import Evaluator, Need, Shown
from mvssl.evaluation.classes import (
    accuracy,
    balanced_accuracy,
    check_classes,
    check_divisible,
    split_classes,
    unequal,
)
from mvssl.evaluation.features import Features
from mvssl.evaluation.inputs import Inputs
from mvssl.evaluation.logistic import Logistic
from mvssl.registry import EVALUATORS
from mvssl.views.view import View

__all__ = ["SGDProbe", "train_heads"]

MOMENTUM = 0.9
INITIAL_STD = 0.01
EPS = 1e-6  # as of MAE: features of a nearly collapsed backbone vary by little
BATCH_OF_LR = 256
RATES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)


@dataclass(frozen=True)
class Plan:
    """How heads are trained.

    Attributes:
        rates: learning rate of each head, at the beginning.
        epochs: how many of them there are.
        batch_size: images of a step.
        seed: of the order of the images, and of the weights, with which all heads begin.
    """

    rates: Sequence[float]
    epochs: int
    batch_size: int
    seed: int


def train_heads(
    views: Iterable[Features], masks_hn: Tensor, num_classes: int, plan: Plan, device: torch.device
) -> list[Logistic]:
    """Linear classifiers, trained side by side on the same batches by SGD.

    Momentum 0.9, no weight decay, the mean cross-entropy of a batch; rates fall to 0 along a
    cosine, step by step. A BatchNorm without parameters stands before them (He et al. 2022, MAE),
    whose statistics are of all images of a batch, which takes no labels; what is returned has the
    means of them within.

    Args:
        views: features of the images in each epoch, all of them in their order.
        masks_hn: bool, of every image of the data set: which head learns from which.
        num_classes: k.
        plan: as many rates as there are rows in ``masks_hn``.
        device: where heads are trained.
    """
    heads, optimizer, falling, norm = None, None, None, None
    for epoch, seen in enumerate(views):
        if heads is None:
            heads = _initial(len(plan.rates), num_classes, seen.x.shape[1], plan.seed, device)
            optimizer, falling = _optimizer(heads, plan, len(seen.x))
            norm = nn.BatchNorm1d(seen.x.shape[1], EPS, None, affine=False).to(device)
        assert norm is not None
        assert optimizer is not None
        assert falling is not None
        order = torch.from_numpy(np.random.default_rng([plan.seed, epoch]).permutation(len(seen.x)))
        for batch in order.split(plan.batch_size):
            x, y = seen.x[batch].to(device), seen.labels[batch].to(device)
            # A batch of one has no deviation of its own.
            losses_hn = _losses(heads, norm.train(len(x) > 1)(x), y)
            mask_hn = masks_hn[:, batch].to(device)
            # Heads share nothing: the sum trains each by its own loss.
            loss_h = (losses_hn * mask_hn).sum(dim=1) / mask_hn.sum(dim=1).clamp_min(1)
            optimizer.zero_grad()
            loss_h.sum().backward()
            optimizer.step()
            falling.step()
    assert heads is not None  # there is an epoch
    assert norm is not None
    return [_with_norm(weight, bias, norm) for weight, bias in heads]


def _with_norm(weight: Tensor, bias: Tensor, norm: nn.BatchNorm1d) -> Logistic:
    """The classifier of features as they are that makes of them what a head makes of normalised
    ones.
    """
    mean_c, var_c = norm.running_mean, norm.running_var
    assert mean_c is not None
    assert var_c is not None
    scaled = weight.detach() / (var_c + norm.eps).sqrt()
    moved = bias.detach() - scaled @ mean_c
    return Logistic(scaled.cpu(), moved.cpu(), torch.arange(len(bias)))


def _initial(
    heads: int, classes: int, channels: int, seed: int, device: torch.device
) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    weight = INITIAL_STD * torch.randn(classes, channels, generator=generator)
    made = [
        (weight.to(device, copy=True), torch.zeros(classes, device=device)) for _ in range(heads)
    ]
    return [(w.requires_grad_(), b.requires_grad_()) for w, b in made]


def _optimizer(
    heads: Sequence[tuple[Tensor, Tensor]], plan: Plan, images: int
) -> tuple[torch.optim.SGD, torch.optim.lr_scheduler.LambdaLR]:
    groups = [{"params": [*h], "lr": lr} for h, lr in zip(heads, plan.rates, strict=True)]
    optimizer = torch.optim.SGD(groups, momentum=MOMENTUM)
    steps = plan.epochs * math.ceil(images / plan.batch_size)
    cosine = [lambda step: (1 + math.cos(math.pi * step / steps)) / 2] * len(groups)
    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, cosine)


def _losses(heads: Sequence[tuple[Tensor, Tensor]], x_nc: Tensor, y_n: Tensor) -> Tensor:
    """Cross-entropy of every head and image (h, n)."""
    weight, bias = (torch.cat(parts) for parts in zip(*heads, strict=True))
    logits = F.linear(x_nc, weight, bias).view(len(x_nc), len(heads), -1).transpose(1, 2)
    return F.cross_entropy(logits, y_n[:, None].expand(-1, len(heads)), reduction="none").T


@EVALUATORS.register_module()
class SGDProbe(Evaluator):
    """A linear layer on the frozen backbone, trained by SGD on random crops and flips (Zhang et al.
    2016, and most papers since); several rates at once (Oquab et al. 2023, DINOv2).

    The backbone is in evaluation mode and stays as it is. In every epoch each training image is
    embedded in a new view, on which every rate trains two heads: one without the held-out images,
    by which the rate is chosen, and one on all, which is tested. Both are asked whole images. A
    BatchNorm without parameters comes before the layer (He et al. 2022, MAE), so that the rates
    fit features of any size, those of a nearly collapsed backbone too.
    Results: ``sgd_top1``, ``sgd_balanced``, ``sgd_top5`` of six classes and more, and ``sgd_lr``,
    the rate that was chosen.

    Args:
        epochs: in each of which all training images are embedded once.
        lr: rates to choose from, of a batch of 256; they grow with the batch.
        batch_size: images of a step.
        crop_scale: part of the image's area that a crop holds.
        flip: probability of a mirror image.
        held_out: the part of the training images by which a rate is chosen.
        seed: of views, order, initial weights, and of what is held out.

    Raises:
        UserError: a number is out of its range, or a rate there twice; later, from ``check_data``:
            training images of one class, or a class of one image.
    """

    needs: ClassVar[tuple[Need, ...]] = ("features", "backbone")
    needs_labels: ClassVar[bool] = True

    def __init__(
        self,
        epochs: int = 10,
        lr: float | Sequence[float] = RATES,
        batch_size: int = 256,
        crop_scale: tuple[float, float] = (0.08, 1.0),
        flip: float = 0.5,
        held_out: float = 0.1,
        seed: int = 0,
    ) -> None:
        check_count("SGDProbe", epochs=epochs, batch_size=batch_size)
        check_number("SGDProbe", 0.001, 0.5, held_out=held_out)
        check_seed("SGDProbe", seed=seed)
        rate = partial(check_positive, at_most=1e4)
        self.epochs = epochs
        self.lr: list[float] = each_of("SGDProbe", rate, lr=lr)
        self.batch_size = batch_size
        self.view = View.flat(32, crop_scale=crop_scale, flip=flip)
        self.held_out = held_out
        self.seed = seed
        self._unequal = False

    def check_data(self, train: ImageDataset, test: ImageDataset) -> None:
        check_classes("SGDProbe", train, test)
        check_divisible("SGDProbe", train, "to choose a rate by", "leave SGDProbe out")
        self._unequal = unequal(test)

    @property
    def results(self) -> Mapping[str, Shown]:
        return {
            "sgd_top1": Shown("SGD top-1", "top-1 accuracy", 3, "Linear, SGD on views", "features"),
            "sgd_balanced": Shown("SGD balanced", "mean of classes", listed=self._unequal),
            "sgd_top5": Shown("SGD top-5", "top-5 accuracy", listed=False),
            "sgd_lr": Shown("SGD lr", "rate", 4, listed=False),
        }

    @property
    def protocol(self) -> dict[str, Any]:
        return {
            "features": "BatchNorm without parameters",
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "lr": self.lr,
            "chosen_on": f"{self.held_out:.3g} of train",
            "views": ", ".join(one.describe() for one in self.view.operations),
            "seed": self.seed,
        }

    @property
    def short_protocol(self) -> str:
        return f"{self.epochs} epochs, lr of {len(self.lr)} by {self.held_out:.3g} of train"

    def run(self, inputs: Inputs) -> dict[str, float]:
        train, test = inputs.train, inputs.test
        classes, labels = train.labels.unique(return_inverse=True)
        out = split_classes(np.asarray(train.labels), self.held_out, self.seed)[1]
        # The first half of the heads chooses, the second is tested.
        masks = torch.ones(2 * len(self.lr), len(train.x), dtype=torch.bool)
        masks[: len(self.lr), out] = False
        heads = train_heads(
            self._views(inputs, labels), masks, len(classes), self._plan(), _device(inputs)
        )
        scores = [_score(head, train.x[out], labels[out]) for head in heads[: len(self.lr)]]
        best = max(range(len(self.lr)), key=lambda n: scores[n])
        chosen = heads[best + len(self.lr)]
        tested = Logistic(chosen.weight, chosen.bias, classes)
        predicted = tested.predict(test.x)
        results = {
            "sgd_top1": accuracy(predicted, test.labels),
            "sgd_balanced": balanced_accuracy(predicted, test.labels),
            "sgd_lr": self.lr[best],
        }
        if len(classes) > 5:
            results["sgd_top5"] = tested.within(test.x, test.labels, 5)
        return results

    def _plan(self) -> Plan:
        rates = [rate * self.batch_size / BATCH_OF_LR for rate in self.lr]
        return Plan(rates * 2, self.epochs, self.batch_size, self.seed)

    def _views(self, inputs: Inputs, labels: Tensor) -> Iterator[Features]:
        view = self.view.but(size=inputs.test_set.size)
        for epoch in range(self.epochs):
            yield Features(inputs.train_view(view, self.seed, epoch).x, labels)


def _score(head: Logistic, x_nc: Tensor, labels_n: Tensor) -> tuple[float, float]:
    """Accuracy, and what decides between equal ones."""
    loss = F.cross_entropy(head.logits(x_nc), labels_n).item()
    return accuracy(head.predict(x_nc), labels_n), -loss


def _device(inputs: Inputs) -> torch.device:
    parameter = next(inputs.backbone.parameters(), None)
    return torch.device("cpu") if parameter is None else parameter.device
