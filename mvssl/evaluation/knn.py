"""k-nearest-neighbour classification of frozen features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from mvssl.arguments import check_choice, check_count, check_temperature, each_of
from mvssl.datasets.base import ImageDataset
from mvssl.errors import UserError
from mvssl.evaluation.base import Evaluator, Shown
from mvssl.evaluation.classes import (
    accuracy,
    balanced_accuracy,
    check_classes,
    check_widths,
    unequal,
)
from mvssl.evaluation.features import Features
from mvssl.evaluation.inputs import Inputs
from mvssl.registry import EVALUATORS

__all__ = ["KNN", "knn_accuracy", "knn_predict", "knn_predict_each"]

USUAL_NEIGHBOURS = 20
VOTES = ("weighted", "majority")


def knn_predict(
    queries: Tensor,
    bank: Tensor,
    bank_labels: Tensor,
    num_classes: int,
    k: int = 20,
    temperature: float | None = 0.07,
    chunk_size: int = 1024,
) -> Tensor:
    """Class of every query by a vote of its k nearest neighbours (Wu et al. 2018, section 3.4).

    Neighbours are those of largest cosine similarity s; each votes for its class with weight
    ``exp(s / temperature)``. Of classes with equal votes the first is taken.

    Args:
        queries: (Q, C) features.
        bank: (N, C) features with classes ``bank_labels`` (N,) in [0, num_classes).
        k: number of neighbours, at most N.
        temperature: of the votes; None: all votes count alike.
        chunk_size: queries compared at once, which bounds the memory.

    Returns:
        (Q,) classes.
    """
    every = knn_predict_each(queries, bank, bank_labels, num_classes, [k], temperature, chunk_size)
    return every[0]


def knn_predict_each(
    queries: Tensor,
    bank: Tensor,
    bank_labels: Tensor,
    num_classes: int,
    ks: Sequence[int],
    temperature: float | None = 0.07,
    chunk_size: int = 1024,
) -> Tensor:
    """As :func:`knn_predict` for several numbers of neighbours, which are looked up once.

    Returns:
        (len(ks), Q) classes.
    """
    check_widths(queries, bank)
    bank = F.normalize(bank, dim=1)
    numbers = [min(k, len(bank)) for k in ks]
    predictions = []
    for chunk in F.normalize(queries, dim=1).split(chunk_size):
        similarity, neighbours = (chunk @ bank.T).topk(max(numbers), dim=1)
        weights = torch.ones_like(similarity)
        if temperature is not None:
            # exp(s - max s) leaves the vote as it is and cannot overflow.
            weights = ((similarity - similarity[:, :1]) / temperature).exp()
        classes = bank_labels[neighbours]
        nothing = weights.new_zeros(len(chunk), num_classes)
        votes = [nothing.scatter_add(1, classes[:, :k], weights[:, :k]) for k in numbers]
        predictions.append(torch.stack(votes).argmax(dim=2))
    return torch.cat(predictions, dim=1)


def knn_accuracy(
    bank: Features, queries: Features, k: int = 20, temperature: float | None = 0.07
) -> float:
    """Fraction of queries that :func:`knn_predict` classifies rightly, in [0, 1]."""
    return accuracy(_answers(bank, queries, [k], temperature)[0], queries.labels)


def _answers(
    bank: Features, queries: Features, ks: Sequence[int], temperature: float | None
) -> Tensor:
    num_classes = int(max(bank.labels.max(), queries.labels.max())) + 1
    return knn_predict_each(queries.x, bank.x, bank.labels, num_classes, ks, temperature)


@EVALUATORS.register_module()
class KNN(Evaluator):
    """Classifies held-out images by their nearest neighbours among the training images.

    The protocol is Wu et al. 2018's (weighted vote, cosine similarity). Results are ``knn_top1``,
    an accuracy in [0, 1], and ``knn_balanced``, the mean of the accuracies of the classes; of
    further numbers of neighbours ``knn_top1_k200``, and so on. Where all votes count alike they
    begin with ``knn_majority_``. The balanced ones are shown where classes differ in size.

    Args:
        k: number of neighbours, or several, of which the first is the main one; by default 20, or
            as many as there are training images.
        temperature: of the weighted votes.
        votes: ``weighted``, or ``majority``.

    Raises:
        UserError: a number is not positive, or there twice; later, from ``check_data``: ``k`` is
            more than there are training images, or these are of one class.
    """

    needs_labels: ClassVar[bool] = True

    def __init__(
        self,
        k: int | Sequence[int] | None = None,
        temperature: float = 0.07,
        votes: str = "weighted",
    ) -> None:
        check_temperature("KNN", temperature=temperature)
        check_choice("KNN", "votes", votes, VOTES)
        self.k = k
        self.ks: list[int] = each_of("KNN", check_count, k=USUAL_NEIGHBOURS if k is None else k)
        self.temperature = temperature
        self.votes = votes
        self._unequal = False

    def check_data(self, train: ImageDataset, test: ImageDataset) -> None:
        check_classes("KNN", train, test)
        if self.k is None:
            self.ks = [min(USUAL_NEIGHBOURS, len(train))]
        elif max(self.ks) > len(train):
            raise UserError(
                f"KNN: k is {max(self.ks)}, and there are {len(train)} training images to look "
                f"among: give k={max(len(train) // 10, 1)}, say."
            )
        self._unequal = unequal(test)

    @property
    def results(self) -> Mapping[str, Shown]:
        how = "kNN" if self.votes == "weighted" else "majority kNN"
        shown: dict[str, Shown] = {}
        for k, (top1, balanced) in zip(self.ks, self._names(), strict=True):
            # One panel, and one line of the console, for the main number of neighbours.
            panel = f"{how} accuracy" if k == self.ks[0] else None
            of_k = f" k={k}" * (len(self.ks) > 1)
            shown[top1] = Shown(f"{how} top-1{of_k}", "top-1 accuracy", 3, panel, "features")
            shown[balanced] = Shown(
                f"{how} balanced{of_k}", "mean of classes", listed=self._unequal
            )
        return shown

    def _names(self) -> list[tuple[str, str]]:
        start = "knn" if self.votes == "weighted" else "knn_majority"
        ends = ["", *(f"_k{k}" for k in self.ks[1:])]
        return [(f"{start}_top1{end}", f"{start}_balanced{end}") for end in ends]

    @property
    def protocol(self) -> dict[str, Any]:
        k = self.ks[0] if len(self.ks) == 1 else self.ks
        how = (
            {"temperature": self.temperature} if self.votes == "weighted" else {"votes": "majority"}
        )
        return {"k": k, **how}

    @property
    def short_protocol(self) -> str:
        k = ",".join(map(str, self.ks))
        return f"k={k}, " + (f"t={self.temperature:g}" if self.votes == "weighted" else "majority")

    def run(self, inputs: Inputs) -> dict[str, float]:
        temperature = self.temperature if self.votes == "weighted" else None
        answers = _answers(inputs.train, inputs.test, self.ks, temperature)
        results = {}
        for predicted, (top1, balanced) in zip(answers, self._names(), strict=True):
            results[top1] = accuracy(predicted, inputs.test.labels)
            results[balanced] = balanced_accuracy(predicted, inputs.test.labels)
        return results
