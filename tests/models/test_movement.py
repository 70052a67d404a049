"""How far weights have moved."""

from __future__ import annotations

import torch

from mvssl.models.movement import distance


def test_a_reference_may_lie_on_another_device() -> None:
    moved = distance(torch.ones(3, device="meta"), torch.ones(3))
    assert moved.device.type == "meta"
    assert moved.shape == ()


def test_the_distance_is_relative_to_the_reference() -> None:
    assert distance(torch.tensor([3.0, 4.0]), torch.tensor([0.0, 4.0])) == 0.75
    assert distance(torch.zeros(2), torch.zeros(2)) == 0.0
