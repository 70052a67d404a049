"""A config's file and its bases, looked at before mmengine reads them."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mvssl.errors import UserError
from mvssl.shipped import shipped_names
from mvssl.words import either, in_words, shown

__all__ = ["check_chain", "check_file"]


def check_file(config: str | Path) -> Path:
    """The path of a config file; a UserError where there is none."""
    path = Path(config)
    if path.is_dir():
        within = [str(p) for p in sorted(path.glob("*.py"))]
        advice = f"give one of its configs: {either(within, 5)}." if within else "give a config."
        raise UserError(f"{config} is a folder: {advice}")
    if not path.is_file():
        raise UserError(f"There is no config {path}{_near_files(path)}")
    if path.suffix != ".py":
        raise UserError(f"{path} is no config: give a Python file (.py).")
    return path


def _near_files(path: Path) -> str:
    """End of a sentence: files that may be meant."""
    if "\\" in str(path):
        return "; write its path with / between folders."
    beside = {p.name: str(p) for p in sorted(path.parent.glob("*.py"))}
    if path.suffix != ".py" and not beside:
        beside = {name: name for name in shipped_names()}
    name = path.name if path.name in beside or path.suffix == ".py" else str(path)
    near = difflib.get_close_matches(name, beside, n=3, cutoff=0.6)
    return (
        f"; did you mean {either(beside[name] for name in near)}?"
        if near
        else "; give the path of a file."
    )


def check_chain(path: Path) -> None:
    """Look at a config and all of its bases without running them.

    Raises:
        UserError: one cannot be read, is no Python, is empty, names a base that is not there, or
            is a base of its own.
    """
    _check(path, [])


def _check(path: Path, above: list[Path]) -> None:
    tree = _parsed(path)
    if not above and not tree.body:
        raise UserError(
            f"Config {path} is empty: begin with _base_ = ['PATH of another config'] and say what "
            f"is different."
        )
    above = [*above, path.resolve()]
    for base in _bases(path, tree):
        if base.resolve() in above:
            ring = [*above[above.index(base.resolve()) :], base.resolve()]
            raise UserError(
                f"Config {above[0]}: _base_ goes round in a circle "
                f"({' -> '.join(file.name for file in ring)}): take one of these out."
            )
        if not base.is_file():
            what = "is a folder" if base.is_dir() else "is not there"
            raise UserError(
                f"Config {path}: its _base_ {base} {what}{_near_files(base)} A path starts from "
                f"the folder of the config that names it."
            )
        if base.suffix == ".py":
            _check(base, above)


def _parsed(path: Path) -> ast.Module:
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise UserError(f"Config {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UserError(
            f"Config {path} is no text in UTF-8 (byte {error.start}): save it as UTF-8, or give "
            f"another file."
        ) from error
    if text.startswith("\ufeff"):
        raise UserError(f"Config {path} begins with a byte order mark: save it as UTF-8 without.")
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = f" in line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        told = error.msg if isinstance(error, SyntaxError) else str(error)
        raise UserError(
            f"Config {path} cannot be read: SyntaxError{line}: {told or type(error).__name__}."
        ) from error


def _bases(path: Path, tree: ast.Module) -> Iterable[Path]:
    """Files that a config names as its bases, of other packages those left out."""
    for node in tree.body:
        names = node.targets if isinstance(node, ast.Assign) else []
        if not any(isinstance(name, ast.Name) and name.id == "_base_" for name in names):
            continue
        try:  # as mmengine does, without any name of the config
            code = compile(ast.Expression(node.value), str(path), "eval")  # type: ignore[attr-defined]
            value: Any = eval(code, {}, {})
        except Exception as error:
            raise UserError(
                f"Config {path}: _base_ cannot be worked out ({in_words(error)}): it is read "
                f"before the config runs, so write out a text or a list of texts."
            ) from error
        listed = value if isinstance(value, list | tuple) else [value]
        for base in listed:
            if not isinstance(base, str):
                raise UserError(
                    f"Config {path}: _base_ is the path of a config or a list of such paths, got "
                    f"{shown(value)}."
                )
            if "::" not in base:
                yield path.parent / base
