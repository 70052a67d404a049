"""The exceptions that the command lines turn into a sentence and an exit status."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from typing import ClassVar

__all__ = [
    "LIST_ITEM",
    "CollapseError",
    "ComponentError",
    "DamageError",
    "Interrupted",
    "LostProcessError",
    "RunError",
    "UserError",
    "either",
    "in_words",
    "near_names",
    "printable",
    "shown",
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

    Attributes:
        exit_status: of a command line that ends with it.
    """

    exit_status: ClassVar[int] = 2

    def __str__(self) -> str:
        return LIST_ITEM.join(printable(item) for item in super().__str__().split(LIST_ITEM))


class CollapseError(UserError):
    """A run was saved and ended, since what it learns has collapsed, and it was told to
    (``DoctorHook`` with ``on_collapse='stop'``).
    """

    exit_status = 3


class DamageError(UserError):
    """A file is no checkpoint, or not what was written; ``why`` says it in a few words."""

    def __init__(self, path: str | os.PathLike[str], why: str) -> None:
        self.path, self.why = path, why
        super().__init__(
            f"{path} is not a checkpoint, or it is damaged ({why}): give a file that mvssl or "
            f"torch.save wrote."
        )


class ComponentError(UserError):
    """A component could not be built: ``Name: what it raised``. It does not know its place in the
    config, which whoever builds it puts before.
    """


class RunError(UserError):
    """A run ended by something that is no fault of what was given, as far as can be told: an error
    in a part of the user's own or of mvssl, or want of memory. ``__cause__`` is what was raised.
    """

    exit_status = 1


class LostProcessError(UserError):
    """Another process of a run has gone, or does not answer; why, only that one can say."""


class Interrupted(KeyboardInterrupt):
    """A signal has ended a run: the message says what is saved and how to go on.

    Args:
        number: of the signal; the exit status is 128 more.
        told: the message.
    """

    def __init__(self, number: int, told: str) -> None:
        super().__init__(told)
        self.number = number


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
    listed = list(names)
    shown = [f"'{name}'" for name in listed[:most]]
    if len(listed) > most:
        shown.append(f"{len(listed) - most} more")
    return " or ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)
