"""Multinomial logistic regression on frozen features, on the device that computes them.

Whole batches and SciPy's L-BFGS, whose line search is that of Moré and Thuente, in coordinates in
which the loss is nearly round: with ``h`` the mean of p (1 - p) and ``S`` the second moments of the
features, each class has about the Hessian ``h S + l2`` (Böhning 1992 bounds it by such a one), and
``V = W L`` with ``L L^T = h S + l2`` is what moves. However correlated features are, some tens of
passes through them are enough.

Of memory it takes, on the device, the features and a chunk of logits, never all of these, and on
the host some 20 vectors of k c float64. A pass is 4 n c k operations. ImageNet, 1.28 million images
of 2,048 features in 1,000 classes: 10.5 GB and 0.4 GB; 1e13 operations a pass, about a second on a
GPU, and a choice among 8 penalties is 200 to 400 passes.

Shape suffixes: n images, c channels, k classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

from mvssl.evaluation.classes import accuracy

__all__ = [
    "Logistic",
    "Scale",
    "choose_l2",
    "computing_device",
    "fit_logistic",
    "standardize",
]

LEAST_SPREAD: Final = 1e-6  # of a channel beside its mean: float32 knows no more
ROW_VALUES = 2**22  # of logits, or of features, at once
REMEMBERED: Final = 10  # steps of L-BFGS
SETTLED: Final = 3e-4  # tolerance at which it is known which penalty is best
SPREAD_IMAGES: Final = 2048  # at least so many tell how sure a classifier is
ROUGH: Final = 3e-3  # tolerance at which coordinates are made anew
TOLERANCE: Final[Mapping[torch.dtype, float]] = {torch.float32: 3e-5, torch.float64: 1e-7}


def computing_device() -> torch.device:
    """Where features are computed, and classifiers fitted to them."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


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
        found = [self.logits(x).argmax(dim=1) for x in self._chunks(x_nc)]
        return self.classes[torch.cat(found)]

    def within(self, x_nc: Tensor, labels_n: Tensor, most: int) -> float:
        """Fraction of the images whose class is among the ``most`` likeliest ones."""
        most = min(most, len(self.classes))
        found = [self.logits(x).topk(most, dim=1).indices for x in self._chunks(x_nc)]
        likeliest = self.classes[torch.cat(found)]
        return (likeliest == labels_n[:, None]).any(dim=1).double().mean().item()

    def cross_entropy(self, x_nc: Tensor, labels_n: Tensor) -> float:
        """Mean over the images, in nats; all of their classes are known."""
        targets_n = torch.searchsorted(self.classes, labels_n)
        total = 0.0
        for x, y in zip(self._chunks(x_nc), targets_n.split(self._rows), strict=True):
            total += F.cross_entropy(self.logits(x), y, reduction="sum").item()
        return total / len(x_nc)

    def spread(self, x_nc: Tensor) -> float:
        """Mean of p (1 - p) over classes and, of many images, evenly spaced ones."""
        some_nc = x_nc[:: max(len(x_nc) // SPREAD_IMAGES, 1)]
        total = 0.0
        for x in self._chunks(some_nc):
            p = self.logits(x).softmax(dim=1)
            total += (p * (1 - p)).sum().item()
        return total / len(some_nc) / len(self.classes)

    @property
    def _rows(self) -> int:
        return max(ROW_VALUES // len(self.classes), 1)

    def _chunks(self, x_nc: Tensor) -> tuple[Tensor, ...]:
        return x_nc.split(self._rows)


@dataclass(frozen=True)
class Scale:
    """Mean and deviation of each channel, float64 (c,); 1 where a channel does not vary."""

    mean: Tensor
    std: Tensor

    @classmethod
    def of(cls, x_nc: Tensor) -> Scale:
        """That of some features."""
        mean_c = x_nc.new_zeros(x_nc.shape[1], dtype=torch.float64)
        square_c = torch.zeros_like(mean_c)
        parts = x_nc.split(_rows_of(x_nc))
        for part in parts:
            mean_c += part.double().sum(dim=0) / len(x_nc)
        for part in parts:
            square_c += (part.double() - mean_c).square().sum(dim=0) / len(x_nc)
        std_c = square_c.sqrt()
        still_c = std_c <= LEAST_SPREAD * mean_c.abs()
        return cls(mean_c, torch.where(still_c, torch.ones_like(std_c), std_c))

    def __call__(
        self, x_nc: Tensor, order: Tensor | None = None, device: torch.device | None = None
    ) -> Tensor:
        """Features less the mean and divided by the deviation, in their own precision.

        Args:
            x_nc: features.
            order: numbers of the rows that are wanted.
            device: on which they come to lie; None: where they are.
        """
        rows_n = torch.arange(len(x_nc)) if order is None else order
        made = torch.empty(len(rows_n), x_nc.shape[1], dtype=x_nc.dtype, device=device)
        size = _rows_of(x_nc)
        for part, rows in zip(made.split(size), rows_n.split(size), strict=True):
            part.copy_((x_nc[rows].double() - self.mean) / self.std)
        return made


def standardize(train_nc: Tensor, *others: Tensor) -> list[Tensor]:
    """All in their own precision, each channel less its mean over ``train_nc`` and divided by its
    deviation.

    A channel that does not vary becomes 0 on ``train_nc``.
    """
    scale = Scale.of(train_nc)
    return [scale(one) for one in (train_nc, *others)]


def fit_logistic(
    x_nc: Tensor,
    labels_n: Tensor,
    l2: float,
    start: Logistic | None = None,
    iterations: int = 1000,
    tolerance: float | None = None,
) -> Logistic:
    """The classifier that minimises the mean cross-entropy + l2 / 2 |weight|^2; the bias is free.

    With l2 = 1 / (C n) it is that of scikit-learn's ``LogisticRegression(C=C)``, for three classes
    and more: weights agree to 1e-3 of the largest in float64, and in float32 to 1e-2 of it. It is
    fitted in the precision and on the device of ``x_nc``.

    Args:
        x_nc: standardised features.
        labels_n: int64, on the same device.
        start: from which it goes on, of the same classes; None: from 0.
        iterations: at most so many.
        tolerance: of the largest component of the gradient by ``V``; by default what the precision
            allows.
    """
    return _Problem(x_nc, labels_n).solved(l2, start, iterations, tolerance)


def choose_l2(
    x_nc: Tensor,
    labels_n: Tensor,
    held_x: Tensor,
    held_labels: Tensor,
    candidates: Sequence[float],
    iterations: int = 200,
) -> tuple[float, Logistic]:
    """The candidate of the highest accuracy on held-out images, and what it was fitted to; of
    equal ones, that of the lowest cross-entropy there. Every class of theirs is in ``labels_n``.
    """
    problem, fitted = _Problem(x_nc, labels_n), None
    scored: list[tuple[tuple[float, float], float, Logistic]] = []
    # From strong to weak, so that each begins near its end.
    for l2 in sorted(candidates, reverse=True):
        fitted = problem.solved(l2, fitted, iterations, SETTLED)
        loss = fitted.cross_entropy(held_x, held_labels)
        reached = accuracy(fitted.predict(held_x), held_labels), -loss
        scored.append((reached, l2, fitted))
    _, l2, fitted = max(scored, key=lambda one: one[0])
    return l2, fitted


class _Problem:
    """Features and classes, and how the loss of a classifier comes out on them."""

    def __init__(self, x_nc: Tensor, labels_n: Tensor) -> None:
        self.x_nc = x_nc
        self.classes, self.targets_n = labels_n.unique(return_inverse=True)
        self.moments_cc = x_nc.new_zeros(2 * [x_nc.shape[1]], dtype=torch.float64)
        for x in x_nc.split(_rows_of(x_nc)):
            self.moments_cc += (x.T @ x).double() / len(x_nc)

    def solved(
        self, l2: float, start: Logistic | None, iterations: int, tolerance: float | None
    ) -> Logistic:
        least = TOLERANCE[self.x_nc.dtype] if tolerance is None else tolerance
        if start is None:
            zero = self.x_nc.new_zeros(len(self.classes), self.x_nc.shape[1])
            start = Logistic(zero, zero[:, 0].clone(), self.classes)
        # Coordinates of a rough solution are rounder than those of where it began.
        for one in (max(ROUGH, least), least):
            start = self._moved(start, l2, iterations, one)
        return start

    def _moved(self, start: Logistic, l2: float, iterations: int, tolerance: float) -> Logistic:
        k = len(self.classes)
        ways = _Coordinates.of(self.moments_cc, max(start.spread(self.x_nc), 1e-4 / k), l2)

        def objective(v: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            weight, bias = ways.inward(v, k)
            loss, of_weight, of_bias = self._loss(weight, bias)
            penalty = l2 / 2 * weight.square().sum().item()
            return loss + penalty, ways.gradient(of_weight + l2 * weight, of_bias)

        begun = ways.outward(start.weight.double(), start.bias.double())
        limits = {"maxiter": iterations, "maxfun": 2 * iterations, "ftol": 0.0, "gtol": tolerance}
        options = {"maxcor": REMEMBERED, **limits}
        found: Any = minimize(objective, begun, jac=True, method="L-BFGS-B", options=options)
        weight, bias = ways.inward(found.x, k)
        return Logistic(weight.to(self.x_nc.dtype), bias.to(self.x_nc.dtype), self.classes)

    def _loss(self, weight: Tensor, bias: Tensor) -> tuple[float, Tensor, Tensor]:
        """Mean cross-entropy and its gradients, float64; products in the features' precision."""
        weight_kc, bias_k = weight.to(self.x_nc.dtype), bias.to(self.x_nc.dtype)
        loss = weight.new_zeros(())
        of_weight, of_bias = torch.zeros_like(weight_kc), torch.zeros_like(bias_k)
        rows = max(ROW_VALUES // len(bias), 1)
        for x, y in zip(self.x_nc.split(rows), self.targets_n.split(rows), strict=True):
            log_p = torch.addmm(bias_k, x, weight_kc.T).log_softmax(dim=1)
            loss -= log_p.gather(1, y[:, None]).sum(dtype=torch.float64)
            error = log_p.exp_()
            error.scatter_add_(1, y[:, None], error.new_full((len(y), 1), -1.0))
            of_weight.addmm_(error.T, x)
            of_bias += error.sum(dim=0)
        n = len(self.x_nc)
        return loss.item() / n, of_weight.double() / n, of_bias.double() / n


@dataclass(frozen=True)
class _Coordinates:
    """``V = W L`` and the bias by the root of h, as one vector of float64 on the host."""

    lower_cc: Tensor
    root: float

    @classmethod
    def of(cls, moments_cc: Tensor, h: float, l2: float) -> _Coordinates:
        # The moments are known to float32's precision alone.
        least = max(l2, 1e-5 * h * moments_cc.diagonal().mean().item())
        hessian = h * moments_cc
        hessian.diagonal().add_(least)
        # Where few directions have nearly all of the spread, rounding outweighs it. At the mean of
        # the eigenvalues, five steps on, there is a factor of all that is finite.
        for _ in range(5):
            lower_cc, failed = torch.linalg.cholesky_ex(hessian)
            if not failed:
                return cls(lower_cc, h**0.5)
            hessian.diagonal().add_(9 * least)
            least *= 10
        return cls(torch.linalg.cholesky(hessian), h**0.5)

    def outward(self, weight: Tensor, bias: Tensor) -> NDArray[np.float64]:
        return self._joined(weight @ self.lower_cc, bias * self.root)

    def inward(self, v: NDArray[np.float64], k: int) -> tuple[Tensor, Tensor]:
        whole = torch.from_numpy(v).to(self.lower_cc.device)
        v_kc, bias = whole[:-k].view(k, -1), whole[-k:] / self.root
        return torch.linalg.solve_triangular(self.lower_cc, v_kc, upper=False, left=False), bias

    def gradient(self, of_weight: Tensor, of_bias: Tensor) -> NDArray[np.float64]:
        upper = self.lower_cc.T
        of_v = torch.linalg.solve_triangular(upper, of_weight, upper=True, left=False)
        return self._joined(of_v, of_bias / self.root)

    @staticmethod
    def _joined(weight: Tensor, bias: Tensor) -> NDArray[np.float64]:
        joined: NDArray[np.float64] = torch.cat([weight.flatten(), bias]).cpu().numpy()
        return joined


def _rows_of(x_nc: Tensor) -> int:
    return max(ROW_VALUES // x_nc.shape[1], 1)
