"""What a picture says was drawn, against torchvision: the words are enough to make the view."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from mvssl.views import DeviceViews, HostViews, MultiViewPreprocessor, View
from mvssl.views.build import build_views
from mvssl.views.ops import ChannelDropout, TorchvisionOp
from mvssl.views.some_channels import fit_to_channels
from mvssl.views.told import Told, tell_views
from tests.views.darken import Darken

SEED, EPOCH, SIDE = 3, 2, 32


def photo(index: int, channels: int = 3) -> NDArray[np.uint8]:
    """Smooth and colourful, wider than high."""
    generator = torch.Generator().manual_seed(index)
    rough = torch.rand((channels, 5, 7), generator=generator)
    smooth = F.resize(rough, [60, 90], F.InterpolationMode.BICUBIC, antialias=True)
    return (smooth.clamp(0, 1) * 255).byte().permute(1, 2, 0).contiguous().numpy()


def remade(image: NDArray[np.uint8], told: Told) -> Tensor:
    """The view by the words alone, (C, s, s) in [0, 1], and the crop by its box."""
    made = torch.from_numpy(image).permute(2, 0, 1) / 255
    for word in ", ".join(told.words).split(", "):
        name, _, value = word.partition(" ")
        match name:
            case "crop":
                assert told.box is not None
                share = told.box.height * told.box.width / image[..., 0].size
                assert abs(share - float(value.rstrip("%")) / 100) < 0.0051
                made = F.resized_crop(made, *told.box, [SIDE, SIDE], antialias=True)
            case "flipped":
                made = F.horizontal_flip(made)
            case "upside":
                made = F.vertical_flip(made)
            case "turned":
                made = torch.rot90(made, int(value.split("°")[0]) // 90, (1, 2))
            case "brightness" | "contrast" | "saturation":
                made = getattr(F, f"adjust_{name}")(made, float(value.lstrip("×")))
            case "hue":
                made = F.adjust_hue(made, float(value))
            case "grey":
                made = F.rgb_to_grayscale(made, 3)
            case "blur":
                made = F.gaussian_blur(made, [3, 3], [float(value.removeprefix("sigma "))] * 2)
            case "solarised":
                made = F.solarize(made, 0.5)
            case _:
                raise AssertionError(word)
    return made


STRONG = dict(brightness=0.6, contrast=0.6, saturation=0.6, hue=0.3, jitter_prob=0.7)
OTHERS = dict(gray=0.3, blur=0.5, vertical_flip=0.5, quarter_turns=0.5)


@pytest.mark.parametrize("engine", ["host", "device"])
@pytest.mark.parametrize("draw_as", [None, 0])
def test_the_words_are_enough_to_make_the_view(engine: str, draw_as: int | None) -> None:
    views = build_views([dict(flip=0.5), {**STRONG, **OTHERS, "draw_as": draw_as}], SIDE)
    said = set[str]()
    for index in range(40):
        image = photo(index)
        made = HostViews(views, SEED)(image, index, EPOCH)
        if engine == "device":
            pixels = torch.from_numpy(image).permute(2, 0, 1)[None]
            ids = torch.tensor([index]), torch.tensor([EPOCH])
            made = [view[0] * 255 for view in DeviceViews(views, SEED)(pixels, *ids)]
        for view, told in zip(made, tell_views(views, SEED, image, index, EPOCH), strict=True):
            said |= {word.split()[0] for word in ", ".join(told.words).split(", ")}
            # Factors are told with two decimals, standard deviations with one.
            assert (view / 255 - remade(image, told)).abs().mean() < 0.02, told.words
    assert said == {"crop", "flipped", "upside", "turned", "grey", "blur", *STRONG} - {
        "jitter_prob"
    }


def test_solarisation_is_told_where_it_happens() -> None:
    views = build_views([dict(solarize=0.5, flip=0)], SIDE)
    for index in range(20):
        (made,) = HostViews(views, SEED)(photo(index), index, EPOCH)
        (told,) = tell_views(views, SEED, photo(index), index, EPOCH)
        assert ("solarised" in told.words) == bool(made.max() < 128), told.words
        assert (made / 255 - remade(photo(index), told)).abs().mean() < 0.01


def test_images_of_other_channels_have_their_words_too() -> None:
    built = build_views([dict(**STRONG, gray=1.0)], SIDE)
    for channels, rgb in ((1, ()), (5, ()), (5, (3, 0, 1))):
        views, _ = fit_to_channels(built, channels, rgb)
        told = [tell_views(views, SEED, photo(n, channels), n, EPOCH)[0] for n in range(20)]
        words = {word.split()[0] for one in told for word in ", ".join(one.words).split(", ")}
        colour = {"saturation", "hue", "grey"} if rgb else set()
        assert words == {"crop", "flipped", "brightness", "contrast"} | colour


def test_lost_channels_are_told_where_there_are_several() -> None:
    view = View(60, [ChannelDropout(prob=1.0)])
    for channels, words in ((1, []), (2, ["channels lost"]), (5, ["channels lost"])):
        image = photo(0, channels)[:, :60]
        (told,) = tell_views([view], SEED, image, 0, 0)
        assert told.words == words
        (made,) = HostViews([view], SEED)(image, 0, 0)
        assert np.array_equal(made.permute(1, 2, 0).numpy(), image) == (not words)


def test_an_operation_that_says_nothing_is_told_by_its_name() -> None:
    other = TorchvisionOp(transform=dict(type="ElasticTransform"))
    view = View(60, [Darken(prob=1.0), other])
    image = photo(0)[:, :60]
    (told,) = tell_views([view], SEED, image, 0, 0)
    assert told == (["Darken", "ElasticTransform"], None)


def test_a_view_that_nothing_touches_has_no_words() -> None:
    (told,) = tell_views([View(60, [])], SEED, photo(0)[:, :60], 0, 0)
    assert told == ([], None)


def test_the_sets_of_methods_can_be_told() -> None:
    for name in ("byol", "dino", "swav", "cmc", "ressl"):
        views = MultiViewPreprocessor(views=name, size=64).views
        told = tell_views(views, SEED, photo(0), 0, EPOCH)
        assert all(one.box is not None and one.words for one in told)
