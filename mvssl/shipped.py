"""Where the configs and command lines are that come with mvssl. The standard library alone."""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = ["CONFIGS", "TOOLS", "shipped_config", "shipped_names"]

_PACKAGE = Path(__file__).parent


def _folder(name: str) -> Path:
    # An installed package has them inside, a checkout beside.
    inside = _PACKAGE / name
    return inside if inside.is_dir() else _PACKAGE.parent / name


CONFIGS: Final = _folder("configs")
TOOLS: Final = _folder("tools")


def shipped_config(name: str) -> Path | None:
    """The config of that name below ``configs/``, with or without ``.py``; None: there is none."""
    for path in (CONFIGS / name, CONFIGS / f"{name}.py"):
        if (
            path.suffix == ".py"
            and path.is_file()
            and path.resolve().is_relative_to(CONFIGS.resolve())
        ):
            return path
    return None


def shipped_names() -> list[str]:
    """Names of all configs that come with mvssl, as :func:`shipped_config` takes them."""
    paths = (file.relative_to(CONFIGS) for file in sorted(CONFIGS.rglob("*.py")))
    return [path.with_suffix("").as_posix() for path in paths if path.parts[0] != "_base_"]
