"""The only place that reads or writes a checkpoint.

Checkpoints hold tensors and plain containers only, so they always open with
``torch.load(weights_only=True)``: a file whose pickle would run code is refused, with no fallback.
Other weights come from safetensors files, which cannot hold code.
"""

from __future__ import annotations

import errno
import heapq
import json
import os
import pickle
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, get_args

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn

from mvssl.checkpoint.checksum import fault_of, write_with_checksum
from mvssl.checkpoint.content import fault_of_optimizer, faults_of_run
from mvssl.errors import DamageError, UserError
from mvssl.files import write_atomically
from mvssl.intake import check_file, check_torch_file
from mvssl.process.places import given_path
from mvssl.run_files import LATEST, Kind, numbered
from mvssl.words import first_line, some

__all__ = [
    "RunCheckpoint",
    "check_numbers",
    "check_optimizer",
    "check_weights",
    "checkpoints_in",
    "intact_checkpoint",
    "latest_checkpoint",
    "load_checkpoint",
    "load_run",
    "load_weights_strictly",
    "open_safetensors",
    "read_content",
    "save_checkpoint",
    "write_safetensors",
]

# Parts without which no run can go on.
NEEDED = {"state_dict", "meta", "optimizer", "history", "hooks", "random", "scalars", "gradients"}


@dataclass(frozen=True)
class RunCheckpoint:
    """What a run left behind to go on from, read once."""

    path: Path
    content: dict[str, Any]
    """``state_dict``, ``meta``, ``optimizer``, ``history``, and what hooks added."""


def load_checkpoint(path: str | os.PathLike[str], map_location: str = "cpu") -> dict[str, Any]:
    """Open a training checkpoint, after comparing its checksum.

    Raises:
        DamageError: it is no checkpoint, or not what was written.
        UserError: the file is missing, holds objects whose loading would run code, or unpacks to
            far more than its size.
    """
    path = given_path(path)
    check_file(path, "checkpoint")
    try:
        with open(path, "rb") as file:
            checkpoint = _load(path, file, map_location)
    except OSError as error:
        why = f"it cannot be read: {error.strerror or error}"
        if error.errno == errno.EIO:  # the disk has lost it
            raise DamageError.of(path, why) from error
        raise UserError(f"{path}: {why}. Nothing says that it is damaged: try again.") from error
    if not isinstance(checkpoint, dict):
        raise UserError(
            f"{path} holds a {type(checkpoint).__name__}, not a checkpoint: give a file that "
            f"mvssl wrote."
        )
    return checkpoint


def _load(path: Path, file: BinaryIO, map_location: str) -> Any:
    """What a file holds, opened once, so that what is checked is what is loaded."""
    why = _fault_of(file)
    if why is not None:
        raise DamageError.of(path, why, written_here="checksum" in why)
    check_torch_file(path, file)
    file.seek(0)
    try:
        with warnings.catch_warnings():
            # Of a plain pickle torch says that it may not be read; below we say more.
            warnings.simplefilter("ignore", UserWarning)
            return torch.load(file, map_location=map_location, weights_only=True)
    except (MemoryError, OSError):  # of the machine
        raise
    except Exception as error:  # of files that are none of its own torch raises nearly anything
        # torch's advice on pickles is to open them all the same.
        blunt = isinstance(error, pickle.UnpicklingError)
        told = type(error).__name__ if blunt else first_line(error)
        raise DamageError.of(path, told) from error


def _fault_of(file: BinaryIO) -> str | None:
    return "it is empty" if os.fstat(file.fileno()).st_size == 0 else fault_of(file)


def _fault(path: Path) -> str | None:
    try:
        with open(path, "rb") as file:
            return _fault_of(file)
    except OSError as error:
        return f"it cannot be read: {error.strerror}"


def save_checkpoint(checkpoint: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write a checkpoint whole or not at all, with its checksum, after making it plain.

    Raises:
        TypeError: it holds an object that ``weights_only`` loading would refuse.
        UserError: the folder cannot be written.
    """
    plain = to_plain(checkpoint, "checkpoint")
    write_atomically(
        path, lambda file: write_with_checksum(file, lambda summing: torch.save(plain, summing))
    )


def to_plain(value: Any, where: str) -> Any:
    """Copy of ``value`` made of tensors (on the CPU), numbers, strings and containers alone."""
    if isinstance(value, Tensor):
        return value.detach().cpu()
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.copy())
    if isinstance(value, OrderedDict):
        return OrderedDict((key, to_plain(item, f"{where}.{key}")) for key, item in value.items())
    if isinstance(value, Mapping):
        return {key: to_plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item, f"{where}[{i}]") for i, item in enumerate(value)]
    raise TypeError(
        f"{where} is a {type(value).__module__}.{type(value).__qualname__}: checkpoints hold "
        f"tensors and plain containers only, so convert it in the hook that adds it."
    )


def checkpoints_in(work_dir: str | os.PathLike[str]) -> list[Path]:
    """Checkpoints of a run, the newest first: that which it names as its last, then the others."""
    folder = Path(work_dir)
    kinds = [reversed(numbered(folder, kind).values()) for kind in get_args(Kind)]
    # Copying a run may change the times of files, so within a kind numbers decide.
    found = list(heapq.merge(*kinds, key=_written_at, reverse=True))
    last = _pointed_to(folder)
    return found if last is None else [last, *(path for path in found if path != last)]


def _written_at(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0  # it went just now


def _pointed_to(folder: Path) -> Path | None:
    """The file that ``last_checkpoint`` names, if it says anything of use."""
    pointer = folder / LATEST
    try:
        # Of a pipe, reading would wait for ever.
        text = ""
        if pointer.is_file():
            with open(pointer, "rb") as file:
                text = os.fsdecode(file.read(4096))
        # A folder that was moved holds the old path.
        candidate = folder / Path(text.strip()).name
        return candidate if candidate.is_file() else None
    except (OSError, ValueError):
        return None


def latest_checkpoint(work_dir: str | os.PathLike[str]) -> Path | None:
    """The checkpoint that a run wrote last, or None."""
    found = checkpoints_in(work_dir)
    return found[0] if found else None


def intact_checkpoint(work_dir: str | os.PathLike[str]) -> Path | None:
    """The newest checkpoint whose checksum is right, or None."""
    return next((path for path in checkpoints_in(work_dir) if _fault(path) is None), None)


def read_content(path: str | os.PathLike[str]) -> dict[Any, Any]:
    """What a ``.safetensors`` file, or a torch file of tensors and plain containers, holds.

    Raises:
        UserError: as :func:`load_checkpoint`.
    """
    if Path(path).suffix == ".safetensors":
        return dict(open_safetensors(path)[0])
    return load_checkpoint(path)


def load_run(path: str | os.PathLike[str]) -> RunCheckpoint:
    """Open a checkpoint from which a run can go on.

    Raises:
        UserError: as :func:`load_checkpoint`; or it lacks parts, or a part is of another kind.
    """
    content = load_checkpoint(path)
    missing = NEEDED - set(content)
    if missing:
        raise UserError(
            f"{path} cannot be resumed, it lacks {', '.join(sorted(missing))}: give an "
            f"epoch_*.pth file that mvssl wrote, or load its weights by model.backbone.checkpoint."
        )
    faults = faults_of_run(content)
    if faults:
        raise UserError(
            f"{path} cannot be resumed, {'; '.join(faults)}: give an epoch_*.pth file that mvssl "
            f"wrote, or load its weights by model.backbone.checkpoint."
        )
    return RunCheckpoint(Path(path), content)


def check_optimizer(optimizer: torch.optim.Optimizer, checkpoint: RunCheckpoint) -> None:
    """That an optimiser can go on from where that of a checkpoint was.

    Raises:
        UserError: it is of other parameters.
    """
    fault = fault_of_optimizer(checkpoint.content["optimizer"], optimizer)
    if fault is not None:
        raise UserError(
            f"{checkpoint.path} cannot be resumed, its optimizer {fault}: resume with the config "
            f"that wrote it, or start a new run."
        )


def load_weights_strictly(
    model: nn.Module, weights: Mapping[str, Tensor], where: str | os.PathLike[str]
) -> None:
    """Load weights that match the model key by key and shape by shape.

    Raises:
        UserError: they do not match, or are not finite; the message lists the keys. The model is
            left as it was.
    """
    check_weights(model, weights, where)
    model.load_state_dict(dict(weights), strict=True)


def check_weights(
    model: nn.Module, weights: Mapping[str, Tensor], where: str | os.PathLike[str]
) -> None:
    """The check of :func:`load_weights_strictly`, without loading."""
    own = model.state_dict()
    faults = [
        ("missing", [key for key in own if key not in weights]),
        ("not in the model", [key for key in weights if key not in own]),
        (
            "of another shape",
            [
                f"{key} {tuple(weights[key].shape)} for {tuple(own[key].shape)}"
                for key in own
                if key in weights and weights[key].shape != own[key].shape
            ],
        ),
    ]
    if any(keys for _, keys in faults):
        told = "; ".join(f"{what}: {some(keys)}" for what, keys in faults if keys)
        raise UserError(
            f"The weights in {where} are not this model's ({told}): give the checkpoint of the "
            f"same architecture."
        )
    check_numbers({name: weights[name] for name, _ in model.named_parameters()}, where)


def check_numbers(weights: Mapping[str, Tensor], where: str | os.PathLike[str]) -> None:
    """That weights are finite and of floating point.

    Raises:
        UserError: some are not; the message lists them.
    """
    useless = [
        ("no floating point numbers", [k for k, x in weights.items() if not x.is_floating_point()]),
        ("numbers that are not finite", [k for k, x in weights.items() if not x.isfinite().all()]),
    ]
    for what, keys in useless:
        if keys:
            raise UserError(
                f"The weights in {where} hold {what} ({some(keys)}): give an earlier checkpoint, "
                f"or another file."
            )


def open_safetensors(
    path: str | os.PathLike[str],
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file, which cannot hold code.

    Raises:
        UserError: the file is missing, or is no such file.
    """
    path = given_path(path)
    check_file(path)
    try:
        with safetensors.safe_open(str(path), framework="pt") as file:
            names = list(file.keys())
            return {name: file.get_tensor(name) for name in names}, file.metadata() or {}
    except safetensors.SafetensorError as error:
        if zipfile.is_zipfile(path):
            raise UserError(
                f"{path} is a checkpoint of torch, no safetensors file: give the "
                f"backbone.safetensors that a run leaves beside its checkpoints."
            ) from error
        raise DamageError(
            f"{path} is not a safetensors file, or it is damaged: {error}.", path, str(error)
        ) from error


def write_safetensors(
    path: str | os.PathLike[str], tensors: Mapping[str, Tensor], metadata: Mapping[str, str]
) -> None:
    """Write tensors and metadata; the same ones make the same bytes.

    Raises:
        WriteError: the disk refuses.
    """
    data = safetensors.torch.save(dict(tensors), dict(metadata))
    # It writes metadata in an order that changes from process to process.
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header["__metadata__"] = dict(sorted(metadata.items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at multiples of eight
    begin = len(text).to_bytes(8, "little") + text
    write_atomically(path, lambda file: file.write(begin) + file.write(data[8 + length :]))
