"""The words that started a run, and those that go on with it. The standard library alone."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterator, Sequence
from itertools import pairwise

__all__ = ["COMMAND", "resume_command"]

NAME = "mvssl"
COMMAND = "MVSSL_COMMAND"
"""Environment variable in which ``tools/dist_train.sh`` hands on the words that started it."""


def resume_command(argv: Sequence[str], work_dir: str) -> str:
    """The command that goes on with the run in ``work_dir``.

    Args:
        argv: the words that started this process.
        work_dir: where the checkpoints are.
    """
    if COMMAND in os.environ:
        words = shlex.split(os.environ[COMMAND])
    elif "TORCHELASTIC_RUN_ID" in os.environ:
        words = [*_torchrun(), *_script(argv)]
    elif "SLURM_PROCID" in os.environ and _names_slurm(argv):
        words = ["srun", *argv]
    else:
        words = list(_typed(argv))
    return shlex.join([*_without_place(words), "--resume", "--work-dir", work_dir])


def _typed(argv: Sequence[str]) -> Sequence[str]:
    """Without the interpreter and the folder of a command that is found by its name alone."""
    if len(argv) < 2:
        return argv
    place, name = os.path.split(argv[1])
    found = shutil.which(name) if place and name == NAME else None
    if found is None or os.path.realpath(found) != os.path.realpath(argv[1]):
        return argv
    return [name, *argv[2:]]


def _names_slurm(argv: Sequence[str]) -> bool:
    return "--launcher=slurm" in argv or ("--launcher", "slurm") in pairwise(argv)


def _torchrun() -> list[str]:
    """What starts as many processes again."""
    here, all_ = os.environ.get("LOCAL_WORLD_SIZE", "1"), os.environ.get("WORLD_SIZE", "1")
    # Of several machines each has options of its own, which this process cannot see.
    return ["torchrun", *(["--nproc-per-node", here] if here == all_ else ["..."])]


def _script(argv: Sequence[str]) -> Sequence[str]:
    """From the script, or the module, on: without the interpreter and its options."""
    words = enumerate(argv[1:], start=1)
    start = next((i for i, word in words if word == "-m" or not word.startswith("-")), 0)
    return argv[start:]


def _without_place(words: Sequence[str]) -> Iterator[str]:
    """Leave out ``--resume`` and ``--work-dir``, which are said anew."""
    number = 0
    while number < len(words):
        word, after = words[number], words[number + 1 : number + 2]
        number += 1
        if word == "--work-dir" or (word == "--resume" and after and after[0][:1] != "-"):
            number += 1
        elif word != "--resume" and not word.startswith(("--resume=", "--work-dir=")):
            yield word
