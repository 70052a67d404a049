"""A linear classifier on the features of few labelled images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import numpy as np

from mvssl.arguments import check_count, check_number, check_positive, check_seed, each_of
from mvssl.datasets.base import ImageDataset
from mvssl.errors import UserError
from mvssl.evaluation.base import Evaluator, Shown
from mvssl.evaluation.classes import (
    Labels,
    accuracy,
    check_classes,
    class_name,
    draw_of_each_class,
    known_labels,
)
from mvssl.evaluation.inputs import Inputs
from mvssl.evaluation.logistic import Scale, computing_device, fit_logistic
from mvssl.registry import EVALUATORS

__all__ = ["LowShot"]


@EVALUATORS.register_module()
class LowShot(Evaluator):
    """Multinomial logistic regression, as of ``LinearProbe``, on few of the labels.

    Of each share and number several sets of training images are drawn, the same ones at every
    measurement. Results are mean and deviation over the draws of the accuracy on all held-out
    images: ``lowshot_1pct`` and ``lowshot_1pct_std``, ``lowshot_5`` (images of a class), and so on.
    Features are standardised by those of all training images, which takes no labels; the penalty
    is fixed, since so few labels leave none to choose by. Shares of 1 % and 10 % are those of Chen
    et al. 2020 (SimCLR), who draw them once and train the whole network on them.

    Args:
        fractions: of the images of each class, at least one of each.
        per_class: numbers of images of each class.
        draws: of each.
        l2: penalty, mean cross-entropy + l2 / 2 |weight|^2.
        seed: of the draws.

    Raises:
        UserError: a number is out of its range, or nothing is asked for; later, from
            ``check_data``: a class has fewer images than asked for, or all are of one class.
    """

    needs_labels: ClassVar[bool] = True

    def __init__(
        self,
        fractions: float | Sequence[float] = (0.01, 0.1),
        per_class: int | Sequence[int] = (),
        draws: int = 5,
        l2: float = 0.01,
        seed: int = 0,
    ) -> None:
        check_count("LowShot", draws=draws)
        check_positive("LowShot", l2=l2)
        check_seed("LowShot", seed=seed)
        share = partial(check_number, low=1e-4, high=1.0)
        self.fractions: list[float] = each_of("LowShot", share, 0, fractions=fractions)
        self.per_class: list[int] = each_of("LowShot", check_count, 0, per_class=per_class)
        self.draws = draws
        self.l2 = l2
        self.seed = seed
        if not self.fractions + self.per_class:
            raise UserError("LowShot: fractions and per_class are both empty: give one of them.")

    def _parts(self) -> Iterator[tuple[str, str, Callable[[int], int]]]:
        """Names and labels of the results, and how many images of a class of n are drawn."""
        for share in self.fractions:
            yield f"lowshot_{100 * share:g}pct", f"{100 * share:g} % labels", partial(_part, share)
        for shots in self.per_class:
            yield f"lowshot_{shots}", f"{shots} a class", partial(min, shots)

    def check_data(self, train: ImageDataset, test: ImageDataset) -> None:
        check_classes("LowShot", train, test)
        classes, sizes = np.unique(known_labels(train), return_counts=True)
        most = max(self.per_class, default=0)
        if most > sizes.min():
            fewest = class_name(train, int(classes[sizes.argmin()]))
            raise UserError(
                f"LowShot: per_class asks for {most} training images of each class, and the class "
                f"{fewest} has {sizes.min()} ({train.describe()}): give per_class=[1], say."
            )

    @property
    def results(self) -> Mapping[str, Shown]:
        shown: dict[str, Shown] = {}
        for name, label, _ in self._parts():
            shown[name] = Shown(label, "top-1 accuracy", 3, f"Linear, {label}", "features")
            shown[f"{name}_std"] = Shown(
                f"{label}, deviation of draws", "top-1 accuracy", listed=False
            )
        return shown

    @property
    def on_pixels(self) -> bool:
        return False  # as of LinearProbe

    @property
    def protocol(self) -> dict[str, Any]:
        return {"features": "standardised", "l2": self.l2, "draws": self.draws, "seed": self.seed}

    @property
    def short_protocol(self) -> str:
        return f"{self.draws} draws, l2={self.l2:g}"

    def run(self, inputs: Inputs) -> dict[str, float]:
        device, scale = computing_device(), Scale.of(inputs.train.x)
        train, test = (scale(one.x, device=device) for one in (inputs.train, inputs.test))
        labels, asked = inputs.train.labels, inputs.test.labels
        results = {}
        for name, _, number in self._parts():
            reached = []
            for drawn in self._drawn(np.asarray(labels), number):
                fitted = fit_logistic(train[drawn], labels[drawn].to(device), self.l2)
                reached.append(accuracy(fitted.predict(test).cpu(), asked))
            results[name] = float(np.mean(reached))
            results[f"{name}_std"] = float(np.std(reached, ddof=min(self.draws - 1, 1)))
        return results

    def _drawn(self, labels: Labels, number: Callable[[int], int]) -> Iterator[Labels]:
        for draw in range(self.draws):
            yield draw_of_each_class(labels, number, np.random.default_rng([self.seed, draw]))


def _part(share: float, images: int) -> int:
    return max(round(share * images), 1)
