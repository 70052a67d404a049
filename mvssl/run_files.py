"""Names of the files that a run writes, and the numbers in those of its checkpoints."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, Literal

__all__ = [
    "BACKBONE",
    "CONFIG",
    "CURVES",
    "ENVIRONMENT",
    "EVALUATED",
    "LATEST",
    "LOG",
    "PAGE",
    "PICTURES",
    "SUMMARY",
    "TEACHER",
    "VIEWS",
    "Kind",
    "numbered",
]

LATEST: Final = "last_checkpoint"
"""Holds the name of the checkpoint that was written last."""
LOG: Final = "train.log"
CURVES: Final = "vis_data"
"""The folder into which visualizers write."""
CONFIG: Final = "config.py"
ENVIRONMENT: Final = "environment.txt"
SUMMARY: Final = "summary.json"
EVALUATED: Final = "evaluation/metrics.json"
"""What tools/evaluate.py finds of a run."""
BACKBONE: Final = "backbone.safetensors"
TEACHER: Final = "teacher.safetensors"
"""The teacher's backbone, of methods that have one."""
PAGE: Final = "report.html"
"""All of it as one page."""
VIEWS: Final = "views.png"
PICTURES: Final = frozenset({VIEWS, "curves.png"})

Kind = Literal["epoch", "iter"]
"""Of a checkpoint: at the end of an epoch, or within one."""


def numbered(folder: Path, kind: Kind) -> dict[int, Path]:
    """The checkpoints of a kind in a folder by their numbers, ascending."""
    named = ((re.fullmatch(rf"{kind}_(\d+)\.pth", p.name), p) for p in folder.glob(f"{kind}_*.pth"))
    found = {int(match[1]): path for match, path in named if match and path.is_file()}
    return dict(sorted(found.items()))
