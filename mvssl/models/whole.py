"""A whole model from a checkpoint of its run: backbone, neck, predictor, teacher, head and views.

What a checkpoint says of its model is not to be trusted, as what a file of weights says of its
backbone: only registered components are built, each of the registry of its place, from numbers,
names and lists, and only as large as the weights beside them.
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import torch

from mvssl.checkpoint import intact_checkpoint, load_checkpoint, load_weights_strictly
from mvssl.errors import UserError
from mvssl.models.backbones.described import check_component, check_plain, no_larger_than, refused
from mvssl.models.backbones.export import without_origin
from mvssl.models.backbones.own import import_modules_of_run
from mvssl.models.multiview import MultiView
from mvssl.process.places import given_path
from mvssl.registry import (
    ASSIGNERS,
    HEADS,
    LOSSES,
    MODELS,
    NECKS,
    TARGETS,
    VIEW_OPS,
    VIEW_SETS,
    Registry,
)
from mvssl.words import in_words

__all__ = ["checkpoint_of", "load_model"]

_VIEWS: Final = r"data_preprocessor\.views"
_PLACES: Final[tuple[tuple[str, Registry], ...]] = (
    (r"neck(\.projector)?|predictor", NECKS),
    (r"teacher|data_preprocessor", MODELS),
    (_VIEWS, VIEW_SETS),
    (_VIEWS + r"\.\d+\.operations\.\d+", VIEW_OPS),
    (r"head", HEADS),
    (r"head\.loss", LOSSES),
    (r"head\.assigner", ASSIGNERS),
    (r"head\.target", TARGETS),
)
"""Where below a model there are components, beside its backbone, and what they are."""

_FOREIGN: Final = ("MMCVOp", "TorchvisionOp")
"""Operations that build what other libraries hold, by names."""


def checkpoint_of(source: str | os.PathLike[str]) -> Path | None:
    """The checkpoint that a source is, or the newest sound one in the folder of a run; None: there
    is none, so that no more than a backbone is there.
    """
    path = given_path(source)
    if path.is_dir():
        return intact_checkpoint(path)
    return path if path.is_file() and path.suffix == ".pth" else None


def load_model(path: str | os.PathLike[str]) -> MultiView:
    """The model of a checkpoint, built and loaded strictly, in eval mode, on the CPU.

    Its views are drawn with the seed of the run. Components of one's own are built by their names:
    import the modules that register them first; those that ``config.py`` beside the checkpoint
    names in ``custom_imports`` are imported, as for a backbone.

    Args:
        path: of a checkpoint ``*.pth`` that mvssl wrote.

    Raises:
        UserError: it is none; or it describes anything but registered components with plain
            arguments, or a model that cannot be built, or that is not that of its weights.
    """
    content = load_checkpoint(path)
    meta, weights = content.get("meta"), content.get("state_dict")
    values = meta.get("values") if isinstance(meta, Mapping) else None
    described = values.get("model") if isinstance(values, Mapping) else None
    if not isinstance(meta, Mapping) or not isinstance(described, dict) or not weights:
        raise UserError(
            f"{path} does not say how its model is built: give a checkpoint that mvssl wrote."
        )
    described = _plain(described)
    import_modules_of_run(Path(path).parent, described)
    _check(described, path)
    images = meta.get("names")
    described["head"] = _with_num_samples(described["head"], 0 if images is None else len(images))
    try:
        with no_larger_than(weights, path):
            _try_without_memory(described, path)
            model = MODELS.build(described)
    except Exception as error:  # a model that is given nonsense raises nearly anything
        if isinstance(error, UserError) and str(path) in str(error):
            raise
        raise UserError(f"{path}: its model cannot be built: {in_words(error)[:400]}") from error
    assert isinstance(model, MultiView)
    load_weights_strictly(model, weights, path)
    if model.data_preprocessor is not None:
        model.data_preprocessor.seed = int(meta.get("seed", 0))
    return model.eval()


def _try_without_memory(described: dict[str, Any], path: object) -> None:
    """Build it without memory for its weights, where that can be, so that one which is larger than
    those of the file is refused before any is taken.
    """
    try:
        with torch.device("meta"):
            MODELS.build(described)
    except Exception as error:
        if isinstance(error, UserError) and str(path) in str(error):
            raise
        # Some models read values while they are built; other faults are told when it is built.


def _plain(described: dict[str, Any]) -> dict[str, Any]:
    """Without the sources of its backbone's weights, and marks of a config's merging."""
    backbone = described.get("backbone")
    without: Any = without_origin(backbone) if isinstance(backbone, Mapping) else backbone
    return {**described, "backbone": without}


def _check(described: dict[str, Any], path: object) -> None:
    check_plain(described, "model", path)
    if described.get("type") != "MultiView":
        raise refused(path, "model.type", "is not MultiView")
    for name in ("backbone", "head", "neck"):
        if "type" not in (described.get(name) or {}):
            raise refused(path, f"model.{name}", "is no description of a component")
    check_component(described["backbone"], "model.backbone", path)
    MODELS.import_from_location()  # mvssl's own, with all parts and view sets
    others = {name: value for name, value in described.items() if name not in ("type", "backbone")}
    for where, kind in _types(others, ""):
        place = next((one for pattern, one in _PLACES if re.fullmatch(pattern, where)), None)
        # Not by a look-up of the registry, which imports what a dotted name says.
        if place is None or not isinstance(kind, str) or kind not in place.module_dict:
            known = "in no place of a component" if place is None else f"not in {place.name}"
            raise refused(path, f"model.{where}.type", f"is {str(kind)[:80]!r}, {known}")
        if kind in _FOREIGN:
            raise refused(path, f"model.{where}.type", f"is {kind}, of another library's making")


def _types(node: Any, where: str) -> Iterator[tuple[str, Any]]:
    """Path and type of every component within a value."""
    if isinstance(node, dict):
        if "type" in node:
            yield where, node["type"]
        for key, value in node.items():
            yield from _types(value, f"{where}.{key}" if where else key)
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from _types(value, f"{where}.{number}")


def _with_num_samples(head: dict[str, Any], images: int) -> dict[str, Any]:
    """A head's config, told of how many images its run was, where it asks for that."""
    takes = inspect.signature(HEADS.module_dict[head["type"]]).parameters
    return {**head, "num_samples": images} if "num_samples" in takes else head
