from __future__ import annotations

import math

import pytest

from mvssl.schedules import cosine, linear, warmup_cosine


def test_cosine_runs_from_start_to_end() -> None:
    values = [cosine(0.9, 1.0, step, 11) for step in range(11)]
    assert values[0] == pytest.approx(0.9, abs=1e-15)
    assert values[5] == pytest.approx(0.95, abs=1e-15)
    assert values[-1] == 1.0
    assert values == sorted(values)
    # Grill et al. 2020: 1 - (1 - start) (cos(pi k / K) + 1) / 2.
    expected = [1 - 0.1 * (math.cos(math.pi * k / 10) + 1) / 2 for k in range(11)]
    assert values == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize(("step", "value"), [(-3, 2.0), (7, 5.0), (100, 5.0)])
def test_cosine_stays_at_its_ends_outside_of_the_run(step: int, value: float) -> None:
    assert cosine(2.0, 5.0, step, 8) == value


def test_cosine_of_one_step_is_its_start() -> None:
    assert cosine(0.3, 0.7, 0, 1) == pytest.approx(0.3)


def test_linear_is_a_straight_line_that_stays_at_its_ends() -> None:
    values = [linear(0.2, 1.2, step, 6) for step in range(-1, 8)]
    assert values == pytest.approx([0.2, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.2, 1.2])
    assert values[-1] == 1.2


def test_warmup_cosine_rises_linearly_then_falls_to_its_end() -> None:
    factors = [warmup_cosine(step, 20, 5, end=0.1) for step in range(20)]
    assert factors[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    tail = [0.1 + 0.9 * (1 + math.cos(math.pi * k / 14)) / 2 for k in range(15)]
    assert factors[5:] == pytest.approx(tail)


def test_no_warmup_starts_at_the_full_rate() -> None:
    assert warmup_cosine(0, 10, 0) == 1.0
    assert warmup_cosine(9, 10, 0) == pytest.approx(0.0, abs=1e-15)
