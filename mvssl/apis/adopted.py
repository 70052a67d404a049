"""What a run takes over from the options that a checkpoint holds, which is not to be trusted.

What a user says on the command line may name anything, since it runs with the user's will. What a
checkpoint says of the command line that it was begun with sets numbers, words and registered
components alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from mvssl import registry
from mvssl.config.changes import ORIGIN
from mvssl.errors import UserError
from mvssl.models.backbones.described import SOURCES
from mvssl.words import printable

__all__ = ["adoptable"]

_PART = r"([A-Za-z0-9]\w*|_delete_)"  # others that begin with _ are marks of mmengine
_PATH: Final = re.compile(rf"{_PART}(\.{_PART})*", re.ASCII)
_WORD: Final = re.compile(r"[A-Za-z0-9_.+ -]*")  # no address and no path
_COMPONENTS: Final = ("type", "constructor")
_COMPILE: Final = ("compile", "mode", "fullgraph", "dynamic")  # other options name programs
# Of these the components that come with torch and mmengine are harmless.
_WITH_PARENTS: Final = (
    registry.OPTIMIZERS,
    registry.OPTIM_WRAPPERS,
    registry.OPTIM_WRAPPER_CONSTRUCTORS,
    registry.PARAM_SCHEDULERS,
)


def adoptable(options: Mapping[Any, Any], path: Path) -> dict[str, Any]:
    """The ``--cfg-options`` of a checkpoint that a run which goes on takes over.

    Args:
        options: values by dotted path, as the checkpoint has them.
        path: of the checkpoint, for the message.

    Raises:
        UserError: one could import a module, start a program or reach a network.
    """
    known = _registered()
    for name, value in options.items():
        if re.fullmatch(ORIGIN, str(name)) and (value is None or isinstance(value, bool | str)):
            continue
        plain = isinstance(name, str) and _PATH.fullmatch(name) is not None
        if plain and not any(_faults(name.split("."), value, known)):
            continue
        said = printable(f"{name}={value}")
        raise UserError(
            f"{path} says that its run was begun with --cfg-options {said[:200]}, which is not "
            f"taken from a file, since it could run code or reach a network: if that is how you "
            f"began it, give it again, or else do not go on from this file (see SECURITY.md)."
        )
    return dict(options)


def _faults(way: list[str], value: Any, known: set[str]) -> Iterator[bool]:
    """Whether something is refused, of a value and all that is in it."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield not isinstance(key, str) or not _PATH.fullmatch(key)
            yield from _faults([*way, str(key)], item, known)
        return
    if isinstance(value, list | tuple):
        for item in value:
            yield from _faults(way, item, known)
        return
    key = next((part for part in reversed(way) if not part.isdigit()), "")
    yield way[0] == "custom_imports"
    yield way[0] == "compile" and key not in _COMPILE
    if value is None or value is False:
        return
    yield key == "download"
    yield way[0] in ("model", "er_head") and not SOURCES.isdisjoint(way)
    if key in _COMPONENTS:
        yield value not in known
    elif isinstance(value, str):
        folder = key == "root" and value.isprintable() and "://" not in value
        yield not (folder or _WORD.fullmatch(value))
    else:
        yield not isinstance(value, bool | int | float)


def _registered() -> set[str]:
    """Names of components that are there, so that looking one up imports nothing."""
    own = [one for one in vars(registry).values() if isinstance(one, registry.Registry)]
    for one in own:
        one.import_from_location()
    names = {name for one in own for name in one.module_dict}
    return names.union(*(one.known_names() for one in _WITH_PARENTS))
