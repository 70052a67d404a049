"""What a user sees when training is over: a short table, and the same numbers as a file."""

from __future__ import annotations

import io
import json
import math
import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mvssl.engine.history import format_duration, format_scalar
from mvssl.evaluation import Evaluator, Shown
from mvssl.files import write_bytes_atomically

__all__ = [
    "SPEED_OF",
    "TIME_HOLDS",
    "below_zero",
    "print_report",
    "print_table",
    "summary_table",
    "write_summary",
]

MAX_WIDTH = 100
TIME_HOLDS = "evaluations and checkpoints included"
SPEED_OF = "in the steps of the last epoch"


def summary_table(
    summary: Mapping[str, Any],
    evaluators: Mapping[str, Evaluator],
    outputs: Mapping[str, str],
) -> Table:
    """The end of a run in one table; what is missing, None or not finite shows as ``–``.

    Args:
        summary: ``<name>_init``, ``<name>`` and ``<name>_pixels`` of every evaluator's results,
            ``evaluation_note`` (why there are none), ``entropy``, ``reconstruction``,
            ``mi_bound``, ``mi_ceiling``, ``infonce`` (nats), ``health``, ``seconds`` and
            ``images_per_second``.
        evaluators: which say how their results are shown.
        outputs: where things are, label -> path or command, in the order to show.
    """
    table = Table(box=box.HORIZONTALS, show_header=False, border_style="dim")
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    evaluation = list(_evaluation_rows(summary, evaluators))
    for rows in (evaluation, _estimate_rows(summary), _run_rows(summary)):
        for label, value in rows:
            table.add_row(Text(label), Text(value))
        table.add_section()
    for label, value in outputs.items():
        table.add_row(Text(label), Text(str(value), style="cyan"))
    return table


def print_report(
    summary: Mapping[str, Any],
    evaluators: Mapping[str, Evaluator],
    outputs: Mapping[str, str],
    console: Console | None = None,
) -> None:
    """Print `summary_table`: framed on a terminal, plain text elsewhere, 100 columns at most."""
    print_table(summary_table(summary, evaluators, outputs), console)


def print_table(table: Table, console: Console | None = None) -> None:
    """Print a table: framed on a terminal, plain text elsewhere, 100 columns at most."""
    console = Console() if console is None else console
    if console.is_terminal:
        console.print(table, width=min(console.width, MAX_WIDTH))
        return
    # A frame of blanks: sections stay apart, and no line ends in spaces in a log file.
    table.box = box.SIMPLE
    plain = Console(file=io.StringIO(), width=MAX_WIDTH, color_system=None, force_terminal=False)
    with plain.capture() as capture:
        plain.print(table)
    # The frame's first and last lines are blanks alone, and whoever prints parts parts by a line.
    lines = [line.rstrip() for line in capture.get().splitlines()]
    for line in "\n".join(lines).strip("\n").splitlines():
        # A dash or a path that this output cannot encode must not end a run with an error.
        line = line.encode(console.encoding, "replace").decode(console.encoding)
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def write_summary(path: str | os.PathLike[str], summary: Mapping[str, Any]) -> None:
    """Write ``summary`` as JSON, keys in the order given, NaN and infinities as null.

    Scalars and arrays of NumPy and torch become numbers and lists, paths strings. The file is
    replaced at once: if writing fails, the old one stays.

    Raises:
        TypeError: if a value is of a type that JSON has no form for.
    """
    text = json.dumps(_jsonable(summary), indent=2, allow_nan=False, ensure_ascii=False)
    # Names of files may hold bytes that are no text: JSON has an escape for them.
    write_bytes_atomically(path, (text + "\n").encode(errors="backslashreplace"))


def _evaluation_rows(
    summary: Mapping[str, Any], evaluators: Mapping[str, Evaluator]
) -> Iterator[tuple[str, str]]:
    if not evaluators:
        yield "evaluation", str(summary.get("evaluation_note") or "–")
    for one in evaluators.values():
        protocol = ", ".join(f"{name} = {value}" for name, value in one.protocol.items())
        for name, shown in one.results.items():
            if shown.listed:
                yield shown.label, protocol
                yield from _result_rows(summary, name, shown, one.on_pixels)


def _result_rows(
    summary: Mapping[str, Any], name: str, shown: Shown, on_pixels: bool
) -> Iterator[tuple[str, str]]:
    before, after = _number(summary, f"{name}_init"), _number(summary, name)
    gain = ""
    if before is not None and after is not None:
        gain = f"  ({shown.gain(before, after)})"
    yield "  before training", shown.text(before)
    yield "  after training", shown.text(after) + gain
    if on_pixels:
        yield "  on raw pixels", shown.text(_number(summary, f"{name}_pixels"))


def _estimate_rows(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    estimate, ceiling = _number(summary, "mi_bound"), _number(summary, "mi_ceiling")
    health = summary.get("health")
    nce = _number(summary, "infonce")
    most = "" if estimate is None or ceiling is None else f" of at most {_of_nats(ceiling)}"
    return [
        ("entropy", _nats(_number(summary, "entropy")) + _entropy_limits(summary)),
        ("reconstruction", _nats(_number(summary, "reconstruction"))),
        ("MI estimate", _nats(estimate) + most + below_zero(estimate)),
        ("InfoNCE", _nats(nce) + below_zero(nce)),
        *([("health", health["sentence"])] if health else []),
    ]


def _entropy_limits(summary: Mapping[str, Any]) -> str:
    """What it is for one point alone, and for embeddings that fill the sphere."""
    floor, cap = (_number(summary, f"entropy_{name}") for name in ("floor", "cap"))
    if floor is None or cap is None:
        return ""
    return f" between {_of_nats(floor)} (all alike) and {_of_nats(cap)} (spread evenly)"


def below_zero(estimate: float | None) -> str:
    """A word on an estimate of mutual information, which itself is never negative."""
    said = estimate is not None and round(estimate, 4) < 0
    return " (below 0: one view tells nothing of the other yet)" if said else ""


def _run_rows(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    seconds, speed = _number(summary, "seconds"), _number(summary, "images_per_second")
    return [
        ("time", "–" if seconds is None else f"{format_duration(seconds)}, {TIME_HOLDS}"),
        ("images/s", "–" if speed is None else f"{speed:,.0f} {SPEED_OF}"),
    ]


def _number(summary: Mapping[str, Any], name: str) -> float | None:
    value = summary.get(name)
    return None if value is None or not math.isfinite(value) else float(value)


def _nats(value: float | None) -> str:
    return "–" if value is None else f"{_of_nats(value)} nats"


def _of_nats(value: float) -> str:
    """Of what is hardly different from none as many decimals as say so."""
    return format_scalar(value) if abs(value) >= 0.01 else f"{round(value, 4) + 0.0:.4f}"


def _jsonable(value: Any) -> Any:
    """``value`` in JSON's own types, as far as there is an obvious form."""
    if isinstance(value, Mapping):
        return {str(key): _jsonable(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(one) for one in value]
    if isinstance(value, (np.ndarray, np.generic, torch.Tensor)):
        return _jsonable(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return value
