"""A linear classifier that is trained beside the network, on features that it does not change.

Shape suffixes: n images (or views) of a batch, c channels, k classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mvssl.arguments import check_positive
from mvssl.datasets.base import ImageDataset
from mvssl.distributed import all_reduce_sum
from mvssl.errors import UserError
from mvssl.evaluation.base import Learner, Shown
from mvssl.evaluation.classes import (
    accuracy,
    balanced_accuracy,
    check_classes,
    known_labels,
    unequal,
)
from mvssl.evaluation.inputs import Inputs
from mvssl.models.precision import at_least_float32
from mvssl.registry import EVALUATORS

__all__ = ["OnlineProbe"]

KEPT = 0.99  # of the mean and the square of each channel, at each step
EPS = 1e-6


@EVALUATORS.register_module()
class OnlineProbe(Learner):
    """A linear layer on the backbone's features, trained by Adam on the views of every step.

    It learns from what the student makes of the views anyway, without a gradient to the network, so
    it costs next to nothing and shows from the first epoch on whether features become of use. The
    features move while it learns, so its accuracy is below that of ``LinearProbe``. Each of the C
    channels is brought to mean 0 and deviation 1 / sqrt(C) by running means over steps and
    processes: features are then of length 1 on average, and one rate does for any backbone.
    Weights begin at 0.

    Results: ``online_top1``, an accuracy in [0, 1] on whole held-out images, and
    ``online_balanced``, the mean of the accuracies of the classes; none before the first step. Each
    step gives ``online_train_top1`` and ``online_train_loss`` (cross-entropy, nats) of its views.
    Images without a label (a number below 0) are left out.

    Args:
        lr: rate of Adam.

    Raises:
        UserError: ``lr`` is not positive; later: the images that are trained on have no labels, are
            of one class, or have other classes than the held-out ones.
    """

    needs_labels: ClassVar[bool] = True

    def __init__(self, lr: float = 0.1) -> None:
        check_positive("OnlineProbe", lr=lr)
        self.lr = lr
        self.steps = 0
        self._unequal = False
        self._some_unlabelled = False
        self._layer: list[Tensor] = []  # weight (k, c) and bias (k,)
        self._optimizer: torch.optim.Adam | None = None
        self._moments_2c = torch.zeros(0)  # of the features: running sums of x and of its square

    @property
    def results(self) -> Mapping[str, Shown]:
        return {
            "online_top1": Shown("online top-1", "top-1 accuracy", 3, "Online probe, held out"),
            "online_balanced": Shown("online balanced", "mean of classes", listed=self._unequal),
        }

    @property
    def scalars(self) -> Mapping[str, Shown]:
        return {
            "online_train_top1": Shown(
                "online top-1, training",
                "top-1 accuracy",
                panel="Online probe, views of training",
                listed=False,
            ),
            "online_train_loss": Shown("online loss", "nats", listed=False),
        }

    @property
    def protocol(self) -> dict[str, Any]:
        return {"lr": self.lr}

    def check_data(self, train: ImageDataset, test: ImageDataset) -> None:
        self._unequal = unequal(test)

    def check_training(self, dataset: ImageDataset, test: ImageDataset) -> None:
        if dataset.labels is None or not (dataset.labels >= 0).any():
            raise UserError(
                f"OnlineProbe learns from the labels of the images that are trained on, and "
                f"{dataset.describe()} has none: give labels=True in train_dataloader.dataset "
                f"(--labels with --data), or leave OnlineProbe out."
            )
        check_classes("OnlineProbe", test, test)
        if dataset.classes is not None and test.classes not in (None, dataset.classes):
            raise UserError(
                f"OnlineProbe learns the classes of the images that are trained on "
                f"({dataset.describe()}), and the held-out ones have others ({test.describe()}): "
                f"give data sets of the same classes, or leave OnlineProbe out."
            )
        if len(np.unique(dataset.labels[dataset.labels >= 0])) < 2:
            raise UserError(
                f"OnlineProbe tells classes apart, and the images that are trained on are of one "
                f"alone ({dataset.describe()}): give two or more, or leave OnlineProbe out."
            )

    def begin(self, dataset: ImageDataset, num_features: int, device: torch.device) -> None:
        labels = known_labels(dataset)
        classes = int(labels.max()) + 1
        self.steps = 0
        self._some_unlabelled = bool((labels < 0).any())
        self._layer = [
            torch.zeros(classes, num_features, device=device, requires_grad=True),
            torch.zeros(classes, device=device, requires_grad=True),
        ]
        self._optimizer = torch.optim.Adam(self._layer, lr=self.lr)
        self._moments_2c = torch.zeros(2, num_features, dtype=torch.float64, device=device)

    def learn(self, features: Sequence[Tensor], labels: Tensor) -> dict[str, Tensor]:
        assert self._optimizer is not None  # begun
        weight, bias = self._layer
        x_nc = torch.cat([at_least_float32(x.detach()) for x in features]).to(weight)
        labels_n = labels.to(weight.device).repeat(len(features))
        known_n = (labels_n >= 0) & x_nc.isfinite().all(dim=1)
        # Rows that are left out stay in place as zeros: to take them out would wait for the device.
        x_nc = torch.where(known_n[:, None], x_nc, 0.0)
        number = self._number(known_n)
        if number is None:
            return {}
        self._follow(x_nc, number)
        x_nc = self._standardised(x_nc)
        with torch.enable_grad():
            logits_nk = F.linear(x_nc, weight, bias)
            loss_n = F.cross_entropy(logits_nk, labels_n.clamp_min(0), reduction="none")
            loss = torch.where(known_n, loss_n, 0.0).sum()
            grads = torch.autograd.grad(loss, self._layer)
        right = ((logits_nk.argmax(dim=1) == labels_n) & known_n).sum().to(loss)
        sums = [*(grad.flatten() for grad in grads), torch.stack([loss.detach(), right])]
        mean = all_reduce_sum(torch.cat(sums)) / number.to(loss)
        weight.grad, bias.grad, (loss, right) = (
            part.view(shape)
            for part, shape in zip(
                mean.split([weight.numel(), bias.numel(), 2]),
                (weight.shape, bias.shape, (2,)),
                strict=True,
            )
        )
        self._optimizer.step()
        self.steps += 1
        return {"online_train_loss": loss, "online_train_top1": right}

    def _number(self, known_n: Tensor) -> Tensor | None:
        """How many views have a label, over all processes, and not less than 1; None: none has."""
        number = all_reduce_sum(known_n.sum().double())
        if self._some_unlabelled and number == 0:
            return None
        return number.clamp_min(1)

    def _follow(self, x_nc: Tensor, number: Tensor) -> None:
        """Move the running moments towards those of the batch."""
        x = x_nc.double()
        batch_2c = all_reduce_sum(torch.stack([x.sum(dim=0), x.square().sum(dim=0)])) / number
        self._moments_2c = KEPT * self._moments_2c + (1 - KEPT) * batch_2c

    def _standardised(self, x_nc: Tensor) -> Tensor:
        # Divided by the weight of all steps so far, as the moments began at 0.
        so_far = 1 - KEPT ** (self.steps + 1)
        mean_c, square_c = self._moments_2c / so_far
        deviation_c = (square_c - mean_c.square()).clamp_min(0).sqrt() + EPS
        scale_c = deviation_c * len(deviation_c) ** 0.5
        return (x_nc - mean_c.to(x_nc)) / scale_c.to(x_nc)

    def run(self, inputs: Inputs) -> dict[str, float]:
        if not self.steps:
            return {}
        weight, bias = (part.detach() for part in self._layer)
        labels = inputs.test.labels
        predicted = F.linear(self._standardised(inputs.test.x.to(weight)), weight, bias)
        answers = predicted.argmax(dim=1).cpu()
        return {
            "online_top1": accuracy(answers, labels),
            "online_balanced": balanced_accuracy(answers, labels),
        }

    def state_dict(self) -> dict[str, Any]:
        assert self._optimizer is not None
        return {
            "steps": self.steps,
            "layer": [part.detach() for part in self._layer],
            "moments": self._moments_2c,
            "optimizer": self._optimizer.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> bool:
        assert self._optimizer is not None
        if [part.shape for part in self._layer] != [part.shape for part in state["layer"]]:
            return False
        self.steps = state["steps"]
        with torch.no_grad():
            for part, saved in zip(self._layer, state["layer"], strict=True):
                part.copy_(saved)
        self._moments_2c = state["moments"].to(self._moments_2c.device)
        self._optimizer.load_state_dict(state["optimizer"])
        for group in self._optimizer.param_groups:
            group["lr"] = self.lr
        return True
