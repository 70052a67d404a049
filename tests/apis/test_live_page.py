"""The page that a run keeps: while it goes on, at its end, and where it cannot be written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

import mvssl
from mvssl.models.backbones.opening import opened_file
from mvssl.report import live
from mvssl.report.page import write_run_page
from mvssl.report.recorded import Recorded, read_run
from tests.mini import load_tool, train_cli, write_config, write_digits
from tests.report.pages import Page

STOPPING = """
from mmengine.hooks import Hook
from mvssl.errors import UserError
from mvssl.registry import HOOKS

@HOOKS.register_module(force=True)
class FailsLate(Hook):
    def before_train_epoch(self, runner):
        if runner.epoch == 1:
            raise UserError("no more of this")
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return write_config(tmp_path / "configs")


def test_a_run_leaves_its_page(
    config: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    written: list[tuple[str, float]] = []
    write = live.write_run_page

    def watched(path: Path, run: Recorded) -> None:
        written.append((run.state, run.epochs))
        write(path, run)
        if run.state == "running":
            assert "reloads itself" in Page(path).root.text

    monkeypatch.setattr(live, "write_run_page", watched)
    monkeypatch.setattr(live, "SHARE", 0)
    assert train_cli(config, "--work-dir", tmp_path / "run") == 0
    assert written == [("running", 0), ("running", 1), ("running", 2), ("finished", 2)]
    assert str(tmp_path / "run" / "report.html") in capsys.readouterr().out
    page = Page(tmp_path / "run" / "report.html")
    told = json.loads((tmp_path / "run" / "summary.json").read_text())
    (tile,) = (x for x in page.root.all("div", "tile") if "kNN top-1" in x.text)
    assert f"{told['knn_top1']:.3f}" in tile.text
    assert f"{told['knn_top1_init']:.3f} before training" in tile.text
    assert page.root.of_id("views").all("img")
    assert "embed_dim" in page.root.of_id("config").text
    # The same again from the folder.
    assert load_tool("report").main([str(tmp_path / "run"), "--images", "0"]) == 0
    again = Page(tmp_path / "run" / "report.html")
    assert again.root.of_id("summary").text == page.root.of_id("summary").text
    assert again.root.of_id("config").text == page.root.of_id("config").text
    assert [x.attributes for x in again.root.all("path")] == [
        x.attributes for x in page.root.all("path")
    ]


def test_a_run_that_goes_on_gives_its_newest_weights(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"

    def epoch(number: int) -> dict[str, Tensor]:
        return mvssl.load_backbone(run / f"epoch_{number}.pth").state_dict()

    def differ(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
        return any(not torch.equal(one[name], other[name]) for name in one)

    assert train_cli(config, "--work-dir", run) == 0
    ended = mvssl.load_backbone(run).state_dict()
    assert not differ(ended, epoch(2))
    assert opened_file(run, "student") == run / "backbone.safetensors"
    # Stopped in the fourth epoch of four.
    more = (
        "custom_imports = dict(imports=['fails_in_fourth'])\n"
        "custom_hooks = [dict(type='FailsInFourth')]\ntrain_cfg = dict(max_epochs=4)\n"
    )
    (tmp_path / "fails_in_fourth.py").write_text(
        STOPPING.replace("epoch == 1", "epoch == 3").replace("Late", "InFourth")
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    text = config.read_text().replace("train_cfg = dict(max_epochs=2)\n", "")
    config.write_text(text + more)
    assert train_cli(config, "--work-dir", run, "--resume") == 2
    newest = mvssl.load_backbone(run).state_dict()
    assert differ(newest, ended)
    assert not differ(newest, epoch(3))
    assert not differ(
        mvssl.load_backbone(run, which="teacher").state_dict(),
        mvssl.load_backbone(run / "epoch_3.pth", which="teacher").state_dict(),
    )
    gone = read_run(run)
    assert (gone.state, gone.epochs) == ("unfinished", 3)
    # From before its end: what it had then is of another course.
    assert train_cli(config, "--resume", run / "epoch_1.pth", "--work-dir", run) == 2
    assert (run / "set_aside/backbone.safetensors").is_file()
    assert (run / "set_aside/summary.json").is_file()
    assert not (run / "backbone.safetensors").exists()
    assert read_run(run).state == "unfinished"


UNEQUAL = """
evaluation = dict(evaluators=dict(knn_majority=dict(type='KNN', k=3, votes='majority')))
"""


def test_a_page_from_the_folder_has_the_results_of_the_run(config: Path, tmp_path: Path) -> None:
    data = write_digits(tmp_path / "data", 12, 4)
    for name in ("train", "test"):
        for path in sorted((data / name / "digit2").iterdir())[1:]:
            path.unlink()
    config.write_text(config.read_text() + UNEQUAL)
    given = ("--data", data, "--labels", "--batch-size", 4, "--work-dir", tmp_path / "run")
    assert train_cli(config, *given) == 0
    page = Page(tmp_path / "run" / "report.html").root.of_id("summary").text
    assert "kNN balanced" in page
    assert "k = 3" in page
    assert load_tool("report").main([str(tmp_path / "run"), "--images", "0"]) == 0
    assert Page(tmp_path / "run" / "report.html").root.of_id("summary").text == page
    (tmp_path / "run" / "summary.json").unlink()
    run = read_run(tmp_path / "run")
    assert run.state == "unfinished"
    write_run_page(tmp_path / "page.html", run)
    again = Page(tmp_path / "page.html").root.of_id("summary").text
    assert "kNN balanced" in again
    assert "k = 3" in again


def test_pages_take_little_of_a_runs_time(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states: list[str] = []
    monkeypatch.setattr(live, "write_run_page", lambda _, run: states.append(run.state))
    monkeypatch.setattr(live, "SHARE", 1e9)
    assert train_cli(config, "--work-dir", tmp_path / "run") == 0
    assert states == ["running", "finished"]


def test_a_page_that_cannot_be_written_ends_no_run(
    config: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no ink")

    monkeypatch.setattr(live, "write_run_page", broken)
    assert train_cli(config, "--work-dir", tmp_path / "run") == 0
    told = capsys.readouterr().out
    assert told.count("report.html is not written: RuntimeError: no ink") == 1
    assert (tmp_path / "run" / "summary.json").is_file()


def test_a_run_that_ends_early_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fails_late.py").write_text(STOPPING)
    monkeypatch.syspath_prepend(str(tmp_path))
    more = (
        "custom_imports = dict(imports=['fails_late'])\ncustom_hooks = [dict(type='FailsLate')]\n"
    )
    config = write_config(tmp_path / "configs", more=more)
    assert train_cli(config, "--work-dir", tmp_path / "run") == 2
    notice = Page(tmp_path / "run" / "report.html").root.all("div", "notice")[0].text
    assert "Stopped after 1 of 2 epochs" in notice
    assert "--resume goes on from epoch_1.pth" in notice
    assert "reloads" not in notice
