"""Draws: repeatable, uniform, independent, and with torchvision's ranges."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from mvssl.views import View, build_views
from mvssl.views.draws import uniforms
from tests.views.drawing import draw, draws

N = 4000


def _ids(count: int = N) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros(count, dtype=np.int64), np.arange(count)


@pytest.mark.parametrize("varied", ["seed", "epoch", "index", "stream", "slot"])
def test_numbers_are_uniform_and_uncorrelated_along_every_axis(varied: str) -> None:
    zero, along = _ids()
    if varied == "seed":
        u = np.concatenate([uniforms(seed, zero[:1], zero[:1], 0, 1) for seed in range(N)])
    elif varied == "stream":
        u = np.concatenate([uniforms(0, zero[:1], zero[:1], view, 1) for view in range(N)])
    elif varied == "epoch":
        u = uniforms(0, along, zero, 0, 1)
    elif varied == "index":
        u = uniforms(0, zero, along, 0, 1)
    else:
        u = uniforms(0, zero[:1], zero[:1], 0, N)
    u = u.ravel()

    assert u.min() >= 0
    assert u.max() < 1
    assert stats.kstest(u, "uniform").pvalue > 1e-3
    assert stats.pearsonr(u[:-1], u[1:]).pvalue > 1e-3


def test_slots_are_pairwise_independent() -> None:
    u = uniforms(7, *_ids(20_000), 1, 12)
    correlation = np.corrcoef(u.T) - np.eye(12)
    assert np.abs(correlation).max() < 5 / np.sqrt(20_000)


def test_first_slots_do_not_depend_on_how_many_follow() -> None:
    few, many = uniforms(3, *_ids(5), 0, 4), uniforms(3, *_ids(5), 0, 40)
    np.testing.assert_array_equal(few, many[:, :4])


def test_any_integer_is_a_seed() -> None:
    ones = [uniforms(seed, *_ids(1), 0, 1).item() for seed in (-1, 0, 2**63, 2**64 - 2)]
    assert len(set(ones)) == 4


def test_a_sample_draws_the_same_alone_and_in_any_batch() -> None:
    view = build_views("simclr", 32)[0]
    epoch, index = np.array([3, 3, 4, 0]), np.array([17, 5, 17, 123456])
    batch = draws(view, 1, 9, epoch, index, 40, 60)
    for row in range(4):
        alone = draws(view, 1, 9, epoch[row : row + 1], index[row : row + 1], 40, 60)
        for (operation, one), (_, all_) in zip(alone, batch, strict=True):
            for name, values in one.items():
                told = f"{operation.name} {name}"
                np.testing.assert_array_equal(values[0], all_[name][row], err_msg=told)


def test_seed_epoch_sample_and_view_all_change_the_draw() -> None:
    view = View.flat(32, brightness=0.4)

    def factor(number: int, seed: int, epoch: int, index: int) -> float:
        drawn = draw(view, number, seed, np.array([epoch]), np.array([index]), 32, 32)
        return float(drawn.jitter["brightness"][0])

    cases = [(0, 0, 0, 0), (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)]
    assert len({factor(*case) for case in cases}) == len(cases)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (48, 64), (500, 375)])
def test_crop_boxes_lie_inside_and_keep_area_and_ratio(height: int, width: int) -> None:
    view = View.flat(32, crop_scale=(0.2, 0.7), crop_ratio=(0.8, 1.5))
    drawn = SimpleNamespace(**draw(view, 0, 0, *_ids(), height, width).crop)

    assert (drawn.top >= 0).all()
    assert (drawn.top + drawn.height <= height).all()
    assert (drawn.left >= 0).all()
    assert (drawn.left + drawn.width <= width).all()
    # Sides are rounded to pixels, by up to half of one.
    least = (drawn.height + 0.5) * (drawn.width + 0.5) / (height * width)
    most = (drawn.height - 0.5) * (drawn.width - 0.5) / (height * width)
    assert least.min() >= 0.2
    assert most.max() <= 0.7
    assert ((drawn.width + 0.5) / (drawn.height - 0.5)).min() >= 0.8
    assert ((drawn.width - 0.5) / (drawn.height + 0.5)).max() <= 1.5
    # Every position is possible, the borders included.
    room = height - drawn.height
    assert (drawn.top[room > 0] == 0).any()
    assert (drawn.top == room)[room > 0].any()


def test_crop_positions_are_uniform() -> None:
    view = View.flat(32, crop_scale=(0.2, 0.3))
    drawn = SimpleNamespace(**draw(view, 0, 0, *_ids(), 3000, 3000).crop)
    for start, length in ((drawn.top, drawn.height), (drawn.left, drawn.width)):
        assert stats.kstest((start + 0.5) / (3001 - length), "uniform").pvalue > 1e-3
    assert stats.pearsonr(drawn.top, drawn.left).pvalue > 1e-3


def test_crop_area_is_uniform() -> None:
    view = View.flat(32, crop_scale=(0.1, 0.4), crop_ratio=(1.0, 1.0))
    drawn = SimpleNamespace(**draw(view, 0, 0, *_ids(), 1000, 1000).crop)
    area = drawn.height * drawn.width / 1e6
    assert stats.kstest(area, stats.uniform(0.1, 0.3).cdf).pvalue > 1e-3


@pytest.mark.parametrize(
    ("height", "width", "box"),
    [
        (10, 100, (0, 43, 10, 13)),  # too wide: the whole height, 4/3 of it as width
        (100, 10, (43, 0, 13, 10)),  # too high: the whole width, 4/3 of it as height
    ],
)
def test_central_crop_where_no_box_fits(height: int, width: int, box: tuple[int, ...]) -> None:
    view = View.flat(32, crop_scale=(0.9, 1.0))
    drawn = SimpleNamespace(**draw(view, 0, 0, *_ids(50), height, width).crop)
    top, left, tall, wide = (
        set(x.tolist()) for x in (drawn.top, drawn.left, drawn.height, drawn.width)
    )
    assert (top, left, tall, wide) == tuple({value} for value in box)


def test_whole_image_where_only_it_fits() -> None:
    view = View.flat(8, crop_scale=(1.0, 1.0), crop_ratio=(1.0, 1.0))
    drawn = SimpleNamespace(**draw(view, 0, 0, *_ids(9), 21, 21).crop)
    for values, wanted in ((drawn.top, 0), (drawn.left, 0), (drawn.height, 21), (drawn.width, 21)):
        assert (values == wanted).all()


def test_orders_are_uniform_permutations() -> None:
    view = View.flat(32, brightness=0.1, contrast=0.1, saturation=0.1, hue=0.1)
    jitter = draw(view, 0, 0, *_ids(24_000), 32, 32).jitter
    counts = Counter(map(tuple, jitter["order"].tolist()))
    assert len(counts) == 24
    assert all(sorted(order) == [0, 1, 2, 3] for order in counts)
    assert stats.chisquare(list(counts.values())).pvalue > 1e-3


@pytest.mark.parametrize(
    ("name", "p"), [("flip", 0.3), ("gray", 0.2), ("blur", 0.6), ("solarize", 0.1)]
)
def test_probabilities(name: str, p: float) -> None:
    named: dict[str, Any] = {name: p}
    happened = getattr(draw(View.flat(32, **named), 0, 0, *_ids(), 32, 32), name)["on"]
    assert stats.binomtest(int(happened.sum()), N, p).pvalue > 1e-3


def test_jitter_factors_have_torchvisions_ranges() -> None:
    view = View.flat(32, brightness=0.4, contrast=1.5, saturation=0.2, hue=0.1, jitter_prob=0.8)
    jitter = draw(view, 0, 0, *_ids(), 32, 32).jitter
    on = jitter["on"]
    assert stats.binomtest(int(on.sum()), N, 0.8).pvalue > 1e-3
    ranges = {
        "brightness": (0.6, 1.4),
        "contrast": (0.0, 2.5),
        "saturation": (0.8, 1.2),
        "hue": (-0.1, 0.1),
    }
    for name, (low, high) in ranges.items():
        factor = jitter[name]
        assert stats.kstest(factor[on], stats.uniform(low, high - low).cdf).pvalue > 1e-3


def test_blur_sigma_is_uniform_in_its_range() -> None:
    view = View.flat(32, blur=1.0, blur_sigma=(0.5, 1.5))
    sigma = draw(view, 0, 0, *_ids(), 32, 32).blur["sigma"]
    assert stats.kstest(sigma, stats.uniform(0.5, 1.0).cdf).pvalue > 1e-3


def test_numbers_stay_the_same_between_versions() -> None:
    """Written down once, from the published splitmix64 in plain integers (below)."""
    mask = 2**64 - 1

    def mix(x: int) -> int:
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & mask
        x = (x ^ (x >> 27)) * 0x94D049BB133111EB & mask
        return x ^ (x >> 31)

    golden = 0x9E3779B97F4A7C15
    key = mix(5 + golden & mask)
    for part in (2, 77, 1):
        key = mix((key ^ part) + golden & mask)
    wanted = [(mix(key + slot * golden & mask) >> 11) / 2**53 for slot in (1, 2, 3)]
    got = uniforms(5, np.array([2]), np.array([77]), 1, 3)[0]
    np.testing.assert_array_equal(got, wanted)
    # The first output of splitmix64 with seed 0, as published with it.
    assert mix(golden) == 0xE220A8397B1DCDAF
