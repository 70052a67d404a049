from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch.utils.data import default_collate

from mvssl.datasets import Digits
from mvssl.distributed import world_size
from mvssl.engine.generators import seed_everything
from mvssl.engine.loaders import REPEAT, EpochSampler, build_loader
from mvssl.errors import UserError
from mvssl.views import MultiViewPreprocessor
from tests.gloo_pool import GlooPool

Keys = list[list[tuple[int, int]]]


def _batches(epoch: int, num_samples: int, batch_size: int, seed: int = 5) -> Keys:
    """What this rank sees at every step: (index, epoch)."""
    dataset = Digits("test", 8)
    dataset._labels = None
    dataset._chosen = dataset._chosen[:num_samples]
    loader = build_loader(dataset, batch_size, seed)
    assert isinstance(loader.sampler, EpochSampler)
    loader.sampler.set_epoch(epoch)
    return [list(zip(b["index"].tolist(), b["epoch"].tolist(), strict=True)) for b in loader]


@pytest.mark.parametrize("world", [2, 4])
def test_the_ranks_slices_of_a_step_are_the_batch_of_one_process(
    run_distributed: GlooPool, world: int
) -> None:
    alone = _batches(3, 43, 8)
    ranks = run_distributed(_batches, world, 3, 43, 8)
    assert [len(steps) for steps in ranks] == [5] * world
    for step, batch in enumerate(alone):
        assert [key for steps in ranks for key in steps[step]] == batch


def test_an_epoch_is_whole_batches_of_different_samples() -> None:
    steps = _batches(0, 43, 8)
    seen = [index for step in steps for index, _ in step]
    assert len(seen) == len(set(seen)) == 40
    assert {len(step) for step in steps} == {8}
    assert {epoch for step in steps for _, epoch in step} == {0}


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    orders = [_batches(epoch, 43, 8, seed) for epoch, seed in ((0, 5), (1, 5), (0, 6))]
    indices = [[i for step in order for i, _ in step] for order in orders]
    assert indices[0] != indices[1]
    assert indices[0] != indices[2]
    torch.manual_seed(99)
    assert _batches(0, 43, 8) == orders[0]


def test_all_samples_come_up_over_epochs() -> None:
    seen = {i for epoch in range(12) for step in _batches(epoch, 43, 8) for i, _ in step}
    assert seen == set(range(43))


def test_workers_change_nothing() -> None:
    dataset = Digits("test", 8)
    plain, many = (build_loader(dataset, 64, 0, n) for n in (0, 2))
    for a, b in zip(plain, many, strict=True):
        assert torch.equal(a["index"], b["index"])
        assert torch.equal(a["image"], b["image"])


@pytest.mark.parametrize("batch_size", [0, -8, 2.5, True, "64"])
def test_a_batch_size_is_a_positive_number(batch_size: int) -> None:
    with pytest.raises(UserError, match="batch_size is a positive number, got"):
        build_loader(Digits("test", 8), batch_size, 0)


def test_a_batch_larger_than_the_data_is_refused() -> None:
    with pytest.raises(UserError, match=r"is 361, but the data set holds 360 images: lower it"):
        build_loader(Digits("test", 8), 361, 0)
    assert len(build_loader(Digits("test", 8), 360, 0)) == 1


def _refusal() -> str:
    with pytest.raises(UserError) as caught:
        build_loader(Digits("test", 8), 9, 0)
    return str(caught.value)


def test_a_batch_that_does_not_divide_among_the_processes(run_distributed: GlooPool) -> None:
    for told in run_distributed(_refusal, 2):
        assert "9 does not divide among 2. Give a multiple of 2." in told


def test_one_seed_serves_all_generators() -> None:
    import random

    import numpy as np

    draws = []
    for _ in range(2):
        seed_everything(11)
        draws.append((random.random(), np.random.rand(), torch.rand(1).item()))
    assert draws[0] == draws[1]


def _balanced_keys(epoch: int, labels: list[int] | None, batch_size: int = 8) -> Keys:
    sampler = EpochSampler(43, batch_size, seed=5)
    sampler.balance(None if labels is None else torch.tensor(labels))
    sampler.set_epoch(epoch)
    keys = list(sampler)
    own = len(keys) // (43 // batch_size)
    return [keys[start : start + own] for start in range(0, len(keys), own)]


# Clusters of 30, 0, 9, 3 and 1 samples.
LABELS = [0] * 30 + [2] * 9 + [3] * 3 + [4]


def test_a_balanced_epoch_draws_uniformly_over_the_clusters() -> None:
    keys = [key for step in _balanced_keys(2, LABELS) for key in step]
    counts = torch.bincount(torch.tensor([LABELS[index] for index, _ in keys]), minlength=5)
    assert counts.tolist() == [10, 0, 10, 10, 10]
    assert len(set(keys)) == len(keys) == 40  # no view is shown twice
    for label, size in ((0, 30), (2, 9), (3, 3), (4, 1)):
        drawn = [index for index, _ in keys if LABELS[index] == label]
        times = [drawn.count(index) for index in set(drawn)]
        assert len(times) == min(size, 10)
        assert max(times) - min(times) <= 1  # without replacement until all have come up
    assert [epoch for index, epoch in keys if index == 42].count(2 + 9 * REPEAT) == 1
    assert {epoch for index, epoch in keys if index == 42} == {2 + r * REPEAT for r in range(10)}


def test_a_balanced_epoch_depends_on_seed_and_epoch_alone() -> None:
    torch.manual_seed(1)
    first = _balanced_keys(2, LABELS)
    torch.manual_seed(2)
    assert _balanced_keys(2, LABELS) == first
    assert _balanced_keys(3, LABELS) != first
    uneven = [_balanced_keys(epoch, LABELS, batch_size=14) for epoch in range(9)]
    extra = {sum(LABELS[i] == 0 for step in keys for i, _ in step) for keys in uneven}
    assert extra == {10, 11}  # 42 samples among 4 clusters


def test_balance_can_be_taken_back() -> None:
    sampler = EpochSampler(43, 8, seed=5)
    plain = list(sampler)
    sampler.balance(torch.tensor(LABELS))
    assert list(sampler) != plain
    sampler.balance(None)
    assert list(sampler) == plain


def test_ranks_share_a_balanced_batch(run_distributed: GlooPool) -> None:
    alone = _balanced_keys(3, LABELS)
    ranks = run_distributed(_balanced_keys, 2, 3, LABELS)
    for step, batch in enumerate(alone):
        assert [key for steps in ranks for key in steps[step]] == batch


@pytest.mark.parametrize("engine", ["host", "device"])
def test_an_image_that_comes_up_again_shows_other_views(engine: str) -> None:
    dataset = Digits("test", 16)
    preprocessor = MultiViewPreprocessor("byol", 16, engine=engine)
    dataset.view_transform = preprocessor.host_transform()
    keys = [(5, 1), (5, 1 + REPEAT), (5, 1 + 999 * REPEAT), (5, 1)]
    views = preprocessor(default_collate([dataset[key] for key in keys]), True)["inputs"][0]
    assert torch.equal(views[0], views[3])
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert not torch.allclose(views[a], views[b], atol=0.05)


# Shards that are read nearly in order.

SHARDS = np.array([0, 30, 37, 100, 101])
SAMPLES = 150


def _windowed(window: int, epoch: int = 2, seed: int = 5, skip: int = 0, batch: int = 8) -> Keys:
    """What this rank sees at every step."""
    sampler = EpochSampler(SAMPLES, batch, seed, window, SHARDS)
    sampler.set_epoch(epoch)
    sampler.skip = skip
    keys, share = list(sampler), batch // world_size()
    return [keys[n : n + share] for n in range(0, len(keys), share)]


def _indices(steps: Keys) -> list[int]:
    return [index for step in steps for index, _ in step]


def _in_shards(indices: list[int]) -> list[int]:
    return (np.searchsorted(SHARDS, indices, side="right") - 1).tolist()


@pytest.mark.parametrize("window", [1, 2, 10, 64, 149, 150, 10_000])
def test_a_window_gives_every_sample_once_and_near_its_place(window: int) -> None:
    for epoch in range(20):
        order = _indices(_windowed(window, epoch, batch=1))
        assert sorted(order) == list(range(SAMPLES))
        # The shards' order, by where their samples are on average.
        in_shards = np.array(_in_shards(order))
        if window < 3:
            means = [np.flatnonzero(in_shards == one).mean() for one in range(len(SHARDS))]
            turns = np.argsort(means)
            pieces = np.split(np.arange(SAMPLES), SHARDS[1:])
            places = np.argsort(np.concatenate([pieces[one] for one in turns]))
            assert np.abs(places[order] - np.arange(SAMPLES)).max() < window
        # No shard is left for longer than a window and come back to.
        for one in range(len(SHARDS)):
            found = np.flatnonzero(in_shards == one)
            assert found[-1] - found[0] < len(found) + 2 * window


def test_a_window_of_one_reads_shards_in_order() -> None:
    order = _indices(_windowed(1, batch=1))
    pieces = [order[n : n + 1] for n in range(SAMPLES)]
    runs = 1 + sum(after[0] != before[0] + 1 for before, after in itertools.pairwise(pieces))
    assert runs <= len(SHARDS)
    assert order != list(range(SAMPLES))


def test_windows_shuffle_and_every_shard_may_come_first() -> None:
    orders = [_indices(_windowed(10, epoch, batch=1)) for epoch in range(60)]
    assert {_in_shards(order[:1])[0] for order in orders} == set(range(len(SHARDS)))
    assert len({tuple(order) for order in orders}) == 60
    # Neighbours of a shard are as often one way round as the other.
    first = sum(order.index(60) < order.index(61) for order in orders)
    assert 15 <= first <= 45
    # Any two that are less than a window apart may be exchanged, in one epoch or another.
    assert any(order.index(68) < order.index(60) for order in orders)


def test_the_order_in_windows_depends_on_seed_and_epoch_alone() -> None:
    torch.manual_seed(1)
    first = _windowed(16)
    torch.manual_seed(2)
    assert _windowed(16) == first
    assert _indices(_windowed(16, epoch=3)) != _indices(first)
    assert _windowed(16, seed=6) != first


@pytest.mark.parametrize("world", [2, 4])
def test_windows_are_split_among_ranks_as_any_order(run_distributed: GlooPool, world: int) -> None:
    alone = _windowed(16)
    ranks = run_distributed(_windowed, world, 16)
    for step, batch in enumerate(alone):
        assert [key for steps in ranks for key in steps[step]] == batch


@pytest.mark.parametrize("batch", [8, 4])
def test_a_resumed_epoch_goes_on_in_its_windows(batch: int) -> None:
    """Also with another batch."""
    whole = _indices(_windowed(16, batch=8))
    rest = _indices(_windowed(16, skip=48, batch=batch))
    assert rest[: len(whole) - 48] == whole[48:]


def test_windows_are_for_shards() -> None:
    with pytest.raises(UserError, match=r"shuffle_window is for data sets in shards.*Digits has"):
        build_loader(Digits("test", 8), 8, seed=0, shuffle_window=100)
