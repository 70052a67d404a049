"""Backbones beside each other: numbers, files, sentences."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.neighbors import KNeighborsClassifier

from mvssl.apis.evaluate import EvaluateOptions, evaluate_backbones, labels_of, named_evaluators
from mvssl.apis.extract import extract
from mvssl.errors import UserError
from mvssl.evaluation import KNN
from mvssl.files import WriteError
from tests.mini import load_tool, write_backbone, write_digits


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits 0, 1, 2 as a folder of classes, 30 and 10 of each in train and test."""
    return write_digits(tmp_path_factory.mktemp("digits"), train=30, test=10)


@pytest.fixture(scope="module")
def backbones(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("backbones")
    return [str(write_backbone(folder / f"{seed}.safetensors", seed)) for seed in range(2)]


def test_numbers_are_those_of_scikit_learn_on_extracted_features(
    digits: Path, backbones: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = EvaluateOptions(
        [*backbones, "pixels"], str(digits), evaluators=["knn"], out=str(tmp_path / "out")
    )
    found = evaluate_backbones(options)
    assert [one.label for one in found] == ["0.safetensors", "1.safetensors", "pixels"]
    for source, one in zip(backbones, found, strict=False):
        train, test = (extract(source, digits, labels=True, split=s) for s in ("train", "test"))
        near = KNeighborsClassifier(
            20, metric="cosine", weights=lambda distance: np.exp((1 - distance) / 0.07)
        )
        expected = near.fit(train.x, train.labels).score(test.x, test.labels)
        assert one.results["knn_top1"] == pytest.approx(expected)
    printed = capsys.readouterr().out
    assert "kNN top-1" in printed
    assert f"{found[0].results['knn_top1']:.3f}" in printed
    written = json.loads((tmp_path / "out/metrics.json").read_text())
    assert written["images"] == {"train": 90, "test": 30}
    assert written["classes"] == {"digit0": 10, "digit1": 10, "digit2": 10}
    assert written["protocol"]["knn"]["k"] == 20
    assert [one["results"] for one in written["backbones"]] == [one.results for one in found]
    pictures = sorted(path.name for path in (tmp_path / "out").glob("*.png"))
    assert pictures == [
        "0.safetensors_confusion.png",
        "0.safetensors_neighbours.png",
        "1.safetensors_confusion.png",
        "1.safetensors_neighbours.png",
        "pixels_confusion.png",
    ]
    for name in pictures:
        assert np.asarray(Image.open(tmp_path / "out" / name)).std() > 5


def test_another_folder_may_be_held_out(digits: Path, backbones: list[str], tmp_path: Path) -> None:
    apart = EvaluateOptions(
        backbones[:1],
        str(digits / "train"),
        test=str(digits / "test"),
        evaluators=["knn"],
        out=str(tmp_path),
    )
    beside = EvaluateOptions(backbones[:1], str(digits), evaluators=["knn"], out=str(tmp_path))
    first, second = evaluate_backbones(apart)[0], evaluate_backbones(beside)[0]
    assert first.results == second.results


def test_held_out_images_are_not_learned_from(
    digits: Path, backbones: list[str], tmp_path: Path
) -> None:
    """Neither by a folder in the other, nor by a link or a copy of the entry elsewhere."""
    linked = tmp_path / "linked"
    linked.mkdir()
    for place in (digits / "test").iterdir():
        (linked / place.name).mkdir()
        for file in place.iterdir():
            (linked / place.name / f"other_{file.name}").hardlink_to(file)
    for data, test in [
        (digits, digits / "test"),
        (digits / "train", digits / "train"),
        (digits, linked),
    ]:
        options = EvaluateOptions(
            backbones[:1], str(data), test=str(test), evaluators=["knn"], out=str(tmp_path / "o")
        )
        with pytest.raises(UserError, match=r"images of --test .* are in --data .*held out from"):
            evaluate_backbones(options)
    assert not (tmp_path / "o").exists()


def test_all_sources_are_opened_before_one_takes_time(
    digits: Path, backbones: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = EvaluateOptions(
        [backbones[0], "mistyped"], str(digits), evaluators=["knn"], out=str(tmp_path / "o")
    )
    with pytest.raises(UserError, match="mistyped"):
        evaluate_backbones(options)
    assert "images" not in capsys.readouterr().out
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("name", ["$x_$", "a\udce9", "a\nb", "{\\bad}"])
def test_a_class_may_have_any_name(backbones: list[str], tmp_path: Path, name: str) -> None:
    data = write_digits(tmp_path / "data", train=4, test=2)
    for part in ("train", "test"):
        (data / part / "digit0").rename(data / part / name)
    out = tmp_path / "out"
    evaluate_backbones(EvaluateOptions(backbones[:1], str(data), evaluators=["knn"], out=str(out)))
    assert len(list(out.glob("*.png"))) == 2


def test_numbers_stand_before_pictures_are_drawn(
    digits: Path,
    backbones: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no picture")

    monkeypatch.setattr("mvssl.apis.evaluate.plot_neighbours", fail)
    options = EvaluateOptions(backbones[:1], str(digits), evaluators=["knn"], out=str(tmp_path))
    with pytest.raises(RuntimeError, match="no picture"):
        evaluate_backbones(options)
    written = json.loads((tmp_path / "metrics.json").read_text())
    top1 = written["backbones"][0]["results"]["knn_top1"]
    assert f"{top1:.3f}" in capsys.readouterr().out
    assert written["backbones"][0]["image_size"] == 16
    assert written["backbones"][0]["unreadable"] == {"train": 0, "test": 0}


def test_numbers_are_shown_where_the_disk_refuses_them(
    digits: Path,
    backbones: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refuse(*_: object) -> None:
        raise WriteError("no room")

    monkeypatch.setattr("mvssl.apis.evaluate.write_summary", refuse)
    options = EvaluateOptions(backbones[:1], str(digits), evaluators=["knn"], out=str(tmp_path))
    with pytest.raises(WriteError, match="no room"):
        evaluate_backbones(options)
    assert "kNN top-1" in capsys.readouterr().out


def test_pictures_of_like_names_stay_apart(digits: Path, tmp_path: Path) -> None:
    for name in ("x/a", "y/a"):
        (tmp_path / name).mkdir(parents=True)
    sources = [
        str(write_backbone(tmp_path / name / "b.safetensors", seed))
        for seed, name in enumerate(["x/a", "y/a"])
    ] + [str(write_backbone(tmp_path / "x_a_b.safetensors", 2))]
    out = tmp_path / "out"
    evaluate_backbones(EvaluateOptions(sources, str(digits), evaluators=["knn"], out=str(out)))
    assert len(list(out.glob("*_neighbours.png"))) == 3


def test_a_protocol_tells_the_neighbours_that_vote(backbones: list[str], tmp_path: Path) -> None:
    data = write_digits(tmp_path / "data", train=4, test=2)
    out = tmp_path / "out"
    evaluate_backbones(EvaluateOptions(backbones[:1], str(data), evaluators=["KNN"], out=str(out)))
    written = json.loads((out / "metrics.json").read_text())
    assert written["protocol"]["knn"]["k"] == 12


def test_evaluators_are_found_by_the_beginning_of_a_name() -> None:
    (found,) = named_evaluators(["knn"], {"knn.k": 5}).values()
    assert isinstance(found, KNN)
    assert found.protocol["k"] == 5


@pytest.mark.parametrize(
    ("names", "options", "said"),
    [
        (["kn"], {}, None),
        (["ann"], {}, "There is no evaluator 'ann'"),
        (["knn"], {"knn.neighbours": 3}, "KNN has no such"),
        (["knn"], {"linear.k": 3}, "no evaluator of that name is run"),
        (["knn"], {"k": 3}, "no evaluator of that name is run"),
        (["knn"], {"knn.k": 0}, "k"),
        (["online"], {}, "OnlineProbe learns while a run trains"),
    ],
)
def test_wrong_names_are_told(names: list[str], options: dict[str, int], said: str | None) -> None:
    if said is None:
        assert named_evaluators(names, options)
        return
    with pytest.raises(UserError, match=said):
        named_evaluators(names, options)


def test_labels_are_the_least_that_tells_sources_apart() -> None:
    assert labels_of(["a/run/", "b/other", "timm:resnet18"]) == ["run", "other", "timm:resnet18"]
    assert labels_of(["a/x/run", "b/y/run"]) == ["x/run", "y/run"]
    assert labels_of(["run", "b/run"]) == ["run", "b/run"]
    with pytest.raises(UserError, match="given twice"):
        labels_of(["a", "a"])
    with pytest.raises(UserError, match=r"is given twice \(/ is the same\)"):
        labels_of(["/", "/.", "timm:resnet18"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--data", "nowhere"], "There is no folder nowhere"),
        (["--test", "nowhere"], "There is no folder nowhere"),
        (["--test", "other"], "different classes"),
        (["--evaluators", "ann"], "There is no evaluator"),
        (["--evaluators", "information"], "record"),
        (["--options", "knn.k=1000"], "k is 1000"),
        (["--options", "knn.k"], "--options takes pairs"),
        (["--out", "file"], "is a file"),
        (["--batch-size", "0"], "--batch-size is"),
        (["--workers", "-1"], "--workers is"),
    ],
)
def test_bad_input_is_one_sentence_and_writes_nothing(
    digits: Path,
    backbones: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    for name in ("digit0", "digit7"):
        Path("other", name).mkdir(parents=True)
        source = next((digits / "test/digit0").iterdir())
        for number in range(5):
            Path("other", name, f"{number}.png").write_bytes(source.read_bytes())
    given = [backbones[0], "--data", str(digits), "--workers", "0", "--evaluators", "knn", *words]
    assert load_tool("evaluate").main(given) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert sorted(path.name for path in Path().iterdir()) == ["file", "other"]
