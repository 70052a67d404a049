"""Finding the image files below a folder, and nothing that only looks like one."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Set
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from PIL import features

from mvssl.datasets.paths import Paths
from mvssl.intake import kind_of_file
from mvssl.run_files import BACKBONE, LATEST, LOG, PICTURES, SUMMARY

__all__ = ["ENDINGS", "Found", "find_images", "missing_decoders"]

ENDINGS: Final = (
    *(".jpg", ".jpeg", ".jfif", ".jpe", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"),
    *(".avif", ".heic", ".heif"),
)
"""Endings of the files that count as images, in any case."""
_ENDINGS: Final = frozenset(ENDINGS)

# Other pictures, of which a user may expect that they are read.
_PICTURES: Final = frozenset(
    f".{name}"
    for group in (
        ("jp2", "j2k", "jxl", "pgm", "ppm", "pbm", "pnm", "tga", "ico", "svg", "eps", "psd", "pdf"),
        ("exr", "hdr", "dds", "dcm", "nii", "fits", "dng", "raw", "cr2", "cr3", "nef", "arw"),
        ("orf", "rw2", "raf", "npy", "npz", "mp4", "mov", "avi"),
    )
    for name in group
)

# With a picture, or LATEST alone, one of these makes a folder known that a run wrote into.
_RECORDS: Final = {LOG, SUMMARY, BACKBONE}
_WORK_DIRS: Final = "work_dirs"  # where runs are by default, whatever is left of them


def missing_decoders() -> dict[str, str]:
    """Endings that cannot be read as things are, each with what to install."""
    missing: dict[str, str] = {}
    if find_spec("pillow_heif") is None:
        missing |= dict.fromkeys((".heic", ".heif"), "pip install pillow-heif")
    if not features.check("avif"):
        missing[".avif"] = "pip install 'pillow>=11.3'"
    return missing


@dataclass
class Found:
    """What there is below a folder.

    Attributes:
        files: images, relative to the folder, sorted, with ``/`` on every system.
        runs: folders that training runs wrote into, which are left out.
        odd: what is named like an image and is no regular file, with what it is.
        closed: folders that cannot be listed, with the reason.
        counts: images by ending, in lower case.
        skipped: other files by ending.
        decoders: what to install for endings among ``skipped`` that could be read.
    """

    files: Paths = field(default_factory=Paths)
    runs: list[str] = field(default_factory=list)
    odd: dict[str, str] = field(default_factory=dict)
    closed: dict[str, str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    decoders: dict[str, str] = field(default_factory=missing_decoders)

    def told(self) -> str:
        """``900 .jpg and 8 .png; skipped 12 .heic (to read them: ...) and 3 other files``."""
        endings = [f"{number:,} {name}" for name, number in self.counts.most_common()]
        text = _joined(endings) or "no image"
        parts, others = [], 0
        for name, number in self.skipped.most_common():
            if name in self.decoders:
                parts.append(f"{number:,} {name} (to read them: {self.decoders[name]})")
            elif name in _PICTURES:
                parts.append(f"{number:,} {name} (not a kind that is read)")
            else:
                others += number
        if others:
            parts.append(f"{others:,} other file{'' if others == 1 else 's'}")
        return f"{text}; skipped {_joined(parts)}" if parts else text


def _joined(parts: list[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else "".join(parts)


def find_images(root: Path) -> Found:
    """All images below ``root``.

    Hidden files and folders are skipped. Symbolic links are followed, but every real folder is
    entered once, so that a link to a folder above ends nowhere. The outputs of training runs are no
    images: a folder with a run in it is left out, and of ``root`` itself the pictures of the run. A
    folder below that cannot be listed is noted, and the others are read.

    Raises:
        OSError: ``root`` itself cannot be listed.
    """
    found = Found()
    files: list[str] = []
    entered: set[str] = set()
    pending = [""]
    while pending:
        below = pending.pop()
        real = os.path.realpath(root / below)
        if real in entered:
            continue
        entered.add(real)
        try:
            with os.scandir(root / below) as entries:
                visible = [entry for entry in entries if not entry.name.startswith(".")]
        except OSError as error:
            if not below:
                raise
            found.closed[below.rstrip("/")] = error.strerror or type(error).__name__
            continue
        # What an entry is comes with the listing; only links cost a look of their own.
        folders = {entry.name for entry in visible if _is(entry.is_dir)}
        written: Set[str] = set()
        if _holds_run({entry.name for entry in visible}):
            found.runs.append(below.rstrip("/"))
            if below:
                continue
            written = PICTURES
        inside = folders
        if _WORK_DIRS in folders:
            inside = folders - {_WORK_DIRS}
            found.runs.append(f"{below}{_WORK_DIRS}")
        pending += sorted((f"{below}{name}/" for name in inside), reverse=True)
        others = [x for x in visible if x.name not in folders and x.name not in written]
        files += _take(below, others, found)
    files.sort()
    found.files = Paths(files)
    return found


def _take(below: str, entries: list[os.DirEntry[str]], found: Found) -> list[str]:
    """The images among the entries of a folder that are no folders; counts them and the others."""
    taken = []
    for entry in entries:
        name = entry.name
        ending = os.path.splitext(name)[1].lower()
        if ending not in _ENDINGS or ending in found.decoders:
            found.skipped[ending] += 1
        elif _is(entry.is_file):
            found.counts[ending] += 1
            taken.append(below + name)
        else:
            found.odd[below + name] = kind_of_file(entry.path) or "gone"
    return taken


def _is(question: Callable[[], bool]) -> bool:
    try:
        return question()
    except OSError:  # links that lead to each other
        return False


def _holds_run(names: Set[str]) -> bool:
    """Whether a folder with files of these names is one that a run wrote into."""
    return LATEST in names or (not names.isdisjoint(_RECORDS) and not names.isdisjoint(PICTURES))
