from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mvssl.errors import UserError
from mvssl.opencv import cv2
from mvssl.views import MultiViewPreprocessor
from mvssl.views.host_views import HostViews
from mvssl.views.preprocessor import IMAGENET_MEAN, IMAGENET_STD


def batch_of(images: Tensor, start: int = 0) -> dict[str, Any]:
    index = torch.arange(start, start + len(images))
    return {"image": images, "index": index, "epoch": torch.zeros_like(index), "label": index}


def images(number: int, size: int = 20) -> Tensor:
    return torch.randint(0, 256, (number, 3, size, size), dtype=torch.uint8)


def plain_view(size: int) -> dict[str, Any]:
    """The whole image, as it is."""
    return {"size": size, "crop_scale": (1.0, 1.0), "crop_ratio": (1.0, 1.0), "flip": 0.0}


def test_training_gives_normalised_views_and_the_index() -> None:
    preprocessor = MultiViewPreprocessor([plain_view(20), plain_view(20)], size=20)
    batch = batch_of(images(3), start=5)
    data = preprocessor(batch, training=True)
    assert set(data) == {"inputs", "index"}  # labels do not reach the model
    assert data["index"].tolist() == [5, 6, 7]
    assert preprocessor.num_views == len(data["inputs"]) == 2
    mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
    expected = (batch["image"] / 255.0 - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    for view in data["inputs"]:
        torch.testing.assert_close(view, expected, atol=1e-4, rtol=0)


def test_evaluation_normalises_the_image() -> None:
    preprocessor = MultiViewPreprocessor("gentle", size=16, mean=(0.5,) * 3, std=(0.25,) * 3)
    batch = batch_of(images(2))
    data = preprocessor(batch)
    assert set(data) == {"inputs"}
    torch.testing.assert_close(data["inputs"], batch["image"] / 255.0 / 0.25 - 2.0)


def test_views_of_a_sample_do_not_depend_on_its_batch() -> None:
    preprocessor = MultiViewPreprocessor("byol", size=16)
    batch = batch_of(images(4))
    whole = preprocessor(batch, training=True)["inputs"]
    part = {key: value[2:] for key, value in batch.items()}
    for alone, view in zip(preprocessor(part, training=True)["inputs"], whole, strict=True):
        torch.testing.assert_close(alone, view[2:])


def test_the_seed_changes_the_views() -> None:
    preprocessor = MultiViewPreprocessor("byol", size=16)
    batch = batch_of(images(4))
    first = preprocessor(batch, training=True)["inputs"]
    preprocessor.seed = 1
    second = preprocessor(batch, training=True)["inputs"]
    assert not torch.allclose(first[0], second[0])


def test_views_that_the_workers_drew_are_normalised_here() -> None:
    preprocessor = MultiViewPreprocessor([plain_view(8), plain_view(8)], size=8, engine="host")
    transform = preprocessor.host_transform()
    assert isinstance(transform, HostViews)
    pixels = images(2, 8)
    views = [
        torch.stack(v)
        for v in zip(
            *(transform(i.permute(1, 2, 0).numpy(), n, 0) for n, i in enumerate(pixels)),
            strict=True,
        )
    ]
    data = preprocessor({"views": views, "index": torch.arange(2)}, training=True)
    torch.testing.assert_close(data["inputs"][0], preprocessor.normalize(pixels / 255.0))


def test_the_device_engine_leaves_nothing_to_the_workers() -> None:
    assert MultiViewPreprocessor("byol", size=16).host_transform() is None


def test_views_are_float32_under_autocast() -> None:
    preprocessor = MultiViewPreprocessor("byol", size=16)
    batch = batch_of(images(4))
    plain = preprocessor(batch, training=True)["inputs"]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under = preprocessor(batch, training=True)["inputs"]
    assert all(torch.equal(a, b) for a, b in zip(plain, under, strict=True))


def test_an_unknown_engine_says_which_there_are() -> None:
    with pytest.raises(UserError, match="engine is 'device' or 'host', got 'gpu'"):
        MultiViewPreprocessor("byol", size=16, engine="gpu")


def test_statistics_are_no_part_of_a_checkpoint() -> None:
    assert MultiViewPreprocessor("byol", size=16).state_dict() == {}


@pytest.mark.parametrize(
    ("space", "code"), [("lab", cv2.COLOR_RGB2LAB), ("sobel", cv2.COLOR_RGB2GRAY)]
)
@pytest.mark.parametrize("engine", ["device", "host"])
def test_color_spaces_in_training_and_evaluation(space: str, code: int, engine: str) -> None:
    whole = plain_view(12)
    views = [whole | {"channels": [0]}, whole | {"channels": [1, 2]}, whole | {"channels": [2, 0]}]
    preprocessor = MultiViewPreprocessor(views, size=12, engine=engine, color_space=space)
    batch = batch_of(images(2, 12))
    expected = []
    for image in batch["image"].permute(0, 2, 3, 1).numpy():
        turned = cv2.cvtColor(image.astype(np.float32) / 255, code)
        if space == "lab":
            channels = [(turned[..., 0] - 50) / 50, turned[..., 1] / 110, turned[..., 2] / 110]
        else:
            slopes = [cv2.Sobel(turned, cv2.CV_32F, *order, ksize=3) for order in ((1, 0), (0, 1))]
            channels = [(turned - 0.5) / 0.25, *(slope / 0.5 for slope in slopes)]
        expected.append(torch.from_numpy(np.stack(channels)))
    all_three = torch.stack(expected)
    assert_near = lambda x, y: torch.testing.assert_close(x, y, atol=4e-3, rtol=0)  # noqa: E731
    assert_near(preprocessor(dict(batch))["inputs"], all_three)
    transform = preprocessor.host_transform()
    if transform is not None:
        drawn = [transform(x.permute(1, 2, 0).numpy(), n, 0) for n, x in enumerate(batch["image"])]
        batch = {
            "views": [torch.stack(v) for v in zip(*drawn, strict=True)],
            "index": batch["index"],
        }
    inputs = preprocessor(batch, training=True)["inputs"]
    for given, chosen in zip(inputs, ([0], [1, 2], [2, 0]), strict=True):
        assert_near(given, all_three[:, chosen])


def test_channels_of_rgb_are_normalised_as_their_own() -> None:
    views = [plain_view(12) | {"channels": (2,)}]
    (blue,) = MultiViewPreprocessor(views, size=12)(batch_of(pixels := images(2, 12)), True)[
        "inputs"
    ]
    expected = (pixels[:, 2:] / 255.0 - IMAGENET_MEAN[2]) / IMAGENET_STD[2]
    torch.testing.assert_close(blue, expected, atol=1e-4, rtol=0)


def test_an_unknown_color_space_and_statistics_of_another_are_refused() -> None:
    with pytest.raises(UserError, match="color_space is one of 'rgb', 'lab', 'sobel', got 'hsv'"):
        MultiViewPreprocessor("cmc", size=16, color_space="hsv")
    with pytest.raises(UserError, match=r"data_preprocessor\.std are for RGB"):
        MultiViewPreprocessor("cmc", size=16, color_space="lab", std=(1.0, 1.0, 1.0))


@pytest.mark.parametrize("space", ["lab", "sobel"])
@pytest.mark.parametrize(
    ("rgb", "told"),
    [((2, 1, 0), "where these are channels 2, 1, 0"), ((), "which have none")],
)
def test_a_color_space_is_of_rgb_images(space: str, rgb: tuple[int, ...], told: str) -> None:
    with pytest.raises(UserError, match=f"color_space='{space}' is made of.*3 channels {told}"):
        MultiViewPreprocessor("cmc", size=16, color_space=space, rgb=rgb)
    MultiViewPreprocessor("cmc", size=16, color_space=space, rgb=[0, 1, 2])
    MultiViewPreprocessor("byol", size=16, rgb=rgb)
