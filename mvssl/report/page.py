"""The page of a run: one file that says how it went, and opens without a network."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from mvssl.config.bases import base_values
from mvssl.config.changes import changes, plain_values
from mvssl.engine.history import format_duration
from mvssl.evaluation import Shown
from mvssl.files import write_bytes_atomically
from mvssl.report.charts import MINUS, charts, number
from mvssl.report.curves import end_of
from mvssl.report.groups import curve_groups
from mvssl.report.html import Html, document, join, picture, table, tag
from mvssl.report.recorded import Recorded, number_of, told_progress
from mvssl.run_files import VIEWS
from mvssl.words import count, shown

__all__ = ["NEIGHBOURS", "run_page", "write_run_page"]

NEIGHBOURS: Final = "Nearest neighbours"
RELOAD_S = 30
MOST_VIEWS = 2**23
"""Bytes of a picture beyond which a page would be slow to open."""
MOST_CHANGES = 120
WIDE = 640

VERDICTS = {"healthy": ("good", "Healthy"), "unknown": ("unsure", "Not judged")}
FAULT = "bad"


def write_run_page(
    path: str | os.PathLike[str], run: Recorded, pictures: Sequence[tuple[str, Html]] = ()
) -> None:
    """Write :func:`run_page`, whole or not at all.

    Raises:
        WriteError: the disk refuses.
    """
    write_bytes_atomically(path, run_page(run, pictures))


def run_page(run: Recorded, pictures: Sequence[tuple[str, Html]] = ()) -> bytes:
    """The page of a run, in UTF-8.

    Args:
        run: that it is about. While it is under way the page says so and reloads itself.
        pictures: more sections, each with its title.
    """
    more: Sequence[tuple[str, Html | None]] = pictures or [(NEIGHBOURS, _how_to_see(run))]
    sections = [
        ("Summary", _summary(run)),
        ("Curves", _curves(run)),
        ("Views", _views(run.folder)),
        *more,
        ("Config", _config(run)),
        ("Environment", _environment(run)),
    ]
    listed = [(title, inside) for title, inside in sections if inside]
    body = join(
        tag("header", _head(run), _contents([title for title, _ in listed])),
        tag(
            "main",
            _state(run),
            _verdict(run),
            [_section(title, inside) for title, inside in listed],
            tag("footer", _foot(run)),
        ),
    )
    return document(f"{run.name} - mvssl", body, RELOAD_S if run.state == "running" else None)


def _head(run: Recorded) -> Html:
    summary = run.summary
    facts = [
        f"objective {run.objective}" + (f" ({summary['head']})" if summary.get("head") else ""),
        f"{summary['images']:,} images" if isinstance(summary.get("images"), int) else None,
        run.data or None,
        f"seed {summary['seed']}" if summary.get("seed") is not None else None,
        told_progress(run),
    ]
    about = tag("p", [tag("span", fact) for fact in facts if fact], class_="about")
    folder = tag("p", tag("code", os.fspath(run.folder)), class_="about small")
    return join(tag("h1", run.name), about, folder)


def _contents(titles: Sequence[str]) -> Html:
    return tag("nav", [tag("a", title, href=f"#{_anchor(title)}") for title in titles])


def _section(title: str, inside: Html) -> Html:
    return tag("section", tag("h2", title), inside, id=_anchor(title))


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")


def _state(run: Recorded) -> Html | None:
    """What is said of a run that is not finished."""
    told = {
        "running": f"Under way, after {told_progress(run)}. This page reloads itself.",
        "stopped": f"Stopped after {told_progress(run)}.",
        "unfinished": f"Not finished: what is shown is after {told_progress(run)}.",
    }.get(run.state)
    notes = [tag("p", note, class_="small") for note in run.notes]
    if told is None and not notes:
        return None
    at = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.written))
    as_of = tag("span", f"Written {at}", data_written=int(run.written), class_="soft small")
    main = told and tag("p", tag("b", told), " ", as_of if run.state == "running" else None)
    return tag("div", main, notes, class_="notice", role="status")


def _verdict(run: Recorded) -> Html:
    """The doctor's, which stands first."""
    health = run.summary.get("health")
    health = health if isinstance(health, Mapping) else {}
    kind = str(health.get("kind") or "unknown")
    look, title = VERDICTS.get(kind, (FAULT, kind[:1].upper() + kind[1:]))
    sentence = str(health.get("sentence") or "no judgement was recorded").removeprefix(f"{kind}: ")
    advice = [
        join(tag("h3", heading), tag("ul", [tag("li", one) for one in _texts(health, name)]))
        for heading, name in (("Likely causes", "causes"), ("Remedies", "remedies"))
        if _texts(health, name)
    ]
    told = health.get("told")
    since = None
    if isinstance(told, Mapping) and told.get("iteration") is not None:
        since = f"It told of {told.get('kind')} at iteration {told['iteration']}."
    return tag(
        "section",
        tag("h2", title),
        tag("p", sentence[:1].upper() + sentence[1:]),
        since and tag("p", since, class_="small soft"),
        advice,
        class_=f"verdict {look}",
        id="verdict",
    )


def _texts(health: Mapping[str, Any], name: str) -> list[str]:
    listed = health.get(name)
    return list(map(str, listed)) if isinstance(listed, list | tuple) else []


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


def _summary(run: Recorded) -> Html:
    tiles = [*_result_tiles(run), *_information_tiles(run.summary), *_time_tiles(run)]
    note = run.summary.get("evaluation_note")
    return join(
        tag("div", tiles, class_="tiles"),
        note and tag("p", f"Evaluation: {note}.", class_="soft small"),
    )


def _result_tiles(run: Recorded) -> Iterator[Html]:
    for name, how in run.results.items():
        before, after = (number_of(run.summary, f"{name}{end}") for end in ("_init", ""))
        pixels = number_of(run.summary, f"{name}_pixels")
        if after is None or not how.listed:
            continue
        told = [] if before is None else [f"{how.text(before)} before training"]
        if before is not None:
            gain = f"{after - before:+.{how.decimals}f}"
            told[0] += f" ({gain})".replace("-", MINUS)
        told += [] if pixels is None else [f"{how.text(pixels)} on raw pixels"]
        protocol = _protocol(run.summary, name)
        told += [f"with {protocol}"] if protocol else []
        share = after if 0.0 <= after <= 1.0 else None
        yield _tile(how.label, _result_text(how, after), ", ".join(told), share)


def _result_text(how: Shown, value: float) -> str:
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
        share, most = None, None
        if ceiling:
            share, most = estimate / ceiling, f"of at most {number(ceiling)}: the ER estimate"
        yield _tile("Mutual information between views", [number(estimate), nats], most, share)
    nce = number_of(summary, "infonce")
    if nce is not None:
        share = None if not ceiling else nce / ceiling
        below = "the same, by another estimate"
        yield _tile("InfoNCE", [number(nce), tag("small", " nats")], below, share)
    for name, title, below in (
        ("entropy", "Entropy", "how far the embeddings are spread"),
        ("reconstruction", "Reconstruction", "how well one view tells the other"),
    ):
        value = number_of(summary, name)
        if value is not None:
            yield _tile(title, [number(value), tag("small", " nats")], below)


def _time_tiles(run: Recorded) -> Iterator[Html]:
    summary = run.summary
    seconds, speed = number_of(summary, "seconds"), number_of(summary, "images_per_second")
    processes = summary.get("processes")
    below = told_progress(run)
    if isinstance(processes, int) and processes > 1:
        below += f", {count(processes, 'process')}"
    if seconds is not None:
        yield _tile("Time", format_duration(seconds), below)
    if speed is not None:
        yield _tile("Speed", [f"{speed:,.0f}", tag("small", " images/s")], _batch(summary))


def _batch(summary: Mapping[str, Any]) -> str | None:
    size = summary.get("batch_size")
    return None if size is None else f"in batches of {size}"


def _curves(run: Recorded) -> Html:
    groups = curve_groups(run.history, run.steps_per_epoch, run.results)
    listed = [panel for group in groups.values() for panel in group]
    if not listed:
        return tag("p", "Nothing was recorded yet.", class_="soft")
    end = end_of([one for panel in listed for one in panel.curves if not one.reference])
    return join(
        [join(tag("h3", title), charts(panels, end)) for title, panels in groups.items() if panels]
    )


def _views(folder: Path) -> Html | None:
    path = folder / VIEWS
    try:
        if not path.is_file() or path.stat().st_size > MOST_VIEWS:
            return None
        data = path.read_bytes()
    except OSError:
        return None
    image = tag("img", src=picture(data), alt="images beside the views that the network sees")
    # Of many views it scrolls on a phone, where it would be too small to see.
    wide = int.from_bytes(data[16:20], "big") > WIDE
    return tag("div", image, class_="card views wide" if wide else "card views")


def _how_to_see(run: Recorded) -> Html | None:
    if run.state == "running":
        return None
    command = f"python tools/report.py {shlex.quote(str(run.folder))} --data FOLDER"
    told = "Nearest neighbours and a map of images: "
    return tag("p", told, tag("code", command), class_="soft small")


def _config(run: Recorded) -> Html | None:
    whole = run.config_text and tag(
        "details", tag("summary", "The whole config"), tag("pre", run.config_text)
    )
    if run.values is None:
        return whole or None
    said = _said(run.options)
    command = said and tag("p", "Command line: ", tag("code", said))
    return join(command, _differences(run), whole)


def _said(options: Mapping[str, Any]) -> str:
    words = [str(options.get("config") or "")]
    for name in ("objective", "data", "image_size", "backbone", "batch_size"):
        value = options.get(name)
        if value is not None and (name, value) != ("objective", "native"):
            words.append(f"--{name.replace('_', '-')} {value}")
    words += [f"--{name}" for name in ("labels", "amp") if options.get(name)]
    given = options.get("cfg_options")
    if isinstance(given, Mapping) and given:
        words.append("--cfg-options " + " ".join(f"{k}={v}" for k, v in given.items()))
    return " ".join(words)


def _differences(run: Recorded) -> Html:
    """What the config and the command line say beyond the config's bases."""
    assert run.values is not None
    folder, config = run.options.get("folder"), run.options.get("config")
    base = base_values(Path(str(folder or "."), str(config))) if config else None
    if base is None:
        told = "Its bases cannot be read any more, so no difference is shown."
        return tag("p", told, class_="soft small")
    now = {key: value for key, value in run.values.items() if not key.startswith("er_head")}
    base.pop("er_head", None)
    found = changes(plain_values(base), now)
    if not found:
        return tag("p", "Nothing differs from its bases.", class_="soft small")
    rows = [
        [tag("code", one.path), tag("code", _value(one.before)), tag("code", _value(one.now))]
        for one in found[:MOST_CHANGES]
    ]
    more = len(found) - len(rows)
    return join(
        tag("p", "What it says beyond its bases, as they are now:", class_="soft small"),
        table(rows, ("value", "bases", "this run")),
        tag("p", f"and {more} more", class_="soft small") if more else None,
    )


def _value(value: Any) -> str:
    plain = value is None or isinstance(value, bool | int | float | str | list | tuple | Mapping)
    return shown(value, 300) if plain else "\N{EN DASH}"  # it is not there


def _environment(run: Recorded) -> Html | None:
    versions = run.summary.get("versions")
    if not isinstance(versions, Mapping):
        return None
    return table([[tag("code", name), str(value)] for name, value in versions.items()])


def _foot(run: Recorded) -> str:
    at = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.written))
    return f"Written by mvssl, {at}. Entropies, bounds and estimates are in nats."
