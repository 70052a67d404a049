"""A linear classifier on frozen features: how much of the classes a plane can read off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch

from mvssl.arguments import check_number, check_positive, check_seed, each_of
from mvssl.datasets.base import ImageDataset
from mvssl.evaluation.base import Evaluator, Shown
from mvssl.evaluation.classes import (
    Labels,
    accuracy,
    balanced_accuracy,
    check_classes,
    check_divisible,
    split_classes,
    unequal,
)
from mvssl.evaluation.inputs import Inputs
from mvssl.evaluation.logistic import Scale, choose_l2, computing_device, fit_logistic
from mvssl.registry import EVALUATORS

__all__ = ["LinearProbe"]

DECADES = tuple(10.0**power for power in range(-6, 2))


@EVALUATORS.register_module()
class LinearProbe(Evaluator):
    """Multinomial logistic regression on the features of the training images (Kornblith et al.
    2019, "Do Better ImageNet Models Transfer Better?", here with standardised features).

    Features are standardised by mean and deviation of the training images. The penalty is chosen
    on a part of every class of the training images, which is held out; the classifier is then
    fitted to all of them. Results: ``linear_top1``, ``linear_balanced`` (mean of the accuracies of
    the classes, shown where these differ in size), ``linear_top5`` of six classes and more, and
    ``linear_l2``, the penalty that was chosen.

    It is fitted on the device that computes features, in float32, and holds one standardised copy
    of them there (ImageNet's: 10.5 GB); time and memory: :mod:`mvssl.evaluation.logistic`.

    Args:
        l2: penalties to choose from: mean cross-entropy + l2 / 2 |weight|^2. One alone is taken
            as it is.
        held_out: the part of the training images on which one is chosen.
        seed: decides which ones.

    Raises:
        UserError: a number is out of its range, or a penalty there twice; later, from
            ``check_data``: training images of one class, or a class of one image.
    """

    needs_labels: ClassVar[bool] = True

    def __init__(
        self, l2: float | Sequence[float] = DECADES, held_out: float = 0.1, seed: int = 0
    ) -> None:
        check_number("LinearProbe", 0.001, 0.5, held_out=held_out)
        check_seed("LinearProbe", seed=seed)
        self.l2: list[float] = each_of("LinearProbe", check_positive, l2=l2)
        self.held_out = held_out
        self.seed = seed
        self._unequal = False

    def check_data(self, train: ImageDataset, test: ImageDataset) -> None:
        check_classes("LinearProbe", train, test)
        if len(self.l2) > 1:
            check_divisible("LinearProbe", train, "to choose l2 by", "one l2, such as l2=1e-3")
        self._unequal = unequal(test)

    @property
    def results(self) -> Mapping[str, Shown]:
        top1 = Shown("linear top-1", "top-1 accuracy", 3, "Linear probe", "features")
        return {
            "linear_top1": top1,
            "linear_balanced": Shown("linear balanced", "mean of classes", listed=self._unequal),
            "linear_top5": Shown("linear top-5", "top-5 accuracy", listed=False),
            "linear_l2": Shown("linear l2", "penalty", 2, listed=False, significant=True),
        }

    @property
    def on_pixels(self) -> bool:
        return False  # their thousands of channels would take longer than all else

    @property
    def protocol(self) -> dict[str, Any]:
        told: dict[str, Any] = {"features": "standardised", "l2": self.l2[0]}
        if len(self.l2) > 1:
            told |= {"l2": self.l2, "chosen_on": f"{self.held_out:.3g} of train"}
        return told

    @property
    def short_protocol(self) -> str:
        if len(self.l2) == 1:
            return f"l2={self.l2[0]:g}"
        return f"l2 of {len(self.l2)} by {self.held_out:.3g} of train"

    def run(self, inputs: Inputs) -> dict[str, float]:
        device, scale = computing_device(), Scale.of(inputs.train.x)
        kept, out = self._parts(np.asarray(inputs.train.labels))
        # One copy, in which the held-out images come last.
        order = torch.from_numpy(np.concatenate([kept, out]))
        train = scale(inputs.train.x, order, device)
        labels = inputs.train.labels[order].to(device)
        n, l2, start = len(kept), self.l2[0], None
        if len(self.l2) > 1:
            l2, start = choose_l2(train[:n], labels[:n], train[n:], labels[n:], self.l2)
        fitted = fit_logistic(train, labels, l2, start)
        test, asked = scale(inputs.test.x, device=device), inputs.test.labels
        predicted = fitted.predict(test).cpu()
        results = {
            "linear_top1": accuracy(predicted, asked),
            "linear_balanced": balanced_accuracy(predicted, asked),
            "linear_l2": l2,
        }
        if len(fitted.classes) > 5:
            results["linear_top5"] = fitted.within(test, asked.to(device), 5)
        return results

    def _parts(self, labels: Labels) -> tuple[Labels, Labels]:
        """Numbers of the images from which it learns while l2 is chosen, and of the others."""
        if len(self.l2) == 1:
            return np.arange(len(labels)), np.arange(0)
        return split_classes(labels, self.held_out, self.seed)
