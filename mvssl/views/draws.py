"""The random numbers of views: a pure function of seed, epoch, sample, view and slot.

No generator holds a state, so a view repeats exactly in whatever batch, order, worker or process
it is made, and both view engines draw the same one. Suffixes: b samples, n slots, t tries.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvssl.views.sets import View

BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
"""Numbers of the colour operations in ``ViewDraw.order``."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_TRIES = 10  # as in torchvision's RandomResizedCrop
_ORDERS = np.array(list(itertools.permutations(range(4))), dtype=np.int64)

# Which uniform number decides what. New slots go to the end: the old draws then stay as they were.
_AREA, _RATIO = slice(0, _TRIES), slice(_TRIES, 2 * _TRIES)
_TOP, _LEFT, _FLIP, _JITTER = 20, 21, 22, 23
_FACTORS = slice(24, 28)
_ORDER, _GRAY, _BLUR, _SIGMA, _SOLARIZE = 28, 29, 30, 31, 32
_SLOTS = 33


@dataclass(frozen=True)
class ViewDraw:
    """What one view of B samples does, one row a sample; every array is (B,) but ``order``.

    ``top``, ``left``, ``height`` and ``width`` are the crop box in pixels of the image. Factors are
    neutral (1, and 0 for the hue) where ``jitter`` is False. ``order`` is (B, 4): the numbers of
    the colour operations in the order in which they apply. ``blur_sigma`` is 0 where there is no
    blur.
    """

    top: NDArray[np.int64]
    left: NDArray[np.int64]
    height: NDArray[np.int64]
    width: NDArray[np.int64]
    flip: NDArray[np.bool_]
    jitter: NDArray[np.bool_]
    brightness: NDArray[np.float64]
    contrast: NDArray[np.float64]
    saturation: NDArray[np.float64]
    hue: NDArray[np.float64]
    order: NDArray[np.int64]
    gray: NDArray[np.bool_]
    blur_sigma: NDArray[np.float64]
    solarize: NDArray[np.bool_]


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of splitmix64 (Steele, Lea & Flood, 2014): a bijection that scatters bits."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def uniforms(
    seed: int,
    epoch_b: NDArray[np.int64],
    index_b: NDArray[np.int64],
    stream: int,
    slots: int,
) -> NDArray[np.float64]:
    """Independent uniform numbers in [0, 1), (B, slots), the same ones for the same arguments.

    Args:
        seed: Any integer; its lowest 64 bits count.
        epoch_b: Epoch of every sample.
        index_b: Id of every sample.
        stream: Separates numbers of different purposes; a view's number.
        slots: How many numbers a sample needs. The first ones do not depend on how many follow.
    """
    # One-element arrays, since NumPy warns of the (wanted) overflow of its scalars.
    key_b = _mix(np.array([seed & 0xFFFFFFFFFFFFFFFF], dtype=np.uint64) + _GOLDEN)
    for part_b in (epoch_b, index_b, np.array([stream])):
        key_b = _mix((key_b ^ part_b.astype(np.uint64)) + _GOLDEN)
    steps_n = np.arange(1, slots + 1, dtype=np.uint64) * _GOLDEN
    bits_bn = _mix(key_b[:, None] + steps_n)
    return (bits_bn >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _between(u: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    return low + (high - low) * u


def _central_crop(ratio: tuple[float, float], height: int, width: int) -> tuple[int, int]:
    """Height and width of the largest central crop whose ratio is allowed."""
    if width / height < ratio[0]:
        return round(width / ratio[0]), width
    if width / height > ratio[1]:
        return height, round(height * ratio[1])
    return height, width


def _crop_boxes(
    view: View, u_bn: NDArray[np.float64], height: int, width: int
) -> tuple[NDArray[np.int64], ...]:
    """Tops, lefts, heights, widths as torchvision's ``RandomResizedCrop`` draws them."""
    area_bt = height * width * _between(u_bn[:, _AREA], *view.crop_scale)
    ratio_bt = np.exp(_between(u_bn[:, _RATIO], *np.log(view.crop_ratio)))
    height_bt = np.rint(np.sqrt(area_bt / ratio_bt)).astype(np.int64)
    width_bt = np.rint(np.sqrt(area_bt * ratio_bt)).astype(np.int64)
    fits_bt = (height_bt > 0) & (height_bt <= height) & (width_bt > 0) & (width_bt <= width)

    first_b = fits_bt.argmax(axis=1)
    some_b = fits_bt.any(axis=1)
    rows_b = np.arange(len(first_b))
    central_height, central_width = _central_crop(view.crop_ratio, height, width)
    height_b = np.where(some_b, height_bt[rows_b, first_b], central_height)
    width_b = np.where(some_b, width_bt[rows_b, first_b], central_width)

    top_b = np.floor(u_bn[:, _TOP] * (height - height_b + 1)).astype(np.int64)
    left_b = np.floor(u_bn[:, _LEFT] * (width - width_b + 1)).astype(np.int64)
    top_b = np.where(some_b, top_b, (height - central_height) // 2)
    left_b = np.where(some_b, left_b, (width - central_width) // 2)
    return top_b, left_b, height_b, width_b


def draw(
    view: View,
    view_number: int,
    seed: int,
    epoch_b: NDArray[np.int64],
    index_b: NDArray[np.int64],
    height: int,
    width: int,
) -> ViewDraw:
    """Draws one view for B samples whose images are ``height`` by ``width`` pixels.

    A sample's row depends on its own epoch and id alone, not on the rest of the batch.
    """
    stream = view_number if view.draw_as is None else view.draw_as
    u_bn = uniforms(seed, epoch_b, index_b, stream, _SLOTS)
    top_b, left_b, height_b, width_b = _crop_boxes(view, u_bn, height, width)
    jitter_b = u_bn[:, _JITTER] < view.jitter_prob
    u_b4 = u_bn[:, _FACTORS]
    brightness_b, contrast_b, saturation_b = (
        np.where(jitter_b, _between(u_b4[:, op], max(0.0, 1.0 - strength), 1.0 + strength), 1.0)
        for op, strength in enumerate(view.jitter_strengths[:HUE])
    )
    hue_b = np.where(jitter_b, _between(u_b4[:, HUE], -view.hue, view.hue), 0.0)
    sigma_b = _between(u_bn[:, _SIGMA], *view.blur_sigma)
    return ViewDraw(
        top=top_b,
        left=left_b,
        height=height_b,
        width=width_b,
        flip=u_bn[:, _FLIP] < view.flip,
        jitter=jitter_b,
        brightness=brightness_b,
        contrast=contrast_b,
        saturation=saturation_b,
        hue=hue_b,
        order=_ORDERS[(u_bn[:, _ORDER] * len(_ORDERS)).astype(np.int64)],
        gray=u_bn[:, _GRAY] < view.gray,
        blur_sigma=np.where(u_bn[:, _BLUR] < view.blur, sigma_b, 0.0),
        solarize=u_bn[:, _SOLARIZE] < view.solarize,
    )
