"""The tiles of a page: what a run reached, a number each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mvssl.engine.history import format_duration
from mvssl.evaluation import Shown
from mvssl.report.charts import MINUS, number
from mvssl.report.html import Html, join, tag
from mvssl.report.recorded import Recorded, number_of, told_progress
from mvssl.report.tables import SPEED_OF, TIME_HOLDS, below_zero
from mvssl.words import count

__all__ = ["summary_tiles"]


def summary_tiles(run: Recorded) -> Html:
    """What evaluators found, what views tell of each other, and how long it took, a tile each."""
    tiles = [*_result_tiles(run), *_information_tiles(run.summary), *_time_tiles(run)]
    note = run.summary.get("evaluation_note")
    return join(
        tag("div", tiles, class_="tiles"),
        note and tag("p", f"Evaluation: {note}.", class_="soft small"),
    )


def _tile(title: str, value: Any, below: Any = None, share: float | None = None) -> Html:
    gauge = None
    if share is not None:
        width = f"width: {100 * min(max(share, 0.0), 1.0):.1f}%"
        gauge = tag("div", tag("i", style=width), class_="gauge")
    return tag(
        "div",
        tag("h3", title),
        tag("div", value, class_="value"),
        gauge,
        below and tag("p", below),
        class_="card tile",
    )


def _result_tiles(run: Recorded) -> Iterator[Html]:
    for name, how in run.results.items():
        before, after = (number_of(run.summary, f"{name}{end}") for end in ("_init", ""))
        pixels = number_of(run.summary, f"{name}_pixels")
        if (after is None and before is None) or not how.listed:
            continue
        told = [] if before is None else [f"{how.text(before)} before training"]
        if after is None:
            told[0] += ", not measured since"
        elif before is not None:
            told[0] += f" ({how.gain(before, after)})".replace("-", MINUS)
        told += [] if pixels is None else [f"{how.text(pixels)} on raw pixels"]
        protocol = _protocol(run.summary, name)
        told += [f"with {protocol}"] if protocol else []
        share = after if after is not None and 0.0 <= after <= 1.0 else None
        yield _tile(how.label, _result_text(how, after), ", ".join(told), share)


def _result_text(how: Shown, value: float | None) -> str:
    return how.text(value).replace("-", MINUS)


def _protocol(summary: Mapping[str, Any], name: str) -> str:
    """Of the evaluator whose name a result begins with."""
    evaluation = summary.get("evaluation")
    for key, protocol in evaluation.items() if isinstance(evaluation, Mapping) else ():
        if name.startswith(str(key)) and isinstance(protocol, Mapping):
            return ", ".join(f"{word} = {value}" for word, value in protocol.items())
    return ""


def _information_tiles(summary: Mapping[str, Any]) -> Iterator[Html]:
    estimate, ceiling = number_of(summary, "mi_bound"), number_of(summary, "mi_ceiling")
    if estimate is not None:
        nats = tag("small", " nats")
        share, most = None, "the ER estimate" + below_zero(estimate)
        if ceiling:
            share, most = estimate / ceiling, f"of at most {number(ceiling)}: {most}"
        yield _tile("Mutual information between views", [number(estimate), nats], most, share)
    nce = number_of(summary, "infonce")
    if nce is not None:
        share = None if not ceiling else nce / ceiling
        below = "the same, by another estimate" + below_zero(nce)
        yield _tile("InfoNCE", [number(nce), tag("small", " nats")], below, share)
    for name, title, below in (
        ("entropy", "Entropy", _spread(summary)),
        ("reconstruction", "Reconstruction", "how well one view tells the other"),
    ):
        value = number_of(summary, name)
        if value is not None:
            yield _tile(title, [number(value), tag("small", " nats")], below)


def _spread(summary: Mapping[str, Any]) -> str:
    told = "how far the embeddings are spread"
    floor, cap = (number_of(summary, f"entropy_{end}") for end in ("floor", "cap"))
    if floor is None or cap is None:
        return told
    return f"{told}: {number(floor)} where all are alike, {number(cap)} where evenly"


def _time_tiles(run: Recorded) -> Iterator[Html]:
    summary = run.summary
    seconds, speed = number_of(summary, "seconds"), number_of(summary, "images_per_second")
    processes = summary.get("processes")
    below = told_progress(run)
    if isinstance(processes, int) and processes > 1:
        below += f", {count(processes, 'process')}"
    if seconds is not None:
        yield _tile("Time", format_duration(seconds), f"{below}, {TIME_HOLDS}")
    if speed is not None:
        yield _tile("Speed", [f"{speed:,.0f}", tag("small", " images/s")], _batch(summary))


def _batch(summary: Mapping[str, Any]) -> str:
    size = summary.get("batch_size")
    return SPEED_OF if size is None else f"{SPEED_OF}, in batches of {size}"
