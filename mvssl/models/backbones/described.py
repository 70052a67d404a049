"""A backbone built from the words of a file, which are not to be trusted.

A config may name any component and any argument, since it is a program that its user runs. A file
of weights is passed on by others: of it only components that are registered in BACKBONES are built,
from numbers, names and lists, and only as large as the weights beside them.
"""

from __future__ import annotations

import inspect
import json
import math
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import timm
import torch
from timm.models import build_model_with_cfg
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)

from mvssl.checkpoint import check_weights
from mvssl.errors import UserError
from mvssl.models.backbones.timm_backbone import TimmBackbone
from mvssl.registry import BACKBONES
from mvssl.words import in_words

__all__ = [
    "SOURCES",
    "build_described",
    "check_component",
    "check_plain",
    "no_larger_than",
    "parse_plain",
    "refused",
]

_MOST_TEXT: Final = 2**16  # characters
_MOST_DEPTH: Final = 8
_MOST_NUMBER: Final = 2**16  # of widths, depths and sides
_MOST_BUFFERS: Final = 2**28  # elements
_NAME: Final = re.compile(r"[A-Za-z0-9_]{0,64}")
_TIMM_NAME: Final = re.compile(r"[a-z0-9_]{1,80}(\.[a-z0-9_]{1,80})?")
_ARGUMENT: Final = re.compile(r"[a-z][a-z0-9_]{0,64}")

# Whatever timm takes beside a model's own arguments: files, addresses, how to load them.
SOURCES: Final = (
    {*inspect.signature(timm.create_model).parameters}
    | {*inspect.signature(build_model_with_cfg).parameters}
    | {"checkpoint", "device", "dtype", "features_only", "weights"}
)


class _TooLargeError(UserError):
    """What is described is larger than what the file holds."""


def parse_plain(text: str, what: str, path: object) -> Any:
    """What a text of JSON says.

    Raises:
        UserError: it is something else, or endless.
    """
    try:
        if len(text) > _MOST_TEXT:
            raise ValueError(f"it has {len(text):,} characters")
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{path}: its '{what}' is not what mvssl writes ({in_words(error)}): give the "
            f"backbone.safetensors of a run of mvssl."
        ) from error


def build_described(
    text: str,
    weights: Mapping[str, Tensor],
    path: object,
    exported: Callable[[nn.Module], nn.Module],
) -> nn.Module:
    """The backbone that the text describes, if it is that of the weights.

    Args:
        text: JSON, as :func:`mvssl.models.backbones.save_backbone` writes it.
        weights: of the same file.
        path: of the file, for messages.
        exported: from a backbone to the module whose weights they are.

    Raises:
        UserError: the text asks for anything but a registered backbone with plain arguments, for
            one that cannot be built, or for one that does not fit the weights.
    """
    description = parse_plain(text, "build", path)
    if not isinstance(description, dict):
        raise refused(path, "build", "is no description of a backbone")
    check_plain(description, "build", path)
    check_component(description, "build", path)
    try:
        with no_larger_than(weights, path):
            _compare_shapes(description, weights, path, exported)
            built: nn.Module = BACKBONES.build(description)
            return built
    except UserError as error:
        if str(path) in str(error):
            raise
        raise UserError(f"{path}: its backbone cannot be built: {error}") from error
    except Exception as error:  # a model that is given nonsense raises nearly anything
        raise UserError(
            f"{path}: its backbone cannot be built ({in_words(error)[:200]}): give the "
            f"backbone.safetensors of a run of mvssl."
        ) from error


def _compare_shapes(
    description: dict[str, Any],
    weights: Mapping[str, Tensor],
    path: object,
    exported: Callable[[nn.Module], nn.Module],
) -> None:
    """That the weights fit the model, found out without memory for it where it can be."""
    try:
        with torch.device("meta"):
            backbone = BACKBONES.build(description)
    except _TooLargeError:
        raise
    except Exception as error:
        if "meta" in str(error).lower():
            return  # some models read values while they are built
        raise
    check_weights(exported(backbone), weights, str(path))


@contextmanager
def no_larger_than(weights: Mapping[str, Tensor], path: object) -> Iterator[None]:
    """Modules that are built here end the attempt as soon as they outgrow the weights."""
    # Twice, since timm builds some parts only to replace them; and it is built twice.
    most_tensors = 4 * len(weights) + 64
    most_elements = 4 * sum(w.numel() for w in weights.values()) + 2**22
    counts = {"tensors": 0, "elements": 0, "modules": 0, "buffers": 0}

    def count(**more: int) -> None:
        for name, number in more.items():
            counts[name] += number
        if (
            counts["tensors"] > most_tensors
            or counts["elements"] > most_elements
            or counts["modules"] > 50 * most_tensors
            or counts["buffers"] > _MOST_BUFFERS
        ):
            raise _TooLargeError(
                f"{path}: the backbone that it describes is larger than the weights that it holds: "
                f"give the backbone.safetensors of a run of mvssl."
            )

    def parameter(_: nn.Module, __: str, tensor: Tensor | None) -> None:
        if tensor is not None:
            count(tensors=1, elements=tensor.numel())

    def buffer(_: nn.Module, __: str, tensor: Tensor | None) -> None:
        if tensor is not None:
            count(buffers=tensor.numel())

    handles = [
        register_module_parameter_registration_hook(parameter),
        register_module_buffer_registration_hook(buffer),
        register_module_module_registration_hook(lambda *_: count(modules=1)),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def check_plain(value: Any, where: str, path: object, depth: int = 0) -> None:
    """That a value is made of numbers, names, lists and dicts alone, none of them absurd."""
    if depth > _MOST_DEPTH:
        raise refused(path, where, f"is nested more than {_MOST_DEPTH} deep")
    if isinstance(value, dict):
        for key, item in value.items():
            if not _ARGUMENT.fullmatch(key):
                raise refused(path, f"{where}.{key}", "has a name that no argument has")
            check_plain(item, f"{where}.{key}", path, depth + 1)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            check_plain(item, f"{where}[{number}]", path, depth + 1)
    elif isinstance(value, str):
        if not (_NAME.fullmatch(value) or _is_timm_name(where, value)):
            raise refused(path, where, f"is {value[:80]!r}, which is no plain name")
    elif isinstance(value, bool) or value is None:
        pass
    elif not math.isfinite(value) or abs(value) > _MOST_NUMBER:
        raise refused(path, where, f"is {str(value)[:40]}, beyond {_MOST_NUMBER}")


def _is_timm_name(where: str, value: str) -> bool:
    return where.endswith(".name") and _TIMM_NAME.fullmatch(value) is not None


def check_component(description: dict[str, Any], where: str, path: object) -> None:
    """That it names a registered backbone and arguments that are no sources, at every depth."""
    name = description.get("type")
    BACKBONES.import_from_location()  # mvssl's own
    # Not by a look-up of the registry, which imports what a dotted name says.
    kind = BACKBONES.module_dict.get(name) if isinstance(name, str) else None
    if kind is None:
        raise refused(
            path,
            f"{where}.type",
            f"is {str(name)[:80]!r}, which is not registered in BACKBONES (of a backbone of your "
            f"own, import its module first: --custom-imports MODULE)",
        )
    own = _parameters(kind) - SOURCES
    for key, value in description.items():
        if key not in own | {"type"}:
            raise refused(path, f"{where}.{key}", "is no argument that a file may set")
        _check_parts(value, f"{where}.{key}", path)
    if kind is TimmBackbone:
        _check_timm(description, where, path)


def _check_parts(value: Any, where: str, path: object) -> None:
    """The components within a value, and that no dict in it names a source of weights."""
    if isinstance(value, list):
        for number, item in enumerate(value):
            _check_parts(item, f"{where}[{number}]", path)
    elif isinstance(value, dict) and "type" in value:
        check_component(value, where, path)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key in SOURCES:
                raise refused(path, f"{where}.{key}", "is no argument that a file may set")
            _check_parts(item, f"{where}.{key}", path)


def _check_timm(description: dict[str, Any], where: str, path: object) -> None:
    """That name and ``model_args`` are those of a model that timm itself registers."""
    name, given = description.get("name"), description.get("model_args") or {}
    if not isinstance(name, str) or not timm.is_model(name):
        raise refused(path, f"{where}.name", f"is {str(name)[:80]!r}, no model of timm")
    if not isinstance(given, dict):
        raise refused(path, f"{where}.model_args", "is no dict")
    # Arguments of the classes that the model is made of: where it is defined.
    module = sys.modules[timm.models.model_entrypoint(name).__module__]
    classes = [one for one in vars(module).values() if isinstance(one, type)]
    known = {key for one in classes if issubclass(one, nn.Module) for key in _parameters(one)}
    for key, value in given.items():
        here = f"{where}.model_args.{key}"
        if key not in known - SOURCES or "num_classes" in key:
            raise refused(path, here, "is no argument that a file may set")
        if "{" in json.dumps(value):
            raise refused(path, here, "holds a dict, which no file may set")


def _parameters(kind: Callable[..., Any]) -> set[str]:
    return set(inspect.signature(kind).parameters)


def refused(path: object, where: str, fault: str) -> UserError:
    """What is said of a description that no file may hold.

    Args:
        path: of the file.
        where: in the description, a dotted path.
        fault: what it is there.
    """
    return UserError(
        f"{path}: its {where} {fault}, so nothing was built: a file of weights may describe "
        f"registered components by numbers and names alone (see SECURITY.md)."
    )
