"""In which environment a run takes place: versions, processor, settings."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from mmengine.utils.dl_utils import collect_env

from mvssl.version import __version__

__all__ = ["environment_text", "processor", "versions"]

PACKAGES = ("torch", "timm", "onedl-mmengine", "onedl-mmcv", "numpy", "scikit-learn")


def versions() -> dict[str, str]:
    """Of Python and of the packages that a result depends on."""
    return {
        "mvssl": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
    }


def processor() -> str:
    """Name of the GPU, or of the CPU where there is none."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def environment_text(settings: Mapping[str, Any]) -> str:
    """Everything about the machine and the packages that a number may depend on.

    Args:
        settings: of the run, shown beside.
    """
    told = {
        "processor": processor(),
        "CPU cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "torch threads": torch.get_num_threads(),
    }
    parts = {"Run": settings, "Machine": told, "Versions": versions(), "System": collect_env()}
    blocks = [
        "\n".join([title, *(f"  {name}: {value}" for name, value in values.items())])
        for title, values in parts.items()
    ]
    return "\n\n".join(blocks) + "\n"
