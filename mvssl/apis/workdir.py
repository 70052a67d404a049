"""Where a run's outputs go, and which checkpoint it goes on from."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Protocol

from mvssl.checkpoint import latest_checkpoint
from mvssl.distributed import on_first_rank
from mvssl.errors import UserError

__all__ = ["choose_work_dir", "config_name", "find_checkpoint", "holds_run"]

ROOT = Path("work_dirs")
TRACES = ("summary.json", "last_checkpoint")


class RunPlace(Protocol):
    """The options that say where a run is."""

    @property
    def config(self) -> str: ...
    @property
    def work_dir(self) -> str | None: ...
    @property
    def resume(self) -> bool | str: ...


def config_name(config: str | Path) -> str:
    """``photos/byol_er_vit`` for ``configs/photos/byol_er_vit.py``, so that names do not clash."""
    path = Path(config).resolve().with_suffix("")
    parts = path.parts
    if "configs" in parts:
        last = len(parts) - 1 - parts[::-1].index("configs")
        return str(Path(*parts[last + 1 :]))
    return path.name


def holds_run(folder: Path) -> bool:
    """Whether ``folder`` has what a run cannot be without: a checkpoint or its results.

    One that was stopped before its first checkpoint leaves only a log and figures, which the next
    run may write over.
    """
    traces = any((folder / name).exists() for name in TRACES)
    return traces or latest_checkpoint(folder) is not None


def find_checkpoint(options: RunPlace) -> Path | None:
    """The checkpoint to resume from, None for a fresh run; the same on all processes.

    Raises:
        UserError: there is nothing to resume.
    """
    return on_first_rank(lambda: _checkpoint(options) if options.resume else None)


def choose_work_dir(options: RunPlace, checkpoint: Path | None = None) -> Path:
    """The folder of the outputs, made where it is missing; the same on all processes.

    Args:
        options: say where the run is.
        checkpoint: what :func:`find_checkpoint` found.

    Raises:
        UserError: the folder holds a run and is not resumed, or it cannot be written.
    """
    return on_first_rank(
        lambda: _fresh(options) if checkpoint is None else _resumed(options, checkpoint)
    )


def _fresh(options: RunPlace) -> Path:
    if options.work_dir is not None:
        folder = Path(options.work_dir)
        if folder.is_dir() and holds_run(folder):
            raise UserError(
                f"{folder} holds a run already: add --resume to go on with it, or choose another "
                f"--work-dir."
            )
        return _make(folder)
    folder = ROOT / config_name(options.config) / time.strftime("%Y%m%d_%H%M%S")
    for number in range(2, 1000):  # two runs may start in one second
        if not folder.exists():
            break
        folder = folder.with_name(f"{folder.name.split('-')[0]}-{number}")
    return _make(folder)


def _resumed(options: RunPlace, checkpoint: Path) -> Path:
    return _make(checkpoint.parent if options.work_dir is None else Path(options.work_dir))


def _checkpoint(options: RunPlace) -> Path:
    if isinstance(options.resume, str):
        checkpoint = Path(options.resume)
        if not checkpoint.is_file():
            raise UserError(
                f"There is no checkpoint {checkpoint}: give the path of an epoch_*.pth file."
            )
        return checkpoint
    folder = _newest(options.config) if options.work_dir is None else Path(options.work_dir)
    found = latest_checkpoint(folder)
    if found is None:
        raise UserError(
            f"There is no checkpoint in {folder} to resume from: start without --resume, or give "
            f"--resume CHECKPOINT."
        )
    return found


def _newest(config: str) -> Path:
    home = ROOT / config_name(config)
    runs = [p for p in home.glob("*") if p.is_dir() and latest_checkpoint(p) is not None]
    return max(runs, key=lambda p: p.stat().st_mtime) if runs else home


def _make(folder: Path) -> Path:
    probe = folder / ".writable"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        fault = "it is a file" if isinstance(error, FileExistsError) else error.strerror
        raise UserError(
            f"Cannot write into the work dir {folder}: {fault}. Choose another by --work-dir."
        ) from error
    return folder
