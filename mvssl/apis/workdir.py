"""Where a run's outputs go, and which checkpoint it goes on from."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Any, get_args

from mvssl.apis.lock import Lock
from mvssl.apis.options import TrainOptions
from mvssl.checkpoint import (
    RunCheckpoint,
    checkpoints_in,
    latest_checkpoint,
    load_run,
    outputs_beyond,
)
from mvssl.distributed import on_all_ranks, on_first_rank
from mvssl.errors import DamageError, UserError
from mvssl.files import WriteError, clear_leftovers
from mvssl.run_files import LATEST, SUMMARY, Kind, numbered

__all__ = ["WorkDir", "config_name", "holds_run"]

ROOT = Path("work_dirs")
SET_ASIDE = "set_aside"


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
    traces = any((folder / name).exists() for name in (SUMMARY, LATEST))
    return traces or latest_checkpoint(folder) is not None


class WorkDir:
    """The folder of a run's outputs, held against other runs while this block lasts.

    It is held from the beginning where it is there already, so that what is read from it is not
    replaced before the run goes on. A dry run holds nothing. Every process takes part; the first
    one looks, holds and writes.

    Args:
        options: say where the run is.

    Attributes:
        notes: what was told so far, which stands nowhere else.

    Raises:
        UserError: on entering, there is nothing to resume, or the folder holds another run or is
            being written by one. Nothing has been written then.
    """

    def __init__(self, options: TrainOptions) -> None:
        self.options = options
        self._lock: Lock | None = None
        self._folder: Path | None = None
        self.notes: list[str] = []

    def __enter__(self) -> WorkDir:
        def look() -> None:
            self._folder = _known_folder(self.options)
            if self._folder is not None and self._folder.is_dir() and not self.options.dry_run:
                self._hold(self._folder)

        try:
            on_first_rank(look)
        except BaseException:
            self._release()
            raise
        return self

    def __exit__(self, *_: Any) -> None:
        self._release()

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()

    def _hold(self, folder: Path) -> None:
        self._lock = Lock(folder)
        if not holds_run(folder):
            return
        if not self.options.resume:
            raise UserError(
                f"{folder} holds a run already: add --resume to go on with it, or choose another "
                f"--work-dir."
            )
        if self.options.resume is not True and not _lies_in(Path(self.options.resume), folder):
            raise UserError(
                f"{folder} holds another run than {self.options.resume} is of, and would lose it: "
                f"choose another --work-dir, or go on with the run in it by --resume alone."
            )

    def find_checkpoint(self) -> RunCheckpoint | None:
        """The checkpoint to resume from, None for a fresh run; the same on all processes.

        Raises:
            UserError: it is not there, or damaged, and what is to be done.
        """
        if not self.options.resume:
            return None
        read: list[RunCheckpoint] = []

        def choose() -> Path:
            if isinstance(self.options.resume, str):
                read.append(_given(Path(self.options.resume)))
            else:
                assert self._folder is not None
                found, damaged = _newest_intact(self._folder)
                read.append(found)
                self._tell(damaged)
            return read[0].path

        path = on_first_rank(choose)
        return on_all_ranks(lambda: read[0] if read else load_run(path))

    def make(self, checkpoint: RunCheckpoint | None = None) -> Path:
        """The folder, ready to be written into; the same on all processes.

        Raises:
            UserError: it cannot be written, or another run has come first.
        """
        return on_first_rank(lambda: self._make(checkpoint))

    def _make(self, checkpoint: RunCheckpoint | None) -> Path:
        folder = self._folder
        if folder is None:
            folder = _new_folder(ROOT / config_name(self.options.config), run_name(self.options))
        if self._lock is None:
            _make_folder(folder)
            self._hold(folder)
        clear_leftovers(folder)
        if checkpoint is not None and _lies_in(checkpoint.path, folder):
            self._tell(_set_aside_later(checkpoint, folder))
        return folder

    def _tell(self, notes: list[str]) -> None:
        self.notes += notes
        for note in notes:
            print(note, flush=True)


def run_name(options: TrainOptions) -> str:
    """Of a run that has no name: when it began, its objective where it is ER's, and its images."""
    words = [time.strftime("%Y%m%d_%H%M%S")]
    if options.objective == "er":
        words.append("er")
    if options.data is not None:
        words.append(re.sub(r"[^A-Za-z0-9.-]+", "-", Path(options.data).absolute().name)[:40])
    return "_".join(word for word in words if word)


def _known_folder(options: TrainOptions) -> Path | None:
    """Where the outputs go, as far as it is known from the beginning."""
    if isinstance(options.resume, str):
        checkpoint = Path(options.resume)
        if checkpoint.is_dir():
            raise UserError(
                f"{checkpoint} is a folder, and --resume takes a file: to go on with its newest "
                f"checkpoint give --resume --work-dir {checkpoint}."
            )
        if not checkpoint.is_file():
            raise UserError(
                f"There is no checkpoint {checkpoint}: give the path of an epoch_*.pth file."
            )
        return checkpoint.parent if options.work_dir is None else Path(options.work_dir)
    if options.work_dir is not None:
        return Path(options.work_dir)
    return _newest(options.config) if options.resume else None


def _newest(config: str) -> Path:
    home = ROOT / config_name(config)
    last = [one for p in home.glob("*") if p.is_dir() and (one := latest_checkpoint(p)) is not None]
    # Not the folder's time, which any look at it may change.
    return max(last, key=lambda p: p.stat().st_mtime_ns).parent if last else home


def _lies_in(checkpoint: Path, folder: Path) -> bool:
    return checkpoint.parent.resolve() == folder.resolve()


def _given(path: Path) -> RunCheckpoint:
    try:
        return load_run(path)
    except DamageError as error:
        others = [one for one in checkpoints_in(path.parent) if one.name != path.name]
        intact = next((one for one in others if _opens(one)), None)
        if intact is None:
            raise
        raise UserError(f"{path} is damaged ({error.why}): give --resume {intact}.") from error


def _opens(path: Path) -> bool:
    try:
        load_run(path)
    except UserError:
        return False
    return True


def _newest_intact(folder: Path) -> tuple[RunCheckpoint, list[str]]:
    """The newest checkpoint that is not damaged, and a note on each that is."""
    damaged: list[tuple[Path, str]] = []
    for path in checkpoints_in(folder):
        try:
            found = load_run(path)
        except DamageError as error:
            damaged.append((path, error.why))
            continue
        return found, [
            f"note: {one} is damaged ({why}): going on from {path.name} instead, with what was set "
            f"then."
            for one, why in damaged
        ]
    if damaged:
        told = ", ".join(f"{one.name}: {why}" for one, why in damaged)
        raise UserError(
            f"No checkpoint in {folder} is intact ({told}): put a copy of one there, or start "
            f"again in another --work-dir."
        )
    raise UserError(
        f"There is no checkpoint in {folder} to resume from: start without --resume, or give "
        f"--resume CHECKPOINT."
    )


def _set_aside_later(checkpoint: RunCheckpoint, folder: Path) -> list[str]:
    """Put checkpoints beyond the one that the run goes on from where they are not replaced, and so
    what the run wrote at an end beyond it; what is to be told of it.

    Those that stay are of one course of training, so that the newest is the furthest.
    """
    meta = checkpoint.content["meta"]
    later = [
        path
        for kind in get_args(Kind)
        for number, path in numbered(folder, kind).items()
        if number > meta[kind]
    ]
    later += outputs_beyond(folder, meta["epoch"])
    if not later:
        return []
    aside = _new_folder(folder, SET_ASIDE)
    try:
        _make_folder(aside)
        for path in later:
            os.replace(path, aside / path.name)
    except OSError as error:
        raise WriteError(f"Cannot move {later[0]} to {aside}: {error.strerror}.") from error
    return [
        f"note: going on from {checkpoint.path.name}; what was saved beyond it is kept in {aside}: "
        f"{', '.join(path.name for path in later)}."
    ]


def _new_folder(home: Path, name: str) -> Path:
    """A folder that was not there, made: of two runs that start in one second each has its own."""
    for number in range(1, 1000):
        folder = home / (name if number == 1 else f"{name}-{number}")
        try:
            home.mkdir(parents=True, exist_ok=True)
            folder.mkdir()
        except FileExistsError:
            if not home.is_dir():
                break
            continue
        except OSError:
            break  # which is told when it is made
        return folder
    return folder


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fault = "it is a file" if isinstance(error, FileExistsError) else error.strerror
        raise WriteError(
            f"Cannot write into the work dir {folder}: {fault}. Choose another by --work-dir."
        ) from error
