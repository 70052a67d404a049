"""Measures and accuracies over the checkpoints of a run, and how the ones go with the others."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from mvssl.apis.evaluate import (
    EvaluateOptions,
    check_numbers,
    evaluate_one,
    named_evaluators,
    open_one,
)
from mvssl.checkpoint import load_checkpoint
from mvssl.distributed import on_all_ranks, on_first_rank, rank
from mvssl.distributed.launch import processes
from mvssl.engine.environment import versions
from mvssl.errors import DamageError, UserError
from mvssl.evaluation import Evaluator, Shown, known_evaluators
from mvssl.evaluation.correlation import FEWEST, Correlation, correlations, is_limit
from mvssl.files import make_folder, write_bytes_atomically
from mvssl.measured import MEASURED
from mvssl.process.places import given_path, new_folder
from mvssl.report.evaluated import plot_correlations, print_checkpoints
from mvssl.report.recorded import read_run
from mvssl.report.tables import write_summary
from mvssl.run_files import EVALUATED, numbered
from mvssl.words import count

__all__ = ["Course", "evaluate_checkpoints"]

USUAL: Final = ("knn", "information")
FOLDER: Final = "checkpoints"
KEEP_ALL: Final = "default_hooks.checkpoint.interval=1 default_hooks.checkpoint.max_keep_ckpts=-1"


@dataclass(frozen=True)
class Course:
    """What was measured over the checkpoints of a run.

    Attributes:
        source: of the run.
        epochs: of each checkpoint, ascending.
        columns: values of each result, one for each checkpoint; None where it was not measured.
        accuracies: names of those results that labels give.
        measures: names of those that need none, limits left out.
        shown: how results are shown.
        found: correlations by accuracy and measure.
        image_size: side of the images, where they were measured now.
    """

    source: str
    epochs: list[float]
    columns: dict[str, list[float | None]]
    accuracies: list[str]
    measures: list[str]
    shown: Mapping[str, Shown]
    found: dict[str, dict[str, Correlation]]
    image_size: int | None = None


def evaluate_checkpoints(options: EvaluateOptions) -> Course:
    """Evaluate every ``epoch_*.pth`` of a run, print and write tables, correlations and a picture.

    Without ``data`` nothing is computed: values are those that the run itself recorded.

    Every process calls this; the first one prints and writes.

    Raises:
        UserError: something that was given is missing or does not fit.
    """
    with processes(options.launcher):
        if len(options.sources) != 1 or not given_path(options.sources[0]).is_dir():
            raise UserError(
                f"--checkpoints is of one run: give its folder alone, "
                f"got {' '.join(options.sources)}."
            )
        check_numbers(options)
        folder = given_path(options.sources[0])
        out = new_folder(options.out or folder / FOLDER)
        course = _recorded(folder, options) if options.data is None else _measured(folder, options)
        on_first_rank(lambda: _write(course, options, out))
    return course


def _measured(folder: Path, options: EvaluateOptions) -> Course:
    files = on_first_rank(lambda: numbered(folder, "epoch"))
    if not files:
        raise UserError(
            f"{folder} holds no epoch_*.pth to evaluate: give the folder of a run, which keeps all "
            f"of them by --cfg-options {KEEP_ALL}."
        )
    evaluators = named_evaluators(options.evaluators or USUAL, options.options)
    epochs, rows, size = [], list[dict[str, float]](), None
    for number, file in files.items():
        try:
            on_all_ranks(partial(_check_sound, file))
            opened = open_one(str(file), evaluators, options)
            results = evaluate_one(opened, file.name, options).results
        except DamageError as error:
            if rank() == 0:
                print(f"left out: {error}", flush=True)
            continue
        epochs.append(float(number))
        size = opened.test.size
        rows.append(results)
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: [row.get(name) for row in rows] for name in names}
    course = _course(folder, epochs, columns, list(evaluators.values()))
    return replace(course, image_size=size)


def _check_sound(file: Path) -> None:
    """Raises a DamageError where a checkpoint is not what was written."""
    load_checkpoint(file)


def _recorded(folder: Path, options: EvaluateOptions) -> Course:
    if options.evaluators or options.options or options.test:
        raise UserError(
            "--checkpoints without --data takes what the run recorded itself: give --data FOLDER "
            "with --evaluators, --options or --test, or leave these out."
        )
    run = on_all_ranks(lambda: read_run(folder))
    labelled = known_evaluators()
    history, kinds = run.history, [one for one in labelled if one.needs_labels]
    accuracies = [name for one in kinds for name in one.results if name in history.names()]
    steps = sorted({int(step) for name in accuracies for step in history.series(name)[0] if step})
    if not steps:
        raise UserError(
            f"{folder} recorded no accuracy while it trained (evaluation.evaluators with labels): "
            f"give --data FOLDER, by which its checkpoints are evaluated now."
        )
    names = [*accuracies, *(name for one in labelled if one not in kinds for name in one.results)]
    names += [
        name for name, one in MEASURED.items() if one.held_out
    ]  # of the batches that it trained on
    columns = {name: _at(history.series, name, steps) for name in names}
    columns = {
        name: values for name, values in columns.items() if any(x is not None for x in values)
    }
    return _course(folder, [step / run.steps_per_epoch for step in steps], columns, labelled)


def _at(
    series: Callable[[str], tuple[Any, Any]], name: str, steps: Sequence[int]
) -> list[float | None]:
    """Values of a curve after so many iterations, None where it has no point."""
    known = dict(zip(*(x.tolist() for x in series(name)), strict=True))
    return [known.get(step) for step in steps]


def _course(
    folder: Path,
    epochs: list[float],
    columns: dict[str, list[float | None]],
    evaluators: Sequence[Evaluator],
) -> Course:
    columns = {
        name: [x if x is not None and math.isfinite(x) else None for x in values]
        for name, values in columns.items()
    }
    shown = {name: how for one in evaluators for name, how in one.results.items()}
    # The first result of an evaluator is the one that it is known by.
    first = [next(iter(one.results)) for one in evaluators if one.needs_labels]
    accuracies = [name for name in first if name in columns]
    of_labels = {name for one in evaluators if one.needs_labels for name in one.results}
    measures = [name for name in columns if name not in of_labels and not is_limit(name)]
    found = correlations(columns, measures, accuracies)
    return Course(str(folder), epochs, columns, accuracies, measures, shown, found)


def _write(course: Course, options: EvaluateOptions, out: Path) -> None:
    make_folder(out)
    write_bytes_atomically(out / "checkpoints.csv", _table(course).encode())
    write_summary(
        out / Path(EVALUATED).name,
        {
            "source": course.source,
            "data": options.data,
            "test": options.test,
            "image_size": course.image_size,
            "which": options.which,
            "amp": options.amp,
            "checkpoints": [
                {
                    "epoch": epoch,
                    "results": {name: values[row] for name, values in course.columns.items()},
                }
                for row, epoch in enumerate(course.epochs)
            ],
            "correlations": {
                accuracy: {
                    name: {"spearman": one.spearman, "checkpoints": one.points}
                    for name, one in found.items()
                }
                for accuracy, found in course.found.items()
            },
            "versions": versions(),
        },
    )
    pictures = 0
    if course.accuracies and course.measures:
        plot_correlations(
            out / "checkpoints.png",
            course.epochs,
            course.columns,
            course.accuracies[0],
            course.measures,
            course.found[course.accuracies[0]],
        )
        pictures = 1
    print_checkpoints(course.epochs, course.columns, course.shown, course.found)
    number = len(course.epochs)
    if number < FEWEST:
        print(
            f"{count(number, 'checkpoint')}: correlations take {FEWEST} or more; a run keeps all "
            f"of them by --cfg-options {KEEP_ALL}."
        )
    elif not course.found or not course.measures:
        print(
            "no correlation: it takes an evaluator with labels (knn) and one without (information)."
        )
    beside = " and a picture" if pictures else ""
    print(f"\nwritten {out / Path(EVALUATED).name}, checkpoints.csv{beside} beside")


def _table(course: Course) -> str:
    """All values as CSV, a line for each checkpoint."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(["epoch", *course.columns])
    for row, epoch in enumerate(course.epochs):
        values = (column[row] for column in course.columns.values())
        lines.writerow([f"{epoch:g}", *("" if x is None else repr(x) for x in values)])
    return text.getvalue()
