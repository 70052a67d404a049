"""Loading and measuring draw nothing from the generators that a step draws from."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mvssl.datasets import Digits
from mvssl.engine.generators import (
    check_generator_states,
    generator_states,
    seed_everything,
    seed_loader,
    set_generator_states,
)
from mvssl.engine.loaders import EpochSampler, build_loader
from mvssl.evaluation.features import pixel_features


class Noisy(Digits):
    """Draws from every global generator while it reads an image."""

    def read(self, index: int) -> NDArray[np.uint8]:
        noise = random.randrange(9) + int(np.random.randint(9)) + int(torch.randint(9, ()))
        return super().read(index) // 2 + np.uint8(noise)


def draws() -> list[float]:
    return [
        random.random(),
        float(np.random.rand()),
        float(np.random.randn()),
        float(torch.rand(1)),
    ]


def test_states_that_are_put_back_draw_the_same() -> None:
    seed_everything(3)
    draws()
    states = generator_states()
    first = draws()
    draws()
    set_generator_states(states)
    assert draws() == first


def test_of_the_devices_a_process_keeps_the_state_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("another process's device")

    state, found = torch.arange(16, dtype=torch.uint8), list[torch.Tensor]()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_rng_state_all", refuse)
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda: state)
    monkeypatch.setattr(torch.cuda, "set_rng_state", found.append)
    set_generator_states(generator_states())
    assert len(found) == 1
    assert torch.equal(found[0], state)


@pytest.mark.parametrize("part", ["python", "numpy", "torch", "cuda"])
def test_states_that_are_none_fail_before_they_are_needed(part: str) -> None:
    states, before = generator_states(), draws()
    set_generator_states(states)
    with pytest.raises((AttributeError, KeyError, TypeError, ValueError)):
        check_generator_states({name: one for name, one in states.items() if name != part})
    if part != "cuda":
        with pytest.raises((AttributeError, TypeError, ValueError)):
            check_generator_states(states | {part: "none"})
    assert draws() == before


@pytest.mark.parametrize("num_workers", [0, 2])
def test_loading_takes_one_number_an_epoch_whatever_the_workers(num_workers: int) -> None:
    loader = build_loader(Digits("test", 16), 120, seed=1, num_workers=num_workers)
    found = []
    for _ in range(2):
        seed_everything(5)
        seed_loader(loader)
        for _ in loader:
            pass
        found.append(draws())
    seed_everything(5)
    torch.empty((), dtype=torch.int64).random_()
    assert found == [draws()] * 2


def test_measuring_takes_none() -> None:
    seed_everything(5)
    pixel_features(Digits("test", 16))
    found = draws()
    seed_everything(5)
    assert draws() == found


def _images(skip: int) -> list[Any]:
    """Images of epoch 4 after those that are left out, made by two new workers."""
    loader = build_loader(Noisy("test", 16), 60, seed=1, num_workers=2)
    assert isinstance(loader.sampler, EpochSampler)
    loader.sampler.set_epoch(4)
    loader.sampler.skip = skip
    return [batch["image"].numpy() for batch in loader]


def test_workers_draw_the_same_for_a_sample_in_a_run_that_goes_on() -> None:
    whole, rest = _images(0), _images(180)
    assert len(rest) == 3
    np.testing.assert_array_equal(whole[3:], rest)
    corners = {int(image[0, 0, 0]) for image in whole[0]}  # all of one colour without the noise
    assert len(corners) > 1
