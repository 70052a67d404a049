"""Rows of a benchmark: one training run each, kept in a file, so that a benchmark can go on."""

from __future__ import annotations

import concurrent.futures
import contextlib
import fcntl
import functools
import hashlib
import json
import math
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from scipy import stats

from mvssl.apis import TrainOptions, train
from mvssl.arguments import check_count
from mvssl.errors import Interrupted, UserError
from mvssl.files import make_folder, write_bytes_atomically
from mvssl.process.signals import Phase, watching

KEPT = (
    "knn_top1_init",
    "knn_top1",
    "knn_top1_pixels",
    "entropy",
    "reconstruction",
    "mi_bound",
    "mi_ceiling",
    "infonce",
    "health",
    "seconds",
    "images_per_second",
    "epochs",
    "versions",
)


def run(options: TrainOptions, threads: int) -> dict[str, Any]:
    """What a training run reached; its other outputs are thrown away, its console is stderr.

    It has a process of its own, with ``threads`` threads: several may go side by side, and none
    finds what another left.
    """
    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, spawn) as pool:
        return pool.submit(_trained, options, threads).result()


def _trained(options: TrainOptions, threads: int) -> dict[str, Any]:
    torch.set_num_threads(threads)
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.redirect_stdout(sys.stderr),
    ):
        summary = train(replace(options, work_dir=folder))
    assert summary is not None
    return {name: summary.get(name) for name in KEPT}


def command(
    words: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """A command's exit status and console; an interruption of :func:`complete` ends it.

    Args:
        words: the command.
        folder: where it is run.
        environment: its variables.
    """
    pipe = subprocess.PIPE
    with subprocess.Popen(
        words, cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True
    ) as process:
        _commands.add(process)
        try:
            said, complained = process.communicate()
        finally:
            _commands.discard(process)
    return subprocess.CompletedProcess(words, process.returncode, said, complained)


_commands: set[subprocess.Popen[str]] = set()
"""Those that run; runs of :func:`run` are told by multiprocessing."""


def digest(options: TrainOptions) -> str:
    """Of the config as it is trained: tells a row of what it was before from one of now."""
    config = {name: value for name, value in options.read().items() if name != "er_head"}
    return hashed(config)


def hashed(value: Any) -> str:
    """A short digest of what JSON can say, and of texts of the rest."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


Asked = TypeVar("Asked")
BySeed = dict[int, float]
"""A value of the run with each seed."""


def complete(
    path: Path,
    wanted: Iterable[tuple[dict[str, Any], Asked]],
    measure: Callable[[Asked], dict[str, Any]],
    jobs: int = 1,
) -> list[dict[str, Any]]:
    """The file's rows, and one for each wanted run that it lacks, written as soon as it is over.

    A row with another ``digest``, and otherwise the same settings, is run anew and replaced. Of
    runs that wait none is begun after one that failed, or an interruption, which ends those that
    are under way.

    Args:
        path: the file; others may add rows to it meanwhile.
        wanted: what tells a run from all others, which becomes part of its row, and what
            ``measure`` takes, which gives the rest of the row.
        measure: called from a thread.
        jobs: runs side by side.

    Raises:
        UserError: the file holds something else, or cannot be written, before any run.
        Interrupted: SIGINT or SIGTERM came.
    """
    check_count("a benchmark", jobs=jobs)
    _check_writable(path)
    wanted = list(wanted)
    told = [name for name in (wanted[0][0] if wanted else ()) if name not in MAY_LACK]
    known = read(path, told)
    missing = lacking(known, wanted)
    ended = threading.Event()
    print(f"{len(wanted)} rows, {len(missing)} to run", flush=True)

    def one(settings: dict[str, Any], asked: Asked) -> None:
        same = {name: value for name, value in settings.items() if name != "digest"}
        measured = measure(asked)
        if not ended.is_set():  # what an interruption has ended is no result
            append(path, settings | measured, instead_of=same)

    left = f"rows of runs that are over are in {path}: the same command goes on from there"
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool, watching() as watch:
        watch.remains = lambda: left
        futures = [pool.submit(one, *asked) for asked in missing]
        try:
            try:
                for future in concurrent.futures.as_completed(futures):
                    future.result()
            except Exception:
                pool.shutdown(cancel_futures=True)  # waits for those under way
                raise
        except Interrupted:
            ended.set()
            watch.phase = Phase.FINISHING  # a second signal does not keep runs from being ended
            pool.shutdown(wait=False, cancel_futures=True)
            _end_runs(futures)
            raise
    return read(path)


def _end_runs(futures: Sequence[concurrent.futures.Future[None]]) -> None:
    """End the runs under way: the first signal lets them finish a step, further ones do not."""
    while under_way := [future for future in futures if not future.done()]:
        for child in [*_commands]:
            child.terminate()
        for process in multiprocessing.active_children():
            process.terminate()
        concurrent.futures.wait(under_way, timeout=1.0)


def trained(
    path: Path,
    wanted: Iterable[tuple[dict[str, Any], TrainOptions]],
    threads: int,
    jobs: int = 1,
) -> list[dict[str, Any]]:
    """:func:`complete` with training runs of ``threads`` threads each."""
    return complete(path, wanted, functools.partial(run, threads=threads), jobs)


def lacking(
    rows: Sequence[Mapping[str, Any]], wanted: Iterable[tuple[dict[str, Any], Asked]]
) -> list[tuple[dict[str, Any], Asked]]:
    """Those of ``wanted`` that no row is of."""
    return [one for one in wanted if not any(_is(row, one[0]) for row in rows)]


def _is(row: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
    """Overrides that a row does not tell are none."""
    return all(row.get(name, []) == value for name, value in settings.items())


MAY_LACK = ("digest", "cfg_options")
"""What tells a run from others, and rows of before do not say."""


def read(path: Path, names: Sequence[str] = ()) -> list[dict[str, Any]]:
    """The rows so far, none where there is no file.

    Args:
        path: the file.
        names: that every row has.

    Raises:
        UserError: it holds something else.
    """
    if not path.exists():
        return []
    try:
        rows = json.loads(_text(path))
    except json.JSONDecodeError as error:
        raise UserError(
            f"{path} is not JSON ({error}): give a file of rows, or a new name."
        ) from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UserError(f"{path} is not a list of rows: give a file of rows, or a new name.")
    for number, row in enumerate(rows, 1):
        lacking_names = [name for name in names if name not in row]
        if lacking_names:
            raise UserError(
                f"{path} holds rows of something else (row {number} has no {lacking_names[0]}): "
                f"give a file of this command's rows, or a new name."
            )
    return rows


def _check_writable(path: Path) -> None:
    """What cannot be written would be found out after the first run, which would be lost."""
    make_folder(path.parent)
    try:
        if path.is_dir():
            raise IsADirectoryError(0, "it is a folder")
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}): give another.") from None


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        told = error.strerror if isinstance(error, OSError) else "it is not text"
        raise UserError(f"{path} cannot be read: {told}.") from None


def append(path: Path, row: dict[str, Any], instead_of: Mapping[str, Any] | None = None) -> None:
    """Also from two processes at once, such as one that tunes beside one that runs an arm.

    Args:
        instead_of: settings of rows that it replaces.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        kept = [one for one in read(path) if instead_of is None or not _is(one, instead_of)]
        write(path, [*kept, row])
    finally:
        os.close(folder)


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    """All rows at once, a line each: an interruption leaves the file of before or after."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(row) for row in rows)
    write_bytes_atomically(path, f"[\n{lines}\n]\n".encode())


def median(rows: Iterable[Mapping[str, Any]], name: str) -> float | None:
    """Of the rows that have the value; None where none has."""
    values = _values(rows, name)
    return statistics.median(values) if values else None


def mean(rows: Iterable[Mapping[str, Any]], name: str) -> float | None:
    """Of the rows that have the value; None where none has."""
    values = _values(rows, name)
    return statistics.fmean(values) if values else None


def deviation(rows: Iterable[Mapping[str, Any]], name: str) -> float | None:
    """Standard deviation of a sample; None where fewer than two rows have the value."""
    values = _values(rows, name)
    return statistics.stdev(values) if len(values) > 1 else None


def _values(rows: Iterable[Mapping[str, Any]], name: str) -> list[float]:
    return [row[name] for row in rows if row.get(name) is not None]


def paired(first: BySeed, second: BySeed) -> BySeed:
    """Differences, first less second, of the seeds that both have."""
    return {seed: first[seed] - second[seed] for seed in sorted(first.keys() & second.keys())}


def with_interval(differences: BySeed) -> str:
    """Mean of paired differences with its 95% interval (Student's t)."""
    if not differences:
        return "–"
    values = [*differences.values()]
    mean = statistics.fmean(values)
    if len(values) < 2:
        return f"{mean:+.3f}"
    half = float(stats.t.ppf(0.975, len(values) - 1))
    half *= statistics.stdev(values) / math.sqrt(len(values))
    return f"{mean:+.3f} [{mean - half:+.3f}, {mean + half:+.3f}]"


def show(value: float | None, form: str) -> str:
    """A cell of a table."""
    return "–" if value is None else f"{value:{form}}"


def check_page(page: Path | None, *names: str) -> None:
    """Whether a page has these tables; None has all.

    Raises:
        UserError: it has not, or cannot be read.
    """
    if page is not None:
        text = _text(page)
        for name in names:
            _parts(page, text, name)


def rewrite(page: Path | None, tables: Mapping[str, str]) -> None:
    """Put tables into a page as it is now, which others may have changed since it was checked.

    Args:
        page: holds ``<!-- table: NAME -->`` ... ``<!-- end -->`` for each table; None: nothing is
            written.
        tables: by their names.

    Raises:
        UserError: as of :func:`check_page`; the page stays as it was.
    """
    if page is not None:
        text = _text(page)
        for name, table in tables.items():
            before, after = _parts(page, text, name)
            text = f"{before}\n{table}\n{after}"
        write_bytes_atomically(page, text.encode())


def _parts(page: Path, text: str, name: str) -> tuple[str, str]:
    """What stands before and after a table, its marks included."""
    start, end = f"<!-- table: {name} -->", "<!-- end -->"
    before, found, rest = text.partition(start)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise UserError(f"{page} has no '{start}' with an '{end}' behind it: add them.")
    return before + start + "\n", "\n" + end + after
