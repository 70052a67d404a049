"""How a process says why it ends, alone or beside others. The standard library alone."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from mvssl.command import COMMAND
from mvssl.errors import Interrupted, LostProcessError

__all__ = ["ERROR_FILE", "tell"]

ERROR_FILE = "TORCHELASTIC_ERROR_FILE"
"""Environment variable: where ``torchrun`` looks for the cause of a failure."""

ENDING_S = 2.0
"""Seconds in which a process that has spoken ends, and its launcher the others."""


def tell(error: BaseException, first: bool) -> None:
    """Say why this process ends.

    Most faults are raised on all processes together. The first one speaks at once, and the others
    let it: their launcher ends them meanwhile, where it does that. A process that only lost
    another one gives the cause time to be told first.

    Args:
        error: its text is what the user is told.
        first: whether this is the process that speaks for all.
    """
    interrupted, lost = isinstance(error, Interrupted), isinstance(error, LostProcessError)
    _leave_in_file(str(error), interrupted, lost)
    if COMMAND in os.environ and not interrupted:
        return  # tools/dist_train.sh reads the files of all, and speaks once
    if lost or not first:
        time.sleep(2 * ENDING_S if lost else ENDING_S)
        if not lost and _told_beside(str(error)):
            return
    if first or not interrupted:
        told = str(error) if interrupted else f"error: {error}"
        print(told, file=sys.stderr, flush=True)


def _told_beside(text: str) -> bool:
    """Whether torchrun's first process on this machine, in a folder beside, has said the same."""
    path = os.environ.get(ERROR_FILE)
    if not path:
        return False
    try:
        beside = (Path(path).parents[1] / "0" / Path(path).name).read_text(encoding="utf-8")
        return bool(json.loads(beside)["message"]["message"] == text)
    except (OSError, ValueError, KeyError, IndexError):
        return False


def _leave_in_file(text: str, interrupted: bool, lost: bool) -> None:
    """In the form of torch.distributed.elastic, which shows it as the root cause."""
    path = os.environ.get(ERROR_FILE)
    if not path:
        return
    extra = {"timestamp": str(int(time.time()))}
    extra |= {"interrupted": "yes"} if interrupted else {}
    extra |= {"lost": "yes"} if lost else {}
    try:
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"message": {"message": text, "extraInfo": extra}}, file)
    except OSError:
        return  # the launcher will say less
