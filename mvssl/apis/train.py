"""Training from a config: what ``tools/train.py`` and notebooks call."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mvssl.apis.options import TrainOptions
from mvssl.apis.prepare import prepare
from mvssl.apis.resume import adopt, compare_config, compare_data, compare_run, described
from mvssl.apis.workdir import choose_work_dir, find_checkpoint
from mvssl.checkpoint import RunCheckpoint, check_weights, latest_checkpoint, load_run
from mvssl.config.read import check_file
from mvssl.distributed import on_all_ranks
from mvssl.engine import Job, Runner
from mvssl.engine.generators import seed_everything
from mvssl.errors import UserError
from mvssl.launch import start_processes, stop_processes
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
        on_all_ranks(lambda: check_file(options.config))  # told before all else
        path = find_checkpoint(options)
        job, checkpoint = on_all_ranks(lambda: _begin(options, path))
        if options.dry_run:
            with tempfile.TemporaryDirectory() as folder:  # mmengine's Runner writes a log
                show_plan(Runner(job, folder, launcher=options.launcher), job)
            return None
        work_dir = choose_work_dir(options, path)
        runner = Runner(job, work_dir, checkpoint, options.launcher)
        del checkpoint  # the runner lets go of it when it has been read
        return run(runner, job)
    finally:
        if started:
            stop_processes()


def _begin(options: TrainOptions, path: Path | None) -> tuple[Job, RunCheckpoint | None]:
    """Read and build everything, the same on all processes; nothing is written."""
    checkpoint = None if path is None else load_run(path)
    seed = choose_seed(options.seed, checkpoint)
    said, notes, changed = options, list[str](), frozenset[str]()
    if checkpoint is not None:
        options, notes = adopt(said, checkpoint)
    cfg = options.read()
    if checkpoint is not None:
        told, changed = compare_config(cfg.to_dict(), checkpoint, said)
        notes += told
    seed_everything(seed)
    job = prepare(cfg, options.config, seed)
    if checkpoint is not None:
        notes = [*compare_run(job, checkpoint), *notes]
        notes += compare_data(job.dataset, job.model, checkpoint)
        check_weights(job.model, checkpoint.content["state_dict"], checkpoint.path)
    remarks, why = _remarks(options, cfg)
    job = replace(
        job,
        objective=options.objective or "native",
        notes=[*notes, *remarks],
        evaluation_note=why,
        stored=described(options, job),
        changed=changed,
    )
    return job, checkpoint


def run(runner: Runner, job: Job) -> dict[str, Any] | None:
    """Train and write the outputs; the summary on the first process, None on others."""
    work_dir = Path(runner.work_dir)
    if runner.rank == 0:
        print(opening(job, str(work_dir)), flush=True)
        write_views(runner.model, job.dataset, work_dir / "views.png")
    try:
        runner.train()
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(_what_is_left(work_dir)) from error
    return write_outputs(runner, job) if runner.rank == 0 else None


def choose_seed(given: int | None, checkpoint: RunCheckpoint | None) -> int:
    """The seed of the run: the one given or 0, and of a resumed run the one that it began with.

    Raises:
        UserError: another one is given for a resumed run.
    """
    meta = None if checkpoint is None else checkpoint.content["meta"]
    began = meta.get("seed") if isinstance(meta, dict) else None
    if given is not None and not 0 <= given < 2**32:
        raise UserError(f"--seed is a number from 0 to {2**32 - 1}, got {given}.")
    if checkpoint is None or not isinstance(began, int):
        return given or 0
    if given not in (None, began):
        raise UserError(
            f"{checkpoint.path} is of a run with seed {began}, which it keeps when it goes on: "
            f"leave out --seed {given}, or start a new run without --resume."
        )
    return began


def _what_is_left(work_dir: Path) -> str:
    last = latest_checkpoint(work_dir)
    if last is None:
        return f"nothing was saved in {work_dir} yet"
    return f"--resume goes on from the last checkpoint, {last}"


def _remarks(options: TrainOptions, cfg: Config) -> tuple[list[str], str]:
    """What the console says beside, and the summary where nothing is evaluated."""
    notes = []
    views = (cfg.model.get("data_preprocessor") or {}).get("views")
    if options.data is not None and views == "gentle":
        notes.append(
            "note: this config's views (no flip, no colour, mild crops) were made for digits; "
            "configs/photos/ has views for photographs."
        )
    evaluators = (cfg.get("evaluation") or {}).get("evaluators") or {}
    left_out = [name for name, one in evaluators.items() if one is None]
    unlabelled = options.data is not None and not options.labels
    if unlabelled and left_out:
        notes.append(
            f"note: evaluation by {', '.join(left_out)} is left out, for want of labels (add "
            f"--labels where sub-folders are classes)."
        )
    why = "no labels (add --labels where sub-folders are classes)"
    why = why if unlabelled else "the config has no evaluators"
    return notes, f"not measured: {why}"
