"""A run's whole model without labels, and its measures over its checkpoints."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import spearmanr

from mvssl.apis import TrainOptions, train
from mvssl.apis.checkpoints import evaluate_checkpoints
from mvssl.apis.evaluate import EvaluateOptions, evaluate_backbones
from mvssl.checkpoint import load_checkpoint, save_checkpoint
from mvssl.errors import UserError
from mvssl.evaluation.correlation import rank_correlation
from mvssl.models.backbones import load_backbone
from mvssl.models.whole import load_model
from tests.gloo_pool import GlooPool
from tests.mini import curves, load_tool, write_backbone, write_config, write_digits

EPOCHS = 4
MORE = f"""
evaluation = dict(
    evaluators=dict(knn=dict(k=5), information=dict(type='Information', images=20)), interval=1)
train_cfg = dict(max_epochs={EPOCHS})
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of digits, ``data``, and a run on it, ``RUN``."""
    folder = tmp_path_factory.mktemp("course")
    write_digits(folder / "data", train=30, test=10)
    options = TrainOptions(
        str(write_config(folder, "byol_vit.py", MORE)),
        work_dir=str(folder / "RUN"),
        data=str(folder / "data"),
        labels=True,
        cfg_options={"train_dataloader.batch_size": 30, "optim_wrapper.optimizer.lr": 1e-2},
    )
    assert train(options) is not None
    return folder


def options_of(place: Path, **more: Any) -> EvaluateOptions:
    """Of the run on its own images."""
    given = {"sources": [str(place / "RUN")], "data": str(place / "data"), **more}
    return EvaluateOptions(**given)


def test_a_run_is_measured_by_its_whole_model_as_it_measured_itself(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (found,) = evaluate_backbones(
        options_of(
            place,
            evaluators=["knn", "information"],
            options={"knn.k": 5, "information.images": 20},
            out=str(tmp_path),
        )
    )
    summary = json.loads((place / "RUN/summary.json").read_text())
    assert len(found.results) > 20
    for name, value in found.results.items():
        assert value == pytest.approx(summary[name], rel=1e-4, abs=1e-5), name
    assert "held-out RankMe" in capsys.readouterr().out


def test_no_labels_are_asked_for_where_none_are_needed(place: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    for file in (place / "data/test").rglob("*.png"):
        shutil.copy(file, plain / f"{file.parent.name}_{file.name}")
    sources = [str(place / "RUN"), str(place / "RUN/epoch_1.pth")]
    first, second = evaluate_backbones(
        EvaluateOptions(sources, str(plain), evaluators=["info"], out=str(tmp_path / "out"))
    )
    assert first.results["heldout_mi_ceiling"] == pytest.approx(np.log(30))
    assert first.results["heldout_rankme"] != second.results["heldout_rankme"]
    (whole,) = evaluate_backbones(
        options_of(place, evaluators=["information"], out=str(tmp_path / "classes"))
    )
    assert whole.results["heldout_mi_ceiling"] == pytest.approx(np.log(30 + 90))
    written = json.loads((tmp_path / "out/metrics.json").read_text())
    assert written["classes"] is None
    assert written["backbones"][0]["results"] == first.results


def test_which_and_amp_are_of_the_features(place: Path, tmp_path: Path) -> None:
    how = {"evaluators": ["knn", "information"], "out": str(tmp_path)}
    (student,) = evaluate_backbones(options_of(place, **how))
    (teacher,) = evaluate_backbones(options_of(place, which="teacher", **how))
    (half,) = evaluate_backbones(options_of(place, amp=True, **how))
    name = "heldout_mi_bound"
    assert student.results[name] == teacher.results[name] != half.results[name]
    assert half.results[name] == pytest.approx(student.results[name], abs=0.2)


def test_a_backbone_alone_is_told_what_is_missing(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(place / "RUN", tmp_path / "RUN", ignore=shutil.ignore_patterns("*.pth"))
    for source in (write_backbone(tmp_path / "b.safetensors"), tmp_path / "RUN"):
        words = [str(source), "--data", str(place / "data"), "--workers", "0"]
        assert load_tool("evaluate").main([*words, "--evaluators", "information"]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert "Information needs the record of several views" in error
        assert "an epoch_*.pth of it" in error
        assert "Clustering, KNN, LinearProbe" in error
        assert "OnlineProbe" not in error


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (["head", "type"], "os.system", "no plain name"),
        (["head", "type"], "TimmBackbone", "not in HEADS"),
        (["head", "loss"], {"type": "system"}, "not in LOSSES"),
        (["data_preprocessor", "type"], "torch.nn.Linear", "no plain name"),
        (["data_preprocessor", "type"], "MMDistributedDataParallel", "not in MODELS"),
        (
            ["data_preprocessor", "views"],
            [{"operations": [{"type": "TorchvisionOp", "transform": {"type": "RandomCrop"}}]}],
            "of another library",
        ),
        (["backbone", "type"], "MLP", "not registered in BACKBONES"),
        (["backbone", "model_args", "pretrained_cfg"], "x", "no argument that a file may set"),
        (
            ["neck"],
            {"type": "MLP", "hidden_channels": 60000, "out_channels": 60000},
            "larger than the weights",
        ),
        (["neck", "hidden_channels"], 12, "not this model's"),
        (["neck"], None, "no description of a component"),
        (["type"], "Sequential", "is not MultiView"),
    ],
    ids=lambda x: str(x)[:40],
)
def test_what_a_checkpoint_says_of_its_model_is_not_trusted(
    place: Path, tmp_path: Path, path: list[str], value: Any, said: str
) -> None:
    content = load_checkpoint(place / "RUN/epoch_1.pth")
    node = content["meta"]["values"]["model"]
    for name in path[:-1]:
        node = node[name]
    node[path[-1]] = value
    save_checkpoint(content, tmp_path / "epoch_1.pth")
    with pytest.raises(UserError, match=said) as told:
        load_model(tmp_path / "epoch_1.pth")
    assert str(tmp_path) in str(told.value)


@pytest.mark.parametrize("base", ["dino", "swav", "ir", "mocov2", "cmc", "deepclusterv2"])
def test_models_of_other_methods_open_whole(tmp_path: Path, base: str) -> None:
    options = TrainOptions(
        f"{base}_vit",
        work_dir=str(tmp_path / "RUN"),
        cfg_options={
            "train_cfg.max_epochs": 1,
            "train_dataloader.batch_size": 256,
            "evaluation": None,
        },
    )
    assert train(options) is not None
    file = tmp_path / "RUN/epoch_1.pth"
    state = load_model(file).state_dict()
    saved = load_checkpoint(file)["state_dict"]
    assert state.keys() == saved.keys()
    assert all(torch.equal(state[name], saved[name]) for name in saved)


def test_every_checkpoint_is_evaluated_and_ranks_are_compared(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(place / "RUN"), "--checkpoints", "--data", str(place / "data"), "--workers", "0"]
    words += ["--options", "knn.k=5", "information.images=20", "--out", str(tmp_path)]
    assert load_tool("evaluate").main([*words, "--evaluators", "knn", "information"]) == 0
    told = capsys.readouterr().out
    written = json.loads((tmp_path / "metrics.json").read_text(), parse_constant=pytest.fail)
    assert [one["epoch"] for one in written["checkpoints"]] == [1, 2, 3, 4]
    expected: Any = load_backbone(place / "RUN").preprocessing
    assert written["image_size"] == expected["size"]
    # As the run measured itself, epoch by epoch.
    recorded = curves(place / f"RUN/epoch_{EPOCHS}.pth")
    for name in ("knn_top1", "heldout_rankme", "heldout_lidar", "heldout_entropy"):
        values = [one["results"][name] for one in written["checkpoints"]]
        np.testing.assert_allclose(values, recorded[name][1][1:], rtol=1e-4, atol=1e-5)
    found = written["correlations"]["knn_top1"]
    assert {
        f"heldout_{name}"
        for name in (
            *("rankme", "lidar", "alignment", "uniformity"),
            *("entropy", "reconstruction", "mi_bound", "infonce"),
        )
    } <= set(found)
    assert not [name for name in found if name.endswith(("_cap", "_floor", "_ceiling"))]
    accuracy = [one["results"]["knn_top1"] for one in written["checkpoints"]]
    for name, one in found.items():
        values = [row["results"][name] for row in written["checkpoints"]]
        assert one["checkpoints"] == EPOCHS
        if len(set(accuracy)) > 1 and len(set(values)) > 1:
            assert one["spearman"] == pytest.approx(spearmanr(values, accuracy).statistic)
        else:
            assert one["spearman"] is None
    assert "Spearman's rank correlation" in told
    assert "with kNN top-1" in told
    rows = list(csv.DictReader((tmp_path / "checkpoints.csv").read_text().splitlines()))
    assert [float(row["knn_top1"]) for row in rows] == accuracy
    assert np.asarray(Image.open(tmp_path / "checkpoints.png")).std() > 5


def test_the_curves_of_the_run_do_without_images(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    course = evaluate_checkpoints(options_of(place, data=None, out=str(tmp_path)))
    assert course.epochs == [1, 2, 3, 4]
    recorded = curves(place / f"RUN/epoch_{EPOCHS}.pth")
    assert course.columns["knn_top1"] == recorded["knn_top1"][1][1:].tolist()
    assert course.columns["rankme"] == recorded["rankme"][1][2::3].tolist()  # of training, 3 steps
    rho = course.found["knn_top1"]["heldout_rankme"]
    expected = spearmanr(recorded["heldout_rankme"][1][1:], recorded["knn_top1"][1][1:]).statistic
    assert rho.spearman is None if np.isnan(expected) else rho.spearman == pytest.approx(expected)
    assert "with kNN top-1" in capsys.readouterr().out


def test_few_checkpoints_are_told_and_give_no_number(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(place / "RUN", tmp_path / "RUN")
    for number in (1, 2):
        (tmp_path / f"RUN/epoch_{number}.pth").unlink()
    given = options_of(place, sources=[str(tmp_path / "RUN")])
    course = evaluate_checkpoints(given)
    assert course.epochs == [3, 4]
    assert "2 checkpoints: correlations take 3 or more" in capsys.readouterr().out
    text = (tmp_path / "RUN/checkpoints/metrics.json").read_text()
    written = json.loads(text, parse_constant=pytest.fail)
    one = written["correlations"]["knn_top1"]["heldout_rankme"]
    assert one == {"spearman": None, "checkpoints": 2}


def test_a_damaged_checkpoint_is_left_out(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(place / "RUN", tmp_path / "RUN")
    file = tmp_path / "RUN/epoch_2.pth"
    file.write_bytes(file.read_bytes()[:-3000])
    course = evaluate_checkpoints(
        options_of(place, sources=[str(tmp_path / "RUN")], evaluators=["knn"])
    )
    assert course.epochs == [1, 3, 4]
    told = capsys.readouterr().out
    assert "left out:" in told
    assert "no correlation: it takes an evaluator with labels (knn) and one without" in told


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["RUN", "RUN/epoch_1.pth", "--data", "data"], "is of one run"),
        (["RUN/epoch_1.pth", "--data", "data"], "is of one run"),
        (["nowhere", "--data", "data"], "There is no nowhere: give the folder of a run"),
        (["data", "--data", "data"], "holds no epoch_"),
        (["RUN", "--evaluators", "knn"], "give --data FOLDER"),
        (["data"], "holds no run"),
        (["RUN", "--data", "data", "--out", "data/test/digit0/30.png"], "is a file"),
    ],
)
def test_bad_input_is_one_sentence(
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(place)
    assert load_tool("evaluate").main([*words, "--checkpoints", "--workers", "0"]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_ranks_are_compared_as_scipy_does() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        x, y = rng.integers(0, 5, (2, 7)).astype(float)
        found = rank_correlation(x.tolist(), y.tolist())
        assert found.points == 7
        if len(set(x)) > 1 and len(set(y)) > 1:
            assert found.spearman == pytest.approx(spearmanr(x, y).statistic)
    whole = rank_correlation([1.0, 2.0, None, 4.0, float("nan"), 5.0], [4.0, 3.0, 9.0, 2.0, 1, 1.0])
    assert whole.points == 4
    assert whole.spearman == pytest.approx(-1.0)
    assert whole.text() == "-1.00"
    for x, y in (([1.0, 2.0], [1.0, 2.0]), ([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]), ([], [])):
        few = rank_correlation(x, y)
        assert few.spearman is None
        assert few.text() == "n/a"


def _measured(arguments: dict[str, Any]) -> dict[str, float]:
    (found,) = evaluate_backbones(EvaluateOptions(**arguments))
    return found.results


def test_two_processes_measure_what_one_does(
    place: Path, tmp_path: Path, run_distributed: GlooPool
) -> None:
    arguments = {
        "sources": [str(place / "RUN")],
        "data": str(place / "data"),
        "evaluators": ["information"],
        "out": str(tmp_path),
    }
    alone = _measured(arguments)
    for found in run_distributed(_measured, 2, arguments):
        assert found == pytest.approx(alone, rel=1e-4, abs=1e-5)
