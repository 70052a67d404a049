"""Where in a config a name has its place."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mvssl.config.components import accepted_arguments
from mvssl.views.flat import flat_names
from mvssl.words import either, near_names

__all__ = ["meant"]

COMMAND_LINE = {
    "amp": "--amp",
    "data": "--data FOLDER",
    "dry_run": "--dry-run",
    "image_size": "--image-size PIXELS",
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

MOST_PLACES = 3

FIRST = ("train", "optim_wrapper", "model", "param_scheduler")


def meant(cfg: Mapping[str, Any], name: str, known: Iterable[str], where: str = "") -> str:
    """End of a sentence about a name that path ``where`` does not know (empty: the top level).

    Where the same name stands elsewhere, else what is much like it: here, by the names that are
    ``known``, and then anywhere.
    """
    if name in COMMAND_LINE and not where:
        return f": give {COMMAND_LINE[name]} instead."
    places = [path for path in dict.fromkeys(_paths(cfg)) if "." in path]
    ends = {path: path.rpartition(".")[2] for path in places}
    if name not in ends.values():
        near = near_names(name, sorted(one for one in known if not one.startswith("_")), "")
        if near:
            return near
    # epochs may mean max_epochs.
    found = [path for path in places if name in (ends[path], *ends[path].split("_"))]
    if not found:
        close = difflib.get_close_matches(name, set(ends.values()), n=1, cutoff=0.8)
        found = [path for path in places if ends[path] in close]
    ranks = {path: _rank(path) for path in found}
    found.sort(key=lambda x: (ranks[x] == len(FIRST), ends[x] != name, ranks[x], x.count(".")))
    return f"; did you mean {either(found[:MOST_PLACES])}?" if found else "."


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
        if key == "view_options" and (inner is None or isinstance(inner, Mapping)):
            inner = dict.fromkeys(flat_names()) | dict(inner or {})
        if key.startswith("_") or (not where and key == "er_head"):
            continue
        path = f"{where}.{key}" if where else key
        yield path
        yield from _paths(inner, path)
