"""Operations beyond the published ones, operations and sets of one's own, and other libraries'."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import mmcv.transforms
import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor
from torchvision.transforms import v2

from mvssl.apis import TrainOptions, train
from mvssl.config.read import load_config
from mvssl.errors import UserError
from mvssl.registry import MODELS, VIEW_OPS, VIEW_SETS
from mvssl.views import (
    DeviceViews,
    Drawn,
    HostViews,
    Image,
    MultiViewPreprocessor,
    RandomOperation,
    View,
    build_views,
)
from mvssl.views.ops import (
    ColorJitter,
    GaussianBlur,
    Grayscale,
    HorizontalFlip,
    MMCVOp,
    QuarterTurns,
    RandomResizedCrop,
    TorchvisionOp,
    VerticalFlip,
)
from tests.mini import ROOT, prepared, write_config
from tests.views.drawing import draws, operation

N = 4000
PHOTO = np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)


def ids(count: int = N) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros(count, dtype=np.int64), np.arange(count)


def whole(size: int, **named: Any) -> View:
    """A view of the whole square image, so that its pixels stay as they are."""
    crop: dict[str, Any] = {"crop_scale": (1.0, 1.0), "crop_ratio": (1.0, 1.0), "flip": 0.0}
    return View.flat(size, **crop, **named)


def both_engines(view: View, index: int) -> tuple[np.ndarray, np.ndarray]:
    """A view of ``PHOTO`` by each engine, (H, W, 3) in levels."""
    (host,) = HostViews([view], 3)(PHOTO, index, 0)
    pixels = torch.from_numpy(PHOTO).permute(2, 0, 1)[None]
    (device,) = DeviceViews([view], 3)(pixels, torch.tensor([index]), torch.tensor([0]))
    return host.permute(1, 2, 0).numpy(), (255 * device[0]).permute(1, 2, 0).numpy()


# Vertical flips and quarter turns against NumPy.


def test_a_vertical_flip_exchanges_top_and_bottom() -> None:
    for made in both_engines(whole(24, vertical_flip=1.0), 0):
        np.testing.assert_allclose(made, np.flipud(PHOTO), atol=1e-3)


def test_quarter_turns_are_numpys_rotations() -> None:
    view = whole(24, quarter_turns=1.0)
    turns = dict(draws_by_name(view, *ids(60)))["QuarterTurns"]["turns"]
    assert set(turns.tolist()) == {1, 2, 3}
    for index in range(60):
        for made in both_engines(view, index):
            np.testing.assert_allclose(made, np.rot90(PHOTO, turns[index]), atol=1e-3)


def draws_by_name(view: View, epoch: np.ndarray, index: np.ndarray) -> list[tuple[str, Drawn]]:
    found = draws(view, 0, 3, epoch, index, 24, 24)
    return [(type(one).__name__, drawn) for one, drawn in found]


@pytest.mark.parametrize(
    ("name", "kind"), [("vertical_flip", "VerticalFlip"), ("quarter_turns", "QuarterTurns")]
)
def test_they_happen_as_often_as_they_should(name: str, kind: str) -> None:
    drawn = dict(draws_by_name(whole(24, **{name: 0.3}), *ids()))[kind]
    assert stats.binomtest(int(drawn["on"].sum()), N, 0.3).pvalue > 1e-3
    if kind == "QuarterTurns":
        assert stats.chisquare(np.bincount(drawn["turns"])[1:]).pvalue > 1e-3


def test_a_turn_of_an_image_that_is_not_square_is_refused() -> None:
    view = View(24, [QuarterTurns(prob=1.0), RandomResizedCrop()])
    with pytest.raises(UserError, match="turns square images, not 20 x 30 px: let it follow"):
        HostViews([view], 0)(np.zeros((20, 30, 3), np.uint8), 0, 0)


def test_another_operation_leaves_the_draws_of_the_others_as_they_were() -> None:
    plain, more = build_views("byol", 24)[0], build_views("byol", 24, {"vertical_flip": 0.5})[0]
    before, after = dict(draws_by_name(plain, *ids(50))), dict(draws_by_name(more, *ids(50)))
    assert set(after) - set(before) == {"VerticalFlip"}
    for kind, drawn in before.items():
        for name, values in drawn.items():
            np.testing.assert_array_equal(values, after[kind][name], err_msg=f"{kind} {name}")


def test_an_operation_that_stands_twice_draws_twice() -> None:
    view = View(24, [RandomResizedCrop(), VerticalFlip(prob=0.5), VerticalFlip(prob=0.5)])
    (_, first), (_, second) = draws_by_name(view, *ids())[1:]
    assert stats.chi2_contingency(np.histogram2d(first["on"], second["on"], 2)[0]).pvalue > 1e-3
    assert not np.array_equal(first["on"], second["on"])


# Operations and sets of one's own.


@VIEW_OPS.register_module()
@dataclass(frozen=True, kw_only=True)
class Darken(RandomOperation):
    """Halves every value."""

    flat: ClassVar[Mapping[str, str]] = {"darken": "prob"}

    def host(self, image: Image, drawn: Mapping[str, Any]) -> Image:
        return image // 2

    def device(self, images: Tensor, drawn: Drawn) -> Tensor:
        return images * 0.5

    def describe(self) -> str:
        return f"darken p {self.prob:g}"


@pytest.fixture(scope="module", autouse=True)
def _own() -> Iterator[None]:
    def mine(size: int, n: int = 2) -> list[View]:
        return [View.flat(size, flip=0.0, darken=1.0)] * n

    VIEW_SETS.register_module(name="mine", module=mine)
    yield
    VIEW_SETS.module_dict.pop("mine")
    VIEW_OPS.module_dict.pop("Darken")


def test_an_operation_of_ones_own_works_in_both_engines_and_comes_last() -> None:
    view = whole(24, darken=1.0, gray=0.0)
    host, device = both_engines(view, 0)
    np.testing.assert_array_equal(host, PHOTO // 2)
    np.testing.assert_allclose(device, PHOTO / 2, atol=1e-3)
    kinds = [type(one) for one in View.flat(24, darken=0.5, blur=0.5, solarize=0.1).operations]
    assert kinds[0] is RandomResizedCrop
    assert kinds[-1] is Darken


def test_a_set_of_ones_own_takes_arguments_and_trains(tmp_path: Path) -> None:
    views: dict[str, Any] = {"type": "mine", "n": 3}
    assert len(build_views(views, 16)) == 3
    with pytest.raises(UserError, match=r"the set 'mine' takes no 'm'. It takes 'size' or 'n'"):
        build_views({"type": "mine", "m": 3}, 16)
    config = str(write_config(tmp_path, "byol_vit.py"))
    views |= {"_delete_": True}  # of the set that the config names
    options = {"model.data_preprocessor.views": views, "train_cfg.max_epochs": 1}
    summary = train(TrainOptions(config, work_dir=str(tmp_path / "run"), cfg_options=options))
    assert summary is not None
    assert np.isfinite(summary["loss"])


# view_options.


def test_an_option_changes_every_view_that_has_the_operation() -> None:
    views = build_views("dino", 64, {"crop_scale": (0.2, 1.0), "blur": 0.3, "solarize": 0.7})
    assert {operation(view, RandomResizedCrop).scale for view in views} == {(0.2, 1.0)}
    assert {operation(view, GaussianBlur).prob for view in views} == {0.3}
    # Only the second global view solarises.
    assert ["solarise" in view.describe() for view in views] == [False, True] + [False] * 8


def test_an_option_adds_what_no_view_has_and_zero_takes_away() -> None:
    views = build_views("gentle", 32, {"vertical_flip": 0.5})
    assert [operation(view, VerticalFlip).prob for view in views] == [0.5, 0.5]
    views = build_views("byol", 32, {"flip": 0, "jitter_prob": 0, "gray": 0})
    for kind in (HorizontalFlip, ColorJitter, Grayscale):
        assert [operation(view, kind) for view in views] == [None, None]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"blur_sigma": (0.1, 1.0)}, "blur_sigma=.* changes nothing, since the view has no Gauss"),
        ({"flp": 0.5}, "no operation of a view has 'flp'; did you mean 'flip'"),
        ({"flip": 2}, "flip=2: HorizontalFlip: prob must be a probability from 0 to 1, not 2"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        build_views("gentle", 32, options)


def test_options_are_given_on_the_command_line() -> None:
    options = {"model.data_preprocessor.view_options.crop_scale": (0.5, 1.0)}
    cfg = load_config(ROOT / "configs" / "byol_vit.py", options=options)
    built = MODELS.build(cfg.model.data_preprocessor.to_dict())
    assert {operation(view, RandomResizedCrop).scale for view in built.views} == {(0.5, 1.0)}
    assert "with crop_scale=(0.5, 1.0)" in built.describe()["views"]


# Transforms of torchvision and mmcv.


def foreign(kind: str, transform: dict[str, Any], engine: str = "host") -> MultiViewPreprocessor:
    crop = {"type": "RandomResizedCrop", "scale": (1.0, 1.0), "ratio": (1.0, 1.0)}
    views = [{"operations": [crop, {"type": kind, "transform": transform}]}]
    built: MultiViewPreprocessor = MODELS.build(
        {"type": "MultiViewPreprocessor", "views": views, "size": 24, "engine": engine}
    )
    return built


def made(preprocessor: MultiViewPreprocessor, index: int) -> np.ndarray:
    transform = preprocessor.host_transform()
    assert transform is not None
    return transform(PHOTO, index, 0)[0].permute(1, 2, 0).numpy()


def numpy_state() -> list[int]:
    state = np.random.get_state()
    assert isinstance(state, tuple)
    numbers: list[int] = state[1].tolist()
    return numbers


RANDOM = [
    ("TorchvisionOp", {"type": "ElasticTransform", "alpha": 30.0}),
    ("TorchvisionOp", {"type": "RandomErasing", "p": 1.0, "value": "random"}),
    ("MMCVOp", {"type": "RandomFlip", "prob": 0.5}),
    ("MMCVOp", {"type": "RandomGrayscale", "prob": 0.5, "keep_channels": True}),
]


@pytest.mark.parametrize(("kind", "transform"), RANDOM[:1] + RANDOM[2:])
def test_a_foreign_transform_repeats_and_leaves_the_global_generators_alone(
    kind: str, transform: dict[str, Any]
) -> None:
    preprocessor = foreign(kind, transform)
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    before = random.getstate(), numpy_state(), torch.get_rng_state()
    views = [made(preprocessor, index) for index in range(12)]
    assert random.getstate() == before[0]
    assert numpy_state() == before[1]
    assert torch.equal(torch.get_rng_state(), before[2])
    random.seed(2)
    np.random.seed(2)
    torch.manual_seed(2)
    for index, view in enumerate(views):
        np.testing.assert_array_equal(view, made(preprocessor, index))
    assert len({view.tobytes() for view in views}) > 1


def test_torchvision_is_given_the_image() -> None:
    view = made(foreign("TorchvisionOp", {"type": "RandomInvert", "p": 1.0}), 0)
    np.testing.assert_array_equal(view, 255 - PHOTO)
    nested = {"type": "RandomApply", "transforms": [{"type": "RandomInvert", "p": 1.0}], "p": 1.0}
    np.testing.assert_array_equal(made(foreign("TorchvisionOp", nested), 0), 255 - PHOTO)


def test_mmcv_is_given_blue_first() -> None:
    seen: list[np.ndarray] = []

    class Look(mmcv.transforms.BaseTransform):
        def transform(self, results: dict[str, Any]) -> dict[str, Any]:
            seen.append(results["img"].copy())
            results["img"][..., 0] = 7  # blue
            return results

    mmcv.transforms.TRANSFORMS.register_module(module=Look)
    try:
        view = made(foreign("MMCVOp", {"type": "Look"}), 0)
    finally:
        mmcv.transforms.TRANSFORMS.module_dict.pop("Look")
    np.testing.assert_array_equal(seen[-1], PHOTO[..., ::-1])
    np.testing.assert_array_equal(view[..., :2], PHOTO[..., :2])
    assert (view[..., 2] == 7).all()


@pytest.mark.parametrize(
    ("kind", "transform", "told"),
    [
        (
            "TorchvisionOp",
            {"type": "Resize", "size": 12},
            "view of 24 px ends with an image of 12",
        ),
        ("TorchvisionOp", {"type": "ToDtype", "dtype": torch.float32}, "must give a uint8 image"),
        ("TorchvisionOp", {"type": "Grayscale"}, "must give a uint8 image of 3 channels"),
        ("TorchvisionOp", {"type": "ElasticTransfrom"}, "did you mean 'ElasticTransform'"),
        ("TorchvisionOp", {"type": "RandomErasing", "q": 1}, "transform RandomErasing: .*'q'"),
        ("TorchvisionOp", {}, r"transform is dict\(type='...', ...\)"),
        (
            "MMCVOp",
            {"type": "Resize", "scale": (12, 12)},
            "view of 24 px ends with an image of 12",
        ),
        ("MMCVOp", {"type": "RandomFlp"}, "mmcv has no transform 'RandomFlp'; did you mean"),
    ],
)
def test_what_a_foreign_transform_may_not(kind: str, transform: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        foreign(kind, transform)


@pytest.mark.parametrize(("kind", "transform"), RANDOM[::2])
def test_the_device_engine_refuses_them(kind: str, transform: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"acts on one image at a time.*engine='host'"):
        foreign(kind, transform, engine="device")


def test_an_adapter_trains(tmp_path: Path) -> None:
    crop = {"type": "RandomResizedCrop"}
    blur = {"type": "TorchvisionOp", "transform": {"type": "GaussianBlur", "kernel_size": 3}}
    options = {
        "model.data_preprocessor.views": [{"operations": [crop, blur]}] * 2,
        "model.data_preprocessor.engine": "host",
    }
    config = str(write_config(tmp_path, "byol_vit.py"))
    job = prepared(TrainOptions(config, cfg_options=options))
    first = [job.dataset[(0, epoch)]["views"][0] for epoch in (0, 0, 1)]
    assert torch.equal(first[0], first[1])
    assert not torch.equal(first[0], first[2])


def test_the_adapters_are_what_they_adapt() -> None:
    operation_ = TorchvisionOp(transform={"type": "ElasticTransform"})
    assert isinstance(operation_.built, v2.ElasticTransform)
    flip = MMCVOp(transform={"type": "RandomFlip", "prob": 1.0})
    assert isinstance(flip.built, mmcv.transforms.RandomFlip)
