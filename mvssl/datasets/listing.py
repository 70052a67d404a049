"""Finding the image files below a folder, and nothing that only looks like one."""

from __future__ import annotations

import os
from collections.abc import Callable, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mvssl.intake import kind_of_file
from mvssl.run_files import BACKBONE, LATEST, LOG, PICTURES, SUMMARY

__all__ = ["ENDINGS", "Found", "find_images"]

ENDINGS: Final = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
"""Endings of the files that count as images, in any case."""

# With a picture, or LATEST alone, one of these makes a folder known that a run wrote into.
_RECORDS: Final = {LOG, SUMMARY, BACKBONE}
_WORK_DIRS: Final = "work_dirs"  # where runs are by default, whatever is left of them


@dataclass
class Found:
    """What there is below a folder.

    Attributes:
        files: images, relative to the folder, sorted, with ``/`` on every system.
        runs: folders that training runs wrote into, which are left out.
        odd: what is named like an image and is no regular file, with what it is.
    """

    files: list[str] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    odd: dict[str, str] = field(default_factory=dict)


def find_images(root: Path) -> Found:
    """All images below ``root``.

    Hidden files and folders are skipped. Symbolic links are followed, but every real folder is
    entered once, so that a link to a folder above ends nowhere. The outputs of training runs are no
    images: a folder with a run in it is left out, and of ``root`` itself the pictures of the run.
    """
    found = Found()
    entered: set[str] = set()
    pending = [""]
    while pending:
        below = pending.pop()
        real = os.path.realpath(root / below)
        if real in entered:
            continue
        entered.add(real)
        with os.scandir(root / below) as entries:
            visible = [entry for entry in entries if not entry.name.startswith(".")]
        # What an entry is comes with the listing; only links cost a look of their own.
        folders = {entry.name for entry in visible if _is(entry.is_dir)}
        written: Set[str] = set()
        if _holds_run({entry.name for entry in visible}):
            found.runs.append(below.rstrip("/"))
            if below:
                continue
            written = PICTURES
        if _WORK_DIRS in folders:
            folders = folders - {_WORK_DIRS}
            found.runs.append(f"{below}{_WORK_DIRS}")
        pending += sorted((f"{below}{name}/" for name in folders), reverse=True)
        for entry in visible:
            if not entry.name.lower().endswith(ENDINGS) or entry.name in written:
                continue
            if _is(entry.is_file):
                found.files.append(below + entry.name)
            elif entry.name not in folders:
                found.odd[below + entry.name] = kind_of_file(entry.path) or "gone"
    found.files.sort()
    return found


def _is(question: Callable[[], bool]) -> bool:
    try:
        return question()
    except OSError:  # links that lead to each other
        return False


def _holds_run(names: Set[str]) -> bool:
    """Whether a folder with files of these names is one that a run wrote into."""
    return LATEST in names or (not names.isdisjoint(_RECORDS) and not names.isdisjoint(PICTURES))
