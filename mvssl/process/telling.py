"""How a process says why it ends, alone or beside others. The standard library alone."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mvssl.errors import Interrupted, LostProcessError, UserError
from mvssl.process.command import COMMAND
from mvssl.process.signals import current, is_first

__all__ = ["ERROR_FILE", "Said", "read_said", "status_of", "tell"]

ERROR_FILE = "TORCHELASTIC_ERROR_FILE"
"""Environment variable: where ``torchrun`` looks for the cause of a failure."""

ENDING_S = 2.0
"""Seconds in which a process that has spoken ends, and its launcher the others."""


@dataclass(frozen=True)
class Said:
    """What a process says of its end.

    Attributes:
        text: what the user is told.
        interrupted: whether a signal had asked it to end.
        lost: whether it only noticed that another one had gone.
    """

    text: str
    interrupted: bool = False
    lost: bool = False


OF_COMMANDS = (
    "browse_views|check_data|compare|evaluate|export|extract|finetune|report|load_backbone"
)
"""Owners of arguments that are options of a command line."""

OPTIONS = {"num_workers": "--workers", "img_size": "--image-size"}
"""Options that are called otherwise than their arguments."""


def status_of(action: Callable[[], object], remains: str | None = None) -> int:
    """Do what a command line is for, and say why where that fails.

    Args:
        action: what it is for.
        remains: what a signal leaves that ends it, as the end of a sentence.

    Returns:
        The exit status: 0 success, 1 a failure, 2 bad input, 3 a collapse, 128 + N a signal.
    """
    watch = current()
    if watch is not None and remains is not None:
        watch.remains = lambda: remains
    try:
        action()
    except UserError as error:
        error.args = (_by_option(str(error)),)
        tell(error, is_first())
        return error.exit_status
    except Interrupted as error:
        tell(error, is_first())
        return 128 + error.number
    except KeyboardInterrupt as error:
        print(f"\ninterrupted; {str(error) or 'nothing was saved yet'}", file=sys.stderr)
        return 130
    return 0


def _by_option(text: str) -> str:
    """A sentence on an argument, as it is called on the command line."""

    def named(match: re.Match[str]) -> str:
        option = OPTIONS.get(match[2], f"--{match[2].replace('_', '-')}")
        return f"{match[1]}: {option} is "

    return re.sub(rf"^({OF_COMMANDS}): ([a-z_0-9]+) is ", named, text)


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
    said, file = Said(str(error), interrupted, lost), os.environ.get(ERROR_FILE)
    if file:
        _leave(said, Path(file))
    if COMMAND in os.environ and not interrupted:
        return  # tools/dist_train.sh reads the files of all, and speaks once
    if lost or not first:
        time.sleep(2 * ENDING_S if lost else ENDING_S)
        # torchrun's first process on this machine writes in a folder beside.
        beside = Path(file).absolute().parent.parent / "0" / Path(file).name if file else None
        if not lost and beside is not None and read_said(beside) == said:
            return
    if first or not interrupted:
        told = str(error) if interrupted else f"error: {error}"
        print(told, file=sys.stderr, flush=True)


def read_said(path: Path) -> Said | None:
    """What a process has left in the file that its launcher named; None where it left nothing."""
    try:
        message = json.loads(path.read_text(encoding="utf-8"))["message"]
        extra = message["extraInfo"]
        return Said(message["message"], "interrupted" in extra, "lost" in extra)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _leave(said: Said, path: Path) -> None:
    """In the form of torch.distributed.elastic, which shows it as the root cause."""
    kinds = {"interrupted": said.interrupted, "lost": said.lost}
    extra = {"timestamp": str(int(time.time())), **{name: "yes" for name in kinds if kinds[name]}}
    # A launcher that finds no file says less.
    with suppress(OSError), open(path, "w", encoding="utf-8") as file:
        json.dump({"message": {"message": said.text, "extraInfo": extra}}, file)
