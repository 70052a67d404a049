"""Loading a config: file, objective, backbone, sizes, data folder and overrides, in this order."""

from __future__ import annotations

import ast
import copy
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.utils import import_modules_from_strings

from mvssl.config.adapt import begin_from, fit_crops, use_backbone, use_image_size
from mvssl.config.chain import check_chain, check_file
from mvssl.config.checks import Problem, complain
from mvssl.config.components import (
    accepted_arguments,
    as_mapping,
    component_at,
    needs_type,
    takes_text,
)
from mvssl.config.evaluation import evaluate_folder
from mvssl.config.scale import BATCH, scale_rate
from mvssl.config.search import meant
from mvssl.config.slots import TOP_LEVEL
from mvssl.datasets import ImageFolder
from mvssl.errors import UserError
from mvssl.words import in_words, shown

__all__ = ["Sizes", "load_config", "option_text", "parse_options", "without_delete"]

IMPORTS = {"imports", "allow_failed_imports"}
"""What ``custom_imports`` takes."""


@dataclass(frozen=True)
class Sizes:
    """What is said of a config's backbone, its first weights, images and batch; None leaves them as
    they are.
    """

    image_size: int | None = None
    backbone: str | None = None
    batch_size: int | None = None
    init_from: str | None = None


def load_config(
    path: str | Path,
    objective: str = "native",
    data: str | Path | None = None,
    labels: bool = False,
    options: Mapping[str, Any] | None = None,
    sizes: Sizes | None = None,
    notes: list[str] | None = None,
) -> Config:
    """Read a config and apply, in this order, the objective, backbone and sizes, the data folder
    and overrides.

    Args:
        path: of the config file.
        objective: ``native`` leaves the head, ``er`` puts the config's ``er_head`` in its place.
        data: a folder of images that takes the place of the config's data sets.
        labels: whether the sub-folders of ``data`` are classes.
        options: values by dotted path (``{"model.neck.out_channels": 64}``).
        sizes: another backbone, image size or batch, and what depends on them follows.
        notes: gets a sentence for each value that followed.

    Raises:
        UserError: the file is missing or cannot be read, it has no ``er_head``, or an override's
            path does not exist.
    """
    file = check_file(path)
    check_chain(file)
    cfg = _read(file)
    if objective == "er":
        if not all(isinstance(cfg.get(name), Mapping) for name in ("er_head", "model")):
            raise UserError(
                f"{path} has no er_head to put in the place of model.head: add er_head = "
                f"dict(type='ERHead', ...) beside its model."
            )
        cfg.model.head = without_delete(cfg.er_head)
    options, sizes, notes = options or {}, sizes or Sizes(), [] if notes is None else notes
    own_batch = as_mapping(cfg.get("train_dataloader")).get("batch_size")
    notes += _resize(cfg, sizes)
    # Twice: the folder's data sets follow sizes and engine, and have arguments of their own.
    problems = _override(cfg, options)
    if data is not None:
        use_folder(cfg, data, labels)
    elif labels:
        raise UserError("--labels says that sub-folders of --data are classes: give --data too.")
    if data is not None or problems:
        problems = _override(cfg, options)
    complain("--cfg-options", problems)
    notes += fit_crops(cfg)
    scaled = scale_rate(cfg, own_batch, options)
    notes += [] if scaled is None else [scaled]
    # Helpers of the config's author have done their work. Printing a config, which mmengine does
    # several times, takes longer the more it holds.
    for name in [name for name in cfg if name.startswith("_")]:
        cfg.pop(name)
    return cfg


def _read(path: Path) -> Config:
    try:
        cfg = _from_file(path)
        _import_modules(f"Config {path}", cfg)
        return cfg
    except UserError:
        raise
    except SystemExit as error:
        raise UserError(f"Config {path} ends the program (sys.exit): take that out.") from error
    # A config is a program: anything can go wrong in it.
    except Exception as error:
        told = " ".join(str(error).split())[:400] or "no message"
        raise UserError(f"Config {path} cannot be read: {type(error).__name__}: {told}") from error


def _import_modules(where: str, cfg: Config) -> None:
    """Import the modules that ``custom_imports`` names, whose components the config may take.

    Raises:
        UserError: it names none, or one cannot be imported.
    """
    given = cfg.get("custom_imports")
    if not given:
        return
    if not isinstance(given, Mapping) or not set(given) <= IMPORTS:
        raise UserError(
            f"{where}: custom_imports is dict(imports=['MODULE', ...]), got {shown(given)}."
        )
    try:
        import_modules_from_strings(**given)
    except Exception as error:  # anyone's modules
        raise _not_imported(where, given.get("imports"), error) from error


def _not_imported(where: str, imports: Any, error: BaseException) -> UserError:
    """Why: a module is not there, or does not import what it needs itself."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner  # mmengine's own say less
    names = [imports] if isinstance(imports, str) else [str(name) for name in imports or ()]
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    if missing is not None and any(f"{name}.".startswith(f"{missing}.") for name in names):
        advice = "start with PYTHONPATH=FOLDER, the folder that holds your modules"
    else:
        frames = traceback.extract_tb(error.__traceback__)
        last = f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else "the module"
        advice = f"mend it, or take it out ({last})"
    return UserError(f"{where}: custom_imports: {in_words(error)}: {advice}.")


def _from_file(path: Path) -> Config:
    try:
        return Config.fromfile(str(path), import_custom_modules=False)
    except (Exception, SystemExit) as error:
        # mmengine's hold a temporary file open, for as long as the error is kept.
        traceback.clear_frames(error.__traceback__)
        raise


def without_delete(head: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a component's config without mmengine's merge mark ``_delete_``."""
    return {key: value for key, value in head.items() if key != "_delete_"}


def _resize(cfg: Config, sizes: Sizes) -> list[str]:
    notes: list[str] = []
    if sizes.image_size is not None:
        use_image_size(cfg, sizes.image_size)
    if sizes.backbone is not None:
        notes += use_backbone(cfg, sizes.backbone)
    if sizes.init_from is not None:
        notes += begin_from(cfg, sizes.init_from, sizes.backbone)
    if sizes.batch_size is not None:
        cfg.merge_from_dict({BATCH: sizes.batch_size})
    return notes


def use_folder(cfg: Config, root: str | Path, labels: bool) -> None:
    """Put a folder of images in the place of the config's data sets.

    Images are kept whole where views are drawn in the loader's workers, and are cut to the size of
    the views where those are drawn on the device, in batches of one size. What the config says of a
    folder of its own, which part of it is trained on among it, holds for this one.
    """
    preprocessor = as_mapping(as_mapping(cfg.get("model")).get("data_preprocessor"))
    on_device = preprocessor.get("engine", "device") == "device"
    size = preprocessor.get("size")
    if not isinstance(cfg.get("train_dataloader"), Mapping):
        cfg.train_dataloader = {}
    own = as_mapping(cfg.train_dataloader.get("dataset"))
    kept = dict(own) if component_at("train_dataloader.dataset", own) is ImageFolder else {}
    folder = {**kept, "type": "ImageFolder", "root": str(root), "labels": labels}
    whole = {"split": "train", **folder, "size": size if on_device else None}
    cfg.train_dataloader["dataset"] = whole
    still = {**folder, "size": size, "crop_pct": 1.0 if on_device else 0.875}
    evaluate_folder(cfg, still, labels)


def _override(cfg: Config, options: Mapping[str, Any]) -> list[Problem]:
    """Apply the overrides that have a place, in their order; why the others have none."""
    problems = []
    for path, value in options.items():
        told = _missing_path(cfg.to_dict(), path)
        if told is not None:
            problems.append(Problem(path, f"{path}: {told}"))
            continue
        _make_room(cfg, path, value)
        try:
            # A copy: mmengine takes merge marks out of what it is given.
            cfg.merge_from_dict({path: copy.deepcopy(_meant(cfg, path, value))})
        except (TypeError, KeyError, IndexError) as error:
            told = " ".join(str(error).split())
            raise UserError(f"--cfg-options cannot be applied: {path}: {told}") from error
        if path.partition(".")[0] == "custom_imports":
            _import_modules("--cfg-options", cfg)  # what follows may name what they register
    return problems


def _meant(cfg: Config, path: str, value: Any) -> Any:
    """``value``; the word none where an argument takes a text, of which there is no None."""
    if value is not None:
        return value
    *way, key = path.split(".")
    node: Any = cfg.to_dict()
    for part in way:
        node = node[int(part)] if isinstance(node, list | tuple) else as_mapping(node).get(part)
    owner = as_mapping(node)
    return "none" if takes_text(".".join(way), owner, key) else None


def _missing_path(cfg: Mapping[str, Any], path: str) -> str | None:
    """Why an override would go nowhere, or None.

    What is not there yet is fine where its parent takes an argument of that name; what lies
    inside of it is left to the config's check.
    """
    node: Any = cfg
    where = ""
    keys = path.split(".")
    for key, after in zip(keys, [*keys[1:], None], strict=True):
        inner = f"{where}.{key}" if where else key
        if isinstance(node, list | tuple):
            if not (key.isdigit() and int(key) < len(node)):
                return f"there is no '{inner}': {where} has {len(node)} entries."
            node = node[int(key)]
        elif not isinstance(node, Mapping):
            return f"there is no '{inner}': {where} is {node!r}."
        elif node.get(key) is not None or (key in node and after is None):
            node = node[key]
        else:
            return _refusal(cfg, where, node, key, after)
        where = inner
    return None


def _refusal(
    cfg: Mapping[str, Any], where: str, node: Mapping[str, Any], key: str, after: str | None
) -> str | None:
    """Why ``key`` cannot be added to ``node``, or None; ``after`` is the key inside of it."""
    inner = f"{where}.{key}" if where else key
    known = accepted_arguments(where, node) if where else set(TOP_LEVEL)
    if key.startswith("_"):
        return None
    if after is None:
        if known is None or key in known:
            return None
        return f"{where or 'the config'} has no '{key}'{meant(cfg, key, known, where)}"
    # No place of a list can be made, and no component that has no type.
    if known is None:
        possible = after == "type" or not needs_type(inner)
    else:
        possible = key in known
    if possible and not after.isdigit():
        return None
    if key in node:
        return f"'{inner}' is None, which has no '{after}': give it whole, as {{'type': ...}}."
    if known is not None and key in known:
        return f"'{inner}' is not given, and has no '{after}': give it whole."
    return f"there is no '{inner}'{meant(cfg, key, {*node, *(known or ())}, where)}"


def _make_room(cfg: Config, path: str, value: Any) -> None:
    """Remove a None on the way, or in the place of a mapping: mmengine would not merge into it."""
    node: Any = cfg
    keys = path.split(".")
    for key in keys if isinstance(value, Mapping) else keys[:-1]:
        if isinstance(node, list | tuple):
            node = node[int(key)]
        elif node.get(key) is None:
            node.pop(key, None)
            return
        else:
            node = node[key]


def parse_options(pairs: Sequence[str], option: str = "--cfg-options") -> dict[str, Any]:
    """``["a.b=1", "c=[1, 2]"]`` to values by path; what is no Python literal is a string.

    Raises:
        UserError: a pair has no ``=``.
    """
    options = {}
    for pair in pairs:
        path, equals, text = pair.partition("=")
        if not equals or not path:
            raise UserError(
                f"{option} takes pairs like model.x.y=10, without spaces, got '{pair}'."
            )
        options[path] = _literal(text)
    return options


def option_text(path: str, value: Any) -> str:
    """What :func:`parse_options` takes to give ``value`` back: ``a.b=1``."""
    plain = isinstance(value, str) and _literal(value) == value
    return f"{path}={value}" if plain else f"{path}={value!r}"


def _literal(text: str) -> Any:
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
