"""How a run stands, while it goes on and when it is over: its summary, and what its page shows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mvssl.checkpoint import latest_checkpoint
from mvssl.distributed import world_size
from mvssl.engine import Job, Runner
from mvssl.engine.environment import versions
from mvssl.engine.hooks import DoctorHook, EvaluationHook
from mvssl.evaluation import Evaluator
from mvssl.models import MultiView
from mvssl.report.plan import objective_of
from mvssl.report.recorded import Recorded, State

__all__ = ["evaluators_of", "recorded_of", "summary_of"]

MEANS = (
    "loss",
    "entropy",
    "entropy_trained",
    "entropy_floor",
    "entropy_cap",
    "reconstruction",
    "mi_bound",
    "mi_ceiling",
    "infonce",
    "images_per_second",
)


def evaluators_of(job: Job) -> dict[str, Evaluator]:
    """All evaluators of a run, by name."""
    hooks = [hook for hook in job.hooks if isinstance(hook, EvaluationHook)]
    return {name: one for hook in hooks for name, one in hook.evaluators.items()}


def summary_of(runner: Runner, job: Job) -> dict[str, Any]:
    """What ``summary.json`` says of a run so far, the backbone left out."""
    hooks = [hook for hook in job.hooks if isinstance(hook, EvaluationHook)]
    evaluators = evaluators_of(job)
    means = runner.epoch_means
    doctors = [hook for hook in job.hooks if isinstance(hook, DoctorHook)]
    return {
        **{name: value for hook in hooks for name, value in _results(hook).items()},
        "evaluation": {name: one.protocol for name, one in evaluators.items()} or None,
        "evaluation_note": None if evaluators else job.evaluation_note,
        **{name: means.get(name) for name in MEANS},
        "health": doctors[0].results() if doctors else None,
        "seconds": round(runner.seconds, 1),
        "epochs": runner.epoch,
        "images": len(job.dataset),
        "image_values": {
            "channels": job.dataset.channels,
            "value_range": job.dataset.value_range,
        },
        "batch_size": job.cfg.train_dataloader.batch_size,
        "processes": world_size(),
        "config": job.config,
        "data": job.dataset.describe(),
        "method": _method(runner.model),
        "objective": objective_of(runner.model),
        "head": type(runner.model.head).__name__,
        "seed": runner.seed,
        "versions": versions(),
    }


def _method(model: MultiView) -> str:
    """What stands around the backbone, without the objective."""
    parts = {"neck": model.neck, "predictor": model.predictor}
    texts = [f"{name} {type(part).__name__}" for name, part in parts.items() if part is not None]
    return ", ".join([*texts, *(["EMA teacher"] if model.teacher is not None else [])])


def _results(hook: EvaluationHook) -> dict[str, float | None]:
    """``<name>_init``, ``<name>`` and ``<name>_pixels`` of every result, None where it is not."""
    results: dict[str, float | None] = {}
    for one in hook.evaluators.values():
        for name in one.results:
            results[f"{name}_init"] = hook.initial.get(name)
            results[name] = hook.final.get(name)
            if one.on_pixels:
                results[f"{name}_pixels"] = hook.pixels.get(f"{name}_pixels")
    return results


def recorded_of(
    runner: Runner, job: Job, state: State, meta: Mapping[str, Any] | None = None
) -> Recorded:
    """A run for its page.

    Args:
        runner: at any time.
        job: what it was made of.
        state: how it stands.
        meta: of the checkpoint that is being written; None: what the runner says.
    """
    epochs, iterations = float(runner.epoch), runner.iter
    if meta is not None:
        epochs = meta["epoch"] + meta["epoch_images"] / max(len(job.dataset), 1)
        iterations = meta["iter"]
    evaluators = evaluators_of(job)
    notes: tuple[str, ...] = ()
    if state == "stopped":
        saved = latest_checkpoint(runner.work_dir)
        told = "Nothing was saved." if saved is None else f"--resume goes on from {saved.name}."
        notes = (told,)
    return Recorded(
        folder=_below_here(Path(runner.work_dir)),
        state=state,
        summary=summary_of(runner, job),
        history=runner.history,
        epochs=epochs,
        iterations=iterations or len(runner.train_dataloader),
        max_epochs=runner.max_epochs,
        options=job.stored.get("options", {}),
        values=job.stored.get("values"),
        config_text=runner.config_text,
        results={k: shown for one in evaluators.values() for k, shown in one.curves.items()},
        notes=notes,
    )


def _below_here(folder: Path) -> Path:
    try:
        return folder.relative_to(Path.cwd())
    except ValueError:
        return folder
