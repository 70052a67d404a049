"""The exceptions that the command lines turn into a sentence and an exit status."""

from __future__ import annotations

import os
from typing import ClassVar

from mvssl.words import LIST_ITEM, printable

__all__ = [
    "CollapseError",
    "ComponentError",
    "DamageError",
    "Interrupted",
    "LostProcessError",
    "RunError",
    "UserError",
]


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
    """A file is no checkpoint, or not what was written; ``why`` says it in a few words.

    Args:
        told: the message.
    """

    def __init__(self, told: str, path: str | os.PathLike[str] = "", why: str = "") -> None:
        super().__init__(told)
        self.path, self.why = path, why

    @classmethod
    def of(cls, path: str | os.PathLike[str], why: str, written_here: bool = False) -> DamageError:
        """The error of a file; ``written_here``: it is known to be one of mvssl's."""
        if written_here:
            told = f"{path} is damaged ({why}): give an earlier checkpoint."
        else:
            told = (
                f"{path} is not a checkpoint, or it is damaged ({why}): give a file that mvssl or "
                f"torch.save wrote."
            )
        return cls(told, path, why)


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
