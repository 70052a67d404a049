"""Settings of the process that a config holds beside the parts of a run."""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mvssl.arguments import check_choice, check_count
from mvssl.errors import UserError
from mvssl.words import near_names, shown

__all__ = ["Environment", "Processes", "check_log_level", "check_scope"]

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


@dataclass(frozen=True)
class Environment:
    """``env_cfg``, by the names that mmengine gives them.

    Attributes:
        cudnn_benchmark: let cuDNN try which of its algorithms is the fastest.
        mp_cfg: of :class:`Processes`.
        dist_cfg: None, for the backend follows from the device.
        resource_limit: least number of files that may be open.
    """

    cudnn_benchmark: bool = False
    mp_cfg: Mapping[str, Any] | None = None
    dist_cfg: Mapping[str, Any] | None = None
    resource_limit: int = 4096

    def __post_init__(self) -> None:
        check_count("env_cfg", resource_limit=self.resource_limit)
        Processes(**(self.mp_cfg or {}))
        if self.dist_cfg:
            raise UserError(
                "env_cfg: dist_cfg has no effect, since the backend follows from the device (nccl "
                "on GPUs, gloo on CPUs): leave it out."
            )


@dataclass(frozen=True)
class Processes:
    """``env_cfg.mp_cfg``: how the loader's workers are started."""

    mp_start_method: str = "fork"
    opencv_num_threads: int = 0

    def __post_init__(self) -> None:
        known = multiprocessing.get_all_start_methods()
        check_choice("env_cfg.mp_cfg", "mp_start_method", self.mp_start_method, known)
        check_count("env_cfg.mp_cfg", 0, opencv_num_threads=self.opencv_num_threads)


def check_log_level(level: Any) -> None:
    """Raises a UserError unless it is a level of ``logging``, by name or number."""
    if isinstance(level, bool) or not isinstance(level, int | str):
        raise UserError(f"log_level is one of {', '.join(LOG_LEVELS)}, got {shown(level)}.")
    if isinstance(level, int):
        if not 0 <= level <= logging.CRITICAL:
            raise UserError(f"log_level is a number from 0 to {logging.CRITICAL}, got {level}.")
    elif level not in LOG_LEVELS:
        near = near_names(level.upper(), LOG_LEVELS)
        raise UserError(f"log_level is one of {', '.join(LOG_LEVELS)}, got {level!r}{near}")


def check_scope(scope: Any) -> None:
    """Raises a UserError where ``default_scope`` is that of another package."""
    if scope not in (None, "mvssl"):
        raise UserError(
            f"default_scope is 'mvssl', got {shown(scope)}: leave it out. Names of another package "
            f"begin with its scope ('mmpretrain.ResNet'), and its module stands in custom_imports."
        )
