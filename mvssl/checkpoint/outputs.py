"""What a run wrote when it ended, beside its checkpoints, which may go beyond it since."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, get_args

from mvssl.checkpoint.store import checkpoints_in, is_intact
from mvssl.errors import UserError
from mvssl.intake import check_file
from mvssl.run_files import BACKBONE, SUMMARY, TEACHER, Kind, numbered

__all__ = ["newer_checkpoint", "number_of", "outputs_beyond", "read_summary"]

MOST_SUMMARY: Final = 2**24
COUNTED: Final[dict[Kind, str]] = {"epoch": "epochs", "iter": "iterations"}


def number_of(summary: Mapping[str, Any], name: str) -> float | None:
    """A finite number of a summary; None for anything else."""
    value = summary.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def read_summary(folder: Path) -> dict[str, Any] | None:
    """What ``summary.json`` of a run holds; None where there is none.

    Raises:
        UserError: it cannot be read, or is no summary.
    """
    path = folder / SUMMARY
    if not path.exists() and not path.is_symlink():
        return None
    if check_file(path, "summary") > MOST_SUMMARY:
        raise UserError(f"{path} is too large to be a summary of a run: give another folder.")
    try:
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{path} is damaged, it is no JSON: write it anew, or leave it out."
        ) from error
    if not isinstance(found, dict):
        raise UserError(f"{path} is no summary of a run: give a folder that training wrote.")
    return found


def newer_checkpoint(folder: Path) -> Path | None:
    """The newest intact checkpoint of a run that was finished once and goes on since, or None.

    By the numbers in the names of files: a checkpoint may be large.
    """
    summary = _summary(folder)
    beyond = set[Path]()
    for kind in get_args(Kind):
        told = number_of(summary, COUNTED[kind])
        beyond |= {p for n, p in numbered(folder, kind).items() if told is not None and n > told}
    return next((p for p in checkpoints_in(folder) if p in beyond and is_intact(p)), None)


def outputs_beyond(folder: Path, epochs: int) -> list[Path]:
    """Summary and weights of a run that had ended after more than so many epochs."""
    if (number_of(_summary(folder), "epochs") or 0) <= epochs:
        return []
    return [p for name in (SUMMARY, BACKBONE, TEACHER) if (p := folder / name).is_file()]


def _summary(folder: Path) -> Mapping[str, Any]:
    """Empty where it cannot be read: it says nothing of what is beside it then."""
    try:
        return read_summary(folder) or {}
    except UserError:
        return {}
