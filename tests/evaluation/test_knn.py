from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.metrics import balanced_accuracy_score, recall_score
from sklearn.neighbors import KNeighborsClassifier

from mvssl.errors import UserError
from mvssl.evaluation import (
    KNN,
    Features,
    balanced_accuracy,
    class_accuracies,
    knn_accuracy,
    knn_predict,
    knn_predict_each,
)
from tests.evaluation.small import Labelled, inputs_of


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    data = load_digits()
    return torch.from_numpy(data.data), torch.from_numpy(data.target).long()


@pytest.mark.parametrize(("k", "temperature"), [(1, 0.07), (5, 0.5), (20, 0.07), (50, 0.02)])
def test_predictions_are_those_of_scikit_learn(k: int, temperature: float) -> None:
    x, y = digits()
    bank, labels, queries = x[:600], y[:600], x[600:900]

    def weights(distance: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.exp((1.0 - distance) / temperature)

    judge = KNeighborsClassifier(k, weights=weights, metric="cosine").fit(bank, labels)
    found = knn_predict(queries, bank, labels, 10, k, temperature)
    assert (found.numpy() == judge.predict(queries)).mean() == 1.0


def test_the_chunk_size_changes_nothing() -> None:
    x, y = digits()
    whole = knn_predict(x[500:700], x[:500], y[:500], 10)
    assert torch.equal(whole, knn_predict(x[500:700], x[:500], y[:500], 10, chunk_size=7))


def test_k_beyond_the_bank_takes_all_of_it() -> None:
    bank = torch.eye(3)
    found = knn_predict(bank, bank, torch.tensor([2, 0, 1]), 3, k=100)
    assert found.tolist() == [2, 0, 1]


def test_a_low_temperature_does_not_overflow() -> None:
    bank = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.8, 0.2]])
    found = knn_predict(bank[:1], bank, torch.tensor([1, 0, 0]), 2, k=3, temperature=1e-4)
    assert found.tolist() == [1]


def test_weights_outvote_numbers() -> None:
    """Two far neighbours of class 0 against a near one of class 1."""
    bank = torch.nn.functional.normalize(
        torch.tensor([[1.0, 0.05], [0.5, 1.0], [0.5, -1.0]]), dim=1
    )
    labels = torch.tensor([1, 0, 0])
    query = torch.tensor([[1.0, 0.0]])
    assert knn_predict(query, bank, labels, 2, k=3, temperature=0.07).tolist() == [1]
    assert knn_predict(query, bank, labels, 2, k=3, temperature=100.0).tolist() == [0]


def test_accuracy_is_the_fraction_of_right_answers() -> None:
    bank = Features(torch.eye(4), torch.tensor([0, 1, 2, 3]))
    queries = Features(torch.eye(4), torch.tensor([0, 1, 3, 2]))
    assert knn_accuracy(bank, queries, k=1) == 0.5
    unseen = Features(torch.eye(4), torch.tensor([0, 1, 2, 9]))  # a class the bank has not
    assert knn_accuracy(bank, unseen, k=1) == 0.75


@pytest.mark.parametrize("temperature", [0.1, None])
def test_several_numbers_of_neighbours_are_those_of_each_alone(temperature: float | None) -> None:
    x, y = digits()
    found = knn_predict_each(x[500:700], x[:500], y[:500], 10, [7, 1, 90], temperature)
    for row, k in zip(found, (7, 1, 90), strict=True):
        alone = knn_predict(x[500:700], x[:500], y[:500], 10, k, temperature)
        assert torch.equal(row, alone)


@pytest.mark.parametrize("k", [1, 10, 100])
def test_a_majority_is_that_of_scikit_learn_and_of_a_count_by_hand(k: int) -> None:
    x, y = digits()
    bank, labels, queries = x[:600], y[:600], x[600:900]
    found = knn_predict(queries, bank, labels, 10, k, temperature=None)
    judge = KNeighborsClassifier(k, weights="uniform", metric="cosine").fit(bank, labels)
    assert found.tolist() == judge.predict(queries).tolist()
    for row in (0, 17, 299):
        a, b = queries[row].numpy(), bank.numpy()
        cosine = b @ a / np.linalg.norm(b, axis=1) / np.linalg.norm(a)
        nearest = np.argsort(-cosine)[:k]
        assert found[row] == np.bincount(labels.numpy()[nearest], minlength=10).argmax()


def of(x: torch.Tensor, y: torch.Tensor) -> Features:
    return Features(x.float(), y)


def test_results_are_named_by_k_and_by_votes() -> None:
    x, y = digits()
    bank, asked = of(x[:600], y[:600]), of(x[600:900], y[600:900])
    found = given(bank, asked, KNN(k=(10, 20, 200)))
    assert list(found) == [
        f"knn_{name}{end}" for end in ("", "_k20", "_k200") for name in ("top1", "balanced")
    ]
    for k, name in ((10, "knn_top1"), (20, "knn_top1_k20"), (200, "knn_top1_k200")):
        assert found[name] == knn_accuracy(bank, asked, k)
    assert list(given(bank, asked, KNN(k=10))) == ["knn_top1", "knn_balanced"]
    majority = KNN(k=[200], votes="majority")
    assert given(bank, asked, majority)["knn_majority_top1"] == knn_accuracy(bank, asked, 200, None)
    assert majority.protocol == {"k": 200, "votes": "majority"}
    assert KNN(k=(10, 20)).protocol == {"k": [10, 20], "temperature": 0.07}
    assert KNN(k=(10, 20)).short_protocol == "k=10,20, t=0.07"
    shown = KNN(k=(10, 20)).results
    assert [one.label for one in shown.values() if one.listed] == [
        "kNN top-1 k=10",
        "kNN top-1 k=20",
    ]
    assert [one.panel is not None for one in shown.values()] == [True, False, False, False]


def given(bank: Features, asked: Features, knn: KNN) -> dict[str, float]:
    found = knn.run(inputs_of(bank, asked))
    assert list(found) == list(knn.results)
    return found


def test_who_always_answers_the_large_class_is_balanced_to_one_half() -> None:
    """95 : 5, and neighbours that know nothing."""
    bank = Features(torch.ones(100, 3), torch.tensor([0] * 95 + [1] * 5))
    found = given(bank, bank, KNN(k=20))
    assert found == {"knn_top1": 0.95, "knn_balanced": 0.5}


def test_balanced_accuracy_is_that_of_scikit_learn() -> None:
    x, y = digits()
    keep = (y != 3) | (torch.arange(len(y)) % 7 == 0)
    x, y = x[keep], y[keep]
    bank, asked = of(x[:600], y[:600]), of(x[600:900], y[600:900])
    predicted = knn_predict(asked.x, bank.x, bank.labels, 10, 50)
    expected = balanced_accuracy_score(asked.labels, predicted)
    assert given(bank, asked, KNN(k=50))["knn_balanced"] == pytest.approx(expected)
    each = recall_score(asked.labels, predicted, average=None)
    assert class_accuracies(predicted, asked.labels).tolist() == pytest.approx(each.tolist())


def test_a_class_without_images_has_no_accuracy() -> None:
    found = class_accuracies(torch.tensor([0, 2]), torch.tensor([0, 2]), 4)
    assert found.isnan().tolist() == [False, True, False, True]
    assert balanced_accuracy(torch.tensor([0, 0]), torch.tensor([0, 2])) == 0.5


def test_balanced_accuracy_is_shown_where_classes_differ_in_size() -> None:
    even, uneven = Labelled([0, 0, 0, 1, 1]), Labelled([0] * 5 + [1] * 2)
    for test, listed in ((even, False), (uneven, True), (even, False)):
        knn = KNN()
        knn.check_data(even, test)
        assert knn.results["knn_balanced"].listed == listed


@pytest.mark.parametrize("k", [(), (5, 5), (5, 0), "5", [1.5]])
def test_neighbours_are_counts_that_differ(k: Any) -> None:
    with pytest.raises(UserError, match="KNN: k is "):
        KNN(k=k)


def test_what_cannot_be_told_apart_is_told() -> None:
    two = Labelled([0, 1])
    with pytest.raises(UserError, match=r"^KNN: votes is "):
        KNN(votes="most")
    with pytest.raises(UserError, match=r"^KNN: k is 3, and there are 2 training images"):
        KNN(k=(1, 3)).check_data(two, two)
    with pytest.raises(
        UserError, match=r"^KNN tells classes apart, .* the class 'c4' alone \(some"
    ):
        KNN().check_data(Labelled([4, 4, 4]), two)
    with pytest.raises(UserError, match=r"^KNN: 2 images of some images have no label"):
        KNN().check_data(two, Labelled([0, -1, -1]))


def test_features_of_unequal_width_are_refused() -> None:
    with pytest.raises(UserError, match=r"unequal width .* 5 x 8 and 9 x 16"):
        knn_predict(torch.randn(5, 8), torch.randn(9, 16), torch.zeros(9, dtype=torch.long), 1)
