"""Operations beyond the published ones, and operations of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from mvssl.errors import UserError
from mvssl.registry import VIEW_OPS
from mvssl.views import DeviceViews, Drawn, HostViews, Image, RandomOperation, View, build_views
from mvssl.views.ops import (
    ColorJitter,
    GaussianBlur,
    Grayscale,
    HorizontalFlip,
    QuarterTurns,
    RandomResizedCrop,
    Solarize,
    TorchvisionOp,
    VerticalFlip,
)
from tests.views.darken import Darken
from tests.views.drawing import PHOTO, both_engines, draws, whole

N = 4000


def ids(count: int = N) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros(count, dtype=np.int64), np.arange(count)


def drawn_by(view: View, count: int = N) -> list[tuple[str, Drawn]]:
    found = draws(view, 0, 3, *ids(count), 24, 24)
    return [(type(one).__name__, drawn) for one, drawn in found]


# Vertical flips and quarter turns against NumPy.


def test_a_vertical_flip_exchanges_top_and_bottom() -> None:
    for made in both_engines(whole(24, vertical_flip=1.0), 0):
        np.testing.assert_allclose(made, np.flipud(PHOTO), atol=1e-3)


def test_quarter_turns_are_numpys_rotations() -> None:
    view = whole(24, quarter_turns=1.0)
    turns = dict(drawn_by(view, 60))["QuarterTurns"]["turns"]
    assert set(turns.tolist()) == {1, 2, 3}
    for index in range(60):
        for made in both_engines(view, index):
            np.testing.assert_allclose(made, np.rot90(PHOTO, turns[index]), atol=1e-3)


@pytest.mark.parametrize("name", ["vertical_flip", "quarter_turns"])
def test_samples_of_a_batch_are_turned_each_by_its_own_draw(name: str) -> None:
    view = whole(24, **{name: 0.5})
    _, index = ids(40)
    pixels = torch.from_numpy(PHOTO).permute(2, 0, 1).repeat(40, 1, 1, 1)
    (batch,) = DeviceViews([view], 3)(pixels, torch.from_numpy(index), torch.zeros(40).long())
    wanted = [HostViews([view], 3)(PHOTO, number, 0)[0] for number in range(40)]
    assert len({one.numpy().tobytes() for one in wanted}) == (2 if name == "vertical_flip" else 4)
    torch.testing.assert_close(255 * batch, torch.stack(wanted).float(), atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("name", "kind"), [("vertical_flip", "VerticalFlip"), ("quarter_turns", "QuarterTurns")]
)
def test_they_happen_as_often_as_they_should(name: str, kind: str) -> None:
    drawn = dict(drawn_by(whole(24, **{name: 0.3})))[kind]
    assert stats.binomtest(int(drawn["on"].sum()), N, 0.3).pvalue > 1e-3
    if kind == "QuarterTurns":
        assert stats.chisquare(np.bincount(drawn["turns"])[1:]).pvalue > 1e-3


def test_a_turn_of_an_image_that_is_not_square_is_refused() -> None:
    view = View(24, [QuarterTurns(prob=1.0), RandomResizedCrop()])
    with pytest.raises(UserError, match="turns square images, not 20 x 30 px: let it follow"):
        HostViews([view], 0)(np.zeros((20, 30, 3), np.uint8), 0, 0)


# Which random numbers are whose.


MORE = ["affine", "perspective", "noise", "channel_dropout", "erasing", "gamma_prob"]


@pytest.mark.parametrize("added", ["vertical_flip", "quarter_turns", "solarize", *MORE])
def test_another_operation_leaves_the_draws_of_the_others_as_they_were(added: str) -> None:
    named: dict[str, Any] = {added: 0.5}
    plain, more = build_views("byol", 24)[0], build_views("byol", 24)[0].but(**named)
    before, after = dict(drawn_by(plain, 50)), dict(drawn_by(more, 50))
    assert len(after) == len(before) + 1
    for kind, drawn in before.items():
        for name, values in drawn.items():
            np.testing.assert_array_equal(values, after[kind][name], err_msg=f"{kind} {name}")


@dataclass(frozen=True, kw_only=True)
class OwnFlip(HorizontalFlip):
    """A flip that a user derives from the one that there is."""


INVERT = TorchvisionOp(transform={"type": "RandomInvert"}, prob=0.5)
EQUALIZE = TorchvisionOp(transform={"type": "RandomEqualize"}, prob=0.5)


@pytest.mark.parametrize(
    "pair",
    [
        (VerticalFlip(prob=0.5), VerticalFlip(prob=0.5)),
        (HorizontalFlip(), HorizontalFlip()),
        (HorizontalFlip(), VerticalFlip(prob=0.5)),
        (HorizontalFlip(), OwnFlip()),
        (INVERT, INVERT),
        (INVERT, EQUALIZE),
    ],
    ids=[
        "equal",
        "equal of the published",
        "two kinds",
        "derived",
        "equal transforms",
        "two of v2",
    ],
)
def test_two_operations_of_a_view_draw_independently(
    pair: tuple[RandomOperation, RandomOperation],
) -> None:
    (_, first), (_, second) = drawn_by(View(24, [RandomResizedCrop(), *pair]))[1:]
    table = np.histogram2d(first["on"], second["on"], 2)[0]
    assert table.min() > N / 8
    assert stats.chi2_contingency(table).pvalue > 1e-3


# Operations of one's own.


@pytest.mark.usefixtures("darken")
def test_an_operation_of_ones_own_works_in_both_engines() -> None:
    host, device = both_engines(whole(24, darken=1.0), 0)
    np.testing.assert_array_equal(host, PHOTO // 2)
    np.testing.assert_allclose(device, PHOTO / 2, atol=1e-3)


@pytest.mark.usefixtures("darken")
def test_it_comes_where_its_place_is() -> None:
    kinds = [type(x) for x in View.flat(24, solarize=1.0, darken=1.0, gray=0.1).operations]
    assert kinds == [RandomResizedCrop, HorizontalFlip, Grayscale, Darken, Solarize]
    added = build_views("byol", 24, {"darken": 0.5})
    kinds = [type(one) for one in added[1].operations]
    colors = [ColorJitter, Grayscale, GaussianBlur, Darken, Solarize]
    assert kinds == [RandomResizedCrop, HorizontalFlip, *colors]
    # Nothing is left to solarise once all is dark.
    host, device = both_engines(whole(24, solarize=1.0, darken=1.0), 0)
    np.testing.assert_array_equal(host, PHOTO // 2)
    np.testing.assert_allclose(device, PHOTO / 2, atol=1e-3)


def test_bytes_of_a_data_set_stay_as_they_are_where_some_samples_are_touched() -> None:
    view = View(24, [Darken(prob=0.5)])  # before any operation has made floats of them
    pixels = torch.from_numpy(PHOTO).permute(2, 0, 1).repeat(16, 1, 1, 1)
    before = pixels.clone()
    index = torch.arange(16)
    (made,) = DeviceViews([view], 3)(pixels, index, torch.zeros_like(index))
    assert torch.equal(pixels, before)
    on = torch.from_numpy(drawn_by(view, 16)[0][1]["on"])
    assert on.any()
    assert not on.all()
    torch.testing.assert_close(made[~on], before[~on] / 255)
    torch.testing.assert_close(made[on], before[on] / 510)


@dataclass(frozen=True, kw_only=True)
class Cut(RandomOperation):
    """Changes the size, which an operation on some samples must not."""

    def host(self, image: Image, drawn: Mapping[str, Any]) -> Image:
        return image[:12, :12]

    def device(self, images: Tensor, drawn: Drawn) -> Tensor:
        return images[:, :, :12, :12]

    def describe(self) -> str:
        return "cut"


@pytest.mark.parametrize(
    ("prob", "told"),
    [(0.5, r"Cut makes \(3, 12, 12\) of .*\(3, 24, 24\)"), (1.0, "ends with .* 12 x 12 px")],
)
def test_an_operation_that_changes_the_size_is_told(prob: float, told: str) -> None:
    view = View(24, [RandomResizedCrop(), Cut(prob=prob)])
    index = torch.arange(16)
    pixels = torch.zeros(16, 3, 24, 24, dtype=torch.uint8)
    with pytest.raises(UserError, match=told):
        DeviceViews([view], 3)(pixels, index, torch.zeros_like(index))
    touched = int(drawn_by(view, 16)[1][1]["on"].argmax())
    with pytest.raises(UserError, match="ends with an image of 12 x 12 px"):
        HostViews([view], 3)(PHOTO, touched, 0)


def test_two_operations_of_one_short_name_are_told() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Mirror(HorizontalFlip):
        """Keeps the short name of what it is derived from."""

    VIEW_OPS.register_module(module=Mirror)
    try:
        with pytest.raises(UserError, match=r"claim the short name 'flip': .*Rename it in one"):
            View.flat(24)
    finally:
        VIEW_OPS.module_dict.pop("Mirror")


def test_what_is_no_operation_is_told() -> None:
    wrong: Any = [RandomResizedCrop(), "flip"]
    with pytest.raises(UserError, match="operations holds 'flip', which is not derived from"):
        View(24, wrong)
