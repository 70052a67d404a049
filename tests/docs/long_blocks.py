"""What takes too long for the tests: ``make docs-check`` runs it, and makes the pictures anew."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest

from tests.docs.blocks import BLOCKS, MAKERS, Block
from tests.docs.place import bash, make_place, shortened
from tests.mini import ROOT

LONG = [block for block in BLOCKS if block.mark.startswith("long")]
MOST = 3600  # seconds a block


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("place")
    make_place(folder, lambda text: bash(text, folder))
    return folder


@pytest.mark.parametrize("block", LONG, ids=str)
def test_a_long_block_runs(block: Block, place: Path) -> None:
    text = block.text
    if block.mark.endswith("one epoch"):
        lines = map(shlex.join, shortened(block.commands))
        text = "\n".join(lines).replace("'~/", "~/'")  # the home is the shell's to find
    print(bash(text, place, seconds=MOST))


@pytest.mark.parametrize("pattern", MAKERS)
def test_pictures_are_made_anew(pattern: str, place: Path) -> None:
    kept = {file.name for file in (ROOT / "docs" / "figures").glob(pattern)}
    for file in (place / "docs" / "figures").glob(pattern):
        os.utime(file, (0, 0))
    print(bash(MAKERS[pattern], place, seconds=MOST))
    made = (place / "docs" / "figures").glob(pattern)
    assert {file.name for file in made if file.stat().st_mtime > 0} == kept
