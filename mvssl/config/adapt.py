"""Another backbone or image size in the place of a config's, with all that depends on it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import timm
from mmengine.config import Config

from mvssl.config.components import as_mapping, component_at
from mvssl.errors import UserError
from mvssl.kinds import parameters_of
from mvssl.models.backbones.sizes import NO_SHAPE
from mvssl.models.backbones.timm_backbone import TimmBackbone, arguments_of, patch_of
from mvssl.views.build import build_views, find_set
from mvssl.words import near_names

__all__ = ["begin_from", "fit_crops", "is_timm", "is_timm_name", "use_backbone", "use_image_size"]

OWN = ("type", "name", "model_args", "pretrained", "checkpoint", "stem")


def use_backbone(cfg: Config, name: str) -> list[str]:
    """Put a model of timm in the place of a config's backbone, or of each of its parts.

    It is as timm has it, of the config's size of images: one that the config names too, and makes
    narrower or less deep, as any other.

    Returns:
        A sentence about the arguments that fell away, if any did.
    """
    if not isinstance(cfg.get("model"), Mapping):
        return []  # which the config's check tells
    model: Any = cfg.model
    notes: dict[str, None] = {}
    owner: Any = model.get("backbone")
    if isinstance(as_mapping(owner).get("parts"), list | tuple):
        owner["parts"] = [_replaced(part, name, cfg, notes) for part in owner["parts"]]
    else:
        model["backbone"] = _replaced(owner, name, cfg, notes)
    return list(notes)


def _replaced(old: Any, name: str, cfg: Config, notes: dict[str, None]) -> dict[str, Any]:
    old = dict(old) if isinstance(old, Mapping) else {}
    same = old.get("name") == name and is_timm(old)
    given = dict(old.get("model_args") or {})
    taken = arguments_of(name)
    kept = {key: value for key, value in given.items() if key in NO_SHAPE & taken.keys()}
    size = _size(cfg)
    if "img_size" in taken and isinstance(size, int):
        kept["img_size"] = size
    if "dynamic_img_size" in taken and len(_sides(cfg)) > 1:
        kept["dynamic_img_size"] = True
    new = {"type": "TimmBackbone", "name": name, "model_args": kept}
    if same:
        new = {**old, "model_args": kept}
    stem = old.get("stem", "default")
    if stem != "default" and name.startswith("resnet"):
        new["stem"] = stem
    gone = [f"model_args.{key}" for key in given if key not in kept]
    gone += [key for key in old if key not in new and key in OWN and old[key]]
    if gone:
        what = f"{', '.join(gone)} of the config's backbone"
        verb = "is" if len(gone) == 1 else "are"
        notes[f"{what} {verb} left out: {name} is taken as timm has it"] = None
    return new


def begin_from(cfg: Config, source: str, backbone: str | None) -> list[str]:
    """Let the backbone of a config begin with weights of a file, or with those that timm publishes.

    Args:
        cfg: is changed.
        source: a file, or a name of timm, whose model becomes the backbone.
        backbone: which backbone was asked for beside, if any.

    Raises:
        UserError: it is neither, or the backbone is none of timm's or another one.
    """
    found = list(_backbones(cfg))
    if not found:
        raise UserError(
            f"--init-from {source} is for a TimmBackbone, which this config has not: give its own "
            f"backbone the weights, or add --backbone NAME."
        )
    if is_timm_name(source):
        if backbone not in (None, source, source.split(".")[0]):
            raise UserError(
                f"--init-from {source} is a model of timm and not --backbone {backbone}: leave one "
                f"of them out."
            )
        notes = use_backbone(cfg, source)
        for one in _backbones(cfg):
            one["pretrained"] = True
        return notes
    for one in found:
        one.pop("pretrained", None)
        one["checkpoint"] = source
    return []


def is_timm_name(source: str) -> bool:
    """Whether it is a name of timm, and no file.

    Raises:
        UserError: it is neither.
    """
    if Path(source).exists():
        return False
    if timm.is_model(source):
        return True
    near = near_names(source, timm.list_models(), "")
    raise UserError(f"--init-from {source} is neither a file nor a model of timm{near or '.'}")


def use_image_size(cfg: Config, size: int) -> None:
    """Give views, images and backbone of a config another side in pixels.

    Data sets that cut images to another side than the views' keep the proportion.
    """
    preprocessor = as_mapping(as_mapping(cfg.get("model")).get("data_preprocessor"))
    before = preprocessor.get("size")
    if not isinstance(before, int) or size < 1:
        raise UserError(
            f"--image-size {size} is of model.data_preprocessor.size, which is {before!r} here: "
            f"set sizes in the config."
        )
    cfg.model.data_preprocessor["size"] = size
    evaluation, loader = as_mapping(cfg.get("evaluation")), as_mapping(cfg.get("train_dataloader"))
    for images in (loader.get("dataset"), evaluation.get("train"), evaluation.get("test")):
        side = as_mapping(images).get("size")
        if isinstance(side, int):
            images["size"] = round(side * size / before)
    for backbone in _backbones(cfg):
        arguments = backbone.get("model_args") or {}
        if "img_size" in arguments_of(backbone["name"]):
            backbone["model_args"] = {**arguments, "img_size": size}


def fit_crops(cfg: Config) -> list[str]:
    """Give the small crops of a view set a side that the backbone's patches divide.

    Where a config says their side, or pads images, they are left as they are.
    """
    preprocessor = as_mapping(as_mapping(cfg.get("model")).get("data_preprocessor"))
    views, size = preprocessor.get("views"), _size(cfg)
    make = find_set(views)
    if make is None or "local_size" not in inspect.signature(make).parameters:
        return []
    named = {"type": views} if isinstance(views, str) else views
    sides = _sides(cfg)
    if "local_size" in named or len(sides) < 2 or not isinstance(size, int):
        return []
    patches = {patch for patch in map(_patch, _backbones(cfg)) if patch is not None}
    local = min(sides)
    if len(patches) != 1 or size % (patch := patches.pop()) or local % patch == 0:
        return []
    fitted = min(max((local + patch // 2) // patch, 1) * patch, size)
    cfg.model.data_preprocessor["views"] = {**named, "local_size": fitted}
    return [f"small crops of {fitted} px, not {local}, since patches of {patch} px divide them"]


def _patch(backbone: Mapping[str, Any]) -> int | None:
    arguments = backbone.get("model_args") or {}
    return None if arguments.get("dynamic_img_pad") else patch_of(backbone["name"], arguments)


def _size(cfg: Config) -> Any:
    return as_mapping(as_mapping(cfg.get("model")).get("data_preprocessor")).get("size")


def _sides(cfg: Config) -> set[int]:
    """Sides of the views of a config; none where they cannot be made, which is told later."""
    preprocessor = as_mapping(as_mapping(cfg.get("model")).get("data_preprocessor"))
    try:
        return {view.size for view in build_views(preprocessor["views"], preprocessor["size"])}
    except Exception:  # a set of one's own raises what it likes
        return set()


def _backbones(cfg: Config) -> Iterator[Any]:
    """Models of timm of a config."""
    backbone = as_mapping(as_mapping(cfg.get("model")).get("backbone"))
    for one in backbone.get("parts") or [backbone]:
        if is_timm(one) and isinstance(one.get("name"), str):
            yield one


def is_timm(node: Any) -> bool:
    """Whether it describes a TimmBackbone, by whatever name, or what is derived from it and takes a
    model's arguments as it does.
    """
    kind = component_at("model.backbone", as_mapping(node))
    if not (isinstance(kind, type) and issubclass(kind, TimmBackbone)):
        return False
    return {"name", "model_args"} <= parameters_of(kind).keys()
