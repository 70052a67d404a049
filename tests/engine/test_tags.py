"""Groups of scalars: every name that a run reports, and those of one's own."""

from __future__ import annotations

import re

import pytest

from mvssl.engine.tags import CHARTS, tag_of


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("entropy", "information"),
        ("entropy_trained", "information"),
        ("student_entropy", "information"),
        ("conditional_entropy", "information"),
        ("reconstruction", "information"),
        ("mi_bound", "information"),
        ("infonce", "information"),
        ("kl", "information"),
        ("features_mi_bound", "information"),
        ("features_rankme", "geometry"),
        ("rankme_cap", "geometry"),
        ("alignment", "geometry"),
        ("embedding_std", "geometry"),
        ("loss", "optim"),
        ("sigreg_loss", "optim"),
        ("lr", "optim"),
        ("teacher_momentum", "optim"),
        ("teacher_moved", "health"),
        ("healthy", "health"),
        ("images_per_second", "speed"),
        ("knn_top1", "eval"),
        ("knn_top1_pixels", "eval"),
        ("heldout_entropy", "eval"),
        ("klondike", "other"),
    ],
)
def test_a_name_stands_behind_its_group(name: str, group: str) -> None:
    assert tag_of(name, {"knn_top1", "heldout_entropy"}) == f"{group}/{name}"


def test_charts_hold_a_curve_with_its_limits() -> None:
    kind, patterns = CHARTS["information"]["entropy"]
    assert kind == "Multiline"
    names = ("entropy", "entropy_floor", "entropy_cap")
    assert [re.fullmatch(p, tag_of(n)) is not None for p, n in zip(patterns, names, strict=True)]
    assert not re.fullmatch(patterns[0], tag_of("entropy_trained"))
    assert "rankme" in CHARTS["geometry"]
