"""The benchmark of LinearProbe measures it and scikit-learn on the same features."""

from __future__ import annotations

import pytest

from mvssl.errors import UserError
from tests.mini import load_tool


def test_both_are_measured_and_reach_the_same() -> None:
    tool = load_tool("benchmarks/linear_probe")
    sets = tool.features(600, 12, 3, decay=1.0)
    assert [len(one.x) for one in sets] == [600, 120]
    rows = tool.measure(sets, repeats=1, path=[1e-3, 1.0], one=1e-3)
    named = {(row["task"], row["name"]): row for row in rows}
    assert set(named) == {(t, n) for t in ("one", "choice") for n in ("mvssl", "scikit-learn")}
    for task in ("one", "choice"):
        own, judge = named[task, "mvssl"], named[task, "scikit-learn"]
        assert judge["of_scikit_learn"] == 1
        assert own["of_scikit_learn"] == pytest.approx(own["seconds"] / judge["seconds"])
        assert own["accuracy"] == pytest.approx(judge["accuracy"], abs=0.02)
        assert own["l2"] == judge["l2"] == 1e-3


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--samples", "0"], "20 samples of each"),
        (["--classes", "1"], "2 classes or more"),
        (["--repeats", "0"], "repeats is"),
        (["--json", "."], "--json . is a folder"),
    ],
)
def test_bad_input_is_told_before_measuring(words: list[str], told: str) -> None:
    with pytest.raises(UserError, match=told):
        load_tool("benchmarks/linear_probe").main(words)
