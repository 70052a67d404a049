"""Weighted k-nearest-neighbour classification of frozen features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from mvssl.arguments import check_count, check_temperature
from mvssl.datasets.base import ImageDataset
from mvssl.errors import UserError
from mvssl.evaluation.base import Evaluator, Shown
from mvssl.evaluation.features import Features
from mvssl.evaluation.inputs import Inputs
from mvssl.registry import EVALUATORS

__all__ = ["KNN", "knn_accuracy", "knn_predict"]

USUAL_NEIGHBOURS = 20


def knn_predict(
    queries: Tensor,
    bank: Tensor,
    bank_labels: Tensor,
    num_classes: int,
    k: int = 20,
    temperature: float = 0.07,
    chunk_size: int = 1024,
) -> Tensor:
    """Class of every query by a vote of its k nearest neighbours (Wu et al. 2018, section 3.4).

    Neighbours are those of largest cosine similarity s; each votes for its class with weight
    ``exp(s / temperature)``.

    Args:
        queries: (Q, C) features.
        bank: (N, C) features with classes ``bank_labels`` (N,) in [0, num_classes).
        k: number of neighbours, at most N.
        chunk_size: queries compared at once, which bounds the memory.

    Returns:
        (Q,) classes.
    """
    bank = F.normalize(bank, dim=1)
    k = min(k, len(bank))
    predictions = []
    for chunk in F.normalize(queries, dim=1).split(chunk_size):
        similarity, neighbours = (chunk @ bank.T).topk(k, dim=1)
        # exp(s - max s) leaves the vote as it is and cannot overflow.
        weights = ((similarity - similarity[:, :1]) / temperature).exp()
        votes = weights.new_zeros(len(chunk), num_classes)
        votes.scatter_add_(1, bank_labels[neighbours], weights)
        predictions.append(votes.argmax(dim=1))
    return torch.cat(predictions)


def knn_accuracy(
    bank: Features, queries: Features, k: int = 20, temperature: float = 0.07
) -> float:
    """Fraction of queries that :func:`knn_predict` classifies rightly, in [0, 1]."""
    num_classes = int(max(bank.labels.max(), queries.labels.max())) + 1
    predicted = knn_predict(queries.x, bank.x, bank.labels, num_classes, k, temperature)
    return (predicted == queries.labels).double().mean().item()


@EVALUATORS.register_module()
class KNN(Evaluator):
    """Classifies held-out images by their nearest neighbours among the training images.

    The protocol is Wu et al. 2018's (weighted vote, cosine similarity); the result is
    ``knn_top1``, an accuracy in [0, 1].

    Args:
        k: number of neighbours; by default 20, or as many as there are training images.
        temperature: of the votes.

    Raises:
        UserError: a number is not positive; later, from ``check_data``: ``k`` is more than there
            are training images.
    """

    needs_labels: ClassVar[bool] = True

    def __init__(self, k: int | None = None, temperature: float = 0.07) -> None:
        if k is not None:
            check_count("KNN", k=k)
        check_temperature("KNN", temperature=temperature)
        self.k = k
        self.temperature = temperature

    def check_data(self, train: ImageDataset, test: ImageDataset) -> None:
        if self.k is not None and self.k > len(train):
            raise UserError(
                f"KNN: k is {self.k}, and there are {len(train)} training images to look among: "
                f"give k={max(len(train) // 10, 1)}, say (evaluation.evaluators.<name>.k)."
            )

    @property
    def results(self) -> Mapping[str, Shown]:
        return {
            "knn_top1": Shown("kNN top-1", "top-1 accuracy", panel="kNN accuracy", curve="features")
        }

    @property
    def protocol(self) -> dict[str, Any]:
        return {"k": self.k or USUAL_NEIGHBOURS, "temperature": self.temperature}

    @property
    def short_protocol(self) -> str:
        return f"k={self.k or USUAL_NEIGHBOURS}, t={self.temperature:g}"

    def run(self, inputs: Inputs) -> dict[str, float]:
        k = self.k or min(USUAL_NEIGHBOURS, len(inputs.train.x))
        accuracy = knn_accuracy(inputs.train, inputs.test, k, self.temperature)
        return {"knn_top1": accuracy}
