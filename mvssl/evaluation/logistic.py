"""Multinomial logistic regression on frozen features, by L-BFGS.

Shape suffixes: n images, c channels, k classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mvssl.evaluation.classes import accuracy

__all__ = ["Logistic", "choose_l2", "fit_logistic", "standardize"]

LEAST_SPREAD = 1e-6  # of a channel beside its mean: float32 knows no more
ROW_VALUES = 2**24  # logits at once


@dataclass(frozen=True)
class Logistic:
    """A linear classifier: logits ``x @ weight.T + bias``.

    Attributes:
        weight: (k, c).
        bias: (k,).
        classes: (k,), ascending, those that it was fitted on.
    """

    weight: Tensor
    bias: Tensor
    classes: Tensor

    def logits(self, x_nc: Tensor) -> Tensor:
        """(n, k), of ``classes``."""
        return F.linear(x_nc, self.weight, self.bias)

    def predict(self, x_nc: Tensor) -> Tensor:
        """(n,) classes."""
        return self.classes[self.logits(x_nc).argmax(dim=1)]

    def within(self, x_nc: Tensor, labels_n: Tensor, most: int) -> float:
        """Fraction of the images whose class is among the ``most`` likeliest ones."""
        likeliest = self.logits(x_nc).topk(min(most, len(self.classes)), dim=1).indices
        return (self.classes[likeliest] == labels_n[:, None]).any(dim=1).double().mean().item()


def standardize(train_nc: Tensor, *others: Tensor) -> list[Tensor]:
    """All in float64, each channel less its mean over ``train_nc`` and divided by its deviation.

    A channel that does not vary becomes 0 on ``train_nc``.
    """
    x_nc = train_nc.double()
    mean_c, std_c = x_nc.mean(dim=0), x_nc.std(dim=0, correction=0)
    still_c = std_c <= LEAST_SPREAD * mean_c.abs()
    std_c = torch.where(still_c, torch.ones_like(std_c), std_c)
    return [(one.double() - mean_c) / std_c for one in (train_nc, *others)]


def fit_logistic(
    x_nc: Tensor,
    labels_n: Tensor,
    l2: float,
    start: Logistic | None = None,
    iterations: int = 1000,
    tolerance: float = 1e-7,
) -> Logistic:
    """The classifier that minimises the mean cross-entropy + l2 / 2 |weight|^2; the bias is free.

    With l2 = 1 / (C n) it is that of scikit-learn's ``LogisticRegression(C=C)``, for three classes
    and more. L-BFGS with strong Wolfe conditions, in the precision and on the device of ``x_nc``.

    Args:
        x_nc: standardised features.
        labels_n: int64.
        start: from which it goes on, of the same classes; None: from 0.
        iterations: at most so many.
        tolerance: of the largest component of the gradient.
    """
    classes, targets_n = labels_n.unique(return_inverse=True)
    weight, bias = x_nc.new_zeros(len(classes), x_nc.shape[1]), x_nc.new_zeros(len(classes))
    if start is not None:
        weight, bias = start.weight.clone(), start.bias.clone()
    weight.requires_grad_()
    bias.requires_grad_()
    optimizer = torch.optim.LBFGS(
        [weight, bias],
        max_iter=iterations,
        tolerance_grad=tolerance,
        tolerance_change=1e-12,
        line_search_fn="strong_wolfe",
    )
    rows = max(ROW_VALUES // len(classes), 1)

    def closure() -> Tensor:
        optimizer.zero_grad()
        total = l2 / 2 * weight.square().sum()
        total.backward()
        for x, y in zip(x_nc.split(rows), targets_n.split(rows), strict=True):
            part = F.cross_entropy(F.linear(x, weight, bias), y, reduction="sum") / len(x_nc)
            part.backward()
            total = total.detach() + part.detach()
        return total

    optimizer.step(closure)
    return Logistic(weight.detach(), bias.detach(), classes)


def choose_l2(
    x_nc: Tensor,
    labels_n: Tensor,
    held_x: Tensor,
    held_labels: Tensor,
    candidates: Sequence[float],
    iterations: int = 200,
) -> float:
    """The candidate of the highest accuracy on held-out images; of equal ones, of the lowest
    cross-entropy there. Every class of theirs is in ``labels_n``.
    """
    fitted, scores = None, {}
    # From strong to weak, so that each begins near its end.
    for l2 in sorted(candidates, reverse=True):
        fitted = fit_logistic(x_nc, labels_n, l2, fitted, iterations, tolerance=1e-5)
        targets = torch.searchsorted(fitted.classes, held_labels)
        loss = nn.functional.cross_entropy(fitted.logits(held_x), targets).item()
        scores[l2] = (accuracy(fitted.predict(held_x), held_labels), -loss)
    return max(scores, key=lambda l2: scores[l2])
