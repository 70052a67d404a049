"""The one exception that the command lines turn into a sentence and exit status 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "LIST_ITEM",
    "ComponentError",
    "UserError",
    "either",
    "in_words",
    "near_names",
    "printable",
]


LIST_ITEM = "\n  - "
"""Between the parts of a message that lists several faults."""


def printable(text: str) -> str:
    """``text`` on one line: what would break or steer it, or no terminal can show, as an escape.

    Names of files may hold line breaks, a terminal's commands, and bytes that are no text.
    """
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )


class UserError(ValueError):
    """Something the user gave is wrong: the message says what, where and what to do.

    Command lines print the message without a traceback and exit with status 2; in a notebook it
    is an ordinary ``ValueError``. Of what it quotes (names of files, say) only what can be printed
    is shown as it is; it has several lines only where it lists several faults.
    """

    def __str__(self) -> str:
        return LIST_ITEM.join(printable(item) for item in super().__str__().split(LIST_ITEM))


class ComponentError(UserError):
    """A component could not be built: ``Name: what it raised``. It does not know its place in the
    config, which whoever builds it puts before.
    """


def in_words(error: BaseException) -> str:
    """What an exception says, on one line, with its kind where the text alone says too little."""
    text = " ".join(str(error).split())
    if text and isinstance(error, ValueError | AssertionError):
        return text
    return f"{type(error).__name__}: {text or 'no message'}"


def near_names(name: str, known: Iterable[str], otherwise: str = ".") -> str:
    """End of a sentence: ``; did you mean 'x'?``, or ``otherwise`` where nothing is near."""
    near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.6)
    return f"; did you mean {either(near)}?" if near else otherwise


def either(names: Iterable[str], most: int = 12) -> str:
    """``'x', 'y' or 'z'``; of more than ``most``, how many more there are."""
    listed = list(names)
    shown = [f"'{name}'" for name in listed[:most]]
    if len(listed) > most:
        shown.append(f"{len(listed) - most} more")
    return " or ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)
