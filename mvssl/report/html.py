"""HTML that is escaped as it is made, and the frame of a page that needs no other file."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from html import escape
from importlib.resources import files
from typing import Any

from mvssl.words import printable

__all__ = ["Html", "Part", "document", "join", "picture", "table", "tag"]

VOID = frozenset({"br", "col", "hr", "img", "meta"})
# Nothing is fetched, whatever the names that stand in a page.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"

Part = Any
"""What :func:`tag` takes inside: Html as it is, other things as text, None as nothing, and lists
of these.
"""


class Html(str):
    """Text that is markup already; any other text is escaped where it is put in."""

    __slots__ = ()


def join(*parts: Part) -> Html:
    """Parts after each other."""
    return Html("".join(_inside(part) for part in parts))


def tag(name: str, /, *parts: Part, **attributes: object) -> Html:
    """An element.

    Args:
        name: of it.
        parts: what is inside, see ``Part``.
        attributes: by their names; ``class_`` for class, and ``_`` stands for ``-``. None and False
            leave one out, True gives it no value, and a dict or list becomes JSON.
    """
    given = []
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        key = key.rstrip("_").replace("_", "-")
        given.append(f" {key}" if value is True else f' {key}="{_quoted(value)}"')
    opening = f"<{name}{''.join(given)}>"
    return Html(opening if name in VOID else f"{opening}{join(*parts)}</{name}>")


def _inside(part: Part) -> str:
    if part is None:
        return ""
    if isinstance(part, Html):
        return part
    if isinstance(part, Iterable) and not isinstance(part, str):
        return "".join(map(_inside, part))
    return escape(_clean(str(part)))


def _quoted(value: object) -> str:
    if isinstance(value, dict | list):
        # Names are cleaned within it: an escape of theirs is none that JSON knows.
        return escape(json.dumps(_cleaned(value), separators=(",", ":")))
    return escape(_clean(str(value)))


def _cleaned(value: object) -> object:
    if isinstance(value, dict):
        return {_clean(str(key)): _cleaned(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_cleaned(one) for one in value]
    return _clean(value) if isinstance(value, str) else value


def _clean(text: str) -> str:
    """Line by line what can be shown: names of files may hold anything."""
    return "\n".join(map(printable, text.split("\n")))


def table(rows: Iterable[Iterable[Part]], head: Iterable[Part] | None = None, **how: Any) -> Html:
    """A table in a box that scrolls where the page is too narrow."""
    heading = head and tag("thead", tag("tr", [tag("th", cell, scope="col") for cell in head]))
    body = tag("tbody", [tag("tr", [tag("td", cell) for cell in row]) for row in rows])
    return tag("div", tag("table", heading, body, **how), class_="scroll")


def picture(data: bytes, kind: str = "png") -> str:
    """An image file as an address that holds it."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def document(title: str, body: Html, reload_s: int | None = None) -> bytes:
    """A whole page, in UTF-8: style and scripts inside, nothing fetched.

    Args:
        title: of the window.
        body: all of it.
        reload_s: seconds after which it is to be read again; None: never.
    """
    assets = files("mvssl.report") / "assets"
    style, script = (assets / name for name in ("page.css", "page.js"))
    head = [
        tag("meta", charset="utf-8"),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        reload_s and Html(f'<meta http-equiv="refresh" content="{reload_s}">'),
        tag("title", title),
        Html(f"<style>{style.read_text(encoding='utf-8')}</style>"),
    ]
    made = join(
        tag("head", head), tag("body", body, Html(f"<script>{script.read_text('utf-8')}</script>"))
    )
    return f'<!DOCTYPE html>\n<html lang="en">{made}</html>\n'.encode()
