"""Words that sentences to a user are made of."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "LIST_ITEM",
    "count",
    "each",
    "either",
    "first_line",
    "in_words",
    "near_names",
    "printable",
    "shown",
    "some",
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


def in_words(error: BaseException) -> str:
    """What an exception says, on one line, with its kind where the text alone says too little."""
    lines = str(error).strip().split("\n")
    if "Original Traceback (most recent call last):" in map(str.strip, lines):
        return " ".join(lines[-1].split())  # of a loader's worker: its last line is the exception
    text = " ".join(" ".join(lines).split())
    if text and isinstance(error, ValueError | AssertionError):
        return text
    return f"{type(error).__name__}: {text or 'no message'}"


def shown(value: object, most: int = 100) -> str:
    """A value in a sentence: one line, and of a long one its beginning."""
    text = " ".join(repr(value).split())
    return text if len(text) <= most else f"{text[:most]}..."


def near_names(name: str, known: Iterable[str], otherwise: str = ".") -> str:
    """End of a sentence: ``; did you mean 'x'?``, or ``otherwise`` where nothing is near."""
    near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.6)
    return f"; did you mean {either(near)}?" if near else otherwise


def either(names: Iterable[str], most: int = 12) -> str:
    """``'x', 'y' or 'z'``; of more than ``most``, how many more there are."""
    return _joined(names, "or", most)


def each(names: Iterable[str], most: int = 12) -> str:
    """As ``either``, but ``'x', 'y' and 'z'``."""
    return _joined(names, "and", most)


def _joined(names: Iterable[str], word: str, most: int) -> str:
    listed = list(names)
    shown = [f"'{name}'" for name in listed[:most]]
    if len(listed) > most:
        shown.append(f"{len(listed) - most} more")
    return f"{', '.join(shown[:-1])} {word} {shown[-1]}" if len(shown) > 1 else "".join(shown)


def some(names: Iterable[str], most: int = 3) -> str:
    """``x, y, z and 4 more``: the first of many names."""
    listed = list(names)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more


def count(number: int, noun: str) -> str:
    """``1 epoch``, ``2,000 epochs``."""
    plural = "es" if noun.endswith("s") else "s"
    return f"{number:,} {noun}{'' if number == 1 else plural}"


def first_line(error: BaseException, most: int = 160) -> str:
    """The first line of what an exception says, without the place in torch's sources; its kind
    where that line says nothing, as a bare number.
    """
    text = str(error).strip().split("\n")[0]
    if text.startswith("["):
        text = text.split("] ", 1)[-1]
    return text.rstrip(". ")[:most] if any(map(str.isalpha, text)) else type(error).__name__
