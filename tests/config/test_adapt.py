from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import timm

from mvssl.apis import TrainOptions
from mvssl.apis.data_facts import with_facts
from mvssl.config.adapt import begin_from, use_backbone, use_image_size
from mvssl.config.read import Sizes, load_config
from mvssl.errors import UserError
from mvssl.models.backbones.timm_backbone import TimmBackbone
from mvssl.registry import BACKBONES
from tests.mini import ROOT, prepared

DINO = str(ROOT / "configs" / "imagenet" / "dino_vits16.py")
BYOL = str(ROOT / "configs" / "imagenet" / "byol_resnet50.py")
SMALL_PHOTOS = ROOT / "configs" / "photos" / "simclr_small.py"
DIGITS = str(ROOT / "configs" / "byol_er_vit.py")


def test_an_image_size_is_that_of_views_images_and_backbone() -> None:
    cfg = load_config(DINO, sizes=Sizes(image_size=448))
    assert cfg.model.data_preprocessor.size == 448
    assert cfg.model.backbone.model_args.img_size == 448
    assert cfg.train_dataloader.dataset.size == 512  # 256 for 224
    assert (cfg.evaluation.train.size, cfg.evaluation.test.size) == (448, 448)


class _Own(TimmBackbone):
    """Of a user."""


class _Fixed(TimmBackbone):
    """Of a user, with a network of its own choice."""

    def __init__(self, width: int = 16) -> None:
        super().__init__("vit_tiny_patch16_224", {"embed_dim": width, "img_size": 32})


@pytest.mark.parametrize("kind", ["mvssl.TimmBackbone", TimmBackbone, "_Own"])
def test_a_backbone_of_timm_is_known_by_whatever_name(
    kind: str | type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BACKBONES.module_dict, "_Own", _Own)
    cfg = load_config(DIGITS)
    cfg.model.backbone.type = kind
    use_image_size(cfg, 64)
    assert cfg.model.backbone.model_args.img_size == 64
    begin_from(cfg, __file__, None)
    assert cfg.model.backbone.checkpoint == __file__
    assert cfg.model.backbone.type == kind
    use_backbone(cfg, cfg.model.backbone.name)
    assert cfg.model.backbone.type == kind  # as timm has it, of that class
    assert set(cfg.model.backbone.model_args) <= {"img_size", "dynamic_img_size"}
    assert cfg.model.backbone.checkpoint == __file__
    four = with_facts(cfg, {"channels": 4})
    assert four.model.backbone.model_args.in_chans == 4
    use_backbone(cfg, "resnet10t")
    assert cfg.model.backbone.to_dict() == {
        "type": "TimmBackbone",
        "name": "resnet10t",
        "model_args": {},
    }


@pytest.mark.parametrize("kind", ["_Fixed", "TimmBackbon", "elsewhere.ResNet", 3, None])
def test_a_backbone_that_takes_no_arguments_of_timm_is_left_as_it_is(
    kind: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BACKBONES.module_dict, "_Fixed", _Fixed)
    cfg = load_config(DIGITS)
    cfg.model.backbone.type = kind
    before = cfg.model.backbone.to_dict()
    use_image_size(cfg, 64)
    assert with_facts(cfg, {"channels": 4}).model.backbone.to_dict() == before
    with pytest.raises(UserError, match="is for a TimmBackbone, which this config has not"):
        begin_from(cfg, __file__, None)


def test_a_resnet_is_told_no_image_size() -> None:
    cfg = load_config(BYOL, sizes=Sizes(image_size=96))
    assert "model_args" not in cfg.model.backbone


@pytest.mark.parametrize(("size", "crop"), [(96, 48), (64, 32), (224, None), (100, None)])
def test_small_crops_are_whole_patches(size: int, crop: int | None) -> None:
    notes: list[str] = []
    cfg = load_config(DINO, sizes=Sizes(image_size=size), notes=notes)
    views = cfg.model.data_preprocessor["views"]
    assert views == ("dino" if crop is None else {"type": "dino", "local_size": crop})
    assert any("small crops" in note for note in notes) == (crop is not None)


def test_another_backbone_is_what_timm_makes_of_its_name() -> None:
    notes: list[str] = []
    cfg = load_config(DIGITS, sizes=Sizes(backbone="vit_small_patch8_224"), notes=notes)
    backbone = TimmBackbone(**{k: v for k, v in cfg.model.backbone.items() if k != "type"})
    plain = timm.create_model("vit_small_patch8_224", num_classes=0, img_size=32)
    shapes = {key: value.shape for key, value in plain.state_dict().items()}
    assert {key: value.shape for key, value in backbone.model.state_dict().items()} == shapes
    assert len(notes) == 1
    assert "embed_dim" in notes[0]
    assert "vit_small_patch8_224 is taken as timm has it" in notes[0]


@pytest.mark.parametrize("option", ["backbone", "init_from"])
def test_the_config_s_own_name_means_timm_s_network_too(option: str) -> None:
    """It makes that narrower; weights of timm's network fit the one that is asked for by name."""
    notes: list[str] = []
    given: dict[str, Any] = {option: "vit_tiny_patch16_224"}
    sizes = Sizes(**given)
    cfg = load_config(SMALL_PHOTOS, sizes=sizes, notes=notes)
    arguments = cfg.model.backbone.model_args.to_dict()
    plain = timm.create_model("vit_tiny_patch16_224", num_classes=0, img_size=96)
    shapes = {key: value.shape for key, value in plain.state_dict().items()}
    backbone = TimmBackbone("vit_tiny_patch16_224", arguments)
    assert {key: value.shape for key, value in backbone.model.state_dict().items()} == shapes
    assert cfg.model.backbone.get("pretrained", False) is (option == "init_from")
    assert [("depth" in note, "as timm has it" in note) for note in notes] == [(True, True)]


def test_what_a_resnet_does_not_take_falls_away() -> None:
    cfg = load_config(DIGITS, sizes=Sizes(backbone="resnet10t"))
    assert cfg.model.backbone.to_dict() == {
        "type": "TimmBackbone",
        "name": "resnet10t",
        "model_args": {},
    }
    assert prepared(TrainOptions(config=DIGITS, backbone="resnet10t")).model is not None


def test_every_part_of_a_split_backbone_is_replaced() -> None:
    cfg = load_config(ROOT / "configs" / "cmc_vit.py", sizes=Sizes(backbone="resnet10t"))
    parts = [(part.name, part.model_args.to_dict()) for part in cfg.model.backbone.parts]
    assert parts == [("resnet10t", {"in_chans": 1}), ("resnet10t", {"in_chans": 2})]


def test_a_backbone_that_timm_has_not_is_told_with_near_names() -> None:
    with pytest.raises(UserError, match="has no model 'resnet81'; did you mean"):
        prepared(TrainOptions(config=DIGITS, backbone="resnet81"))


def write(folder: Path, more: str) -> Path:
    file = folder / "mine.py"
    file.write_text(f"_base_ = [{DIGITS!r}]\n{more}")
    return file


@pytest.mark.parametrize(
    ("rule", "factor"), [("linear", 0.25), ("sqrt", math.sqrt(0.25)), ("none", 1.0)]
)
def test_the_rate_follows_the_batch_by_the_rule_of_the_config(
    tmp_path: Path, rule: str, factor: float
) -> None:
    file, notes = write(tmp_path, f"auto_scale_lr = dict(rule={rule!r})"), list[str]()
    cfg = load_config(file, sizes=Sizes(batch_size=16), notes=notes)
    assert cfg.train_dataloader.batch_size == 16
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(1e-3 * factor)
    assert "16" in notes[0]
    assert f"rule={rule!r}" in notes[0]
    again = tmp_path / "again.py"
    cfg.dump(again)
    assert load_config(again).optim_wrapper.optimizer.lr == cfg.optim_wrapper.optimizer.lr


def test_a_rate_may_be_that_of_another_batch_and_one_that_is_given_stays(tmp_path: Path) -> None:
    file = write(tmp_path, "auto_scale_lr = dict(base_batch_size=128)")
    assert load_config(file).optim_wrapper.optimizer.lr == pytest.approx(5e-4)
    given = {"optim_wrapper.optimizer.lr": 0.01, "train_dataloader.batch_size": 16}
    assert load_config(file, options=given).optim_wrapper.optimizer.lr == 0.01


def test_a_batch_among_the_options_is_taken_as_it_stands(tmp_path: Path) -> None:
    options = {"train_dataloader.batch_size": 16}
    assert load_config(DIGITS, options=options).optim_wrapper.optimizer.lr == 1e-3
    # The rate of the file's own 64 images, where it states that of 128.
    file = write(tmp_path, "auto_scale_lr = dict(base_batch_size=128)")
    cfg = load_config(file, options=options)
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(5e-4)
    again = tmp_path / "again.py"
    cfg.dump(again)
    assert load_config(again).optim_wrapper.optimizer.lr == cfg.optim_wrapper.optimizer.lr


def test_a_rule_that_is_none_is_told(tmp_path: Path) -> None:
    file = write(tmp_path, "auto_scale_lr = dict(rule='quadratic')")
    with pytest.raises(UserError, match="rule is one of linear, sqrt, none, got 'quadratic'"):
        prepared(TrainOptions(config=str(file)))


@pytest.mark.parametrize("name", ["image_size", "batch_size"])
def test_sizes_are_counts(name: str) -> None:
    with pytest.raises(UserError, match=f"{name} is an integer and at least 1, got 0"):
        TrainOptions(config=DIGITS, **{name: 0})  # type: ignore[arg-type]
