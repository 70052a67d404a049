"""The fenced blocks of all pages, and what the HTML comment right before a block says of it.

A block of ``bash`` or ``python`` without a comment is run by ``test_pages.py`` as it stands. Else:

====================================  ==============================================================
``<!-- long: WHY -->``                ``make docs-check`` runs it; the tests read it
``<!-- long, one epoch: WHY -->``     likewise, with one epoch for each training
``<!-- only read: WHY -->``           it is read: tools, options and configs are there
``<!-- config -->`` and what follows  a config, see ``test_config.py``
``data``, ``file``, ``load``, ...     run by the test of its page, see ``ELSEWHERE``
====================================  ==============================================================
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.mini import ROOT

PAGES = [
    *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "SECURITY")),
    *sorted((ROOT / "docs").glob("*.md")),
]
ELSEWHERE = {
    "README.md": {"test", "apt"},  # by .ci/run
    "docs/data.md": {"data"},
    "docs/custom_component.md": {"file", "load", "command"},
}
READ = ("long", "long, one epoch", "only read")


class Block(NamedTuple):
    """A fenced block.

    Attributes:
        page: its path from the root.
        line: number of its first line.
        language: what stands behind the fence.
        mark: what its comment begins with, up to a colon; empty without a comment.
        remark: what follows the colon.
        text: without the indentation that a list gives it.
    """

    page: str
    line: int
    language: str
    mark: str
    remark: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def commands(self) -> list[list[str]]:
        """Its words, a list for each command: lines are joined, comments and ``&&`` left out."""
        found = []
        for line in self.text.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            while "&&" in words:
                place = words.index("&&")
                found.append(words[:place])
                words = words[place + 1 :]
            if words:
                found.append(words)
        return found


def read_blocks(page: Path) -> Iterator[Block]:
    """The blocks of a page, in their order."""
    lines = page.read_text(encoding="utf-8").splitlines()
    number = 0
    while number < len(lines):
        opened = re.fullmatch(r"( *)```([\w-]*)", lines[number])
        if opened is None:
            number += 1
            continue
        indent, language = opened.groups()
        end = lines.index(f"{indent}```", number + 1)
        before = re.fullmatch(r" *<!-- (.*) -->", lines[number - 1] if number else "")
        mark, _, remark = (before[1] if before else "").partition(":")
        text = "".join(f"{line[len(indent) :]}\n" for line in lines[number + 1 : end])
        place = page.relative_to(ROOT).as_posix()
        yield Block(place, number + 2, language, mark.strip(), remark.strip(), text)
        number = end + 1


BLOCKS = [block for page in PAGES for block in read_blocks(page)]
MAKERS = dict(
    re.findall(
        r"^\| `([\w/*.]+\.png)` \| `(.*)` \|$",
        (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
)
"""Files below docs/figures, by a pattern, and the commands that make them."""


def marked(mark: str, page: str = "") -> list[Block]:
    """All blocks of programs with a mark, of one page or of all."""
    return [
        block
        for block in BLOCKS
        if block.mark == mark
        and block.language in ("bash", "python")
        and (not page or block.page == page)
    ]
