"""Runs beside each other: what ``tools/compare.py`` and notebooks call."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mvssl.errors import UserError
from mvssl.files import make_folder, write_bytes_atomically
from mvssl.process.places import PAGES, given_path, new_file
from mvssl.report.comparison import (
    Group,
    compared,
    comparison_page,
    comparison_table,
    grouped,
    remarks,
)
from mvssl.report.recorded import Recorded, read_run
from mvssl.report.tables import print_table, write_summary
from mvssl.run_files import LATEST, LOG, SUMMARY, numbered

__all__ = ["CompareOptions", "compare_runs", "find_runs"]

DEEPEST = 6


@dataclass(frozen=True)
class CompareOptions:
    """What ``tools/compare.py`` is given.

    Attributes:
        runs: folders of runs, or folders below which runs are.
        out: a page with table and curves.
        json: a file with the same numbers.
        overwrite: whether these two may be there.
    """

    runs: Sequence[str]
    out: str | None = None
    json: str | None = None
    overwrite: bool = False


def compare_runs(options: CompareOptions) -> list[Group]:
    """Print a table of runs, and write page and JSON file where they are asked for.

    Runs that cannot be read are left out, and said with the reason.

    Raises:
        UserError: no run can be read, or a file cannot be where it is to be.
    """
    again = options.overwrite
    out = None if options.out is None else new_file(options.out, PAGES, again)
    file = None if options.json is None else new_file(options.json, (), again, "--json")
    left_out: dict[str, str] = {}
    runs: list[Recorded] = []
    for folder in find_runs(options.runs, left_out):
        try:
            runs.append(read_run(folder))
        except UserError as error:
            left_out[str(folder)] = str(error)
    if not runs:
        why = " ".join(left_out.values())
        raise UserError(f"There is no run to compare: {why or 'give folders of runs.'}")
    groups = grouped(runs)
    notes = remarks(groups)
    print_table(comparison_table(groups))
    for note in notes:
        print(f"note: {note}")
    for why in left_out.values():
        print(f"left out: {why}")
    if out is not None:
        make_folder(out.parent)
        write_bytes_atomically(out, comparison_page(groups, left_out, notes))
        print(f"written {out}")
    if file is not None:
        make_folder(file.parent)
        write_summary(file, compared(groups, left_out, notes))
        print(f"written {file}")
    return groups


def find_runs(places: Sequence[str], left_out: dict[str, str]) -> list[Path]:
    """Folders of runs, each once.

    Args:
        places: folders of runs, or folders below which runs are.
        left_out: gets a sentence for each that is neither.
    """
    found: dict[Path, Path] = {}
    for place in places:
        folder = given_path(place)
        if not folder.is_dir():
            what = "is a file" if folder.exists() else "is not there"
            left_out[place] = f"{folder} {what}: give folders of runs."
            continue
        within = [folder] if _is_run(folder) else list(_below(folder, DEEPEST))
        if not within:
            left_out[place] = f"{folder} holds no run, nor does a folder in it."
        for run in within:
            found.setdefault(run.resolve(), run)
    return list(found.values())


def _is_run(folder: Path) -> bool:
    """Whether training wrote there, however far it came."""
    names = (SUMMARY, LATEST, LOG)
    return any((folder / name).exists() for name in names) or bool(
        numbered(folder, "epoch") or numbered(folder, "iter")
    )


def _below(folder: Path, deep: int) -> Iterator[Path]:
    """Runs in a folder, by name; links are not followed."""
    try:
        inner = sorted(
            entry.name for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)
        )
    except OSError:
        return  # who may not look there compares the others
    for name in inner:
        below = folder / name
        if _is_run(below):
            yield below
        elif deep:
            yield from _below(below, deep - 1)
