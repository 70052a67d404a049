"""Views from a config: sets of one's own, lists of operations, options that change all views."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mvssl.apis import TrainOptions, train
from mvssl.errors import UserError
from mvssl.registry import VIEW_SETS
from mvssl.views import View, build_views
from mvssl.views.ops import (
    ColorJitter,
    GaussianBlur,
    Grayscale,
    HorizontalFlip,
    RandomResizedCrop,
    Solarize,
    VerticalFlip,
)
from tests.mini import train_cli, write_config
from tests.views.drawing import operation

pytestmark = pytest.mark.usefixtures("darken")


@pytest.fixture(autouse=True)
def _own_sets() -> Iterator[None]:
    def mine(size: int, n: int = 2) -> list[View]:
        return [View.flat(size, flip=0.0, darken=1.0)] * n

    def strict(size: int, n: int) -> list[View]:
        return mine(size, n)

    for made in (mine, strict):
        VIEW_SETS.register_module(module=made)
    yield
    for name in ("mine", "strict"):
        VIEW_SETS.module_dict.pop(name)


# Sets of one's own.


def test_a_set_of_ones_own_takes_arguments_and_trains(tmp_path: Path) -> None:
    views: dict[str, Any] = {"type": "mine", "n": 3}
    assert build_views(views, 16) == [View.flat(16, flip=0.0, darken=1.0)] * 3
    assert len(build_views("mine", 16)) == 2
    config = str(write_config(tmp_path, "byol_vit.py"))
    views |= {"_delete_": True}  # of the set that the config names
    options = {"model.data_preprocessor.views": views, "train_cfg.max_epochs": 1}
    summary = train(TrainOptions(config, work_dir=str(tmp_path / "run"), cfg_options=options))
    assert summary is not None
    assert np.isfinite(summary["loss"])
    assert (tmp_path / "run" / "views.png").is_file()


@pytest.mark.parametrize(
    ("views", "told"),
    [
        ({"type": "mine", "m": 3}, r"the set 'mine' takes no 'm'. It takes 'size' or 'n'"),
        ({"type": "mine", "n": 0}, "the set 'mine' must give a list of mvssl.views.View"),
        ("strict", "the set 'strict': missing a required argument: 'n'"),
        ({"n": 3}, r"a dict names its view set, dict\(type='byol'\), not {'n': 3}"),
        ({"type": "dino", "num_local": -1}, "num_local is an integer and at least 0, got -1"),
    ],
)
def test_mistakes_in_a_set_are_told(views: Any, told: str) -> None:
    with pytest.raises(UserError, match=told):
        build_views(views, 16)


# Lists of operations.


def test_operations_stand_in_the_order_of_the_list() -> None:
    listed = [{"type": "Solarize", "prob": 0.5}, {"type": "RandomResizedCrop", "scale": [0.5, 1]}]
    (view,) = build_views([{"operations": listed, "size": 20}], 16)
    assert view == View(20, (Solarize(prob=0.5), RandomResizedCrop(scale=(0.5, 1.0))))


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        (
            {"operations": [{"type": "Solarise", "prob": 1}]},
            "'Solarise' .* did you mean 'Solarize'",
        ),
        ({"operations": [{"type": "Solarize", "p": 1}]}, r"views\[0\]: Solarize: .*'p'"),
        ({"operations": [{"prob": 1}]}, r"an operation is dict\(type='RandomResizedCrop', ...\)"),
        ({"operations": "Solarize"}, "operations is a list, .* not 'Solarize'"),
        ({"operations": 3}, "operations is a list, .* not 3"),
        ({"operations": [], "flip": 0.5}, "operations and 'flip' cannot both be given"),
    ],
)
def test_mistakes_in_a_list_of_operations_are_told(spec: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        build_views([spec], 16)


# view_options.


def test_an_option_changes_every_view_that_has_the_operation() -> None:
    views = build_views("dino", 64, {"crop_scale": (0.2, 1.0), "blur": 0.3, "solarize": 0.7})
    assert {operation(view, RandomResizedCrop).scale for view in views} == {(0.2, 1.0)}
    assert {operation(view, GaussianBlur).prob for view in views} == {0.3}
    # Only the second global view solarises.
    found = [operation(view, Solarize) for view in views]
    assert found == [None, Solarize(prob=0.7), *[None] * 8]
    # What no option names stays as it was.
    for changed, plain in zip(views, build_views("dino", 64), strict=True):
        assert operation(changed, ColorJitter) == operation(plain, ColorJitter)
        assert changed.size == plain.size


def test_an_option_changes_all_of_a_kind_that_stand_in_a_view() -> None:
    twice = [{"type": "RandomResizedCrop"}, *[{"type": "VerticalFlip", "prob": 0.5}] * 2]
    (view,) = build_views([{"operations": twice}], 32, {"vertical_flip": 0.25})
    assert view.operations == (RandomResizedCrop(), *[VerticalFlip(prob=0.25)] * 2)


def test_an_option_adds_what_no_view_has_and_zero_takes_away() -> None:
    views = build_views("gentle", 32, {"vertical_flip": 0.5, "blur": 0.4, "blur_sigma": (1, 2)})
    assert [operation(view, VerticalFlip).prob for view in views] == [0.5, 0.5]
    assert [operation(view, GaussianBlur).sigma for view in views] == [(1.0, 2.0)] * 2
    views = build_views("byol", 32, {"flip": 0, "jitter_prob": 0, "gray": 0, "vertical_flip": 0})
    for kind in (HorizontalFlip, ColorJitter, Grayscale, VerticalFlip):
        assert [operation(view, kind) for view in views] == [None, None]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"blur_sigma": (0.1, 1.0)}, "blur_sigma=.* since the view has no GaussianBlur: .* 'blur'"),
        ({"jitter_prob": 0.5}, None),  # it has one
        ({"flp": 0.5}, "view_options: no operation of a view has 'flp'; did you mean 'flip'"),
        ({"flip": 2}, "flip=2: HorizontalFlip: prob must be a probability from 0 to 1, not 2"),
        ({"crop_scale": 0.5}, "crop_scale=0.5: RandomResizedCrop: scale must be two numbers"),
        (["flip"], r"view_options is a dict of short names, .* not \['flip'\]"),
    ],
)
def test_options_that_make_no_sense(options: Any, told: str | None) -> None:
    if told is None:
        assert operation(build_views("gentle", 32, options)[0], ColorJitter).prob == 0.5
        return
    with pytest.raises(UserError, match=told):
        build_views("gentle", 32, options)


def test_options_are_given_on_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path, "byol_vit.py")
    place = "model.data_preprocessor"
    byol = [f"{place}.views=byol"]

    def plan(*options: str) -> str:
        assert train_cli(config, "--dry-run", "--cfg-options", *byol, *options) == 0
        return " ".join(capsys.readouterr().out.split())

    assert "flip p 0.5" in plan()
    told = plan(f"{place}.view_options.flip=0", f"{place}.view_options.crop_scale=(0.5,1.0)")
    assert "flip" not in told.split("view 1")[1].split("view 2")[0]
    assert told.count("crop 0.5-1 of the area") == 2
    assert "'byol' with flip=0, crop_scale=(0.5, 1.0)" in told
    wrong = f"{place}.view_options.flp=0"
    assert train_cli(config, "--dry-run", "--cfg-options", *byol, wrong) == 2
    assert "did you mean 'flip'" in capsys.readouterr().err
