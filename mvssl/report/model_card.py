"""The README.md beside exported weights: what they are, where they come from, how they are used."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mvssl.engine.environment import versions
from mvssl.errors import UserError
from mvssl.measured import MEASURED
from mvssl.models.backbones import Which
from mvssl.models.backbones.opening import opened_file
from mvssl.process.places import given_path
from mvssl.report.results import known_results, plain, results_shown
from mvssl.run_files import BACKBONE, EVALUATED, SUMMARY, TEACHER
from mvssl.words import in_words, printable

__all__ = ["Card", "Run", "model_card", "run_of"]


@dataclass(frozen=True)
class Run:
    """The run that a backbone is of.

    Attributes:
        which: ``student`` or ``teacher``.
        summary: its ``summary.json``.
        data, results: what ``tools/evaluate.py`` found of these weights, and on what.
    """

    which: str
    summary: Mapping[str, Any]
    data: str
    results: Mapping[str, Any]


@dataclass(frozen=True)
class Card:
    """What a model card says.

    Attributes:
        name: of the network.
        format: that the files have.
        library: that opens them, as the Hub names it.
        code: which makes features.
        licence: of published weights; empty where it is for the user to say.
        source: of published weights.
        parameters, width, shape: of the network, its features, and one image (c, s, s).
        expected: of images: size, color_space, mean, std.
        difference: the largest one of a feature, as a part of the features' root mean square.
        run: None where nothing is known of one.
    """

    name: str
    format: str
    library: str
    code: str
    licence: str
    source: str
    parameters: int
    width: int
    shape: tuple[int, ...]
    expected: Mapping[str, Any]
    difference: float
    run: Run | None


def run_of(source: object, which: Which, weights: str) -> Run | None:
    """What a run says of the backbone that is opened from ``source``, if that is of its end.

    Args:
        source, which: as of :func:`mvssl.load_backbone`.
        weights: of the backbone, as :func:`mvssl.models.backbones.weights_digest` gives them.

    Raises:
        UserError: a file of the run is damaged.
    """
    file = opened_file(given_path(str(source)), which)
    found = {BACKBONE: "student", TEACHER: "teacher"}.get(file.name)
    if found is None:
        return None  # a checkpoint
    summary, evaluated = _read(file.parent / SUMMARY), _read(file.parent / EVALUATED)
    if not evaluated:
        return Run(found, summary, "", {})
    with _told(file.parent / EVALUATED):
        # Others may stand beside it, and it may have been written before the run went on.
        rows = evaluated["backbones"]
        own = [dict(one["results"]) for one in rows if one.get("weights") == weights]
    return Run(found, summary, Path(str(evaluated.get("data"))).name, own[0] if own else {})


def _read(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    with _told(file):
        return dict(json.loads(file.read_text(encoding="utf-8")))


@contextmanager
def _told(file: Path) -> Iterator[None]:
    """Say of a file that it is not what was written."""
    try:
        yield
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise UserError(
            f"{file} cannot be read ({in_words(error)[:100]}), so that nothing can be said of the "
            f"run: mend it, or move it away."
        ) from error


def model_card(card: Card) -> str:
    """The text, in Markdown with YAML in front, as the Hub reads it."""
    parts = [
        "\n".join(_front(card)),
        f"# {card.name}",
        _opening(card),
        _table("", ("", ""), _facts(card)),
        f"## Use\n\nBeside these files and a photograph:\n\n```python\n{card.code}\n```",
        "## Images\n\n" + _images(card),
        *_metrics(card),
        _table("## Versions", ("package", "version"), _versions(card).items()),
    ]
    return "\n\n".join(parts) + "\n"


def _front(card: Card) -> Iterator[str]:
    known = re.fullmatch(r"[a-z0-9.-]+", card.licence)
    yield "---"
    yield f"license: {card.licence if known else 'unknown  # of the weights: yours to say'}"
    yield f"library_name: {card.library}"
    yield "pipeline_tag: image-feature-extraction"
    yield "tags:"
    yield from (f"- {tag}" for tag in dict.fromkeys(_tags(card)))
    yield "---"


def _tags(card: Card) -> Iterator[str]:
    yield from ("mvssl", "self-supervised-learning", "image-feature-extraction", card.library)
    if card.format == "huggingface":
        yield "timm"


def _opening(card: Card) -> str:
    made = f"{card.width:,} features of an image, without a classifier"
    if card.source:
        return f"{made}: the published weights `{printable(card.source)}`."
    return f"{made}, learned without labels by mvssl {versions()['mvssl']}."


def _facts(card: Card) -> Iterator[tuple[str, str]]:
    channels, size = card.shape[0], card.shape[-1]
    yield "network", f"{card.name}, {card.parameters:,} parameters"
    yield "images", f"{size} x {size} pixels, {channels} channels"
    if card.run is not None:
        yield "backbone", card.run.which
        yield from _of_run(card.run.summary)
    yield (
        "difference",
        f"{card.difference:.2g} of the features' root mean square, between these files and mvssl",
    )


def _of_run(summary: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    # Names of folders above are nobody's business.
    if summary.get("config"):
        yield "config", Path(str(summary["config"])).name
    if summary.get("data"):
        place, end, rest = str(summary["data"]).partition("): ")  # after the split
        yield "data", f"{Path(place).name}{end}{rest}"
    if summary.get("method"):
        yield "method", str(summary["method"])
    if summary.get("objective"):
        yield "objective", str(summary["objective"])
    length = [
        f"{summary[name]:,} {words}"
        for name, words in (("epochs", "epochs"), ("images", "images"))
        if isinstance(summary.get(name), int)
    ]
    if isinstance(summary.get("batch_size"), int):
        length.append(f"batches of {summary['batch_size']:,}")
    if length:
        yield "training", ", ".join([*length, f"seed {summary.get('seed')}"])


def _images(card: Card) -> str:
    """How images are prepared."""
    given = card.expected
    limits = given.get("value_range")
    channels, size = card.shape[0], card.shape[-1]
    black, white = limits or (0, 255)
    kind = {"rgb": "RGB" if channels == 3 else f"{channels} channels"}
    space = given.get("color_space", "rgb")
    shown = given.get("crop_pct") or 1.0
    inner = f", of that the inner {shown:.4g} of its side" if shown < 1 else ""
    lines = [
        f"1. The largest square in the middle{inner}, brought to {size} x {size} pixels.",
        f"2. Values from {black:g} to {white:g} become 0 to 1; {kind.get(space, space)}.",
        f"3. Less the mean {_numbers(given.get('mean'))}, divided by the standard deviation "
        f"{_numbers(given.get('std'))}, of each channel.",
    ]
    told = (
        "\n\nThe program prepares photographs by another library than mvssl, whose rounding "
        "differs: features of a photograph may differ by more than those of equal values above."
    )
    return "\n".join(lines) + told


def _numbers(values: Any) -> str:
    return ", ".join(f"{value:.4g}" for value in values or ())


def _metrics(card: Card) -> Iterator[str]:
    if card.run is None:
        return
    summary = card.run.summary
    shown = known_results() | results_shown(summary)
    names = [name for name in summary if f"{name}_init" in summary]
    rows = [
        (
            shown.get(name, plain(name)).label,
            *(_number(summary.get(f"{name}{end}")) for end in ("_init", "", "_pixels")),
        )
        for name in names
        if _number(summary.get(name)) != "–"
    ]
    if rows:
        title = "## While it trained"
        if card.run.which == "teacher":
            title += "\n\nOf the student beside this teacher:"
        yield _table(title, ("", "before", "after", "raw pixels"), rows)
    estimates = [
        (one.card, f"{_number(summary.get(name))} nats")
        for name, one in MEASURED.items()
        if one.card and _number(summary.get(name)) != "–"
    ]
    if estimates:
        yield _table("## Information of two views, in training", ("", ""), estimates)
    found = [
        (shown.get(name, plain(name)).label, _number(value))
        for name, value in card.run.results.items()
    ]
    if found:
        yield _table(f"## Evaluated on {printable(card.run.data)}", ("", ""), found)


def _number(value: Any) -> str:
    known = isinstance(value, int | float) and not isinstance(value, bool)
    return f"{value:.4g}" if known else "–"


def _versions(card: Card) -> dict[str, str]:
    """Of the run where it is known, else of now."""
    known = card.run.summary.get("versions") if card.run is not None else None
    return {str(k): str(v) for k, v in (known or versions()).items()}


def _table(title: str, head: Sequence[str], rows: Any) -> str:
    cells = [" | ".join(_cell(word) for word in row) for row in rows]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *(f"| {row} |" for row in cells)]
    return "\n".join([title, "", *lines] if title else lines)


def _cell(text: str) -> str:
    return printable(text).replace("|", "\\|")
