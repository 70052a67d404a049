"""``tools/report.py``: a page, or one sentence and status 2."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mini import load_tool, tree
from tests.report.pages import Page, write_run


def report(*argv: object) -> int:
    status: int = load_tool("report").main([str(word) for word in argv])
    return status


def test_the_page_lies_in_the_run_or_where_it_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path / "run")
    assert report(run, "--images", 0) == 0
    assert report(run, "--images", 0, "--out", tmp_path / "other.html") == 0
    told = capsys.readouterr().out.splitlines()
    written = [f"written {run / 'report.html'}", f"written {tmp_path / 'other.html'}"]
    assert told == [f"reading {run}", written[0], f"reading {run}", written[1]]
    for path in (run / "report.html", tmp_path / "other.html"):
        assert "Healthy" in Page(path).root.text


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["nowhere"], "nowhere is not there"),
        (["run/summary.json"], "is a file"),
        (["empty"], "empty holds no run, neither summary.json nor a checkpoint"),
        (["run", "--out", "page.pdf"], "give a name that ends in .html"),
        (["run", "--out", "run/summary.json/page.html"], "is a file, no folder"),
        (["run", "--images", "-1"], "images"),
        (["run", "--workers", "-1"], "--workers is"),
        (["run", "--data", "nowhere"], "nowhere"),
    ],
)
def test_bad_input_gets_a_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    argv: list[str],
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "run")
    (tmp_path / "empty").mkdir()
    before = tree(tmp_path)
    assert report(*argv) == 2
    said = capsys.readouterr()
    assert said.err.startswith("error: ")
    assert told in said.err
    assert said.out == ""
    assert tree(tmp_path) == before
