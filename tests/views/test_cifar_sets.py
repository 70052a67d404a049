"""The view sets of CIFAR-10, written out."""

from __future__ import annotations

from typing import Any

import pytest

from mvssl.views.build import build_views

# SimCLR's appendix on CIFAR-10: half the colour strength of ImageNet's, and no blur.
COLORS = {
    "brightness": 0.4,
    "contrast": 0.4,
    "saturation": 0.4,
    "hue": 0.1,
    "jitter_prob": 0.8,
    "gray": 0.2,
}
LARGE = {**COLORS, "crop_scale": (0.3, 1.0)}
LOCAL = {**COLORS, "crop_scale": (0.1, 0.3), "size": 16}


@pytest.mark.parametrize(
    ("name", "views"),
    [
        ("cifar", [COLORS, COLORS]),
        ("cifar_one", [COLORS]),
        ("cifar_weak_strong", [{"crop_scale": (0.2, 1.0)}, COLORS]),
        ("cifar_multicrop", [LARGE, LARGE, LOCAL, LOCAL, LOCAL, LOCAL]),
    ],
)
def test_sets_of_cifar(name: str, views: list[dict[str, Any]]) -> None:
    assert build_views(name, 32) == build_views(views, 32)


def test_half_the_strength_of_simclr_is_said_by_view_options_too() -> None:
    half = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1, "blur": 0}
    assert build_views("simclr", 32, half) == build_views("cifar", 32)
