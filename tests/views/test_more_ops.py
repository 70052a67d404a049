"""Warps, noise, gamma, erasing and lost channels: beside torchvision or their definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage, stats
from sklearn.datasets import load_sample_image
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from mvssl.errors import UserError
from mvssl.views import DeviceViews, Drawn, HostViews, View
from mvssl.views.ops import (
    ChannelDropout,
    GaussianNoise,
    RandomAffine,
    RandomErasing,
    RandomGamma,
    RandomOperation,
    RandomPerspective,
    scatter,
)

SIDE = 40
N = 3000


def photo(channels: int = 3) -> np.ndarray:
    """Smooth, so that how pixels are interpolated matters little, and not square."""
    whole = load_sample_image("flower.jpg")[100:340:5, 100:400:5]
    whole = ndimage.gaussian_filter(whole.astype(float), (1.5, 1.5, 0)).astype(np.uint8)
    return np.ascontiguousarray(np.tile(whole, (1, 1, 5))[..., :channels])


def made_by(
    operation: RandomOperation, image: np.ndarray, index: int
) -> tuple[Drawn, list[np.ndarray]]:
    """What was drawn, and images of levels, (C, H, W): from bytes, from fractions, by the device.

    Only the operation itself is asked, so that images need not be square.
    """
    u = np.random.default_rng(index).random((1, operation.numbers))
    u[:, 0] = 0.0
    drawn = operation.draw(u, *image.shape[:2])
    row = {name: values[0] for name, values in drawn.items()}
    before = image.copy()
    fractions = image.astype(np.float32) / np.float32(255)
    host = operation.host(image, row)
    assert host.dtype == np.uint8
    exact = operation.host(fractions, row)
    assert exact.dtype == np.float32
    chw = torch.from_numpy(fractions.copy()).permute(2, 0, 1)[None].contiguous()
    device = operation.device(chw, drawn)[0].numpy()
    np.testing.assert_array_equal(image, before)
    shaped = [one.reshape(image.shape).transpose(2, 0, 1) for one in (host, exact)]
    return row, [shaped[0].astype(float), 255.0 * shaped[1], 255.0 * device]


def inner(image: np.ndarray) -> np.ndarray:
    return image[..., 2:-2, 2:-2]


@pytest.mark.parametrize("channels", [1, 3, 5, 13])
@pytest.mark.parametrize("index", range(6))
def test_affine_is_torchvisions(index: int, channels: int) -> None:
    operation = RandomAffine(
        prob=1.0, degrees=60.0, translate=0.2, scale=(0.6, 1.6), shear=20.0, fill=0.2
    )
    image = photo(channels)
    row, made = made_by(operation, image, index)
    wanted = F.affine(
        torch.from_numpy(image).permute(2, 0, 1).float(),
        angle=float(row["angle"]),
        translate=row["shift"].tolist(),
        scale=float(row["scale"]),
        shear=row["shear"].tolist(),
        interpolation=InterpolationMode.BILINEAR,
        fill=51.0,
    ).numpy()
    for one in made:
        # torchvision cuts off at the border what is here a pixel of transition.
        assert np.abs(one - wanted).mean() < 2.0
        assert np.median(np.abs(one - wanted)) < 0.6
    assert np.abs(made[1] - made[2]).mean() < 0.5


@pytest.mark.parametrize("channels", [1, 3, 5, 13])
@pytest.mark.parametrize("index", range(6))
def test_perspective_is_torchvisions(index: int, channels: int) -> None:
    image = photo(channels)
    row, made = made_by(RandomPerspective(prob=1.0, fill=0.2), image, index)
    height, width = image.shape[:2]
    start: Any = [[0, 0], [width, 0], [width, height], [0, height]]
    wanted = F.perspective(
        torch.from_numpy(image).permute(2, 0, 1).float(),
        start,
        row["corners"].tolist(),
        interpolation=InterpolationMode.BILINEAR,
        fill=51.0,
    ).numpy()
    for one in made:
        assert np.abs(one - wanted).mean() < 2.0
        assert np.median(np.abs(one - wanted)) < 0.6


@pytest.mark.parametrize("index", range(4))
def test_warps_are_scipys_with_mirrored_borders(index: int) -> None:
    """And so they are on both engines to the border itself."""
    operation = RandomAffine(prob=1.0, degrees=30.0, translate=0.3, shear=10.0, fill=None)
    image = photo()
    row, made = made_by(operation, image, index)
    matrix = row["matrix"]
    # SciPy counts (y, x) from the centres of pixels, where ours are (0.5, 0.5).
    swapped = matrix[[1, 0]][:, [1, 0]]
    offset = matrix[[1, 0], 2] + swapped @ [0.5, 0.5] - 0.5
    for channel in range(3):
        wanted = ndimage.affine_transform(
            image[..., channel].astype(float), swapped, offset, order=1, mode="reflect"
        )
        for one in made:
            assert np.abs(one[channel] - wanted).max() < 5.0
            assert np.abs(one[channel] - wanted).mean() < 0.7


def test_warps_that_change_nothing_leave_the_image() -> None:
    image = photo()
    for operation in (
        RandomAffine(prob=1.0, degrees=0.0, translate=0.0, scale=(1.0, 1.0)),
        RandomPerspective(prob=1.0, distortion=0.0),
    ):
        _, made = made_by(operation, image, 0)
        for one in made:
            np.testing.assert_allclose(one, image.transpose(2, 0, 1), atol=1e-2)


@pytest.mark.parametrize(
    ("idle", "acting"),
    [
        (
            RandomAffine(prob=1.0, degrees=0, translate=0, scale=(1, 1), shear=0),
            [
                RandomAffine(prob=1.0, translate=0, scale=(1, 1)),
                RandomAffine(prob=1.0, degrees=0, scale=(1, 1)),
                RandomAffine(prob=1.0, degrees=0, translate=0),
                RandomAffine(prob=1.0, degrees=0, translate=0, scale=(1, 1), shear=5),
            ],
        ),
        (RandomPerspective(prob=1.0, distortion=0), [RandomPerspective(prob=1.0)]),
        (RandomGamma(gamma=(1, 1)), [RandomGamma(gamma=(1, 2))]),
    ],
)
def test_what_changes_no_image_is_left_out_of_a_view(
    idle: RandomOperation, acting: list[RandomOperation]
) -> None:
    assert View(SIDE, [idle]).operations == ()
    for one in acting:
        assert View(SIDE, [one]).operations == (one,)
        assert "()" not in one.describe()
        _, made = made_by(one, photo(), 1)
        assert np.abs(made[0] - photo().transpose(2, 0, 1)).max() > 1


@pytest.mark.parametrize("channels", [1, 3, 13])
@pytest.mark.parametrize("index", range(4))
def test_gamma_is_torchvisions(index: int, channels: int) -> None:
    image = photo(channels)
    row, made = made_by(RandomGamma(gamma=(0.3, 3.0)), image, index)
    chw = torch.from_numpy(image).permute(2, 0, 1).float() / 255
    wanted = 255 * chw ** float(row["gamma"])
    if channels in (1, 3):
        torch.testing.assert_close(wanted, 255 * F.adjust_gamma(chw, float(row["gamma"])))
    for one, off in zip(made, (0.51, 1e-2, 1e-2), strict=True):
        assert np.abs(one - wanted.numpy()).max() <= off


@pytest.mark.parametrize("fill", [0.0, 0.3, "noise"])
@pytest.mark.parametrize("channels", [1, 3, 13])
def test_erasing_is_torchvisions(channels: int, fill: float | str) -> None:
    image = photo(channels)
    seen = set()
    for index in range(8):
        row, made = made_by(RandomErasing(prob=1.0, fill=fill), image, index)
        chw = torch.from_numpy(image).permute(2, 0, 1).float()
        box = [int(row[name]) for name in ("top", "left", "height", "width")]
        seen.add(tuple(box))
        top, left, tall, wide = box
        inside = made[1][:, top : top + tall, left : left + wide]
        value = torch.from_numpy(inside) if fill == "noise" else torch.tensor(255.0 * float(fill))
        wanted = F.erase(chw, *box, v=value.float()).numpy()
        for one in made:
            assert np.abs(one - wanted).max() <= 0.51
        if fill == "noise":
            assert stats.kstest(inside.ravel() / 255, "uniform").pvalue > 1e-4
    assert len(seen) == 8


def test_what_no_rectangle_fits_is_left() -> None:
    operation = RandomErasing(prob=1.0, scale=(1.0, 1.0))
    drawn = operation.draw(np.random.default_rng(0).random((50, operation.numbers)), 30, 30)
    assert not drawn["on"].any()


@pytest.mark.parametrize("channels", [1, 3, 5, 13])
@pytest.mark.parametrize("index", range(3))
def test_noise_is_normal_and_the_same_on_both_engines(index: int, channels: int) -> None:
    image = np.full((48, 60, channels), 128, np.uint8)
    row, made = made_by(GaussianNoise(prob=1.0, std=(0.02, 0.1)), image, index)
    noise = (made[1] - 128) / 255 / row["std"]
    assert stats.kstest(noise.ravel(), "norm").pvalue > 1e-4
    # No two pixels and no two channels have to do with each other.
    assert abs(np.corrcoef(noise[:, :, :-1].ravel(), noise[:, :, 1:].ravel())[0, 1]) < 0.05
    for other in range(1, channels):
        assert abs(np.corrcoef(noise[0].ravel(), noise[other].ravel())[0, 1]) < 0.08
    np.testing.assert_allclose(made[2], made[1], atol=1e-2)
    np.testing.assert_allclose(made[0], made[1], atol=0.51)


def test_noise_of_samples_is_independent() -> None:
    first, second = scatter.normals(torch.tensor([1, 2]), 20000).numpy()
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.03
    assert stats.kstest(first, "norm").pvalue > 1e-4


def mixed(seed: int, place: int) -> int:
    """MurmurHash3's finaliser in whole numbers, twice, of a seed and a place."""
    x = place * 0x9E3779B9 % 2**32 ^ seed
    for _ in range(2):
        x = (x ^ x >> 16) * 0x85EBCA6B % 2**32
        x = (x ^ x >> 13) * 0xC2B2AE35 % 2**32
    return x ^ x >> 16


@pytest.mark.parametrize("seed", [0, 1, 12345, 2**32 - 1])
@pytest.mark.parametrize("count", [1, 2, 5000])
def test_the_generator_counts_without_loss(seed: int, count: int) -> None:
    made = scatter.uniforms(torch.tensor([3, seed]), count)[1]
    wanted = [(mixed(seed, place) >> 8) / 2**24 for place in range(count)]
    assert made.tolist() == wanted


def test_the_generators_numbers_are_uniform_in_all_their_bits() -> None:
    numbers = scatter.uniforms(torch.tensor([7]), 2**16)[0].numpy()
    assert stats.kstest(numbers, "uniform").pvalue > 1e-3
    levels = (numbers * 2**24).astype(np.int64)
    for bit in range(24):
        ones = int((levels >> bit & 1).sum())
        assert stats.binomtest(ones, len(levels), 0.5).pvalue > 1e-5
    pairs = np.histogram2d(numbers[:-1], numbers[1:], 16, [[0, 1], [0, 1]])[0]
    assert stats.chisquare(pairs.ravel()).pvalue > 1e-3


@pytest.mark.parametrize("channels", [1, 2, 3, 13])
@pytest.mark.parametrize("most", [1, 2, 5])
def test_lost_channels_are_of_one_value_and_one_at_least_is_left(channels: int, most: int) -> None:
    image = np.random.default_rng(0).integers(0, 250, (8, 8, channels), dtype=np.uint8)
    operation = ChannelDropout(prob=1.0, most=most, fill=1.0)
    lost = np.zeros(channels)
    numbers = []
    for index in range(300):
        _, made = made_by(operation, image, index)
        which = (made[0] == 255).all(axis=(1, 2))
        for one in made:
            np.testing.assert_array_equal((one == 255).all(axis=(1, 2)), which)
            kept = ~which
            np.testing.assert_allclose(one[kept], image.transpose(2, 0, 1)[kept], atol=1e-2)
        lost += which
        numbers.append(int(which.sum()))
    highest = min(most, channels - 1)
    assert set(numbers) == (set(range(1, highest + 1)) or {0})
    if highest:
        assert stats.chisquare(lost).pvalue > 1e-3
    if highest > 1:
        assert stats.chisquare(np.bincount(numbers)[1:]).pvalue > 1e-3


def _draws(operation: RandomOperation, count: int = N) -> Drawn:
    u = np.random.default_rng(1).random((count, operation.numbers))
    return operation.draw(u, SIDE, SIDE)


def _uniform(values: np.ndarray, low: float, high: float) -> bool:
    return bool(stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue > 1e-3)


def test_what_is_drawn_is_distributed_as_said() -> None:
    affine = _draws(RandomAffine(prob=0.3, degrees=40, translate=0.2, scale=(0.5, 2), shear=5))
    assert stats.binomtest(int(affine["on"].sum()), N, 0.3).pvalue > 1e-3
    assert _uniform(affine["angle"], -40, 40)
    assert _uniform(affine["scale"], 0.5, 2)
    for axis in (0, 1):
        assert _uniform(affine["shift"][:, axis], -0.2 * SIDE, 0.2 * SIDE)
        assert _uniform(affine["shear"][:, axis], -5, 5)
    corners = _draws(RandomPerspective(prob=1.0, distortion=0.6))["corners"]
    for corner, (x, y) in enumerate([(0, 0), (SIDE, 0), (SIDE, SIDE), (0, SIDE)]):
        assert _uniform(np.abs(corners[:, corner, 0] - x), 0, 0.3 * SIDE)
        assert _uniform(np.abs(corners[:, corner, 1] - y), 0, 0.3 * SIDE)
    assert _uniform(np.log(_draws(RandomGamma(gamma=(0.5, 4)))["gamma"]), np.log(0.5), np.log(4))
    assert _uniform(_draws(GaussianNoise(prob=1.0, std=(0.1, 0.2)))["std"], 0.1, 0.2)
    erased = _draws(RandomErasing(prob=1.0, scale=(0.05, 0.2), ratio=(0.5, 2)))
    share = erased["height"] * erased["width"] / SIDE**2
    assert share.min() > 0.04
    assert share.max() < 0.22
    assert share.mean() == pytest.approx(0.125, abs=0.004)
    ratio = np.log(erased["height"] / erased["width"])
    assert abs(ratio.mean()) < 0.03
    assert np.abs(ratio).max() < np.log(2) + 0.2
    free = (SIDE - erased["height"] + 1).astype(float)
    assert stats.kstest((erased["top"] + 0.5) / free, "uniform").pvalue > 1e-4


NAMED: dict[str, dict[str, Any]] = {
    "affine": {"affine": 0.5, "affine_degrees": 40.0},
    "perspective": {"perspective": 0.5, "perspective_distortion": 0.6},
    "noise": {"noise": 0.5},
    "gamma": {"gamma": (0.3, 3.0), "gamma_prob": 0.5},
    "channels": {"channel_dropout": 0.5, "channel_dropout_most": 2},
    "erasing": {"erasing": 0.5, "erasing_fill": "noise"},
}


@pytest.mark.parametrize("name", NAMED)
def test_samples_of_a_batch_have_draws_of_their_own_on_both_engines(name: str) -> None:
    view = View.flat(SIDE, crop_scale=(1, 1), crop_ratio=(1, 1), flip=0.0, **NAMED[name])
    image = np.ascontiguousarray(photo()[:SIDE, :SIDE])
    index = torch.arange(24)
    pixels = torch.from_numpy(image).permute(2, 0, 1).repeat(24, 1, 1, 1)
    (batch,) = DeviceViews([view], 3)(pixels, index, torch.zeros_like(index))
    wanted = torch.stack([HostViews([view], 3)(image, n, 0)[0] for n in range(24)])
    assert 4 < len({one.numpy().tobytes() for one in wanted}) < 24
    difference = (255 * batch - wanted.float()).abs()
    assert difference.mean() < 0.6
    untouched = (wanted == torch.from_numpy(image).permute(2, 0, 1)).all(dim=(1, 2, 3))
    assert 0 < untouched.sum() < 24
    assert difference[untouched].max() < 1e-3


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"affine": 1.0, "affine_degrees": 200}, "degrees is a number from 0 to 180"),
        ({"affine": 1.0, "affine_translate": 1.5}, "translate must be a strength from 0 to 1"),
        ({"affine": 1.0, "affine_scale": (0, 1)}, "scale must be two numbers"),
        ({"affine": 1.0, "affine_shear": 80}, "shear is a number from 0 to 60"),
        ({"affine": 1.0, "affine_fill": 128}, "fill is a number from 0 to 1"),
        ({"perspective": 1.0, "perspective_distortion": 1.0}, "from 0 to 0.9"),
        ({"noise": 1.0, "noise_std": 0.1}, "std must be two numbers"),
        ({"gamma": (2.0, 0.5)}, "gamma must be two numbers, 0 < low <= high"),
        ({"channel_dropout": 1.0, "channel_dropout_most": 0}, "most is an integer and at least 1"),
        ({"erasing": 1.0, "erasing_fill": "gray"}, "a value from 0 to 1, or 'noise', not 'gray'"),
        ({"erasing": 1.0, "erasing_fill": None}, "fill is a number from 0 to 1"),
        ({"erasing": 2.0}, "prob must be a probability"),
    ],
)
def test_arguments_out_of_range_are_refused(named: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        View.flat(32, **named)


@pytest.mark.parametrize("name", NAMED)
def test_what_was_drawn_is_told(name: str) -> None:
    view = View.flat(SIDE, flip=0.0, **NAMED[name])
    (step,) = (
        one
        for one in view.steps
        if one.operation.name not in ("RandomResizedCrop", "HorizontalFlip")
    )
    row, _ = made_by(step.operation, photo(), 0)  # type: ignore[arg-type]
    told = step.operation.told(row, *photo().shape[:2])
    assert told != step.operation.name
    assert len(told) < 60
    assert step.operation.describe()
