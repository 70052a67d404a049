"""Logistic regression on features, of all labels and of few."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, top_k_accuracy_score
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from mvssl.errors import UserError
from mvssl.evaluation import (
    Evaluator,
    Features,
    LinearProbe,
    LowShot,
    evaluate,
    fit_logistic,
    standardize,
)
from mvssl.evaluation.classes import split_classes
from mvssl.evaluation.logistic import choose_l2
from tests.evaluation.small import CountedDigits, Labelled, inputs_of, small_model
from tests.gloo_pool import GlooPool


def digits() -> tuple[Features, Features]:
    data = load_digits()
    x, y = torch.from_numpy(data.data).float(), torch.from_numpy(data.target).long()
    return Features(x[:500], y[:500]), Features(x[500:1200], y[500:1200])


def judge(x: Tensor, labels: Tensor, l2: float) -> LogisticRegression:
    """scikit-learn's, which sums the losses of the images where ours takes their mean."""
    asked = LogisticRegression(C=1 / (l2 * len(x)), tol=1e-9, max_iter=20_000)
    return asked.fit(x.numpy(), labels.numpy())


def centred(x: Any) -> Any:
    """A bias that all classes share changes nothing."""
    return x - x.mean(axis=0)


@pytest.mark.parametrize(("dtype", "part"), [(torch.float64, 1e-3), (torch.float32, 1e-2)])
@pytest.mark.parametrize("l2", [1.0, 1e-2, 1e-4])
def test_a_fit_is_that_of_scikit_learn(l2: float, dtype: torch.dtype, part: float) -> None:
    train, test = digits()
    x, asked = standardize(train.x.double(), test.x.double())
    found = fit_logistic(x.to(dtype), train.labels, l2)
    expected = judge(x, train.labels, l2)
    assert found.weight.dtype == dtype
    near = part * np.abs(expected.coef_).max()
    np.testing.assert_allclose(found.weight.numpy(), expected.coef_, atol=near)
    bias = centred(found.bias.numpy())
    np.testing.assert_allclose(bias, centred(expected.intercept_), atol=3 * near)
    same = found.predict(asked.to(dtype)).numpy() == expected.predict(asked)
    assert same.sum() >= len(same) - (dtype == torch.float32)  # one lies on an edge


def test_of_two_classes_the_penalty_is_shared_by_both() -> None:
    train, _ = digits()
    few = train.labels < 2
    (x,), labels = standardize(train.x[few].double()), train.labels[few]
    found, expected = fit_logistic(x, labels, 0.02), judge(x, labels, 0.01)
    difference = (found.weight[1] - found.weight[0]).numpy()
    np.testing.assert_allclose(difference, expected.coef_[0], atol=1e-4)


def test_the_gradient_at_the_end_is_zero_in_chunks_too(monkeypatch: pytest.MonkeyPatch) -> None:
    train, _ = digits()
    (x,) = standardize(train.x.double())
    whole = fit_logistic(x, train.labels, 0.01)
    monkeypatch.setattr("mvssl.evaluation.logistic.ROW_VALUES", 600)
    parts = fit_logistic(x, train.labels, 0.01)
    torch.testing.assert_close(parts.weight, whole.weight, rtol=0, atol=1e-5)
    p = torch.softmax(whole.logits(x), dim=1) - torch.nn.functional.one_hot(train.labels)
    gradient = p.T @ x / len(x) + 0.01 * whole.weight
    assert float(gradient.abs().max()) < 1e-6
    assert float(p.mean(dim=0).abs().max()) < 1e-6


def test_features_are_standardised_as_by_scikit_learn() -> None:
    train, test = digits()  # some pixels are always 0
    x, asked = standardize(train.x.double(), test.x.double())
    scaler = StandardScaler().fit(train.x.double())
    np.testing.assert_allclose(x, scaler.transform(train.x.double()), atol=1e-9)
    np.testing.assert_allclose(asked, scaler.transform(test.x.double()), atol=1e-9)
    far = torch.full((4, 1), 1e4) + torch.tensor([[0.0], [1e-3], [0.0], [1e-3]])
    assert float(standardize(far)[0].abs().max()) < 1e-2  # rounding errors stay small


def test_classes_may_have_any_numbers() -> None:
    train, test = digits()
    x, asked = standardize(train.x.double(), test.x.double())
    found = fit_logistic(x, train.labels * 7 + 3, 0.01)
    assert found.classes.tolist() == list(range(3, 73, 7))
    plain = fit_logistic(x, train.labels, 0.01)
    assert torch.equal(found.predict(asked), plain.predict(asked) * 7 + 3)


def test_results_are_those_of_scikit_learn() -> None:
    train, test = digits()
    probe = LinearProbe(l2=0.003)
    found = probe.run(inputs_of(train, test))
    assert set(found) == set(probe.results)
    x, asked = standardize(train.x.double(), test.x.double())
    expected = judge(x, train.labels, 0.003)
    scores = expected.decision_function(asked)
    assert found == {
        "linear_top1": pytest.approx(expected.score(asked, test.labels)),
        "linear_balanced": pytest.approx(
            balanced_accuracy_score(test.labels, expected.predict(asked))
        ),
        "linear_top5": pytest.approx(top_k_accuracy_score(test.labels, scores, k=5)),
        "linear_l2": 0.003,
    }


def test_few_classes_have_no_five_likeliest() -> None:
    train, test = (Features(x.x, x.labels % 5) for x in digits())
    assert "linear_top5" not in LinearProbe(l2=0.1).run(inputs_of(train, test))


def test_the_penalty_is_chosen_on_held_out_training_images() -> None:
    train, test = digits()
    grid = [10.0, 1e-1, 1e-3, 1e-5]
    found = LinearProbe(l2=grid, held_out=0.3).run(inputs_of(train, test))
    x, asked = standardize(train.x.double(), test.x.double())
    kept, out = split_classes(train.labels.numpy(), 0.3, 0)
    scores = {}
    for l2 in grid:
        one = judge(x[kept], train.labels[kept], l2)
        scores[l2] = one.score(x[out], train.labels[out])
    assert scores[found["linear_l2"]] == pytest.approx(max(scores.values()))
    assert len(set(scores.values())) > 1
    last = judge(x, train.labels, found["linear_l2"])
    assert found["linear_top1"] == pytest.approx(last.score(asked, test.labels))
    # What is asked plays no part in it.
    other = Features(test.x, (test.labels + 1) % 10)
    again = LinearProbe(l2=grid, held_out=0.3).run(inputs_of(train, other))
    assert again["linear_l2"] == found["linear_l2"]


def test_of_equal_accuracies_the_surer_one_is_chosen() -> None:
    x = torch.tensor([[-1.0], [-0.5], [0.5], [1.0]], dtype=torch.float64)
    y = torch.tensor([0, 0, 1, 1])
    chosen, fitted = choose_l2(x, y, x, y, [1.0, 1e-3, 0.1])
    assert chosen == 1e-3
    direct = fit_logistic(x, y, 1e-3)
    torch.testing.assert_close(fitted.weight, direct.weight, rtol=1e-2, atol=0)


@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.5])
def test_a_part_of_every_class_is_held_out(fraction: float) -> None:
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 4], [2, 20, 300]))
    kept, out = split_classes(labels, fraction, 3)
    assert sorted([*kept, *out]) == list(range(322))
    numbers = [int((labels[out] == one).sum()) for one in (0, 1, 4)]
    assert numbers == [max(round(fraction * n), 1) for n in (2, 20, 300)]
    again = split_classes(labels, fraction, 3)[1]
    other = split_classes(labels, fraction, 4)[1]
    assert (again.tolist() == out.tolist(), other.tolist() == out.tolist()) == (True, False)


def test_low_shot_is_mean_and_deviation_over_draws_of_each_class() -> None:
    train, test = digits()
    low = LowShot(fractions=[0.1], per_class=[1, 5], draws=3, l2=0.02, seed=4)
    found = low.run(inputs_of(train, test))
    assert list(found) == list(low.results)
    x, asked = standardize(train.x.double(), test.x.double())
    for name, number in (("lowshot_10pct", None), ("lowshot_1", 1), ("lowshot_5", 5)):
        reached = []
        for draw in range(3):
            generator, chosen = np.random.default_rng([4, draw]), []
            for one in range(10):
                members = generator.permutation(np.flatnonzero(train.labels == one))
                chosen += members[: number or round(len(members) / 10)].tolist()
            fitted = judge(x[chosen], train.labels[chosen], 0.02)
            reached.append(fitted.score(asked, test.labels))
        assert found[name] == pytest.approx(np.mean(reached), abs=1e-3)
        assert found[f"{name}_std"] == pytest.approx(np.std(reached, ddof=1), abs=1e-3)
    assert found["lowshot_1"] < found["lowshot_5"] < found["lowshot_10pct"] + 0.1
    assert LowShot([], [2], draws=1).run(inputs_of(train, test))["lowshot_2_std"] == 0


def test_a_share_of_a_small_class_is_an_image() -> None:
    train, test = digits()
    found = LowShot([0.001], [1]).run(inputs_of(train, test))
    assert found["lowshot_0.1pct"] == found["lowshot_1"]


@pytest.mark.parametrize("kind", [LinearProbe, LowShot])
def test_what_cannot_be_fitted_is_told(kind: type[Evaluator]) -> None:
    with pytest.raises(UserError, match=rf"^{kind.__name__} tells .* the class 'c1' alone"):
        kind().check_data(Labelled([1, 1]), Labelled([0, 1]))
    with pytest.raises(UserError, match=rf"^{kind.__name__}: 1 image of .* has no label"):
        kind().check_data(Labelled([0, 1, -1]), Labelled([0, 1]))


def test_too_few_images_of_a_class_are_told() -> None:
    train = Labelled([0, 0, 1, 2, 2])
    with pytest.raises(UserError, match=r"^LinearProbe holds out .* the class 'c1' has 1 \(some"):
        LinearProbe().check_data(train, train)
    LinearProbe(l2=0.1).check_data(train, train)  # nothing is chosen
    with pytest.raises(UserError, match=r"^LowShot: per_class asks for 2 .* 'c1' has 1 \(some"):
        LowShot(per_class=[1, 2]).check_data(train, train)
    LowShot(per_class=[1]).check_data(train, train)


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (LinearProbe, {"l2": []}),
        (LinearProbe, {"l2": [0.1, 0.1]}),
        (LinearProbe, {"l2": [0.1, 0.0]}),
        (LinearProbe, {"held_out": 0.9}),
        (LowShot, {"fractions": [0.1, 1.5]}),
        (LowShot, {"fractions": [0.1, 0.1]}),
        (LowShot, {"fractions": []}),
        (LowShot, {"per_class": [0]}),
        (LowShot, {"per_class": "5"}),
    ],
)
def test_their_numbers_are_checked(kind: type[Evaluator], wrong: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=f"^{kind.__name__}: .*{next(iter(wrong))}"):
        kind(**wrong)


def test_protocols_tell_what_was_chosen_on_what() -> None:
    told = LinearProbe(l2=[0.1, 0.01]).protocol
    assert told == {"features": "standardised", "l2": [0.1, 0.01], "chosen_on": "0.1 of train"}
    assert LinearProbe().short_protocol == "l2 of 8 by 0.1 of train"
    assert LinearProbe(l2=0.1).short_protocol == "l2=0.1"
    assert LowShot(draws=3).short_protocol == "3 draws, l2=0.01"
    low = [one.label for one in LowShot(per_class=[5]).results.values() if one.listed]
    assert low == ["1 % labels", "10 % labels", "5 a class"]


def _on_this_rank() -> dict[str, float]:
    train, test = CountedDigits(test_fraction=0.05), CountedDigits(test_fraction=0.03)
    evaluators = [LinearProbe(), LowShot(per_class=[2])]
    return evaluate(small_model(), evaluators, train, test, batch_size=16)


def test_two_processes_give_what_one_gives(run_distributed: GlooPool) -> None:
    alone = _on_this_rank()
    assert {"linear_top1", "lowshot_2"} <= set(alone)
    for found in run_distributed(_on_this_rank, 2):
        assert found == pytest.approx(alone, abs=0.02)  # an image on the edge may fall either way


def test_a_probe_of_few_images_that_are_nearly_alike() -> None:
    """One direction has nearly all of the spread, and rounding of it outweighs the ridge."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(300) % 3
    first = torch.randn(300, 1, generator=generator) + y[:, None]
    x = first * torch.rand(2048, generator=generator)
    (x,) = standardize(x + 0.5 * torch.randn(300, 2048, generator=generator))
    found = fit_logistic(x, y, l2=1e-6)
    assert float((found.predict(x) == y).float().mean()) > 0.95
    assert math.isfinite(found.cross_entropy(x, y))


def test_a_probe_of_what_is_not_finite_ends_at_once() -> None:
    x = torch.randn(30, 6)
    x[3, 2] = torch.nan
    with pytest.raises(torch.linalg.LinAlgError):
        fit_logistic(x, torch.arange(30) % 3, l2=1e-3)
