"""A trained backbone from a run, from one of its files, or from timm."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import timm
from torch import Tensor, nn

from mvssl.arguments import check_choice, check_count
from mvssl.checkpoint import (
    intact_checkpoint,
    load_checkpoint,
    load_weights_strictly,
    newer_checkpoint,
    open_safetensors,
)
from mvssl.errors import DamageError, UserError
from mvssl.intake.files import ZIP_START
from mvssl.models.backbones.described import build_described, parse_plain
from mvssl.models.backbones.export import exported
from mvssl.models.backbones.own import import_modules_of_run
from mvssl.models.backbones.timm_backbone import TimmBackbone
from mvssl.process.places import SOURCE, TIMM, check_source, given_path
from mvssl.registry import BACKBONES
from mvssl.run_files import BACKBONE, TEACHER

__all__ = ["TIMM", "Which", "load_backbone", "opened_file"]

Which = Literal["student", "teacher"]
_FILES: dict[Which, str] = {"student": BACKBONE, "teacher": TEACHER}
_PARTS: dict[Which, str] = {"student": "backbone", "teacher": "teacher.parts.backbone"}


def load_backbone(
    path: str | os.PathLike[str], img_size: int | None = None, which: Which = "student"
) -> nn.Module:
    """A backbone, built and loaded strictly, in eval mode: normalised images to features (N, C).

    It takes images in [0, 1] that were normalised by the mean and std of its attribute
    ``preprocessing`` (None where the file does not say), which ``summary.json`` shows as well.

    A backbone of one's own is built by its name. What the run's ``config.py`` names in
    ``custom_imports`` is imported for it, from where Python finds modules; of a file that lies
    elsewhere, import the module that registers it first. Nothing that a file of weights says is
    imported, run or fetched, whoever wrote it.

    Args:
        path: the folder of a run, finished or not; a ``backbone.safetensors``; a checkpoint
            ``*.pth`` of mvssl; or ``timm:NAME``, whose published weights timm fetches.
        img_size: side in pixels of the images that it is to take, where that is not what it was
            trained with; a ViT's position embeddings are resized as timm does it.
        which: of a run or a checkpoint: ``student`` or, where it has one, ``teacher``.

    Raises:
        UserError: it is missing, is nothing that mvssl wrote, describes anything but a registered
            backbone with plain arguments, or does not match; there is no teacher; a module of the
            run's config is not found; or the backbone cannot be made to take images of
            ``img_size``.
    """
    check_choice("load_backbone", "which", which, get_args(Which))
    if img_size is not None:
        check_count("load_backbone", img_size=img_size)
    if str(path).startswith(TIMM):
        return _published(str(path).removeprefix(TIMM), img_size)
    file = opened_file(given_path(path), which)
    if _is_checkpoint(file):
        weights, described = _in_checkpoint(file, which)
    else:
        if Path(path).is_file() and which == "teacher" and file.name != TEACHER:
            raise UserError(
                f"{file} holds one backbone: for the teacher give the folder of the run or one of "
                f"its checkpoints."
            )
        weights, described = _in_safetensors(file)
    if "build" not in described:
        raise UserError(
            f"{file} does not say how its backbone is built: give the backbone.safetensors of a "
            f"run of mvssl."
        )
    preprocessing = parse_plain(described.get("preprocessing", "null"), "preprocessing", file)
    import_modules_of_run(file.parent, parse_plain(described["build"], "build", file))
    backbone: Any = build_described(described["build"], weights, file, exported)
    load_weights_strictly(exported(backbone), weights, file)
    if img_size is not None:
        for part in backbone.modules():
            if isinstance(part, TimmBackbone):
                part.resize(img_size)
        if isinstance(preprocessing, dict):
            preprocessing["size"] = img_size
    backbone.preprocessing = preprocessing
    loaded: nn.Module = backbone.eval()
    return loaded


def opened_file(path: Path, which: Which) -> Path:
    """The file that is opened of a source: of a run that is not over, or that went on after it had
    been, its newest checkpoint.

    Raises:
        UserError: it is a folder that holds none.
    """
    check_source(path)
    if not path.is_dir():
        return path
    file = path / _FILES[which]
    checkpoint = newer_checkpoint(path)
    if checkpoint is None and file.is_file():
        return file
    checkpoint = checkpoint or intact_checkpoint(path)
    if checkpoint is not None:
        return checkpoint
    raise UserError(
        f"{path} holds neither {_FILES[which]} nor a checkpoint: give the folder of a run of mvssl."
    )


def _is_checkpoint(file: Path) -> bool:
    """Whether torch wrote a file, though it may have been cut off since, anywhere."""
    if not file.is_file():
        return False  # reading a pipe would wait for ever
    try:
        with open(file, "rb") as opened:
            begin = opened.read(len(ZIP_START))
    except OSError:
        return False  # which is told where it is opened
    return begin == ZIP_START or (file.suffix == ".pth" and ZIP_START.startswith(begin))


def _in_safetensors(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        return open_safetensors(file)
    except DamageError as error:
        if file.suffix.lower() == ".safetensors":
            raise
        raise UserError(f"{file} holds no weights: give {SOURCE}.") from error


def _in_checkpoint(path: Path, which: Which) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Weights of a backbone in a training checkpoint, and how it is built."""
    content = load_checkpoint(path)
    meta, state = content.get("meta"), content.get("state_dict")
    described = meta.get("backbone") if isinstance(meta, Mapping) else None
    if not isinstance(described, Mapping) or not isinstance(state, Mapping):
        raise UserError(
            f"{path} does not say how its backbone is built: give a checkpoint that mvssl wrote; "
            f"a run begins with weights of other programs by model.backbone.checkpoint."
        )
    texts = {str(key): one for key, one in described.items() if isinstance(one, str)}
    weights = _below(state, _PARTS[which])
    if not weights:
        raise UserError(f"{path} holds no {which}: its method trains none.")
    kind = BACKBONES.module_dict.get(_kind(texts, path))
    # It keeps timm's model one level down, whose names a file of weights has.
    inner = isinstance(kind, type) and issubclass(kind, TimmBackbone)
    return _below(weights, "model") if inner else weights, texts


def _kind(texts: Mapping[str, str], path: Path) -> str:
    build = parse_plain(texts.get("build", "null"), "build", path)
    return str(build.get("type")) if isinstance(build, dict) else ""


def _below(state: Mapping[str, Any], place: str) -> dict[str, Tensor]:
    start = f"{place}."
    return {key.removeprefix(start): one for key, one in state.items() if key.startswith(start)}


def _published(name: str, img_size: int | None) -> nn.Module:
    """A model of timm with the weights that were published of it, and what they expect."""
    backbone: Any = TimmBackbone(name, pretrained=True)
    known = timm.data.resolve_model_data_config(backbone.model)
    side = int(known["input_size"][-1])
    if img_size is not None:
        backbone.resize(img_size)
        side = img_size
    backbone.preprocessing = {
        "size": side,
        "color_space": "rgb",
        "mean": list(known["mean"]),
        "std": list(known["std"]),
        "crop_pct": min(float(known["crop_pct"]), 1.0),
    }
    loaded: nn.Module = backbone.eval()
    return loaded
