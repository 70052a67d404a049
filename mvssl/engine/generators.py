"""The state of the random number generators that a step may draw from."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

__all__ = [
    "check_generator_states",
    "generator_states",
    "seed_everything",
    "seed_loader",
    "set_generator_states",
]


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch (all devices)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def generator_states() -> dict[str, Any]:
    """Of Python, NumPy, and torch on the CPU and on this process's GPU, as tensors and plain
    containers; None where it uses none.
    """
    version, numbers, gauss = random.getstate()
    kind, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    return {
        "python": [version, torch.tensor(numbers), gauss],
        "numpy": [
            kind,
            torch.from_numpy(np.asarray(keys).astype(np.int64)),
            position,
            has_gauss,
            cached,
        ],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None,
    }


def set_generator_states(states: dict[str, Any]) -> None:
    """Put back what :func:`generator_states` gave."""
    version, numbers, gauss = states["python"]
    random.setstate((version, tuple(numbers.tolist()), gauss))
    kind, keys, *rest = states["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(states["torch"])
    device = states["cuda"]
    if torch.cuda.is_available() and device is not None:
        torch.cuda.set_rng_state(device)


def check_generator_states(states: dict[str, Any]) -> None:
    """Set them and put back what was, so that states that are none fail now.

    Raises:
        AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError: they are none.
    """
    before = generator_states()
    try:
        set_generator_states(states)
    finally:
        set_generator_states(before)


def seed_loader(loader: DataLoader[Any]) -> None:
    """Let a loader's own generator follow from the global one, from which it takes one number.

    A loader without one draws from the global generator whenever it starts workers, so that what
    a step draws would depend on when they were started.
    """
    if loader.generator is not None:
        loader.generator.manual_seed(int(torch.empty((), dtype=torch.int64).random_()))
