"""The benchmark of the monitors takes steps with and without them."""

from __future__ import annotations

import math

import pytest

from tests.mini import load_tool


def test_it_compares_plain_with_measured_steps() -> None:
    row = load_tool("benchmarks/monitors").compare(batch_size=16, steps=3)
    assert row["batch_size"] == 16
    assert row["step_ms"] > 0
    assert math.isfinite(row["measurement_ms"])
    assert row["cost_at_5"] == pytest.approx(10 * row["cost_at_50"])
