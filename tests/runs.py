"""A run without mmengine's Runner, for tests of what happens in one iteration."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import MessageHub
from mmengine.optim import OptimWrapper
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from mvssl import registry
from mvssl.apis import TrainOptions
from mvssl.apis.resume import described
from mvssl.datasets import Digits, ImageDataset
from mvssl.engine import Job
from mvssl.engine.agreement import Agreed, StepAgreement
from mvssl.engine.history import History
from mvssl.engine.hooks import ScheduleHook
from mvssl.engine.loaders import build_loader
from mvssl.engine.loop import TrainLoop, distribute
from mvssl.engine.optim import build_optim_wrapper, build_schedulers
from mvssl.engine.scalars import RunScalars
from mvssl.models import MultiView
from mvssl.registry import MODELS


def loader_of(length: int) -> DataLoader[Any]:
    """A loader with as many batches, of nothing."""
    return DataLoader(TensorDataset(torch.zeros(length)))


@dataclass
class StubRun:
    """Has what ``mvssl.engine.run.Run`` asks for, and keeps what it was told."""

    model: MultiView
    optim_wrapper: OptimWrapper
    train_dataloader: DataLoader[Any] = field(default_factory=lambda: loader_of(1000))
    max_epochs: int = 1
    micro_batch_size: int | None = None
    hooks: list[Hook] = field(default_factory=list)
    epoch: int = 0
    iter: int = 0
    seed: int = 0
    rank: int = 0
    work_dir: str = "work_dirs/test"
    epoch_means: dict[str, float] = field(default_factory=dict)
    history: History = field(default_factory=History)
    scalars: RunScalars = field(default_factory=RunScalars)
    logger: logging.Logger = field(default_factory=lambda: logging.getLogger("mvssl.tests"))
    message_hub: MessageHub = field(default_factory=lambda: MessageHub("test"))
    texts: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    saved: list[str] = field(default_factory=list)
    called: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.train_loop = TrainLoop(
            self, self.train_dataloader, self.max_epochs, self.micro_batch_size
        )

    @property
    def train_set(self) -> ImageDataset:
        dataset = self.train_dataloader.dataset
        assert isinstance(dataset, ImageDataset)
        return dataset

    @cached_property
    def network(self) -> nn.Module:
        return distribute(self.model)

    @property
    def max_iters(self) -> int:
        return self.train_loop.max_iters

    @property
    def agreed(self) -> Agreed:
        return StepAgreement().after(self.iter)

    def between_steps(self) -> None:
        StepAgreement().between()

    @property
    def position(self) -> int:
        return self.iter

    @property
    def length(self) -> int:
        return self.train_loop.length

    def record(self, scalars: Mapping[str, float], step: int) -> None:
        self.history.add(step, scalars)

    def console_message(self, text: str) -> None:
        self.messages.append(text)

    def write_text(self, name: str, text: str, step: int) -> None:
        self.texts.append(text)

    def save_mid_epoch(self) -> Path:
        return self._saved(f"iter_{self.iter + 1}.pth")

    def save_between_epochs(self, over: int) -> Path:
        return self._saved(f"iter_{self.iter}.pth")

    def save_epoch(self) -> Path:
        return self._saved(f"epoch_{self.epoch + 1}.pth")

    def _saved(self, name: str) -> Path:
        self.saved.append(name)
        return Path(self.work_dir) / name

    def call_hook(self, fn_name: str, **arguments: Any) -> None:
        self.called.append(fn_name)
        for hook in self.hooks:
            getattr(hook, fn_name)(self, **arguments)


def optimizer_of(model: nn.Module, lr: float = 1.0, **arguments: Any) -> OptimWrapper:
    """Plain SGD of all that is trained."""
    trained = [p for p in model.parameters() if p.requires_grad]
    return OptimWrapper(torch.optim.SGD(trained, lr=lr), **arguments)


SMALL_VIT: dict[str, Any] = {
    "type": "TimmBackbone",
    "name": "vit_tiny_patch16_224",
    "model_args": {"img_size": 16, "patch_size": 8, "embed_dim": 16, "depth": 1, "num_heads": 2},
}
SMALL_MODEL: dict[str, Any] = {
    "type": "MultiView",
    "backbone": SMALL_VIT,
    "neck": {"type": "MLP", "hidden_channels": 8, "out_channels": 4},
    "head": {"type": "ERHead"},
    "data_preprocessor": {"type": "MultiViewPreprocessor", "views": "gentle", "size": 16},
}
"""For images of 16 pixels."""


def small_model(head: dict[str, Any], **parts: Any) -> MultiView:
    """A model for images of 16 pixels."""
    neck = {"type": "MLP", "hidden_channels": 12, "out_channels": 6}
    cfg = {"type": "MultiView", "backbone": SMALL_VIT, "neck": neck, "head": head, **parts}
    model: MultiView = MODELS.build(cfg)
    model.init_weights()
    return model


HOOKS = {
    "runtime_info": {"type": "RunInfoHook"},
    "timer": None,
    "logger": None,
    "sampler_seed": {"type": "DistSamplerSeedHook"},
    "param_scheduler": {"type": "ParamSchedulerHook"},
    "checkpoint": {"type": "CheckpointHook", "interval": 1},
    "teacher": {"type": "TeacherHook"},
    "scalars": {"type": "ScalarsHook", "interval": 1},
}
"""Default hooks of a small run."""


def small_job(
    model: dict[str, Any],
    epochs: int,
    batch_size: int,
    optim: dict[str, Any],
    scheduler: Any = None,
    schedules: Sequence[dict[str, Any]] = (),
    **top_level: Any,
) -> Job:
    """A run on 360 digits of 16 pixels, seed 7, of a model with seed 0."""
    torch.manual_seed(0)
    built: MultiView = MODELS.build(model)
    built.data_preprocessor.seed = 7
    wrapper = build_optim_wrapper(optim, built)
    loader = build_loader(Digits("test", 16), batch_size, seed=7)
    job = Job(
        config="small.py",
        cfg=Config({"model": model, "train_cfg": {"max_epochs": epochs}, **top_level}),
        seed=7,
        loader=loader,
        model=built,
        optim_wrapper=wrapper,
        schedulers=build_schedulers(scheduler, wrapper, epochs * len(loader), len(loader)),
        default_hooks={name: cfg and registry.HOOKS.build(cfg) for name, cfg in HOOKS.items()},
        custom_hooks=[ScheduleHook(**schedule) for schedule in schedules],
    )
    return replace(job, stored=described(TrainOptions(job.config), job))
