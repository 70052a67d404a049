"""The page of a run: one file that says how it went, and opens without a network."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from mvssl.config.bases import base_values
from mvssl.config.changes import changes, plain_values
from mvssl.files import write_bytes_atomically
from mvssl.report.charts import charts
from mvssl.report.curves import end_of
from mvssl.report.groups import curve_groups
from mvssl.report.html import Html, document, join, picture, table, tag
from mvssl.report.recorded import Recorded, told_progress
from mvssl.report.tiles import summary_tiles
from mvssl.run_files import ENVIRONMENT, VIEWS
from mvssl.words import shown

__all__ = ["NEIGHBOURS", "run_page", "write_run_page"]

NEIGHBOURS: Final = "Nearest neighbours"
RELOAD_S = 30
MOST_VIEWS = 2**23
"""Bytes of a picture beyond which a page would be slow to open."""
MOST_TEXT = 2**16
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
        ("Summary", summary_tiles(run)),
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
    sentence = str(health.get("sentence") or "no judgement was recorded").removeprefix(
        f"{title.lower()}: "
    )
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
        table(rows, ("value", "bases", "this run"), class_="differences"),
        tag("p", f"and {more} more", class_="soft small") if more else None,
    )


def _value(value: Any) -> str:
    plain = value is None or isinstance(value, bool | int | float | str | list | tuple | Mapping)
    return shown(value, 300) if plain else "\N{EN DASH}"  # it is not there


def _environment(run: Recorded) -> Html | None:
    versions = run.summary.get("versions")
    if not isinstance(versions, Mapping):
        return _environment_file(run.folder / ENVIRONMENT)
    return table([[tag("code", name), str(value)] for name, value in versions.items()])


def _environment_file(path: Path) -> Html | None:
    """What a run that is not over left of it."""
    try:
        if not path.is_file() or path.stat().st_size > MOST_TEXT:
            return None
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return tag("details", tag("summary", path.name), tag("pre", text))


def _foot(run: Recorded) -> str:
    at = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.written))
    return f"Written by mvssl, {at}. Entropies, bounds and estimates are in nats."
