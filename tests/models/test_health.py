"""What is said of figures."""

from __future__ import annotations

import numpy as np
import pytest

from mvssl.errors import UserError
from mvssl.models.health import Limits, change, diagnose, worse
from mvssl.models.remedies import Method

BYOL = Method(head="PairHead", loss="CosineSimilarityLoss", predictor=True, momentum=0.99, lr=1e-3)
WELL = {
    "embedding_std": 0.08,
    "embedding_std_cap": 0.0884,
    "rankme": 41.0,
    "rankme_cap": 64.0,
    "weights_moved": 0.02,
    "teacher_moved": 0.01,
}
PROTOTYPES = {
    "entropy": 3.0,
    "conditional_entropy": 1.0,
    "information": 2.0,
    "mi_ceiling": 4.16,
    "entropy_cap": 5.5,
}


@pytest.mark.parametrize(
    ("figures", "kind", "told"),
    [
        ({}, "healthy", "rank 41 of 64: healthy"),
        ({"rankme": 3.0}, "healthy", "rank 3.0 of 64: healthy, though in few dimensions"),
        ({"weights_moved": 0.0}, "nothing learnt", "those of the start"),
        ({"weights_moved": 3e-7}, "nothing learnt", "moved by 3e-07"),
        ({"teacher_moved": 0.0}, "dead teacher", "where it started"),
        ({"embedding_std": 0.004}, "complete collapse", "5% of what it could be"),
        ({"embedding_std": 1e-7}, "complete collapse", "less than 1%"),
        ({"rankme": 1.6}, "dimensional collapse", "rank 1.6 of 64"),
        ({"rankme": 9.0, "rankme_cap": 2048.0}, "dimensional collapse", "rank 9.0 of 2048"),
        (PROTOTYPES, "healthy", "healthy"),
        (
            PROTOTYPES | {"entropy": 0.01, "conditional_entropy": 0.0, "information": 0.01},
            "prototype collapse",
            "same few prototypes",
        ),
        (
            PROTOTYPES | {"entropy": 5.4, "conditional_entropy": 5.39, "information": 0.01},
            "prototype collapse",
            "spread alike",
        ),
    ],
)
def test_each_kind_is_told_from_its_figures(
    figures: dict[str, float], kind: str, told: str
) -> None:
    diagnosis = diagnose(WELL | figures, {}, BYOL)
    assert (diagnosis.kind, diagnosis.is_fault) == (kind, kind != "healthy")
    assert told in diagnosis.sentence
    assert bool(diagnosis.remedies) == diagnosis.is_fault


def test_limits_are_those_that_batch_and_width_allow() -> None:
    # Four images: a rank of 1.9 says nothing.
    assert diagnose(WELL | {"rankme": 1.9, "rankme_cap": 4.0}, {}, BYOL).kind == "healthy"
    # A wide embedding has a small deviation in each dimension.
    wide = {"embedding_std": 0.01, "embedding_std_cap": 4096**-0.5}
    assert diagnose(WELL | wide, {}, BYOL).kind == "healthy"


def test_nothing_is_said_of_what_was_not_measured() -> None:
    assert diagnose({"loss": 1.0}, {}, BYOL).kind == "unknown"
    assert diagnose({"weights_moved": 0.0}, {}, BYOL).kind == "nothing learnt"


def test_a_dimensional_collapse_alone_may_pass() -> None:
    assert diagnose(WELL | {"rankme": 1.2}, {}, BYOL).may_pass
    assert not diagnose(WELL | {"embedding_std": 0.0}, {}, BYOL).may_pass


def test_equal_images_are_the_first_thing_to_say() -> None:
    diagnosis = diagnose(WELL | {"embedding_std": 0.0}, {}, BYOL, images_differ=False)
    assert diagnosis.kind == "equal images"


def test_outcomes_that_do_not_change_are_nothing_learnt() -> None:
    still = dict.fromkeys(["loss", "rankme", "embedding_std", "infonce"], 1.0)
    assert diagnose(WELL, still, BYOL).kind == "nothing learnt"
    assert diagnose(WELL, still | {"loss": 8.0}, BYOL).kind == "healthy"
    assert diagnose(WELL, {"loss": 1.0}, BYOL).kind == "healthy"  # one says too little


def test_change_is_in_standard_errors() -> None:
    noise = np.array([1.0, -1.0, 0.5, -0.5, 0.0])
    error = np.sqrt(2 * noise.var(ddof=1) / 5)
    middle = np.full(3, 100.0)
    assert change(np.concatenate([noise, middle, noise + 2 * error])) == pytest.approx(2.0)
    assert change(np.ones(9)) is None
    assert change(np.ones(10)) == 0.0


@pytest.mark.parametrize(
    ("method", "cause"),
    [
        (Method(loss="CosineSimilarityLoss", predictor=False), "no predictor"),
        (Method(loss="CosineSimilarityLoss", predictor=True, momentum=0.0), "keeps 0 of itself"),
        (
            Method(loss="CosineSimilarityLoss", predictor=True, settings={"stop_gradient": False}),
            "carry a gradient",
        ),
        (Method(loss="VICRegLoss", settings={"var": 0.0}), "variance"),
        (Method(head="ERHead", settings={"entropy_weight": 0.0}), "entropy counts 0"),
        (Method(loss="NTXentLoss", lr=10.0), "learning rate of 1.0e+01"),
    ],
)
def test_causes_are_those_of_the_method(method: Method, cause: str) -> None:
    diagnosis = diagnose(WELL | {"embedding_std": 0.0}, {}, method)
    assert cause in diagnosis.causes[0]
    er = any("--objective er" in remedy for remedy in diagnosis.remedies)
    assert er == (method.head != "ERHead")


def test_limits_come_from_a_config() -> None:
    assert Limits.of({"directions": 1.5}).directions == 1.5
    with pytest.raises(UserError, match="no limit 'rnk'; did you mean 'rank'"):
        Limits.of({"rnk": 1.0})
    with pytest.raises(UserError, match="spread is a number"):
        Limits.of({"spread": -1.0})


@pytest.mark.parametrize(
    ("before", "after", "images", "told"),
    [
        (0.836, 0.702, 359, "kNN fell by 0.134 in training, from 0.836 to 0.702"),
        (0.7996, 0.6804, 359, "fell by 0.120"),  # the difference of what is shown
        (0.836, 0.800, 359, None),  # 1.3 standard errors of the two shares
        (0.836, 0.800, 10_000, "fell by 0.036"),
        (0.836, 0.902, 10_000, None),
        (1.0, 1.0, 5, None),
    ],
)
def test_a_fall_beyond_chance_is_a_fault(
    before: float, after: float, images: int, told: str | None
) -> None:
    found = worse(before, after, images, BYOL)
    assert (found is None) == (told is None)
    if found is not None and told is not None:
        assert found.is_fault
        assert told in found.sentence
        assert found.causes
        assert found.remedies
    # Twice the standard error of the difference of two proportions, from 100,000 draws.
    draws = np.random.default_rng(0).binomial(images, [[before], [after]], (2, 100_000)) / images
    assert (told is not None) == (before - after > 2 * (draws[0] - draws[1]).std())
