"""The command ``mvssl``: every command line of the project under one name.

``mvssl train photos/byol_small --data ~/Pictures`` runs what ``python tools/train.py`` runs. The
standard library alone, so that it answers at once.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType

from mvssl.process.console import make_streams_last
from mvssl.process.signals import end_command, start_command
from mvssl.shipped import TOOLS
from mvssl.version import __version__
from mvssl.words import near_names

__all__ = ["commands", "main"]

USAGE = """usage: mvssl COMMAND ...   (mvssl COMMAND --help)

{commands}

Configs are named by their paths, or as those that come with mvssl: byol_er_vit, photos/dino_small.
"""


def main() -> None:
    """Run a command line and end this process with its status."""
    make_streams_last()
    start_command(sys.orig_argv)
    end_command(run(sys.argv[1:]))


def run(argv: Sequence[str]) -> int:
    """The exit status of a command line; ``argv`` begins with the name of a command."""
    known = commands()
    name = argv[0] if argv else "--help"
    if name in ("-h", "--help"):
        width = max(map(len, known)) + 2
        lines = [f"  {one:<{width}}{text}" for one, text in known.items()]
        print(USAGE.format(commands="\n".join(lines)), end="")
        return 0 if argv else 2
    if name == "--version":
        print(f"mvssl {__version__}")
        return 0
    if name not in known:
        near = near_names(name, known, f": it is one of {', '.join(known)}.")
        print(f"error: there is no command {name}{near}", file=sys.stderr)
        return 2
    # What argparse calls the program.
    sys.argv[0] = f"mvssl {name}"
    status: int = _load(name).main(argv[1:])
    return status


def commands() -> dict[str, str]:
    """Names of the command lines, and what each is for: the first line of its file."""
    found = {}
    for file in sorted(TOOLS.glob("*.py")):
        text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
        found[file.stem] = text.partition(": ``")[0].rstrip(".")
    return found


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"mvssl_{name}", TOOLS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
