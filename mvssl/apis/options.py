"""What the command line of ``tools/train.py`` says, and the config that it makes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.device import get_device

from mvssl.arguments import check_choice, check_count
from mvssl.config.read import Sizes, load_config
from mvssl.errors import UserError
from mvssl.kinds import parameters_of, unquoted, wrong_kind
from mvssl.process.places import given_path
from mvssl.shipped import shipped_config
from mvssl.words import shown

__all__ = ["TrainOptions"]

LAUNCHERS = ("none", "pytorch", "slurm")
OBJECTIVES = ("native", "er")
PATHS = ("config", "work_dir", "data", "init_from", "resume")


@dataclass(frozen=True)
class TrainOptions:
    """What the command line of ``tools/train.py`` says; paths may be given as ``Path``.

    Attributes:
        config: path of the config, or the name of one that comes with mvssl: ``byol_er_vit``.
        work_dir: folder of the outputs; by default ``work_dirs/<config>/<time>``, with ``er``
            and the name of ``data`` behind where they are given.
        data: folder of images that takes the place of the config's data.
        labels: whether sub-folders of ``data`` are classes (for evaluation alone).
        image_size: side of the views in pixels; data sets and backbone follow.
        backbone: a model of timm in the place of the config's backbone.
        batch_size: images of a step, over all processes; the learning rate follows by the config's
            ``auto_scale_lr``. Of a resumed run these three are by default what they were.
        init_from: what the backbone's weights are at the start: a file, see
            :func:`mvssl.models.backbones.foreign.load_foreign`, or a name of timm, whose published
            weights are fetched and whose model is the backbone then.
        objective: ``native`` or ``er``; by default ``native``, or that of the run which is resumed.
        resume: ``True`` for the newest run, or the path of a checkpoint.
        seed: of weights, shuffling and views; by default 0, or that of the run which is resumed.
        amp: mixed precision (bfloat16 where the device has it).
        dry_run: show what would run, train on one batch, write nothing.
        launcher: ``none``, ``pytorch`` or ``slurm``.
        cfg_options: config values by dotted path.
    """

    config: str
    work_dir: str | None = None
    data: str | None = None
    labels: bool = False
    image_size: int | None = None
    backbone: str | None = None
    batch_size: int | None = None
    init_from: str | None = None
    objective: str | None = None
    resume: bool | str = False
    seed: int | None = None
    amp: bool = False
    dry_run: bool = False
    launcher: str = "none"
    cfg_options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in PATHS:
            if isinstance(value := getattr(self, name), str | os.PathLike):
                if value:
                    given_path(value)
                object.__setattr__(self, name, os.path.expanduser(value))
        for name, parameter in parameters_of(type(self)).items():
            value = getattr(self, name)
            told = wrong_kind(value, parameter)
            if told is not None:
                raise UserError(f"{name} is {told}, got {shown(value)}{unquoted(value)}.")
            if value == "":  # which would stand for the folder that one is in
                raise UserError(f"{name} is empty: give a path, or '.' for the present folder.")
        if not Path(self.config).exists() and (shipped := shipped_config(self.config)):
            object.__setattr__(self, "config", str(shipped))
        check_choice("TrainOptions", "launcher", self.launcher, LAUNCHERS)
        for name in ("image_size", "batch_size"):
            if getattr(self, name) is not None:
                check_count("TrainOptions", **{name: getattr(self, name)})
        if self.objective is not None:
            check_choice("TrainOptions", "objective", self.objective, OBJECTIVES)

    def read(self, notes: list[str] | None = None) -> Config:
        """The config with all that was said about it; this is the one time that it is executed.

        Args:
            notes: gets a sentence for each value of the config that followed another.

        Raises:
            UserError: as :func:`mvssl.config.read.load_config`.
        """
        objective = self.objective or "native"
        sizes = Sizes(self.image_size, self.backbone, self.batch_size, self.init_from)
        cfg = load_config(
            self.config, objective, self.data, self.labels, self.cfg_options, sizes, notes
        )
        if self.amp and isinstance(cfg.get("optim_wrapper"), Mapping):
            cfg.optim_wrapper.type = _amp_wrapper()
        return cfg


def _amp_wrapper() -> str:
    if get_device() == "cuda" and not torch.cuda.is_bf16_supported():
        return "AmpOptimWrapper"
    return "AutocastOptimWrapper"
