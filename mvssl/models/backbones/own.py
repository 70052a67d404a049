"""Modules that register backbones of the user's own, and which of them a run says it needs.

A config is a program that its user runs; files of weights and checkpoints are passed on by others.
So a module is imported because the user names it, or because ``config.py`` in the folder of a run
does, never because a file of weights says so; nor does it ever come out of the folder of a run,
which may have been passed on as a whole.
"""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, Final

from mvssl.errors import UserError
from mvssl.registry import BACKBONES
from mvssl.run_files import CONFIG
from mvssl.words import in_words

__all__ = ["import_modules", "import_modules_of_run", "unknown_types"]

MOST_BYTES: Final = 2**20
MOST_DEPTH: Final = 16


def import_modules(names: Iterable[str], where: str = "--custom-imports") -> None:
    """Import modules of the user's own, as a config's ``custom_imports`` does.

    Args:
        names: dotted.
        where: they are named, for messages.

    Raises:
        UserError: one is not found, or raises something.
    """
    for name in names:
        try:
            import_module(name)
        except ModuleNotFoundError as error:
            raise UserError(
                f"{where}: {error}: start with PYTHONPATH=FOLDER, the folder that holds your "
                f"modules."
            ) from error
        except (Exception, SystemExit) as error:  # somebody's program: anything can go wrong in it
            raise UserError(
                f"{where}: module {name} cannot be imported ({in_words(error)[:400]}): mend it."
            ) from error


def import_modules_of_run(folder: Path, build: Any) -> None:
    """What the config of a run imports, where its backbone is made of what nobody registered.

    Nothing happens where ``folder`` has no config that names modules.

    Args:
        folder: of the run, with ``config.py`` in it, which is read and not run.
        build: description of the backbone.

    Raises:
        UserError: as of :func:`import_modules`; or a module lies in the folder of the run.
    """
    file = folder / CONFIG
    if not unknown_types(build):
        return
    names = _named_in(file)
    for name in names:
        for place in _places(name):
            if place.is_relative_to(folder.resolve()):
                raise UserError(
                    f"{file}: custom_imports: {name} lies in the folder of the run itself, of "
                    f"which nothing is imported (see SECURITY.md): put it where your modules are, "
                    f"and that folder on PYTHONPATH."
                )
    import_modules(names, f"{file}: custom_imports")


def unknown_types(build: Any) -> list[str]:
    """Names of the components in a description, at any depth, that BACKBONES does not hold."""
    BACKBONES.import_from_location()  # mvssl's own
    return [name for name in _types(build) if name not in BACKBONES.module_dict]


def _types(node: Any, depth: int = 0) -> Iterator[str]:
    if depth > MOST_DEPTH:
        return  # what is deeper is refused when it is built
    if isinstance(node, Mapping):
        if isinstance(node.get("type"), str):
            yield node["type"]
        for value in node.values():
            yield from _types(value, depth + 1)
    elif isinstance(node, list):
        for value in node:
            yield from _types(value, depth + 1)


def _named_in(file: Path) -> list[str]:
    """``imports`` of the ``custom_imports`` of a config whose values are literals, as a run keeps
    it; nothing where there is none.
    """
    try:
        if not file.is_file() or file.stat().st_size > MOST_BYTES:
            return []
        body = ast.parse(file.read_text(encoding="utf-8")).body
        for node in body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "custom_imports":
                found = _literal(node.value).get("imports", [])
                listed = [found] if isinstance(found, str) else found
                return [name for name in listed if isinstance(name, str)]
    except (OSError, ValueError, TypeError, AttributeError, SyntaxError, RecursionError):
        return []
    return []


def _literal(node: ast.expr) -> Any:
    """``dict(...)`` of literals, or a literal."""
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "dict" and not node.args:
        return {str(word.arg): ast.literal_eval(word.value) for word in node.keywords}
    return ast.literal_eval(node)


def _places(name: str) -> Iterator[Path]:
    """Files and folders that Python would import for a dotted name, found without importing any."""
    if name.partition(".")[0] in sys.builtin_module_names:
        return
    whole, way = "", None
    for part in name.split("."):
        whole = f"{whole}.{part}" if whole else part
        spec = PathFinder.find_spec(whole, way)
        if spec is None:
            return
        if spec.origin is not None and spec.has_location:
            yield Path(os.path.realpath(spec.origin))
        way = spec.submodule_search_locations
        for place in way or ():
            yield Path(os.path.realpath(place))
        if way is None:
            return
