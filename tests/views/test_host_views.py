"""The host engine: the same views as the device engine, up to the rounding of uint8."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_sample_image

from mvssl.errors import UserError
from mvssl.views import DeviceViews, Drawn, HostViews, Image, RandomOperation, View, build_views
from mvssl.views.draws import sample_keys
from mvssl.views.ops import RandomResizedCrop

PHOTOS = ("china.jpg", "flower.jpg")

OPERATIONS: dict[str, dict[str, Any]] = {
    "crop": {"crop_scale": (0.08, 1.0), "flip": 0.5},
    "brightness": {"brightness": 0.8},
    "contrast": {"contrast": 0.8},
    "saturation": {"saturation": 0.8},
    "hue": {"hue": 0.5},
    "gray": {"gray": 1.0},
    "blur": {"blur": 1.0},
    "solarize": {"solarize": 1.0},
}


def _mean_difference(views: list[View], photo: str, epoch: int) -> list[float]:
    """Mean absolute difference of the engines for each view, in levels of 255."""
    image = load_sample_image(photo)
    host = HostViews(views, seed=5)(image, index=13, epoch=epoch)
    chw = torch.tensor(image).permute(2, 0, 1)[None]
    device = DeviceViews(views, seed=5)(chw, torch.tensor([13]), torch.tensor([epoch]))
    return [(a.float() - 255 * b[0]).abs().mean().item() for a, b in zip(host, device, strict=True)]


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("photo", PHOTOS)
def test_each_operation_agrees_with_the_device_engine(operation: str, photo: str) -> None:
    views = [View.flat(112, **OPERATIONS[operation]) for _ in range(4)]
    assert max(_mean_difference(views, photo, epoch=2)) < 2.0


@pytest.mark.parametrize("name", ["byol", "gentle", "simclr"])
def test_view_sets_agree_with_the_device_engine(name: str) -> None:
    differences = [
        difference
        for epoch in range(6)
        for difference in _mean_difference(build_views(name, 112), PHOTOS[epoch % 2], epoch)
    ]
    assert max(differences) < 2.0


def test_views_repeat_and_follow_the_ids() -> None:
    image = load_sample_image("china.jpg")[:120, :90]
    views = build_views("byol", 32)
    first, again = (HostViews(views, 1)(image, 4, 2) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    for other in (
        HostViews(views, 2)(image, 4, 2),
        HostViews(views, 1)(image, 5, 2),
        HostViews(views, 1)(image, 4, 3),
    ):
        assert not torch.equal(first[0], other[0])


def test_output_is_plain_and_the_image_untouched() -> None:
    image = load_sample_image("flower.jpg").copy()
    before = image.copy()
    for out in HostViews([View.flat(16, hue=0.1), View.flat(8), View.flat(700, flip=1.0)], 0)(
        image, 0, 0
    ):
        assert out.dtype == torch.uint8
        assert out.is_contiguous()
        assert out.shape == (3, out.shape[1], out.shape[1])
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize(("shape", "dtype"), [((8, 8), "u1"), ((8, 8, 3), "u2"), ((8, 8, 3), "f8")])
def test_wrong_images_are_refused(shape: tuple[int, ...], dtype: str) -> None:
    with pytest.raises(ValueError, match="HostViews takes"):
        HostViews([View.flat(8)], 0)(np.zeros(shape, dtype=dtype), 0, 0)


@pytest.mark.parametrize("views", [{"size": 24}, {"size": 24, "crop_ratio": (2.0, 3.0)}])
def test_what_crops_leave_spare_is_the_shortest_side_of_all(views: dict[str, Any]) -> None:
    made = [View.flat(**views), View.flat(20, crop_scale=(0.3, 0.5))]
    transform = HostViews(made, 4)
    for index in range(20):
        key = sample_keys(4, np.array([1]), np.array([index]))
        wanted = []
        for number, view in enumerate(made):
            step = view.steps[0]
            drawn = step.operation.draw(view.random_numbers(key, number)[:, step.own], 400, 300)
            wanted.append(min(drawn["height"][0], drawn["width"][0]) / view.size)
        assert transform.spare(400, 300, index, 1) == min(wanted)
        assert transform.spare(30, 45, index, 1) <= 30 / 24


@dataclass(frozen=True, kw_only=True)
class Refuses(RandomOperation):
    """Stands first and draws for no image."""

    def draw(self, u_bn: Any, height: int, width: int) -> Drawn:
        raise UserError("not of such an image")

    def host(self, image: Image, drawn: Any) -> Image:
        return image

    def describe(self) -> str:
        return "refuses"


def test_nothing_is_spare_where_no_crop_comes_first() -> None:
    crop = RandomResizedCrop()
    for views in (
        [],
        [View(24, [])],
        [View(24, [Refuses(prob=1.0), crop])],
        [View(24, [crop]), View(24, [Refuses(prob=1.0), crop])],
    ):
        assert HostViews(views, 0).spare(4000, 3000, 0, 0) == 1.0


@dataclass(frozen=True, kw_only=True)
class Lists(RandomOperation):
    """Holds a list, so that it has no hash."""

    values: list[int]

    def host(self, image: Image, drawn: Any) -> Image:
        return np.full_like(image, sum(self.values))

    def describe(self) -> str:
        return "lists"


def test_operations_without_a_hash_are_each_applied() -> None:
    views = [View(24, [Lists(prob=1.0, values=[one])]) for one in (3, 5)]
    first, second = HostViews(views, 0)(np.zeros((24, 24, 3), np.uint8), 0, 0)
    assert first.unique().tolist() == [3]
    assert second.unique().tolist() == [5]


@pytest.mark.parametrize("name", ["byol", "dino", "cmc", "gentle_multicrop"])
def test_views_that_draw_together_are_as_each_by_itself(name: str) -> None:
    image = load_sample_image("china.jpg")
    views = build_views(name, 48)
    together = HostViews(views, 2)(image, 9, 4)
    for number, view in enumerate(views):
        stream = view.stream(number)
        alone = HostViews([replace(view, draw_as=None)] * (stream + 1), 2)(image, 9, 4)[stream]
        assert torch.equal(together[number], alone)
