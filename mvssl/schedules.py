"""Schedules: pure functions from a step to a value."""

from __future__ import annotations

import math

__all__ = ["cosine", "linear", "warmup_cosine"]


def cosine(start: float, end: float, step: int, total: int) -> float:
    """Half a cosine from ``start`` at step 0 to ``end`` at the last of ``total`` steps.

    Used for the teacher's momentum (Grill et al. 2020, BYOL, section 3.3).
    """
    return end + 0.5 * (start - end) * (1.0 + math.cos(math.pi * _progress(step, total)))


def linear(start: float, end: float, step: int, total: int) -> float:
    """A straight line from ``start`` at step 0 to ``end`` at the last of ``total`` steps."""
    return end + (start - end) * (1.0 - _progress(step, total))


def _progress(step: int, total: int) -> float:
    """From 0 at the first to 1 at the last of ``total`` steps, and after it."""
    return min(max(step / max(total - 1, 1), 0.0), 1.0)


def warmup_cosine(step: int, total: int, warmup: int, end: float = 0.0) -> float:
    """Factor of the learning rate: linear from 0 over ``warmup`` steps, then a cosine to ``end``.

    The first step already moves (factor ``1 / warmup``); the factor is 1 when the warm-up ends and
    ``end`` at the last step (Loshchilov & Hutter 2017, SGDR, one cycle without restarts).
    """
    if step < warmup:
        return (step + 1) / warmup
    return cosine(1.0, end, step - warmup, total - warmup)
