"""Whether features fall into the classes of themselves: k-means on held-out images."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.metrics.cluster import contingency_matrix

from mvssl.arguments import check_count, check_seed
from mvssl.datasets.base import ImageDataset
from mvssl.errors import UserError
from mvssl.evaluation.base import Evaluator, Shown
from mvssl.evaluation.classes import Labels, check_classes, known_labels
from mvssl.evaluation.inputs import Inputs
from mvssl.registry import EVALUATORS

__all__ = ["Clustering", "matched_accuracy"]


def matched_accuracy(clusters: Labels, labels: Labels) -> float:
    """Fraction of images in [0, 1] whose cluster stands for their class, each cluster for one class
    and each class for one cluster, in the best possible way (Kuhn's Hungarian method).

    Args:
        clusters, labels: (N,), any numbers of them.
    """
    counts = contingency_matrix(labels, clusters)
    return float(counts[linear_sum_assignment(counts, maximize=True)].sum() / len(labels))


@EVALUATORS.register_module()
class Clustering(Evaluator):
    """k-means on the normalised features of the held-out images, compared with their classes.

    Labels play no part in the clusters. Results: ``cluster_accuracy``, of the best matching of
    clusters and classes (Xie et al. 2016, "Unsupervised Deep Embedding for Clustering Analysis");
    ``cluster_nmi``, the normalised mutual information (arithmetic mean), in [0, 1];
    ``cluster_ari``, the adjusted Rand index, 0 for chance and 1 at most.

    Args:
        clusters: k; by default as many as there are classes among the held-out images.
        starts: the best of so many is taken, by the distances to the centres.
        seed: of the starts.

    Raises:
        UserError: a number is out of its range; later, from ``check_data``: there are fewer
            held-out images than clusters, or they are of one class.
    """

    needs_labels: ClassVar[bool] = True

    def __init__(self, clusters: int | None = None, starts: int = 10, seed: int = 0) -> None:
        if clusters is not None:
            check_count("Clustering", 2, clusters=clusters)
        check_count("Clustering", starts=starts)
        check_seed("Clustering", seed=seed)
        self.clusters = clusters
        self.starts = starts
        self.seed = seed

    def check_data(self, train: ImageDataset, test: ImageDataset) -> None:
        # Nothing is learned from the training images.
        check_classes("Clustering", test, test)
        classes = len(np.unique(known_labels(test)))
        clusters = classes if self.clusters is None else self.clusters
        if clusters > len(test):
            raise UserError(
                f"Clustering: clusters is {clusters}, and there are {len(test)} held-out images "
                f"({test.describe()}): give clusters={classes}, say."
            )

    @property
    def results(self) -> Mapping[str, Shown]:
        return {
            "cluster_accuracy": Shown(
                "cluster accuracy", "accuracy", 3, "k-means clusters", "features"
            ),
            "cluster_nmi": Shown("NMI", "normalised mutual information"),
            "cluster_ari": Shown("ARI", "adjusted Rand index", listed=False),
        }

    @property
    def protocol(self) -> dict[str, Any]:
        clusters = "classes" if self.clusters is None else self.clusters
        return {"clusters": clusters, "starts": self.starts, "split": "test", "seed": self.seed}

    @property
    def short_protocol(self) -> str:
        return f"k={self.protocol['clusters']}, {self.starts} starts"

    def run(self, inputs: Inputs) -> dict[str, float]:
        labels = np.asarray(inputs.test.labels)
        clusters = self.clusters or len(np.unique(labels))
        x = F.normalize(inputs.test.x, dim=1).numpy()
        means = KMeans(clusters, n_init=self.starts, random_state=self.seed)
        with warnings.catch_warnings():
            # Fewer different features than clusters: a collapse, which the results tell.
            warnings.simplefilter("ignore", ConvergenceWarning)
            found = means.fit_predict(x).astype(np.int64)
        return {
            "cluster_accuracy": matched_accuracy(found, labels),
            "cluster_nmi": float(normalized_mutual_info_score(labels, found)),
            "cluster_ari": float(adjusted_rand_score(labels, found)),
        }
