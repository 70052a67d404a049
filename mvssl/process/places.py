"""Where a command reads and writes, looked at before anything heavy is imported. The standard
library alone.

One rule for what is written: folders are made, and a result that is there is not overwritten unless
it is said.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from mvssl.errors import UserError
from mvssl.words import near_names, some

__all__ = [
    "FEATURES",
    "PAGES",
    "SOURCE",
    "TIMM",
    "check_packages",
    "check_source",
    "given_path",
    "new_file",
    "new_folder",
]

FEATURES = (".npz", ".npy", ".parquet")
"""Endings of files of features."""
PAGES = (".html", ".htm")
TIMM = "timm:"
"""What the name of a model of timm begins with, where a file could be meant."""
SOURCE = "the folder of a run, its backbone.safetensors, a checkpoint of it, or timm:NAME"
"""What a backbone is opened from, in a sentence."""
PACKAGES = {".parquet": ("pyarrow",)}


def given_path(place: str | os.PathLike[str]) -> Path:
    """A path as somebody gave it. A shell leaves ``~`` in ``--out=~/x``, and so does a notebook; of
    a user who is not there it stays.

    Raises:
        UserError: it is empty, can be no path, has a name that is too long, or lies in a folder
            that may not be entered. Whether there is anything is not asked.
    """
    text = os.path.expanduser(place)
    if not text:  # which would stand for the present folder
        raise UserError("A path is empty: give one, or '.' for the present folder.")
    try:
        os.stat(text)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.ENAMETOOLONG):
            raise UserError(
                f"{text} cannot be reached ({error.strerror}): give another path."
            ) from error
    except ValueError as error:  # a null byte, or what the system cannot encode
        raise UserError(f"{text} can be no path ({error}): give another.") from error
    return Path(text)


def check_source(source: str | os.PathLike[str]) -> None:
    """Raises a UserError where there is nothing of that name, whatever it holds."""
    path = given_path(source)
    if str(source).startswith(TIMM) or path.exists() or path.is_symlink():
        return
    raise UserError(
        f"There is no {path}{near_names(path.name, _beside(path), f': give {SOURCE}.')}"
    )


def check_packages(what: str, packages: Sequence[str]) -> None:
    """Raises a UserError where one is missing."""
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise UserError(f"{what} takes {some(missing)}: pip install {' '.join(missing)}.")


def new_file(
    place: str | os.PathLike[str],
    endings: Sequence[str] = (),
    overwrite: bool = False,
    option: str = "--out",
) -> Path:
    """A file to write; whoever writes it makes its folder.

    Args:
        place: as it was given.
        endings: that its name may have, in small letters; none: any.
        overwrite: whether it may be there.
        option: by which it was given.

    Raises:
        UserError: it has another ending, a package for it is missing, it is there, or no folder
            can be where it is to be.
    """
    path = given_path(place)
    ending = path.suffix.lower()
    if endings and ending not in endings:
        raise UserError(f"{option} {place}: give a name that ends in {', '.join(endings)}.")
    check_packages(f"{option} {place}", PACKAGES.get(ending, ()))
    if path.is_dir():
        raise UserError(f"{option} {place} is a folder: give the name of a file.")
    # Of .npy the names lie beside, in a .json.
    files = (path, path.with_suffix(".json")) if ending == ".npy" else (path,)
    held = [str(file) for file in files if file.exists()]
    if held and not overwrite:
        raise UserError(
            f"{option} {place}: {some(held)} is there already: give another name, or --overwrite."
        )
    _check_writable(path.parent, place, option)
    return path


def new_folder(
    place: str | os.PathLike[str],
    results: Sequence[str] = (),
    overwrite: bool = False,
    option: str = "--out",
) -> Path:
    """A folder to write into, which need not be there.

    Args:
        place, overwrite, option: as of :func:`new_file`.
        results: files that are not to be overwritten.

    Raises:
        UserError: it is a file, holds such a result, or can be no folder.
    """
    path = given_path(place)
    if path.exists() and not path.is_dir():
        raise UserError(f"{option} {place} is a file: give a folder, which may be new.")
    held = [name for name in results if (path / name).exists()]
    if held and not overwrite:
        raise UserError(
            f"{option} {place} holds {some(held)} already: give another folder, or --overwrite."
        )
    _check_writable(path, place, option)
    return path


def _check_writable(path: Path, place: str | os.PathLike[str], option: str) -> None:
    """Raises a UserError unless there can be files in the folder ``path``."""
    held = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    if not held.is_dir():
        raise UserError(f"{option} {place}: {held} is a file, no folder: give another place.")
    if not os.access(held, os.W_OK | os.X_OK):
        raise UserError(f"{option} {place}: {held} may not be written to: give another place.")


def _beside(path: Path) -> list[str]:
    """Names in the folder in which a path would be."""
    try:
        return sorted(os.listdir(path.parent))
    except OSError:
        return []
