"""A page as a browser shows it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")


def opened(page: Path, after: str = "") -> str:
    """The document of a page when its scripts have run; nothing may be said on its console.

    Args:
        page: a file.
        after: a script that runs at the end, in a copy of the page.
    """
    browser = next(filter(None, map(shutil.which, NAMES)), None)
    if browser is None:
        pytest.skip("there is no Chromium here: apt-get install -y chromium")
    if after:
        copy = page.with_name(f"{page.stem}_after.html")
        text = page.read_text(encoding="utf-8")
        copy.write_text(text.replace("</body>", f"<script>{after}</script></body>"))
        page = copy
    done = subprocess.run(
        [
            browser,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--enable-logging=stderr",
            f"--user-data-dir={page.parent / 'profile'}",
            "--window-size=1280,4000",
            "--dump-dom",
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    said = re.findall(r"^.*CONSOLE.*$", done.stderr, re.MULTILINE)
    assert said == []
    assert "<main>" in done.stdout
    return done.stdout
