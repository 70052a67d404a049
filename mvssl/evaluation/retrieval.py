"""Search: held-out images are asked for images of their class among the training images.

Shape suffixes: q queries, n images of the bank.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from mvssl.arguments import check_count, each_of
from mvssl.datasets.base import ImageDataset
from mvssl.errors import UserError
from mvssl.evaluation.base import Evaluator, Shown
from mvssl.evaluation.classes import check_classes
from mvssl.evaluation.features import Features
from mvssl.evaluation.inputs import Inputs
from mvssl.evaluation.records import spread
from mvssl.registry import EVALUATORS

__all__ = ["Retrieval", "average_precision", "found_among_first"]

PAIRS = 2**24  # similarities at once


def average_precision(similarity_qn: Tensor, relevant_qn: Tensor) -> Tensor:
    """Average precision of each query (q,), in [0, 1]; 0 where nothing is relevant.

    The sum over ranks of (recall gained) x (precision there), without interpolation. Images that
    are equally similar share one rank, so that their order plays no part.

    Args:
        similarity_qn: by which the bank is ranked, the largest first.
        relevant_qn: bool.
    """
    sorted_qn, order_qn = similarity_qn.sort(dim=1, descending=True)
    hits_qn = relevant_qn.gather(1, order_qn).double()
    ranks_n = torch.arange(1, hits_qn.shape[1] + 1, dtype=torch.float64, device=hits_qn.device)
    precision_qn = hits_qn.cumsum(dim=1) / ranks_n
    # The precision at a rank is that at the last of its images.
    places_n = torch.arange(hits_qn.shape[1], device=hits_qn.device)
    more_qn = F.pad(sorted_qn[:, 1:] == sorted_qn[:, :-1], (0, 1))
    ends_qn = torch.where(more_qn, hits_qn.shape[1], places_n).flip(1).cummin(dim=1).values.flip(1)
    gained_q = (hits_qn * precision_qn.gather(1, ends_qn)).sum(dim=1)
    return gained_q / hits_qn.sum(dim=1).clamp_min(1)


def found_among_first(similarity_qn: Tensor, relevant_qn: Tensor, k: int) -> Tensor:
    """Whether one of the k most similar images is relevant, for each query (q,)."""
    nearest_qk = similarity_qn.topk(k, dim=1).indices
    return relevant_qn.gather(1, nearest_qk).any(dim=1)


@EVALUATORS.register_module()
class Retrieval(Evaluator):
    """Finds training images of the class of a held-out image, by cosine similarity.

    Results are means over held-out images: ``map``, the mean average precision over all training
    images, and ``recall_1``, ``recall_5``, ...: whether an image of the class is among the first k
    (Recall@K of Jegou et al. 2011, as Oh Song et al. 2016 use it for classes). An image whose class
    no training image has counts as not found.

    Args:
        k: how many of the first images are looked at.
        images: the most held-out images that are asked, evenly spaced over the data set.

    Raises:
        UserError: a number is out of its range or there twice; later, from ``check_data``: ``k`` is
            more than there are training images, or these are of one class.
    """

    needs_labels: ClassVar[bool] = True

    def __init__(self, k: int | Sequence[int] = (1, 5, 10), images: int = 10_000) -> None:
        check_count("Retrieval", images=images)
        self.k: list[int] = each_of("Retrieval", check_count, k=k)
        self.images = images

    def check_data(self, train: ImageDataset, test: ImageDataset) -> None:
        check_classes("Retrieval", train, test)
        if max(self.k) > len(train):
            raise UserError(
                f"Retrieval: k is {max(self.k)}, and there are {len(train)} training images to "
                f"search: give k=[1], say."
            )

    @property
    def results(self) -> Mapping[str, Shown]:
        shown = {
            "map": Shown("mAP", "mean average precision", 3, "Retrieval", "features"),
        }
        return shown | {
            f"recall_{k}": Shown(f"recall@{k}", "found", listed=k == self.k[0]) for k in self.k
        }

    @property
    def protocol(self) -> dict[str, Any]:
        return {"k": self.k, "images": self.images}

    @property
    def short_protocol(self) -> str:
        return "test among train, cosine"

    def run(self, inputs: Inputs) -> dict[str, float]:
        bank = inputs.train
        asked = _evenly(inputs.test, self.images)
        rows = max(PAIRS // len(bank.x), 1)
        unit_nc = F.normalize(bank.x, dim=1)
        precisions, found = [], []
        for x, labels in zip(asked.x.split(rows), asked.labels.split(rows), strict=True):
            similarity = F.normalize(x, dim=1) @ unit_nc.T
            relevant = labels[:, None] == bank.labels
            precisions.append(average_precision(similarity, relevant))
            found.append(
                torch.stack([found_among_first(similarity, relevant, k) for k in self.k], dim=1)
            )
        recalls = torch.cat(found).double().mean(dim=0).tolist()
        return {
            "map": torch.cat(precisions).mean().item(),
            **{f"recall_{k}": value for k, value in zip(self.k, recalls, strict=True)},
        }


def _evenly(features: Features, most: int) -> Features:
    chosen = spread(len(features.x), most)
    return Features(features.x[chosen], features.labels[chosen])
