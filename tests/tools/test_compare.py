"""``tools/compare.py``: numbers against NumPy, and sentences where runs cannot be compared."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from mvssl.evaluation import Shown
from mvssl.report.comparison import comparison_page
from mvssl.report.comparison_table import comparison_tables
from mvssl.report.grouping import grouped
from mvssl.report.recorded import read_run
from tests.mini import load_tool, tree
from tests.report.browser import opened
from tests.report.pages import Page, summary, write_run

FOUND = {0: 0.91, 1: 0.95, 2: 0.87}


def compare(*argv: object) -> int:
    status: int = load_tool("compare").main([str(word) for word in argv])
    return status


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Three seeds of one config, and one of another."""
    for seed, knn in FOUND.items():
        write_run(tmp_path / "runs" / f"byol/{seed}", seed=seed, knn=knn)
    options = {"config": "configs/byol_er_vit.py", "objective": "er"}
    write_run(tmp_path / "runs" / "er/0", knn=0.97, options=options)
    return tmp_path / "runs"


def test_means_and_deviations_are_those_of_numpy(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare(runs, "--json", tmp_path / "c.json", "--out", tmp_path / "c.html") == 0
    told = json.loads((tmp_path / "c.json").read_text())
    first, second = told["groups"]
    assert (first["method"], first["objective"], first["data"]) == ("byol_vit", "native", "Digits")
    assert first["seeds"] == [0, 1, 2]
    values = list(FOUND.values())
    assert first["mean"]["knn_top1"] == pytest.approx(np.mean(values))
    assert first["deviation"]["knn_top1"] == pytest.approx(np.std(values, ddof=1))
    assert (second["method"], second["objective"]) == ("byol_er_vit", "er")
    assert second["mean"]["knn_top1"] == 0.97
    assert second["deviation"]["knn_top1"] is None
    assert {Path(one["folder"]).name for one in told["runs"]} == {"0", "1", "2"}
    assert told["left_out"] == {}
    assert told["notes"] == []
    printed = capsys.readouterr()
    assert printed.err == ""
    lines = [line.split() for line in printed.out.splitlines()]
    assert ["mean", "0.910"] in [line[:2] for line in lines]
    assert ["±", "0.040"] in [line[:2] for line in lines]
    assert max(map(len, printed.out.splitlines()[:12])) <= 100


def test_the_page_has_the_same_numbers_and_all_curves(runs: Path, tmp_path: Path) -> None:
    assert compare(runs, "--out", tmp_path / "c.html") == 0
    page = Page(tmp_path / "c.html").root
    rows = [[cell.text for cell in row.all("td")] for row in page.all("tr")]
    (mean,) = (row for row in rows if "mean of 3" in row)
    assert "0.910 ± 0.040" in mean
    (figure,) = (one for one in page.all("figure") if one.all("h4")[0].text == "Training loss")
    curves = json.loads(figure.attributes["data-chart"] or "")["curves"]
    assert [one["label"] for one in curves] == [
        *(f"byol_vit, seed {seed}" for seed in FOUND),
        "byol_er_vit + ER, seed 0",
    ]
    assert len({one["tone"] for one in curves}) == 2
    assert [one.text.rsplit(" ", 1)[0] for one in figure.all("li")] == [
        "byol_vit",
        "byol_er_vit + ER",
    ]
    opened(tmp_path / "c.html")


def test_a_legend_tells_where_the_line_ends(runs: Path, tmp_path: Path) -> None:
    run = read_run(runs / "er/0")
    run.history.add(300, {"knn_top1": 0.5})
    (tmp_path / "c.html").write_bytes(comparison_page(grouped([run]), {}, []))
    figures = Page(tmp_path / "c.html").root.all("figure")
    (figure,) = (one for one in figures if one.all("h4")[0].text == "kNN accuracy")
    (curve,) = json.loads(figure.attributes["data-chart"] or "")["curves"]
    assert curve["v"] == ["0.970", "0.500"]
    assert [one.text for one in figure.all("li")] == ["byol_er_vit + ER 0.500"]


def test_other_options_are_another_group(runs: Path, tmp_path: Path) -> None:
    given = {"cfg_options": {"optim_wrapper.optimizer.lr": 0.5}}
    other = {"train_dataloader": {"dataset": {"type": "Digits"}}, "optim_wrapper": {"lr": 0.5}}
    write_run(tmp_path / "runs" / "byol/lr", options=given, values=other)
    assert compare(runs, "--json", tmp_path / "c.json", "--out", tmp_path / "c.html") == 0
    told = json.loads((tmp_path / "c.json").read_text())
    assert [one["settings"] for one in told["groups"]] == ["", "optim_wrapper.optimizer.lr=0.5", ""]
    assert [len(one["seeds"]) for one in told["groups"]] == [3, 1, 1]
    assert "byol_vit, lr=0.5, seed 0" in (tmp_path / "c.html").read_text()


def test_runs_that_cannot_be_compared_are_told(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(runs / "byol/partly", seed=3, finished=False, knn=0.1)
    write_run(runs / "others", images=9)
    (runs / "damaged").mkdir()
    (runs / "damaged/summary.json").write_text("{")
    (runs / "early").mkdir()
    (runs / "early/train.log").write_text("begun")
    assert compare(runs, tmp_path / "nowhere", "--json", tmp_path / "c.json") == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    out = printed.out
    assert "early holds no run, neither summary.json nor a checkpoint" in out
    assert "damaged/summary.json is damaged" in out
    assert "nowhere is not there" in out
    assert "The runs are of different data" in out
    assert "in no mean" in out
    assert "byol/partly after 2 of 3 epochs" in out
    told = json.loads((tmp_path / "c.json").read_text())
    assert len(told["left_out"]) == 3
    assert told["groups"][0]["mean"]["knn_top1"] == pytest.approx(np.mean(list(FOUND.values())))
    (partly,) = (one for one in told["runs"] if one["folder"].endswith("partly"))
    assert (partly["state"], partly["results"]["knn_top1"]) == ("unfinished", 0.1)
    assert any(line.split()[:1] == ["3*"] for line in out.splitlines())


def test_numbers_are_compared_where_checkpoints_are_gone(runs: Path, tmp_path: Path) -> None:
    for path in runs.rglob("*.pth"):
        path.unlink()
    assert compare(runs, "--json", tmp_path / "c.json", "--out", tmp_path / "c.html") == 0
    told = json.loads((tmp_path / "c.json").read_text())
    assert [one["seeds"] for one in told["groups"]] == [[0, 1, 2], [0]]
    assert "No checkpoint is left" in Page(tmp_path / "c.html").root.text


def test_seeds_are_told_from_settings_where_checkpoints_are_gone(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = {"optim_wrapper": {"lr": 0.5}}
    given = {"cfg_options": {"optim_wrapper.lr": 0.5}}
    write_run(runs / "byol/other", seed=3, knn=0.4, values=other, options=given)
    write_run(runs / "byol/unknown", seed=4, knn=0.3)
    (runs / "byol/unknown/config.py").unlink()
    (runs / "byol/1/epoch_2.pth").unlink()
    assert compare(runs, "--json", tmp_path / "c.json", "--overwrite") == 0
    told = json.loads((tmp_path / "c.json").read_text())
    assert [one["seeds"] for one in told["groups"]] == [[0, 1, 2, 4], [3], [0]]
    for path in runs.rglob("*.pth"):
        path.unlink()
    assert compare(runs, "--json", tmp_path / "c.json", "--overwrite") == 0
    told = json.loads((tmp_path / "c.json").read_text())
    assert [one["seeds"] for one in told["groups"]] == [[0, 1, 2], [3], [4], [0]]
    assert [one["settings"] for one in told["groups"]] == ["", "optim_wrapper.lr=0.5", "", ""]
    assert {one["data"] for one in told["groups"]} == {"digits"}
    assert [one["objective"] for one in told["groups"]][-1] == "er"
    assert told["notes"] == []
    assert "data" in capsys.readouterr().out


def test_whether_data_are_the_same_is_not_made_up(runs: Path, tmp_path: Path) -> None:
    def notes() -> str:
        assert compare(runs, "--json", tmp_path / "c.json", "--overwrite") == 0
        return " ".join(json.loads((tmp_path / "c.json").read_text())["notes"])

    file = runs / "byol/0/summary.json"
    told = json.loads(file.read_text())
    (runs / "byol/0/epoch_2.pth").unlink()
    file.write_text(json.dumps({k: v for k, v in told.items() if k != "fingerprint"}))
    assert "Whether the runs are of the same data cannot be told" in notes()
    file.write_text(json.dumps({**told, "fingerprint": "others"}))
    assert "The runs are of different data" in notes()
    file.write_text(json.dumps(told))
    assert notes() == ""


def test_no_number_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    numbers = iter(np.random.default_rng(0).permutation(900) + 100)
    labels = ["kNN top-1", "kNN balanced", "linear top-1", "map", "recall", "NMI", "ARI", "1 %"]
    shown = {f"r{n}": {"evaluator": "r", **asdict(Shown(one))} for n, one in enumerate(labels)}
    written: list[str] = []
    for seed in range(3):
        folder = write_run(tmp_path / f"runs/{seed}", seed=seed, options={"data": "a/long/folder"})
        (folder / "epoch_2.pth").unlink()
        told = json.loads((folder / "summary.json").read_text())
        found = {name: next(numbers) / 1000 for name in shown}
        written += [f"{one:.3f}" for one in found.values()]
        more = {"results": shown, **found, "mi_bound": -1234.5, "seconds": 360000.0}
        (folder / "summary.json").write_text(json.dumps({**told, **more}))
    for columns in (100, 200, 60):
        monkeypatch.setenv("COLUMNS", str(columns))
        assert compare(tmp_path / "runs") == 0
        out = capsys.readouterr().out
        table, _, _ = out.partition("note:")
        assert max(map(len, table.splitlines())) <= 100
        words = table.split()
        assert "\N{HORIZONTAL ELLIPSIS}" not in table
        for one in (*written, "-1234.50", "100:00:00", "healthy", "mean", "byol_vit"):
            assert one in words, one
        assert all(word in words for label in labels for word in label.split())
        # Each part says of which runs it is.
        assert words.count("byol_vit") == words.count("method") == words.count("a/long/folder")


@pytest.mark.parametrize("width", [50, 60, 80])
def test_no_number_is_cut_on_a_narrow_terminal(runs: Path, width: int) -> None:
    run = read_run(runs / "byol/0")
    file = io.StringIO()
    for table in comparison_tables(grouped([run]), width):
        Console(file=file, width=width).print(table)
    words = file.getvalue().split()
    assert max(map(len, file.getvalue().splitlines())) <= width
    assert {"0.910", "1.50", "2.00", "0:02:05"} <= set(words)


def test_settings_are_shown_whole(runs: Path, tmp_path: Path) -> None:
    given = {"model.head.layers": [1, 2], "a.b": "x, y=3"}
    options = {"cfg_options": given, "init_from": "weights.pth"}
    write_run(runs / "other", options=options, values={"model": {"head": {"layers": [1, 2]}}})
    assert compare(runs, "--json", tmp_path / "c.json", "--out", tmp_path / "c.html") == 0
    group = next(
        one for one in grouped([read_run(p.parent) for p in runs.rglob("*.pth")]) if one.settings
    )
    assert group.short_settings == ["layers=[1, 2]", "b=x, y=3", "init_from=weights.pth"]
    text = Page(tmp_path / "c.html").root.text
    assert "layers=[1, 2]" in text
    (told,) = {x["settings"] for x in json.loads((tmp_path / "c.json").read_text())["groups"]} - {
        ""
    }
    assert told == "model.head.layers=[1, 2], a.b=x, y=3, init_from=weights.pth"


def test_weights_to_begin_with_make_another_group(runs: Path, tmp_path: Path) -> None:
    write_run(runs / "byol/begun", seed=7, options={"init_from": "weights.pth"})
    assert compare(runs, "--json", tmp_path / "c.json") == 0
    told = json.loads((tmp_path / "c.json").read_text())["groups"]
    assert [one["settings"] for one in told] == ["", "init_from=weights.pth", ""]


def test_a_run_that_is_named_twice_counts_once(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(runs / "byol/0")
    assert compare(runs, runs / "byol", tmp_path / "link", "--json", tmp_path / "c.json") == 0
    assert len(json.loads((tmp_path / "c.json").read_text())["runs"]) == 4
    shutil.copytree(runs / "byol/0", runs / "byol/copy")
    assert compare(runs, "--json", tmp_path / "c.json", "--overwrite") == 0
    told = json.loads((tmp_path / "c.json").read_text())
    assert "several runs are of the same seed" in " ".join(told["notes"])


def test_strange_names_and_numbers_are_shown_as_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, value in enumerate((None, "much", [1], True, 1e999)):
        folder = tmp_path / f"<script>{number}\x1b[2J"
        folder.mkdir()
        told = summary(config="<img src=x>[red]", knn=value, seconds=value, seed="<b>")
        (folder / "summary.json").write_text(json.dumps(told))
    assert compare(tmp_path, "--out", tmp_path / "c.html") == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "<img" in out
    page = Page(tmp_path / "c.html").root
    assert page.all("img") == []
    assert len(page.all("script")) == 1


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["nowhere"], "There is no run to compare: nowhere is not there"),
        (["empty"], "empty holds no run"),
        (["file"], "file is a file"),
        (["runs", "--out", "c.html", "--json", "./c.html"], "--out and --json are one file"),
        (["runs", "--out", "c.pdf"], "give a name that ends in .html"),
        (["runs", "--json", "file/c.json"], "file is a file, no folder"),
        (["runs", "--json", "file"], "--json file: file is there already"),
    ],
)
def test_bad_input_gets_a_sentence(
    runs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    argv: list[str],
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("a file")
    before = tree(tmp_path)
    assert compare(*argv) == 2
    said = capsys.readouterr()
    assert said.err.startswith("error: ")
    assert told in said.err
    assert tree(tmp_path) == before
