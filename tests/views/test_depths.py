"""Operations on fractions and on other channels than three, beside what they do on bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from mvssl.views import DeviceViews, HostViews, MultiViewPreprocessor, View, build_views
from mvssl.views.some_channels import fit_to_channels

SIDE = 24
OPTIONS: list[dict[str, Any]] = [
    {"flip": 1.0},
    {"vertical_flip": 1.0},
    {"quarter_turns": 1.0},
    {"affine": 1.0, "affine_shear": 10.0},
    {"affine": 1.0, "affine_fill": None},
    {"perspective": 1.0},
    {"gamma": (0.5, 2.0)},
    {"noise": 1.0},
    {"channel_dropout": 1.0, "channel_dropout_most": 3, "channel_dropout_fill": 0.25},
    {"erasing": 1.0},
    {"erasing": 1.0, "erasing_fill": "noise"},
    {"blur": 1.0},
    {"solarize": 1.0},
    {"gray": 1.0},
    {"brightness": 0.8, "contrast": 0.8},
    {"saturation": 0.9},
    {"hue": 0.4},
]


def _image(channels: int, seed: int = 0) -> Any:
    small = np.random.default_rng(seed).integers(0, 256, (6, 6, channels), dtype=np.uint8)
    return small.repeat(6, 0).repeat(6, 1)


def _views(channels: int, rgb: tuple[int, ...], **named: Any) -> list[View]:
    return fit_to_channels([View.flat(SIDE, **{"flip": 0.0, **named})], channels, rgb)[0]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize(("channels", "rgb"), [(3, (0, 1, 2)), (5, (4, 0, 2)), (1, ()), (13, ())])
def test_fractions_are_changed_as_bytes_are(
    options: dict[str, Any], channels: int, rgb: tuple[int, ...]
) -> None:
    image = _image(channels)
    transform = HostViews(_views(channels, rgb, **options), seed=3)
    for index in range(5):
        (whole,) = transform(image, index, 0)
        (fraction,) = transform(image.astype(np.float32) / 255, index, 0)
        assert whole.dtype == torch.uint8
        assert fraction.dtype == torch.float32
        assert whole.shape == fraction.shape == (channels, SIDE, SIDE)
        assert fraction.min() >= 0
        assert fraction.max() <= 1
        difference = (whole.float() / 255 - fraction).abs()
        # Of bytes there are 256 hues.
        assert difference.mean() < (0.012 if "hue" in options else 0.004)
        assert difference.max() < 0.06


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize(("channels", "rgb"), [(5, (4, 0, 2)), (2, ())])
def test_both_engines_make_the_same_of_other_channels(
    options: dict[str, Any], channels: int, rgb: tuple[int, ...]
) -> None:
    images = np.stack([_image(channels, i) for i in range(4)]).astype(np.float32) / 255
    views = _views(channels, rgb, **options)
    index, epoch = torch.arange(4), torch.zeros(4, dtype=torch.long)
    tensor = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
    before = tensor.clone()
    (device,) = DeviceViews(views, seed=5)(tensor, index, epoch)
    host = torch.stack([HostViews(views, seed=5)(image, i, 0)[0] for i, image in enumerate(images)])
    assert torch.equal(tensor, before)  # the data set's own pixels
    difference = (device - host).abs()
    assert difference.mean() < 0.004
    assert difference.max() < 0.03


def test_colours_change_in_their_channels_alone() -> None:
    """As of the three by themselves, with the same draws; the fourth band stays."""
    image = _image(4)
    options = {"saturation": 1.0, "hue": 0.3, "brightness": 0.5, "gray": 0.3}
    (whole,) = HostViews(_views(4, (2, 1, 0), **options), seed=1)(image, 7, 0)
    own = np.ascontiguousarray(image[..., [2, 1, 0]])
    (three,) = HostViews(_views(3, (0, 1, 2), **options), seed=1)(own, 7, 0)
    (plain,) = HostViews(_views(4, (2, 1, 0)), seed=1)(image, 7, 0)
    assert torch.equal(whole[[2, 1, 0]], three)
    assert torch.equal(whole[3], plain[3])
    assert not torch.equal(whole[0], plain[0])


def test_contrast_without_colours_is_about_the_mean_of_all_channels() -> None:
    image = 0.3 + 0.4 * _image(5).astype(np.float32) / 255  # so that nothing is cut off
    view = {"flip": 0.0, "contrast": 0.3, "crop_scale": (1.0, 1.0), "crop_ratio": (1.0, 1.0)}
    (fitted,), left_out = fit_to_channels(build_views([view], 36), 5, ())
    assert left_out == []  # contrast is all that was asked for
    (made,) = HostViews([fitted], seed=0)(image, 1, 0)
    plain = torch.from_numpy(image.transpose(2, 0, 1))
    factors = (made - plain.mean()) / (plain - plain.mean())
    assert factors.std() < 1e-3
    assert 0.7 <= factors.median() <= 1.3
    assert abs(factors.median() - 1) > 0.01


def test_what_means_colour_is_left_out_by_name() -> None:
    made = MultiViewPreprocessor("byol", 32, mean=(0.5,) * 2, std=(0.2,) * 2, in_channels=2)
    kept = "saturation and hue of ColorJitter (brightness and contrast stay)"
    assert made.left_out == [kept, "Grayscale"]
    assert f"{kept}, Grayscale" in made.describe()["  left out"]
    assert made.shapes() == [(2, 32)] * 2
    assert MultiViewPreprocessor("byol", 32).left_out == []


@pytest.mark.parametrize(
    ("options", "left_out"),
    [
        ({"saturation": 0.4, "contrast": 0.4}, ["saturation of ColorJitter (contrast stays)"]),
        ({"hue": 0.1, "saturation": 0.2}, ["ColorJitter"]),
        ({"brightness": 0.4, "gray": 0.2}, ["Grayscale"]),
        ({"blur": 0.5}, []),
    ],
    ids=str,
)
@pytest.mark.parametrize("channels", [1, 5])
def test_what_is_left_out_is_what_the_views_no_longer_do(
    options: dict[str, Any], left_out: list[str], channels: int
) -> None:
    (fitted,), told = fit_to_channels(build_views([options], 36), channels, ())
    assert told == left_out
    done = fitted.describe()
    # By the view's own words: what is kept is done, and what is left out is not.
    assert all((name in done) == (name in options) for name in ("brightness", "contrast", "blur"))
    assert not any(name in done for name in ("saturation", "hue", "grey"))
