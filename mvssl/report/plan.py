"""What a run is, in a few lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.device import get_device
from torch import nn

from mvssl.distributed import world_size
from mvssl.engine import Job, Runner
from mvssl.engine.hooks import ScheduleHook
from mvssl.models import MultiView
from mvssl.models.backbones import TimmBackbone
from mvssl.models.backbones.sizes import NO_SHAPE
from mvssl.version import __version__
from mvssl.words import count, printable, shown

__all__ = ["objective_of", "opening", "plan"]


def plan(runner: Runner, job: Job) -> dict[str, str]:
    """Rows that say what a run is made of: the parts of its model, its views, its rate."""
    return {
        **_parts(runner),
        **runner.model.data_preprocessor.describe(),
        "learning rate": _learning_rate(job),
    }


def _parts(runner: Runner) -> dict[str, str]:
    model = runner.model
    parts = {"backbone": model.backbone, "neck": model.neck, "predictor": model.predictor}
    parts |= {"head": model.head, "teacher": model.teacher}
    return {name: _count(part) for name, part in parts.items() if part is not None}


def _count(part: nn.Module) -> str:
    parameters = list(part.parameters())
    total = sum(p.numel() for p in parameters)
    frozen = bool(parameters) and not any(p.requires_grad for p in parameters)
    return f"{type(part).__name__}, {total:,} parameters{' (not trained)' if frozen else ''}"


def _learning_rate(job: Job) -> str:
    cfg = job.cfg
    texts = [f"{cfg.optim_wrapper.optimizer.get('lr', 'default')}"]
    scheduler = cfg.get("param_scheduler")
    if isinstance(scheduler, dict):
        arguments = ", ".join(f"{k}={v}" for k, v in scheduler.items() if k != "type")
        texts.append(f"{_kind(scheduler)}({arguments})")
    elif scheduler:
        texts.append(" then ".join(map(_kind, scheduler)))
    return ", ".join(texts)


def _kind(component: Mapping[str, Any]) -> str:
    """Name of a component's class, which a config may hold instead."""
    kind = component["type"]
    return kind if isinstance(kind, str) else str(kind.__name__)


def _schedules(job: Job) -> list[str]:
    return [hook.describe() for hook in job.hooks if isinstance(hook, ScheduleHook)]


def opening(job: Job, place: str) -> str:
    """What a run is, in a few lines for the console."""
    model = job.model
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    size = sum(p.numel() for p in model.backbone.parameters())
    device = get_device()
    threads = count(torch.get_num_threads(), "thread")
    schedules = _schedules(job)
    objective = "with its er_head, " if job.objective == "er" else ""
    where = torch.cuda.get_device_name() if device == "cuda" else threads
    lines = {
        "config": f"{job.config}, {objective}seed {job.seed}",
        "data": job.dataset.describe(),
        "model": f"{_title(model)}; {size / 1e6:.2f} M parameters in the backbone, "
        f"{trained / 1e6:.2f} M trained",
        "steps": _steps(job),
        "device": f"{device} ({where}), {count(world_size(), 'process')}",
        **({"schedules": "; ".join(schedules)} if schedules else {}),
        "output": place,
    }
    rows = [f"{name:<11}{printable(text)}" for name, text in lines.items()]
    notes = [*job.notes, *(f"note: {text}." for text in job.dataset.notes)]
    return "\n".join([f"mvssl {__version__}", *rows, *map(printable, notes), ""])


def _steps(job: Job) -> str:
    epochs, batch = job.cfg.train_cfg.max_epochs, job.cfg.train_dataloader.batch_size
    steps, total = len(job.loader), len(job.dataset)
    left = total - steps * batch
    told = f"{count(epochs, 'epoch')} of {count(steps, 'step')}, {count(batch, 'image')} each"
    if left and not getattr(job.model.head, "balanced", False):  # which draws some several times
        told += f"; each epoch leaves out {left:,} of {total:,} images, others each time"
    return told


def _title(model: MultiView) -> str:
    teacher = ", EMA teacher" if model.teacher is not None else ""
    return f"{_named(model.backbone)}, {objective_of(model)}{teacher}"


def objective_of(model: MultiView) -> str:
    """Its head, and the loss in it if there is one."""
    loss = getattr(model.head, "loss", None)
    return type(model.head).__name__ + (f"({type(loss).__name__})" if loss is not None else "")


def _named(backbone: nn.Module) -> str:
    """Its name, and what makes it another network than timm's of that name."""
    name = str(getattr(backbone, "name", type(backbone).__name__))
    if not isinstance(backbone, TimmBackbone):
        return name
    own = {key: value for key, value in backbone.model_args.items() if key not in NO_SHAPE}
    told = ", ".join(f"{key}={shown(value, 30)}" for key, value in own.items())
    return f"{name} ({told})" if own else name
