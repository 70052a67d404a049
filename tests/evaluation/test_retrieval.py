"""Search of images of one class."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.metrics import average_precision_score
from sklearn.metrics.pairwise import cosine_similarity
from torch import Tensor

from mvssl.errors import UserError
from mvssl.evaluation import Features, Retrieval, average_precision, evaluate, evaluate_pixels
from tests.evaluation.small import CountedDigits, Labelled, inputs_of, small_model
from tests.gloo_pool import GlooPool


def digits() -> tuple[Features, Features]:
    data = load_digits()
    x, y = torch.from_numpy(data.data).float(), torch.from_numpy(data.target).long()
    return Features(x[:300], y[:300]), Features(x[300:450], y[300:450])


def by_hand(similarity: Any, relevant: Any) -> float:
    """The precision at the rank of every relevant image, one after the other."""
    order = np.argsort(-similarity, kind="stable")
    found, precisions = 0, []
    for rank, image in enumerate(order, start=1):
        if relevant[image]:
            found += 1
            precisions.append(found / rank)
    return float(np.mean(precisions))


def test_results_are_those_of_scikit_learn_and_of_a_loop() -> None:
    bank, asked = digits()
    found = Retrieval(k=(1, 5, 10)).run(inputs_of(bank, asked))
    similarity = cosine_similarity(asked.x.double(), bank.x.double())
    relevant = (asked.labels[:, None] == bank.labels).numpy()
    rows = list(zip(similarity, relevant, strict=True))
    judged = [average_precision_score(hits, scores) for scores, hits in rows]
    assert found["map"] == pytest.approx(np.mean(judged), abs=1e-5)
    assert found["map"] == pytest.approx(np.mean([by_hand(*row) for row in rows]), abs=1e-5)
    for k in (1, 5, 10):
        first = [hits[np.argsort(-scores)[:k]].any() for scores, hits in rows]
        assert found[f"recall_{k}"] == pytest.approx(np.mean(first))
    assert list(found) == list(Retrieval().results)
    assert found["recall_1"] < found["recall_5"] <= found["recall_10"] <= 1


def test_the_size_of_the_chunks_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    bank, asked = digits()
    whole = Retrieval().run(inputs_of(bank, asked))
    monkeypatch.setattr("mvssl.evaluation.retrieval.PAIRS", 7 * 300)
    assert Retrieval().run(inputs_of(bank, asked)) == pytest.approx(whole)


@pytest.mark.parametrize("seed", range(5))
def test_images_that_are_equally_similar_share_a_rank(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, hits = rng.integers(0, 4, (6, 30)) / 4, rng.random((6, 30)) < 0.3
    found = average_precision(torch.from_numpy(scores), torch.from_numpy(hits))
    expected = [average_precision_score(y, s) for s, y in zip(scores, hits, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_collapse_reaches_the_share_of_the_class_whatever_the_order() -> None:
    x: Tensor = torch.ones(20, 4)
    labels = torch.tensor([0] * 5 + [1] * 15)
    found = Retrieval(k=[1]).run(inputs_of(Features(x, labels), Features(x, labels)))
    assert found["map"] == pytest.approx((5 * 0.25 + 15 * 0.75) / 20)


def test_a_class_that_is_not_there_is_not_found() -> None:
    bank = Features(torch.eye(3), torch.tensor([0, 1, 0]))
    asked = Features(torch.eye(3)[:2], torch.tensor([0, 9]))
    found = Retrieval(k=[3]).run(inputs_of(bank, asked))
    assert found["recall_3"] == 0.5
    assert found["map"] == pytest.approx((1 + 2 / 3) / 2 / 2)


def test_at_most_so_many_images_are_asked() -> None:
    bank, asked = digits()
    half = Features(asked.x[::2], asked.labels[::2])
    some = Retrieval(images=75).run(inputs_of(bank, asked))
    assert some == Retrieval().run(inputs_of(bank, half))


def test_it_runs_on_pixels_too() -> None:
    train, test = CountedDigits(test_fraction=0.03), CountedDigits()
    found = evaluate_pixels([Retrieval(k=[1])], train, test)
    assert set(found) == {"map_pixels", "recall_1_pixels"}
    assert 0.3 < found["map_pixels"] < 1


def test_what_cannot_be_searched_is_told() -> None:
    two = Labelled([0, 1])
    for k in ([], [1, 1], [0]):
        with pytest.raises(UserError, match=r"^Retrieval: k is "):
            Retrieval(k=k)
    with pytest.raises(UserError, match=r"^Retrieval: k is 10, and there are 2 training images"):
        Retrieval().check_data(two, two)
    with pytest.raises(UserError, match=r"^Retrieval tells .* are of the class 'c1' alone"):
        Retrieval().check_data(Labelled([1, 1]), two)


def _on_this_rank() -> dict[str, float]:
    train, test = CountedDigits(test_fraction=0.05), CountedDigits(test_fraction=0.03)
    return evaluate(small_model(), [Retrieval(k=[1, 5])], train, test, batch_size=16)


def test_two_processes_give_what_one_gives(run_distributed: GlooPool) -> None:
    alone = _on_this_rank()
    assert {"map", "recall_1", "recall_5"} <= set(alone)
    for found in run_distributed(_on_this_rank, 2):
        assert found == pytest.approx(alone, abs=1e-3)
