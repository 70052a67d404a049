"""Training from a config: what ``tools/train.py`` and notebooks call."""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mvssl.apis.compared import compare_config, compare_data, compare_run
from mvssl.apis.data_facts import with_facts
from mvssl.apis.dry_run import dry_run
from mvssl.apis.ending import told_before, told_while_running
from mvssl.apis.options import TrainOptions
from mvssl.apis.prepare import prepare
from mvssl.apis.resume import adopt, choose_seed, described, read_adopted, without_sources
from mvssl.apis.workdir import WorkDir
from mvssl.checkpoint import (
    RunCheckpoint,
    check_optimizer,
    check_weights,
    intact_checkpoint,
    latest_checkpoint,
)
from mvssl.config.chain import check_file
from mvssl.distributed import on_all_ranks, on_first_rank
from mvssl.distributed.launch import processes
from mvssl.engine import Job, Runner
from mvssl.engine.generators import seed_everything
from mvssl.errors import Interrupted, UserError
from mvssl.files import WriteError
from mvssl.process import signals
from mvssl.process.signals import Phase, SignalWatch
from mvssl.report.live import PageHook
from mvssl.report.outputs import write_outputs, write_views
from mvssl.report.plan import opening
from mvssl.report.recorded import State
from mvssl.run_files import VIEWS
from mvssl.views.build import find_set
from mvssl.views.sets import FOR_DIGITS

__all__ = ["TrainOptions", "train"]

# No room, too large, read-only, broken, gone.
DISK_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.ESTALE)


def train(options: TrainOptions) -> dict[str, Any] | None:
    """Pretrain, measure and write the outputs.

    Returns:
        What ``summary.json`` holds; None for a dry run and on processes other than the first.

    Raises:
        UserError: something that was given is wrong; nothing has been written then.
        RunError: a UserError about something else that failed; its traceback is in a file.
        Interrupted: a signal has ended it; the message says how to go on.
        KeyboardInterrupt: it was interrupted otherwise; the message says from where it can go on.
    """
    with signals.watching() as watch, processes(options.launcher):
        try:
            return _train(options, watch)
        finally:
            watch.phase = Phase.LEAVING


def _train(options: TrainOptions, watch: SignalWatch) -> dict[str, Any] | None:
    on_all_ranks(lambda: check_file(options.config))  # told before all else
    with WorkDir(options) as place:
        checkpoint = place.find_checkpoint()
        job = on_all_ranks(partial(_begin, options, checkpoint))
        if options.dry_run:
            # mmengine's Runner writes a log.
            with tempfile.TemporaryDirectory() as folder, told_before():
                watch.cleanups.append(lambda: shutil.rmtree(folder))
                dry_run(Runner(job, folder, launcher=options.launcher), job)
            return None
        work_dir = place.make(checkpoint)
        watch.remains = lambda: _what_is_left(work_dir, latest_checkpoint)
        with told_before(), _telling_what_is_left(work_dir):
            runner = Runner(job, work_dir, checkpoint, options.launcher)
        for note in place.notes:
            runner.logger.info(note)
        del checkpoint  # the runner lets go of it when it has been read
        return run(runner, job)


def _begin(options: TrainOptions, checkpoint: RunCheckpoint | None) -> Job:
    """Build everything, the same on all processes; nothing is written."""
    with told_before():
        return _build(options, checkpoint)


def _build(options: TrainOptions, checkpoint: RunCheckpoint | None) -> Job:
    seed = choose_seed(options.seed, checkpoint)
    said, notes, changed = options, list[str](), frozenset[str]()
    followed: list[str] = []
    if checkpoint is not None:
        options, notes = adopt(said, checkpoint)
        cfg = read_adopted(options, said, checkpoint, followed)
        # The images are read as they were, whichever have come or gone.
        cfg = with_facts(cfg, checkpoint.content["meta"].get("facts", {}))
        told, changed = compare_config(cfg.to_dict(), checkpoint, said)
        notes += told
    else:
        cfg = options.read(followed)
    seed_everything(seed)
    if checkpoint is None:
        job = prepare(cfg, options.config, seed, options.cfg_options)
    else:
        job = prepare(without_sources(cfg), options.config, seed)
        job = replace(job, cfg=with_facts(cfg, job.facts))
        job.fitted.update(checkpoint.content["meta"]["options"]["fitted"])
    if checkpoint is not None:
        notes = [*compare_run(job, checkpoint), *notes]
        notes += compare_data(job.dataset, job.model, checkpoint)
        check_weights(job.model, checkpoint.content["state_dict"], checkpoint.path)
        check_optimizer(job.optim_wrapper.optimizer, checkpoint)
    notes += [f"note: {text}." for text in followed]
    told, why = remarks(options, cfg)
    return replace(
        job,
        objective=options.objective or "native",
        notes=[*notes, *job.notes, *told],
        evaluation_note=why,
        stored=described(options, job, checkpoint),
        changed=changed,
    )


def run(runner: Runner, job: Job) -> dict[str, Any] | None:
    """Train and write the outputs; the summary on the first process, None on others."""
    work_dir = Path(runner.work_dir)
    page = PageHook(job)
    runner.register_hook(page)
    with (
        told_while_running(runner, lambda: _what_is_left(work_dir)),
        _telling_what_is_left(work_dir),
        _showing_its_end(runner, page),
    ):
        on_first_rank(partial(_open, runner, job))
        runner.train()
        # All processes stay until the outputs are there, and end alike where they cannot be.
        summary = on_first_rank(partial(write_outputs, runner, job))
        return summary if runner.rank == 0 else None


def _open(runner: Runner, job: Job) -> None:
    told = opening(job, runner.work_dir)
    print(told, flush=True)
    for line in told.strip().split("\n"):
        runner.logger.info(line)
    views = Path(runner.work_dir) / VIEWS
    write_views(runner.model, job.dataset, views)
    runner.write_picture("views", views)


@contextmanager
def _showing_its_end(runner: Runner, page: PageHook) -> Iterator[None]:
    """Let the page say that a run is over, however it ends; a process that is killed cannot."""
    state: State = "stopped"
    try:
        yield
        state = "finished"
    finally:
        if runner.rank == 0 and Path(runner.work_dir).is_dir():
            page.write(runner, state)


@contextmanager
def _telling_what_is_left(work_dir: Path) -> Iterator[None]:
    """Where the run is interrupted, or its folder cannot be written, say what was saved."""
    try:
        yield
    except Interrupted:
        raise
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(_what_is_left(work_dir)) from error
    except WriteError as error:
        raise UserError(f"{error} What is saved: {_what_is_left(work_dir)}.") from error
    except OSError as error:
        if error.errno not in DISK_FAULTS and work_dir.is_dir():
            raise
        raise UserError(
            f"Cannot write into the work dir {work_dir}: {error.strerror}. Make room, or choose "
            f"another folder. What is saved: {_what_is_left(work_dir)}."
        ) from error


def _what_is_left(work_dir: Path, find: Callable[[Path], Path | None] = intact_checkpoint) -> str:
    """End of a sentence; who has no time to read whole files gives ``latest_checkpoint``."""
    if not work_dir.is_dir():
        return f"nothing is left: the folder {work_dir} is gone"
    last = find(work_dir)
    if last is None:
        return f"nothing was saved in {work_dir} yet"
    return f"--resume goes on from the last checkpoint, {last}"


def remarks(options: TrainOptions, cfg: Config) -> tuple[list[str], str]:
    """What the console says beside, and the summary where nothing is evaluated."""
    notes = []
    views = find_set((cfg.model.get("data_preprocessor") or {}).get("views"))
    if options.data is not None and views in FOR_DIGITS:
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
