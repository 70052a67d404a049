"""k-means on features against classes."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from mvssl.errors import UserError
from mvssl.evaluation import Clustering, Features, evaluate, matched_accuracy
from tests.evaluation.small import CountedDigits, Labelled, inputs_of, small_model
from tests.gloo_pool import GlooPool


def digits() -> Features:
    data = load_digits()
    return Features(
        torch.from_numpy(data.data[:400]).float(), torch.from_numpy(data.target[:400]).long()
    )


@pytest.mark.parametrize(("clusters", "classes"), [(4, 4), (3, 5), (5, 3)])
def test_the_matching_is_the_best_of_all(clusters: int, classes: int) -> None:
    rng = np.random.default_rng(clusters)
    found, labels = rng.integers(0, clusters, 60), rng.integers(0, classes, 60)
    side = max(clusters, classes)
    best = max(np.mean(np.array(way)[found] == labels) for way in permutations(range(side)))
    assert matched_accuracy(found, labels) == pytest.approx(best)
    assert matched_accuracy(found * 7 + 2, labels + 30) == pytest.approx(best)


def test_results_are_those_of_scikit_learn() -> None:
    test = digits()
    found = Clustering(starts=4, seed=3).run(inputs_of(test, test))
    unit = test.x.numpy() / np.linalg.norm(test.x.numpy(), axis=1, keepdims=True)
    clusters = KMeans(10, n_init=4, random_state=3).fit_predict(unit)
    assert found == {
        "cluster_accuracy": pytest.approx(matched_accuracy(clusters, test.labels.numpy())),
        "cluster_nmi": pytest.approx(normalized_mutual_info_score(test.labels, clusters)),
        "cluster_ari": pytest.approx(adjusted_rand_score(test.labels, clusters)),
    }
    assert list(found) == list(Clustering().results)
    assert found["cluster_accuracy"] > 0.5
    assert found == Clustering(starts=4, seed=3).run(inputs_of(test, test))


def test_classes_that_lie_apart_are_found_whatever_their_numbers() -> None:
    labels = torch.tensor([7, 2, 2, 9, 7, 9, 2])
    near = torch.eye(10)[labels] + 0.01 * torch.randn(7, 10, generator=torch.manual_seed(0))
    test = Features(near, labels)
    found = Clustering().run(inputs_of(test, test))
    assert found == {name: pytest.approx(1.0) for name in found}
    assert Clustering(clusters=2).run(inputs_of(test, test))["cluster_accuracy"] < 1


def test_a_collapse_is_chance_without_a_warning() -> None:
    test = Features(torch.ones(30, 3), torch.arange(30) % 3)
    found = Clustering().run(inputs_of(test, test))
    assert found == {
        "cluster_accuracy": pytest.approx(1 / 3),
        "cluster_nmi": pytest.approx(0),
        "cluster_ari": pytest.approx(0),
    }


def test_what_cannot_be_clustered_is_told() -> None:
    two = Labelled([0, 1])
    for clusters in (1, 0):
        with pytest.raises(UserError, match=r"^Clustering: clusters is "):
            Clustering(clusters=clusters)
    with pytest.raises(UserError, match=r"clusters is 3, and there are 2 held-out images \(some"):
        Clustering(clusters=3).check_data(two, two)
    with pytest.raises(UserError, match=r"^Clustering tells .* are of the class 'c1' alone"):
        Clustering().check_data(two, Labelled([1, 1]))
    Clustering().check_data(Labelled([1, 1]), two)


def test_its_protocol_tells_k_and_starts() -> None:
    assert Clustering().short_protocol == "k=classes, 10 starts"
    assert Clustering(7, 3).protocol == {"clusters": 7, "starts": 3, "split": "test", "seed": 0}


def _on_this_rank() -> dict[str, float]:
    train, test = CountedDigits(test_fraction=0.05), CountedDigits(test_fraction=0.03)
    return evaluate(small_model(), [Clustering(starts=4)], train, test, batch_size=16)


def test_two_processes_give_what_one_gives(run_distributed: GlooPool) -> None:
    alone = _on_this_rank()
    assert {"cluster_accuracy", "cluster_nmi", "cluster_ari"} <= set(alone)
    for found in run_distributed(_on_this_rank, 2):
        assert found == pytest.approx(alone, abs=1e-3)
