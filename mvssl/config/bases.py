"""What the bases of a config say, worked out without running anything.

A config is run once, when a run begins, and what a checkpoint names as its config is never run.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from mmengine.config import Config

__all__ = ["base_values"]

MOST_BYTES: Final = 2**20
MOST_FILES: Final = 50

OPERATIONS: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
}


class _NotPlainError(ValueError):
    """Something that only running the file would tell."""


def base_values(config: str | Path) -> dict[str, Any] | None:
    """The values of all bases of a config, merged as mmengine merges them.

    Args:
        config: path of a config of plain values: literals, ``dict(...)``, sums and products of
            numbers, and what the file or its bases have said before.

    Returns:
        Names that begin with ``_`` left out; ``{}`` for a config without bases, None where the
        files are not there, or say more than plain values.
    """
    try:
        values = _bases_of(Path(config), MOST_FILES)
    # What is written there is somebody's program: anything may be odd about it.
    except (OSError, ValueError, TypeError, LookupError, ArithmeticError, SyntaxError):
        return None
    except (RecursionError, MemoryError):
        return None
    return {name: value for name, value in values.items() if not name.startswith("_")}


def _parsed(path: Path) -> ast.Module:
    if path.suffix != ".py" or not path.is_file() or path.stat().st_size > MOST_BYTES:
        raise _NotPlainError(path)
    return ast.parse(path.read_text(encoding="utf-8"))


def _bases_of(path: Path, left: int) -> dict[str, Any]:
    if left <= 0:
        raise _NotPlainError("a circle of bases")
    merged = Config()
    for node in _parsed(path).body:
        if _name_of(node) == "_base_":
            assert isinstance(node, ast.Assign)
            listed = _value(node.value, {})
            for base in [listed] if isinstance(listed, str) else listed:
                merged.merge_from_dict(_all_of(path.parent / base, left - 1))
    return dict(merged.to_dict())


def _all_of(path: Path, left: int) -> dict[str, Any]:
    """What a config says with its bases, helpers included."""
    below = _bases_of(path, left)
    own: dict[str, Any] = {}
    for node in _parsed(path).body:
        name = _name_of(node)
        if name is None:
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                continue  # a docstring
            raise _NotPlainError(ast.dump(node)[:80])
        if name != "_base_":
            assert isinstance(node, ast.Assign)
            own[name] = _value(node.value, {**own, "_base_": below})
    merged = Config(below)
    merged.merge_from_dict(own)
    return dict(merged.to_dict())


def _name_of(node: ast.stmt) -> str | None:
    """The name that a plain assignment gives a value to."""
    if isinstance(node, ast.Assign) and len(node.targets) == 1:
        target = node.targets[0]
        return target.id if isinstance(target, ast.Name) else None
    return None


def _value(node: ast.expr, names: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant():
            return node.value
        case ast.Tuple() | ast.List():
            made = [_value(item, names) for item in node.elts]
            return tuple(made) if isinstance(node, ast.Tuple) else made
        case ast.Dict():
            keys = [None if key is None else _value(key, names) for key in node.keys]
            return _joined(zip(keys, (_value(item, names) for item in node.values), strict=True))
        case ast.Call(func=ast.Name(id="dict")) if len(node.args) <= 1:
            given = [(None, _value(item, names)) for item in node.args]
            return _joined(
                [*given, *((item.arg, _value(item.value, names)) for item in node.keywords)]
            )
        case ast.Name():
            return names[node.id]
        case ast.Attribute():
            return _value(node.value, names)[node.attr]
        case ast.Subscript():
            return _value(node.value, names)[_value(node.slice, names)]
        case ast.UnaryOp(op=ast.USub()):
            return -_value(node.operand, names)
        case ast.BinOp() if type(node.op) in OPERATIONS:
            sides = _value(node.left, names), _value(node.right, names)
            if not all(isinstance(one, int | float) for one in sides):
                raise _NotPlainError("a sum of something else than numbers")
            return OPERATIONS[type(node.op)](*sides)
    raise _NotPlainError(type(node).__name__)


def _joined(pairs: Any) -> dict[str, Any]:
    """A dict of pairs; a value without a key is a dict that is put in."""
    made: dict[str, Any] = {}
    for key, value in pairs:
        made.update(value if key is None else {key: value})
    return made
