"""The page of a run: its sections, its numbers, and what strange names become in it."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from mvssl.checkpoint import load_run, save_checkpoint
from mvssl.config.read import parse_options
from mvssl.engine.history import History
from mvssl.errors import UserError
from mvssl.evaluation import KNN, Retrieval, Shown
from mvssl.process.train_parser import parse_train
from mvssl.report.html import Html, join, tag
from mvssl.report.page import write_run_page
from mvssl.report.recorded import Recorded, read_run
from mvssl.report.results import results_shown, told_results
from tests.mini import ROOT
from tests.report.pages import Page, summary, write_run

HOSTILE = "</script><script>alert(1)</script>\"'&<img src=x onerror=alert(1)>\x1b[2J\udcff"


def page_of(run: Recorded, folder: Path) -> Page:
    write_run_page(folder / "page.html", run)
    return Page(folder / "page.html")


def tiles(page: Page) -> dict[str, str]:
    found = page.root.of_id("summary").all("div", "tile")
    return {one.all("h3")[0].text: one.all("div", "value")[0].text for one in found}


def test_numbers_are_those_of_the_summary(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    page = page_of(read_run(folder), tmp_path)
    told = json.loads((folder / "summary.json").read_text())
    shown = tiles(page)
    assert float(shown["kNN top-1"]) == told["knn_top1"]
    assert shown["Mutual information between views"] == "1.5 nats"
    assert shown["Entropy"] == "\N{MINUS SIGN}2 nats"
    assert shown["Time"] == "0:02:05"
    below = page.root.of_id("summary").all("div", "tile")[0].all("p")[0].text
    assert "0.250 before training (+0.650), 0.500 on raw pixels, with k = 20" in below
    assert "of at most 2" in page.root.of_id("summary").text


def test_the_verdict_stands_first_and_tells_remedies(tmp_path: Path) -> None:
    health = {
        "kind": "complete collapse",
        "sentence": "complete collapse: all embeddings are nearly equal",
        "causes": ["there is no predictor"],
        "remedies": ["give one"],
        "told": {"kind": "complete collapse", "iteration": 44},
    }
    page = page_of(read_run(write_run(tmp_path / "run", health=health)), tmp_path)
    first = page.root.all("section")[0]
    assert first.attributes["id"] == "verdict"
    assert "bad" in (first.attributes["class"] or "")
    assert first.all("h2")[0].text == "Complete collapse"
    assert [one.text for one in first.all("li")] == ["there is no predictor", "give one"]
    assert "iteration 44" in first.text


@pytest.mark.parametrize("kind", ["healthy", "unknown"])
def test_what_is_no_fault_does_not_look_like_one(tmp_path: Path, kind: str) -> None:
    health = {"kind": kind, "sentence": "so it is"}
    page = page_of(read_run(write_run(tmp_path / "run", health=health)), tmp_path)
    assert "bad" not in (page.root.of_id("verdict").attributes["class"] or "")


def charts(page: Page) -> dict[str, dict[str, object]]:
    found = page.root.of_id("curves").all("figure")
    return {one.all("h4")[0].text: json.loads(one.attributes["data-chart"] or "") for one in found}


def test_curves_lie_where_their_values_are(tmp_path: Path) -> None:
    page = page_of(read_run(write_run(tmp_path / "run")), tmp_path)
    found = charts(page)
    assert {"Entropy", "Mutual information between views", "RankMe", "Training loss"} <= set(found)
    assert "of my own" in found  # what a hook of the user's own has recorded
    (figure,) = (one for one in page.root.of_id("curves").all("figure") if "of my own" in one.text)
    rough = next(p for p in figure.all("path") if "rough" in (p.attributes["class"] or ""))
    places = re.findall(r"([\d.]+),([\d.]+)", rough.attributes["d"] or "")
    across, down = np.array(places, float).T
    # A value that rises evenly over two epochs is a straight line that ends at the right.
    np.testing.assert_allclose(np.diff(across), np.diff(across).mean(), atol=0.11)
    np.testing.assert_allclose(np.diff(down), np.diff(down).mean(), atol=0.11)
    assert across[-1] == 350
    assert down[0] > down[-1]


def test_entropy_stands_between_its_floor_and_cap(tmp_path: Path) -> None:
    page = page_of(read_run(write_run(tmp_path / "run")), tmp_path)
    curves = charts(page)["Entropy"]["curves"]
    assert isinstance(curves, list)
    assert [(one["label"], one["reference"]) for one in curves] == [
        ("target", False),
        ("cap", True),
        ("floor", True),
    ]
    assert [one["v"][-1] for one in curves] == ["−2", "−1", "−3"]


def test_strange_names_are_text(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    history = History()
    history.add(1, {HOSTILE: 1.0, "loss": float("nan"), "lr": 1.0})
    told = summary(config=HOSTILE, head=HOSTILE, evaluation_note=HOSTILE)
    told["health"] = {"kind": HOSTILE, "sentence": HOSTILE, "causes": [HOSTILE]}
    run = Recorded(
        folder,
        "stopped",
        told,
        history,
        1.0,
        1,
        options={"data": HOSTILE, "config": HOSTILE, "cfg_options": {HOSTILE: HOSTILE}},
        values={HOSTILE: HOSTILE},
        config_text=HOSTILE,
        results={"knn_top1": Shown(HOSTILE, HOSTILE, panel=HOSTILE)},
        notes=(HOSTILE,),
    )
    page = page_of(run, tmp_path)
    scripts = page.root.all("script")
    assert len(scripts) == 1
    assert "alert" not in scripts[0].text
    assert page.root.all("img") == []
    assert HOSTILE.split("\x1b")[0] in page.root.all("pre")[0].text
    assert "\x1b" not in (tmp_path / "page.html").read_text()


def test_a_page_fetches_nothing(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    page = page_of(read_run(folder), tmp_path)
    text = (tmp_path / "page.html").read_text()
    assert not re.search(r"(src|href)=\"(?!#|data:)", text)
    assert "http:" not in text
    assert "https:" not in text
    assert "@import" not in text
    policies = [one.attributes.get("content") or "" for one in page.root.all("meta")]
    assert any("default-src 'none'" in one for one in policies)


@pytest.mark.parametrize("state", ["running", "finished", "stopped"])
def test_a_run_under_way_reloads_and_says_so(tmp_path: Path, state: str) -> None:
    history = History()
    run = Recorded(tmp_path, state, {}, history, 1.0, 10, 3)  # type: ignore[arg-type]
    page = page_of(run, tmp_path)
    refresh = [x for x in page.root.all("meta") if x.attributes.get("http-equiv") == "refresh"]
    assert bool(refresh) == (state == "running")
    notices = " ".join(one.text for one in page.root.all("div", "notice"))
    words = {"running": "Under way, after 1 of 3 epochs", "stopped": "Stopped after 1 of 3 epochs"}
    assert words.get(state, "") in notices
    assert bool(notices) == (state != "finished")


def test_a_run_that_was_not_finished_is_shown_from_its_checkpoint(tmp_path: Path) -> None:
    kept = {
        "evaluation": {"knn": KNN(k=7).protocol},
        "results": told_results({"knn": KNN(k=7)}),
    }
    values = {"train_dataloader": {"dataset": {"type": "Digits"}, "batch_size": 64}}
    folder = write_run(tmp_path / "run", finished=False, values=values, evaluated=kept)
    (folder / "environment.txt").write_text("Python 3.12 <of mine>")
    page = page_of(read_run(folder), tmp_path)
    assert "--resume goes on from epoch_2.pth" in page.root.text
    assert "with k = 7, temperature = 0.07" in page.root.of_id("summary").text
    assert "Python 3.12 <of mine>" in page.root.of_id("environment").text
    assert "Not finished: what is shown is after 2 of 3 epochs" in page.root.text
    assert tiles(page)["kNN top-1"] == "0.900"
    assert page.root.of_id("verdict").all("h2")[0].text == "Not judged"


def test_the_difference_to_the_bases(tmp_path: Path) -> None:
    from mvssl.apis import TrainOptions
    from mvssl.config.changes import plain_values

    config = "configs/byol_er_vit.py"
    given = {"optim_wrapper.optimizer.lr": 0.5}
    cfg = TrainOptions(str(ROOT / config), cfg_options=given).read()
    folder = write_run(
        tmp_path / "run",
        values=plain_values(cfg.to_dict()),
        options={"config": config, "folder": str(ROOT), "cfg_options": given},
    )
    section = page_of(read_run(folder), tmp_path).root.of_id("config")
    rows = [[cell.text for cell in row.all("td")] for row in section.all("tr")]
    assert ["optim_wrapper.optimizer.lr", "0.001", "0.5"] in rows
    (head,) = (row for row in rows if row and row[0] == "model.head.type")
    assert head[2] == "'ERHead'"
    assert not any(row and row[0].startswith("train_cfg") for row in rows)
    assert "--cfg-options optim_wrapper.optimizer.lr=0.5" in section.text


def parts_of(page: Page) -> list[str]:
    """Of the command line that a page shows, as a shell takes them."""
    section = page.root.of_id("config")
    (line,) = (one for one in section.all("p") if one.text.startswith("Command line:"))
    return shlex.split(line.all("code")[0].text)


def test_the_command_line_begins_the_same_run(tmp_path: Path) -> None:
    given = {
        "model.x": [1, 2],
        "a.b": "it is",
        "a.number": "1",
        "a.none": None,
        "a.flag": True,
        "a.dict": {"p": "q r"},
        "a.quote": "'\"$(rm)",
    }
    said = {
        "config": "my configs/byol_vit.py",
        "objective": "er",
        "data": "/data/my photos",
        "labels": True,
        "amp": True,
        "image_size": 96,
        "batch_size": 8,
        "init_from": "weights of old.pth",
        "cfg_options": given,
    }
    program, command, *rest = parts_of(
        page_of(read_run(write_run(tmp_path / "run", seed=3, options=said)), tmp_path)
    )
    assert (program, command) == ("mvssl", "train")
    found = vars(parse_train(rest))
    found["cfg_options"] = parse_options(found["cfg_options"])
    usual = vars(parse_train(["x"]))
    assert {name: one for name, one in found.items() if one != usual[name]} == {**said, "seed": 3}


def test_a_command_line_says_nothing_that_is_so_anyway(tmp_path: Path) -> None:
    said = {"init_from": "resnet18", "backbone": "resnet18"}
    run = read_run(write_run(tmp_path / "run", options=said))
    words = ["mvssl", "train", "configs/byol_vit.py"]
    assert parts_of(page_of(run, tmp_path)) == [*words, "--init-from", "resnet18"]


def test_a_number_is_told_with_the_protocol_of_its_evaluator(tmp_path: Path) -> None:
    evaluators = {
        "knn": KNN(k=20),
        "knn_majority": KNN(k=5, votes="majority"),
        "anything": Retrieval(),
    }
    told = summary(knn=0.5, knn_top1_k5_majority=0.4, map=0.3)
    for name in [one for each in evaluators.values() for one in each.results]:
        told.setdefault(name, 0.1)
    told["results"] = told_results(evaluators)
    told["evaluation"] = {name: one.protocol for name, one in evaluators.items()}
    run = Recorded(tmp_path, "finished", told, History(), results=results_shown(told))
    page = page_of(run, tmp_path)
    below = {
        one.all("h3")[0].text: one.all("p")[0].text if one.all("p") else ""
        for one in page.root.of_id("summary").all("div", "tile")
    }
    for each in evaluators.values():
        protocol = ", ".join(f"{word} = {value}" for word, value in each.protocol.items())
        for how in each.results.values():
            if how.listed:
                assert below[how.label].endswith(f"with {protocol}"), how.label


@pytest.mark.parametrize("finished", [True, False])
def test_a_run_keeps_how_its_results_are_shown(tmp_path: Path, finished: bool) -> None:
    shown = {
        "of_mine": Shown("of mine", "points", 1, "My panel", "mine"),
        "beside": Shown("x", listed=False),
    }
    told = {name: {"evaluator": "my own", **asdict(how)} for name, how in shown.items()}
    told["broken"] = {**told["of_mine"], "decimals": 10**9}
    told["beyond"] = 3  # type: ignore[assignment]
    kept = {"results": told, "evaluation": {"my own": {"points": 7}}}
    folder = write_run(tmp_path / "run", finished=finished, evaluated=kept, found={"of_mine": 3.25})
    run = read_run(folder)
    assert {name: run.results[name] for name in shown} == shown
    assert run.results["broken"] == Shown("broken", panel="broken", curve="features")
    assert run.results["beyond"].label == "beyond"
    page = page_of(run, tmp_path)
    assert "My panel" in charts(page)
    if not finished:
        assert tiles(page)["of mine"] == "3.2"
        assert "with points = 7" in page.root.of_id("summary").text


@pytest.mark.parametrize(("images", "state"), [(0, "finished"), (7, "unfinished")])
def test_a_run_that_went_on_is_not_finished(tmp_path: Path, images: int, state: str) -> None:
    run = read_run(write_run(tmp_path / "run", epoch_images=images))
    assert (run.state, run.epochs) == (state, 2 + images / 12)
    assert ("Not finished" in page_of(run, tmp_path).root.text) == (state == "unfinished")


def test_without_a_checkpoint_numbers_are_there_and_curves_are_not(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    (folder / "epoch_2.pth").unlink()
    page = page_of(read_run(folder), tmp_path)
    assert tiles(page)["kNN top-1"] == "0.900"
    assert "No checkpoint is left" in page.root.text
    assert parts_of(page) == ["mvssl", "train", "configs/byol_vit.py"]
    assert "Digits" in page.root.all("pre")[0].text


def test_a_damaged_checkpoint_is_told_and_another_one_taken(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    (folder / "epoch_3.pth").write_bytes((folder / "epoch_2.pth").read_bytes()[:2000])
    run = read_run(folder)
    assert "epoch_3.pth is damaged" in run.notes[0]
    assert run.epochs == 2


@pytest.mark.parametrize("content", ["", "{", "[1]", "[" * 100_000, '{"a": 1}'])
def test_a_damaged_summary_is_a_sentence(tmp_path: Path, content: str) -> None:
    (tmp_path / "summary.json").write_text(content)
    if content == '{"a": 1}':
        page_of(read_run(tmp_path), tmp_path)  # little is known, and little is shown
        return
    with pytest.raises(UserError, match=r"summary\.json is"):
        read_run(tmp_path)


def test_numbers_of_another_kind_are_not_shown(tmp_path: Path) -> None:
    told = summary(knn=None, mi_bound="much", mi_ceiling=[], seconds={}, health=3, versions=4)
    told |= {"knn_top1": [1], "evaluation": 7, "images": "many", "processes": None}
    (tmp_path / "summary.json").write_text(json.dumps(told))
    page = page_of(read_run(tmp_path), tmp_path)
    assert set(tiles(page)) == {"Entropy", "kNN top-1"}
    assert tiles(page)["kNN top-1"] == "–"  # it is known before training alone
    assert "before training, not measured since" in page.root.of_id("summary").text


def test_text_is_escaped_unless_it_is_markup() -> None:
    made = tag("p", "<b>", Html("<i>"), ["&", None, 3], title='"', class_="a", hidden=True, x=None)
    assert made == '<p title="&quot;" class="a" hidden>&lt;b&gt;<i>&amp;3</p>'
    assert isinstance(join("a", made), Html)


def test_what_was_measured_before_training_alone_is_no_result(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", finished=False)
    content = load_run(folder / "epoch_2.pth").content
    history = History()
    history.add(0, {"knn_top1": 0.799})
    save_checkpoint({**content, "history": history.state_dict()}, folder / "epoch_2.pth")
    run = read_run(folder)
    assert (run.summary["knn_top1"], run.summary["knn_top1_init"]) == (None, 0.799)
    page = page_of(run, tmp_path)
    assert tiles(page)["kNN top-1"] == "–"
    assert "0.799 before training, not measured since" in page.root.of_id("summary").text


def test_an_estimate_below_zero_has_a_word(tmp_path: Path) -> None:
    told = summary(mi_bound=-1.44, infonce=0.5)
    (tmp_path / "summary.json").write_text(json.dumps(told))
    text = page_of(read_run(tmp_path), tmp_path).root.of_id("summary").text
    assert text.count("below 0: one view tells nothing") == 1
