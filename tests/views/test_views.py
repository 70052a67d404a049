"""View specifications, view sets, and what is said about mistakes in them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from mvssl.errors import UserError
from mvssl.registry import VIEW_SETS
from mvssl.views import DeviceViews, HostViews, View, build_views
from mvssl.views.ops.blur import num_taps
from tests.views.drawing import draws, short

LOCAL = {"dino": 8, "dino_conv": 8, "swav": 6, "lejepa": 6}
SINGLE = ("cifar_one", "deepcluster", "gentle_one", "instance")


@pytest.mark.parametrize("name", sorted(VIEW_SETS.module_dict))
def test_sets_have_the_papers_number_of_views_and_sizes(name: str) -> None:
    if name in ("cifar_multicrop", "gentle_multicrop"):
        expected = [224] * 2 + [112] * 4
    else:
        expected = [224] * (1 if name in SINGLE else 2) + [96] * LOCAL.get(name, 0)
    assert [view.size for view in build_views(name, 224)] == expected


@pytest.mark.parametrize("name", ["simclr", "moco", "simsiam", "cifar", "gentle"])
def test_sets_of_equal_views_make_as_many_as_are_wanted(name: str) -> None:
    one, *others = build_views({"type": name, "num_views": 5}, 32)
    assert others == [one] * 4
    assert build_views({"type": name, "num_views": 2}, 32) == build_views(name, 32)


@pytest.mark.parametrize(("size", "local"), [(32, 16), (64, 24), (96, 40), (160, 72), (224, 96)])
def test_local_crops_keep_their_share_in_steps_of_8(size: int, local: int) -> None:
    assert build_views("dino", size)[-1].size == local
    assert local % 8 == 0
    assert local == 16 or abs(local - size * 96 / 224) <= 4


# Crop scale, (brightness, contrast, saturation, hue), and probabilities of jitter, greyscale,
# blur and solarisation, of the first global, second global and first local view: as published.
BYOL_JITTER, SIMCLR_JITTER = (0.4, 0.4, 0.2, 0.1), (0.8, 0.8, 0.8, 0.2)
MOCO_JITTER, OFF = (0.4, 0.4, 0.4, 0.1), (0, 0, 0, 0)
MOCO = ((0.2, 1.0), MOCO_JITTER, (0.8, 0.2, 0.5, 0.0))
TABLES: dict[str, list[tuple[Any, ...]]] = {
    "moco": [MOCO, MOCO],
    "simsiam": [MOCO, MOCO],
    "ressl": [((0.2, 1.0), OFF, (1.0, 0.0, 0.0, 0.0)), MOCO],
    "dino": [
        ((0.4, 1.0), BYOL_JITTER, (0.8, 0.2, 1.0, 0.0)),
        ((0.4, 1.0), BYOL_JITTER, (0.8, 0.2, 0.1, 0.2)),
        ((0.05, 0.4), BYOL_JITTER, (0.8, 0.2, 0.5, 0.0)),
    ],
    "dino_conv": [
        ((0.14, 1.0), BYOL_JITTER, (0.8, 0.2, 1.0, 0.0)),
        ((0.14, 1.0), BYOL_JITTER, (0.8, 0.2, 0.1, 0.2)),
        ((0.05, 0.14), BYOL_JITTER, (0.8, 0.2, 0.5, 0.0)),
    ],
    "swav": [((0.14, 1.0), SIMCLR_JITTER, (0.8, 0.2, 0.5, 0.0))] * 2
    + [((0.05, 0.14), SIMCLR_JITTER, (0.8, 0.2, 0.5, 0.0))],
    "lejepa": [((0.3, 1.0), BYOL_JITTER, (0.8, 0.2, 0.5, 0.2))] * 2
    + [((0.05, 0.3), BYOL_JITTER, (0.8, 0.2, 0.5, 0.2))],
    "instance": [((0.2, 1.0), (0.4, 0.4, 0.4, 0.4), (1.0, 0.2, 0.0, 0.0))],
    "deepcluster": [((0.08, 1.0), OFF, (1.0, 0.0, 0.0, 0.0))],
    "cmc": [((0.2, 1.0), OFF, (1.0, 0.0, 0.0, 0.0))] * 2,
}


@pytest.mark.parametrize("name", sorted(TABLES))
def test_sets_are_as_published(name: str) -> None:
    views = build_views(name, 224)
    for view, expected in zip(views, TABLES[name], strict=False):
        told = short(view)
        probabilities = tuple(told[name] for name in ("jitter_prob", "gray", "blur", "solarize"))
        assert (told["crop_scale"], told["jitter"], probabilities) == expected
        assert told["flip"] == 0.5
    assert len(set(views)) == len(set(TABLES[name])) + (name == "cmc")  # differ in channels


@pytest.mark.parametrize("name", ["barlowtwins", "mocov3", "vicreg"])
def test_methods_that_take_byols_views(name: str) -> None:
    assert build_views(name, 64) == build_views("byol", 64)


@pytest.mark.parametrize("name", ["cmc", "gentle_cmc"])
def test_the_modalities_of_cmc_have_channels_of_their_own(name: str) -> None:
    first, second = build_views(name, 32)
    assert (first.channels, second.channels) == ((0,), (1, 2))
    assert [len(view.channels or ()) for view in (first, second)] == [1, 2]


def test_the_modalities_of_cmc_are_of_one_draw() -> None:
    index = np.arange(50)
    first, second = (
        draws(v, n, 3, index * 0, index, 40, 60) for n, v in enumerate(build_views("cmc", 32))
    )
    for (operation, one), (_, other) in zip(first, second, strict=True):
        for name, values in one.items():
            np.testing.assert_array_equal(values, other[name], err_msg=operation.name)


def test_views_that_draw_alike_show_the_same_in_both_engines() -> None:
    pixels = torch.randint(0, 256, (2, 3, 20, 24), dtype=torch.uint8)
    index = torch.arange(2)
    views = build_views("cmc", 16)
    first, second = DeviceViews(views, 0)(pixels, index, index * 0)
    assert torch.equal(first, second)
    first, second = HostViews(views, 0)(pixels[0].permute(1, 2, 0).numpy(), 0, 0)
    assert torch.equal(first, second)
    apart = [dataclasses.replace(view, draw_as=None) for view in views]
    first, second = DeviceViews(apart, 0)(pixels, index, index * 0)
    assert not torch.equal(first, second)


def test_byol_is_the_papers_table() -> None:
    first, second = build_views("byol", 224)
    shared = {"jitter_prob": 0.8, "gray": 0.2, "flip": 0.5, "crop_scale": (0.08, 1.0)}
    for view in (first, second):
        assert short(view)["jitter"] == (0.4, 0.4, 0.2, 0.1)
        assert {name: short(view)[name] for name in shared} == shared
    for view, wanted in ((first, (1.0, 0.0)), (second, (0.1, 0.2))):
        assert (short(view)["blur"], short(view)["solarize"]) == wanted


@pytest.mark.parametrize(
    "name", [name for name in VIEW_SETS.module_dict if name.startswith("gentle")]
)
def test_gentle_keeps_what_a_digit_means(name: str) -> None:
    for number, view in enumerate(build_views(name, 32)):
        told = short(view)
        assert [told[name] for name in ("flip", "gray", "blur", "solarize")] == [0, 0, 0, 0]
        assert told["crop_scale"] == ((0.3, 1.0) if view.size == 32 else (0.15, 0.4))
        weak = name == "gentle_weak_strong" and number == 0
        assert told["jitter"] == (OFF if weak else (0.4, 0.4, 0.0, 0.0))


@pytest.mark.parametrize(("size", "kernel"), [(8, 3), (32, 3), (64, 7), (96, 9), (224, 23)])
def test_blur_kernel_is_odd_and_about_a_tenth(size: int, kernel: int) -> None:
    assert num_taps(size) == kernel


def test_dicts_become_views() -> None:
    views = build_views(
        [{"flip": 0.0}, {"size": 16, "crop_scale": [0.1, 0.5], "channels": [1, 2], "draw_as": 0}],
        64,
    )
    local = View.flat(16, crop_scale=(0.1, 0.5), channels=(1, 2), draw_as=0)
    assert views == [View.flat(64, flip=0.0), local]
    assert len(set(views)) == 2  # lists of a config are hashable tuples now


@pytest.mark.parametrize(
    ("views", "message"),
    [
        ("boyl", "'boyl'; did you mean 'byol'"),
        ("nothing", "Known: barlowtwins, byol, cifar, .*, vicreg"),
        ([{"flipp": 0.5}], r"views\[0\].*'flipp'.*flip"),
        ([{}, {"flip": 2}], "flip=2: HorizontalFlip: prob must be a probability"),
        ({"type": "gentle", "num_views": 0}, "num_views is an integer and at least 1, got 0"),
        ([], "name of a view set"),
        (["byol"], "name of a view set"),
        ([{}, {"draw_as": 2}], r"views\[1\]\.draw_as is 2, but that is no view \(from 0 to 1\)"),
        ([{"draw_as": 1}, {"draw_as": 0}], r"views\[0\]\.draw_as is 1, but .* of its own"),
    ],
)
def test_mistakes_are_named(views: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_views(views, 32)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("size", 1),
        ("size", 32.0),
        ("size", True),
        ("crop_scale", (0.0, 1.0)),
        ("crop_scale", (0.5, 0.2)),
        ("crop_scale", (0.5, 1.2)),
        ("crop_scale", 0.5),
        ("crop_ratio", (1.0, float("inf"))),
        ("crop_ratio", ("a", "b")),
        ("blur_sigma", (-1.0, 2.0)),
        ("flip", -0.1),
        ("gray", 1.1),
        ("brightness", -0.1),
        ("contrast", float("nan")),
        ("saturation", float("inf")),
        ("hue", 0.6),
        ("jitter_prob", "0.8"),
        ("channels", ()),
        ("channels", 0),
        ("channels", (0, 3)),
        ("channels", (-1,)),
        ("channels", (1, 1)),
        ("channels", (0.0,)),
        ("draw_as", -1),
        ("draw_as", 1.0),
        ("draw_as", True),
    ],
)
def test_values_out_of_range_are_refused(field: str, value: Any) -> None:
    with pytest.raises(UserError, match=field):
        View.flat(**{"size": 32, field: value})
