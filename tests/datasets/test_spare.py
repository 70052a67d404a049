"""Large photographs, of which no more is decoded than views and squares show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_image

from mvssl.datasets import ImageFolder
from mvssl.datasets.survey import centre
from mvssl.views import HostViews, View, build_views
from tests.datasets.reading import read_image

SIDE = 24
PHOTOS = ("china.jpg", "flower.jpg")


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    for name in PHOTOS:
        Image.fromarray(load_sample_image(name)).save(tmp_path / name, quality=95)
    return tmp_path


def _shapes_given(folder: Path, transform: Any, **arguments: Any) -> list[tuple[int, ...]]:
    """Shapes of the images that a transform is given."""
    given = []

    class Spy:
        def __call__(self, image: Any, index: int, epoch: int) -> Any:
            given.append(image.shape)
            return transform(image, index, epoch)

        def __getattr__(self, name: str) -> Any:
            return getattr(transform, name)

    dataset = ImageFolder(str(folder), **arguments)
    dataset.view_transform = Spy()
    for epoch in range(6):
        dataset[0, epoch]
    return given


def test_a_part_is_decoded_where_all_views_are_as_sharp(folder: Path) -> None:
    large = [View.flat(SIDE, crop_scale=(0.5, 1.0))] * 2
    assert set(_shapes_given(folder, HostViews(large, 0))) <= {(107, 160, 3), (54, 80, 3)}
    one_small = [*large, View.flat(SIDE, crop_scale=(0.01, 0.02))]
    assert set(_shapes_given(folder, HostViews(one_small, 0))) == {(427, 640, 3)}
    mixed = set(_shapes_given(folder, HostViews([View.flat(SIDE)] * 2, 0)))
    assert mixed > {(214, 320, 3)}


def test_transforms_that_do_not_say_what_they_need_are_given_all(folder: Path) -> None:
    def plain(image: Any, index: int, epoch: int) -> list[torch.Tensor]:
        return HostViews([View.flat(SIDE)], 0)(image, index, epoch)

    assert set(_shapes_given(folder, plain)) == {(427, 640, 3)}
    dataset = ImageFolder(str(folder))
    pixels = dataset.pixels(0)
    assert pixels is not None
    assert pixels.shape == (427, 640, 3)


def _contrast(images: torch.Tensor) -> float:
    """Mean step between neighbours, in levels."""
    return float(images.float().diff(dim=-1).abs().mean())


@pytest.mark.parametrize("name", ["byol", "dino"])
def test_what_is_lost_is_next_to_nothing(name: str, folder: Path) -> None:
    """Views of a part beside views of the whole: their sharpness, and their levels."""
    transform = HostViews(build_views(name, SIDE), seed=0)
    partly, wholly = ImageFolder(str(folder)), ImageFolder(str(folder))
    partly.view_transform = transform
    wholly.view_transform = lambda *arguments: transform(*arguments)
    sharp, reference, far, reduced = 0.0, 0.0, [], 0
    for epoch in range(40):
        for index in range(2):
            pairs = zip(partly[index, epoch]["views"], wholly[index, epoch]["views"], strict=True)
            for part, whole in pairs:
                far.append(float((part.float() - whole.float()).abs().mean()))
                sharp += _contrast(part)
                reference += _contrast(whole)
                reduced += not torch.equal(part, whole)
    assert reduced > len(far) / 3
    assert sharp / reference == pytest.approx(1.0, abs=0.01)
    # Most of it is that crops begin at whole pixels.
    assert np.mean(far) < 2.5


@pytest.mark.parametrize(("size", "crop_pct"), [(24, 0.5), (24, 1.0), (32, 1.0), (48, 0.9)])
def test_squares_are_nearly_those_of_the_whole_image(
    size: int, crop_pct: float, folder: Path
) -> None:
    dataset = ImageFolder(str(folder), size=size, crop_pct=crop_pct)
    for index, name in enumerate(PHOTOS):
        whole = read_image(folder / name)
        assert whole is not None
        wanted = torch.from_numpy(centre(whole, size, crop_pct)).permute(2, 0, 1)
        made = dataset[index]["image"]
        assert made.shape == wanted.shape
        assert not torch.equal(made, wanted)
        assert (made.float() - wanted.float()).abs().mean() < 2.0
        assert _contrast(made) / _contrast(wanted) == pytest.approx(1.0, abs=0.03)
