"""Transforms of torchvision and mmcv as operations."""

from __future__ import annotations

import pickle
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mmcv.transforms
import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from mvssl.apis import TrainOptions
from mvssl.errors import UserError
from mvssl.registry import MODELS, TRANSFORMS
from mvssl.views import HostViews, MultiViewPreprocessor, View
from mvssl.views.ops import MMCVOp, RandomResizedCrop, TorchvisionOp
from tests.mini import prepared, write_config
from tests.views.drawing import PHOTO


class Scatter(mmcv.transforms.BaseTransform):
    """Noise from all three global generators; it may fail after it drew."""

    def __init__(self, fails: bool = False) -> None:
        self.fails = fails

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        drawn = random.random(), np.random.random(), float(torch.rand(()))
        if self.fails:
            raise ValueError("on purpose")
        results["img"][0, 0] = [int(256 * x) for x in drawn]
        return results


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    TRANSFORMS.register_module(module=Scatter)
    yield
    TRANSFORMS.module_dict.pop("Scatter")


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


Generators = tuple[object, str, torch.Tensor]


def generators() -> Generators:
    """The states of the global generators of Python, NumPy and torch."""
    return random.getstate(), repr(np.random.get_state(legacy=False)), torch.get_rng_state()


def assert_untouched(before: Generators) -> None:
    now = generators()
    assert now[:2] == before[:2]
    assert torch.equal(now[2], before[2])


def seed_all(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


RANDOM = [
    ("TorchvisionOp", {"type": "ElasticTransform", "alpha": 30.0}),
    ("TorchvisionOp", {"type": "RandomErasing", "p": 1.0, "value": "random"}),
    ("MMCVOp", {"type": "RandomFlip", "prob": 0.5}),
    ("MMCVOp", {"type": "RandomGrayscale", "prob": 0.5, "keep_channels": True}),
    ("MMCVOp", {"type": "Scatter"}),
]


@pytest.mark.parametrize(("kind", "transform"), RANDOM)
def test_a_foreign_transform_repeats_and_leaves_the_global_generators_alone(
    kind: str, transform: dict[str, Any]
) -> None:
    preprocessor = foreign(kind, transform)
    seed_all(1)
    before = generators()
    views = [made(preprocessor, index) for index in range(12)]
    assert_untouched(before)
    seed_all(2)
    for index, view in enumerate(views):
        np.testing.assert_array_equal(view, made(preprocessor, index))
    assert len({view.tobytes() for view in views}) > 1


def test_all_three_generators_follow_the_draws_of_the_view() -> None:
    preprocessor = foreign("MMCVOp", {"type": "Scatter"})
    drawn = np.stack([made(preprocessor, index)[0, 0] for index in range(40)])
    assert all(len(set(channel)) > 20 for channel in drawn.T.tolist())


def test_a_transform_that_fails_leaves_the_global_generators_alone() -> None:
    before = generators()
    with pytest.raises(UserError, match=r"MMCVOp\(Scatter\) failed on an image: on purpose"):
        foreign("MMCVOp", {"type": "Scatter", "fails": True})
    assert_untouched(before)


def test_a_view_with_foreign_transforms_reaches_the_workers_of_a_loader() -> None:
    elastic = TorchvisionOp(transform={"type": "ElasticTransform"})
    flip = MMCVOp(transform={"type": "RandomFlip", "prob": 0.5})
    views = HostViews([View(24, [RandomResizedCrop(), elastic, flip])], 0)
    first = views(PHOTO, 1, 2)
    sent = pickle.loads(pickle.dumps(views))
    assert sent.views == views.views
    assert torch.equal(sent(PHOTO, 1, 2)[0], first[0])


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


@pytest.mark.parametrize(
    ("transform", "told"),
    [
        ({"type": "Resize", "size": 12}, "view of 24 px ends with an image of 12"),
        ({"type": "Grayscale"}, "must give a uint8 image of 3 channels"),
    ],
)
def test_a_transform_is_tried_however_rare_it_is(transform: dict[str, Any], told: str) -> None:
    rare = {"type": "TorchvisionOp", "transform": transform, "prob": 1e-9}
    views = [{"operations": [{"type": "RandomResizedCrop"}, rare]}]
    with pytest.raises(UserError, match=told):
        MultiViewPreprocessor(views, size=24, engine="host")


def test_what_stands_before_the_crop_is_given_the_images_of_the_data_set() -> None:
    """It may ask for more pixels than the view has."""
    before = {"type": "TorchvisionOp", "transform": {"type": "CenterCrop", "size": 40}}
    wide = {"type": "TorchvisionOp", "transform": {"type": "RandomCrop", "size": 40}}
    crop = {"type": "RandomResizedCrop", "scale": (1.0, 1.0), "ratio": (1.0, 1.0)}
    views = [{"operations": [one, crop]} for one in (before, wide)]
    transform = MultiViewPreprocessor(views, size=40, engine="host").host_transform()
    assert transform is not None
    image = np.random.default_rng(1).integers(0, 256, (60, 50, 3), dtype=np.uint8)
    center, cut = (view.permute(1, 2, 0).numpy() for view in transform(image, 0, 0))
    np.testing.assert_array_equal(center, image[10:50, 5:45])
    assert any(
        np.array_equal(cut, image[top : top + 40, left : left + 40])
        for top in range(21)
        for left in range(11)
    )
    assert MultiViewPreprocessor(views, size=24, engine="host")


@pytest.mark.parametrize(("kind", "transform"), RANDOM)
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
