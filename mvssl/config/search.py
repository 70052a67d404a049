"""Where in a config a name has its place."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from mvssl.config.components import accepted_arguments
from mvssl.words import either

__all__ = ["elsewhere"]

COMMAND_LINE = {
    "amp": "--amp",
    "data": "--data FOLDER",
    "dry_run": "--dry-run",
    "labels": "--labels",
    "launcher": "--launcher",
    "load_from": "model.backbone.checkpoint, or --resume for a run that goes on,",
    "objective": "--objective",
    "randomness": "--seed N",
    "resume": "--resume",
    "seed": "--seed N",
    "work_dir": "--work-dir DIR",
}
"""What other software has in its configs, and is said elsewhere here."""

FIRST = ("train", "optim_wrapper", "model", "param_scheduler")


def elsewhere(cfg: Mapping[str, Any], name: str, where: str = "") -> str | None:
    """End of a sentence about a name in a wrong place: of the command line, at top level, or the
    full paths of that name or of one much like it; None where there is none.
    """
    if name in COMMAND_LINE and not where:
        return f": give {COMMAND_LINE[name]} instead."
    places = [path for path in dict.fromkeys(_paths(cfg)) if "." in path]
    ends = {path: path.rpartition(".")[2] for path in places}
    # epochs may mean max_epochs.
    found = [path for path in places if name in (ends[path], *ends[path].split("_"))]
    if not found:
        near = difflib.get_close_matches(name, set(ends.values()), n=1, cutoff=0.8)
        found = [path for path in places if ends[path] in near]
    found.sort(key=lambda path: (_rank(path), ends[path] != name, path.count(".")))
    return f"; did you mean {either(found[:3])}?" if found else None


def _rank(path: str) -> int:
    """What a run is made of comes before what only looks at it."""
    return next((n for n, start in enumerate(FIRST) if path.startswith(start)), len(FIRST))


def _paths(node: Any, where: str = "") -> Iterator[str]:
    """Every path that a config has, and those that its components take."""
    if isinstance(node, Mapping):
        given = [str(key) for key in node]
        taken = sorted((accepted_arguments(where, node) or set()) - {*given, "type"})
        items: list[tuple[str, Any]] = [*zip(given, node.values(), strict=True)]
        items += [(key, None) for key in taken]
    elif isinstance(node, list | tuple):
        items = [(str(number), inner) for number, inner in enumerate(node)]
    else:
        return
    for key, inner in items:
        if key.startswith("_") or (not where and key == "er_head"):
            continue
        path = f"{where}.{key}" if where else key
        yield path
        yield from _paths(inner, path)
