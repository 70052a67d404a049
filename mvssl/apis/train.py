"""Training from a config: what ``tools/train.py`` and notebooks call."""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from mvssl.apis.prepare import Job, TrainOptions, prepare
from mvssl.apis.workdir import choose_work_dir, find_checkpoint
from mvssl.checkpoint import latest_checkpoint, load_checkpoint, load_run
from mvssl.config.read import load_config
from mvssl.distributed import first_decides, together
from mvssl.engine import Runner
from mvssl.engine.loaders import seed_everything
from mvssl.errors import UserError
from mvssl.launch import start_processes, stop_processes
from mvssl.models import MultiView
from mvssl.report.outputs import write_outputs, write_views
from mvssl.report.plan import opening, show_plan

__all__ = ["TrainOptions", "train"]


def train(options: TrainOptions) -> dict[str, Any] | None:
    """Pretrain, measure and write the outputs.

    Returns:
        What ``summary.json`` holds; None for a dry run and on processes other than the first.

    Raises:
        UserError: something that was given is wrong; nothing has been written then.
        KeyboardInterrupt: it was interrupted; the message says from where it can go on.
    """
    started = start_processes(options.launcher)
    try:
        together(lambda: load_config(options.config))  # a wrong path is told before all else
        checkpoint = find_checkpoint(options)
        seed = first_decides(lambda: choose_seed(options.seed, checkpoint))
        options = replace(options, seed=seed)
        seed_everything(seed)
        job = together(lambda: prepare(options))
        if checkpoint is not None:
            first_decides(lambda: _check_fit(checkpoint, job.model))
        if options.dry_run:
            with tempfile.TemporaryDirectory() as folder:  # mmengine's Runner writes a log
                show_plan(build_runner(job, Path(folder)), job)
            return None
        work_dir = choose_work_dir(options, checkpoint)
        try:
            return run(job, work_dir, checkpoint)
        except KeyboardInterrupt as error:
            raise KeyboardInterrupt(_what_is_left(work_dir)) from error
    finally:
        if started:
            stop_processes()


def choose_seed(given: int | None, checkpoint: Path | None) -> int:
    """The seed of the run: the one given or 0, and of a resumed run the one that it began with.

    Raises:
        UserError: another one is given for a resumed run, or the checkpoint cannot be read.
    """
    meta = {} if checkpoint is None else load_checkpoint(checkpoint).get("meta")
    began = meta.get("seed") if isinstance(meta, dict) else None
    if given is not None and not 0 <= given < 2**32:
        raise UserError(f"--seed is a number from 0 to {2**32 - 1}, got {given}.")
    if not isinstance(began, int):
        return given or 0
    if given not in (None, began):
        raise UserError(
            f"{checkpoint} is of a run with seed {began}, which it keeps when it goes on: leave "
            f"out --seed {given}, or start a new run without --resume."
        )
    return began


def _check_fit(checkpoint: Path, model: MultiView) -> None:
    load_run(checkpoint, model)


def _what_is_left(work_dir: Path) -> str:
    last = latest_checkpoint(work_dir)
    if last is None:
        return f"nothing was saved in {work_dir} yet"
    return f"--resume goes on from the last checkpoint, {last}"


def run(job: Job, work_dir: Path, checkpoint: Path | None) -> dict[str, Any] | None:
    """Train in ``work_dir``, from ``checkpoint`` on where there is one."""
    runner = build_runner(job, work_dir, checkpoint)
    if runner.rank == 0:
        print(opening(job, str(work_dir)), flush=True)
        write_views(runner.plain_model, job.dataset, work_dir / "views.png")
    runner.train()
    if runner.rank != 0:
        return None
    return write_outputs(runner, job.cfg, job.dataset, job.options.config, _evaluation_note(job))


def build_runner(job: Job, work_dir: Path, checkpoint: Path | None = None) -> Runner:
    """A Runner of what was built, its outputs in ``work_dir``."""
    cfg, options = job.cfg, job.options
    plain = cfg.to_dict()
    return Runner(
        model=job.model,
        work_dir=str(work_dir),
        train_dataloader={**plain["train_dataloader"], "dataset": job.dataset},
        train_cfg={"by_epoch": True, **plain["train_cfg"]},
        optim_wrapper=plain["optim_wrapper"],
        param_scheduler=plain.get("param_scheduler"),
        default_hooks=job.default_hooks,
        custom_hooks=job.custom_hooks,
        load_from=str(checkpoint) if checkpoint else None,
        resume=checkpoint is not None,
        launcher=options.launcher,
        env_cfg=plain.get("env_cfg", {}),
        log_level=plain.get("log_level", "INFO"),
        visualizer=plain.get("visualizer"),
        default_scope=plain.get("default_scope", "mvssl"),
        randomness={"seed": options.seed},
        # mmengine keeps loggers by name and names them by the second.
        experiment_name=f"{Path(options.config).stem}_{os.getpid()}_{time.monotonic_ns()}",
        cfg=cfg,
    )


def _evaluation_note(job: Job) -> str:
    """Why nothing is evaluated, where that is so."""
    if job.options.data is not None and not job.options.labels:
        return "not measured: no labels (add --labels where sub-folders are classes)"
    return "not measured: the config has no evaluators"
