"""tools/train.py from end to end, on a tiny model."""

from __future__ import annotations

import io
import json
import shutil
import struct
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.torch
import timm
import torch
from mmengine.hooks import Hook
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import mvssl
from mvssl.config.read import load_config
from mvssl.datasets import Digits
from mvssl.engine.tags import tag_of
from mvssl.evaluation import extract_features, knn_accuracy
from mvssl.models import MultiView
from mvssl.registry import HOOKS, MODELS
from tests.mini import assert_same_curves, curves, train_cli, tree, write_config

SUMMARY_KEYS = {
    "evaluation",
    "evaluation_note",
    "knn_top1_init",
    "knn_top1",
    "knn_top1_pixels",
    "loss",
    "entropy",
    "entropy_trained",
    "reconstruction",
    "mi_bound",
    "mi_ceiling",
    "infonce",
    "images_per_second",
    "seconds",
    "epochs",
    "config",
    "seed",
    "versions",
    "backbone",
}
SCALARS = {
    "loss",
    "lr",
    "teacher_momentum",
    "entropy",
    "reconstruction",
    "mi_bound",
    "mi_ceiling",
    "infonce",
    "entropy_trained",
    "knn_top1",
}


class Run:
    """A finished run: its folder, what it printed, and its config."""

    def __init__(self, folder: Path, config: Path, out: str, err: str) -> None:
        self.folder, self.config, self.out, self.err = folder, config, out, err
        self.summary: dict[str, Any] = json.loads((folder / "summary.json").read_text())

    def last(self) -> Path:
        return self.folder / f"epoch_{self.summary['epochs']}.pth"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("train")


@pytest.fixture(scope="module")
def er(place: Path) -> Run:
    """The main job, small: BYOL + ER on the digits, two epochs."""
    config, folder = write_config(place), place / "er"
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        assert train_cli(config, "--work-dir", folder) == 0
    return Run(folder, config, out.getvalue(), err.getvalue())


def epoch(folder: Path, number: int) -> Path:
    return folder / f"epoch_{number}.pth"


def test_the_outputs_lie_in_the_work_dir(er: Run) -> None:
    names = {p.name for p in er.folder.iterdir()}
    assert names >= {
        "backbone.safetensors",
        "summary.json",
        "curves.png",
        "views.png",
        "train.log",
        "last_checkpoint",
        "epoch_1.pth",
        "epoch_2.pth",
    }
    assert not any(name.endswith(".tmp") or name == ".writable" for name in names)


@pytest.mark.parametrize("name", ["curves.png", "views.png"])
def test_figures_are_pictures(er: Run, name: str) -> None:
    data = (er.folder / name).read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", data[16:24])
    assert min(width, height) > 200


def test_the_summary_holds_what_was_measured(er: Run) -> None:
    summary = er.summary
    assert set(summary) >= SUMMARY_KEYS
    assert (summary["seed"], summary["epochs"]) == (0, 2)
    assert summary["config"] == str(er.config)
    assert summary["versions"]["torch"] == torch.__version__.split("+")[0]
    assert summary["versions"]["mvssl"] == mvssl.__version__
    for name in ("knn_top1_init", "knn_top1", "knn_top1_pixels"):
        assert 0.1 < summary[name] <= 1.0
    assert summary["evaluation"] == {"knn": {"k": 20, "temperature": 0.07}}
    assert summary["evaluation_note"] is None
    assert summary["mi_ceiling"] == pytest.approx(np.log(256))
    bound = summary["entropy"] + summary["reconstruction"]
    assert summary["mi_bound"] == pytest.approx(bound, abs=1e-5)
    assert summary["seconds"] > 0
    assert summary["images_per_second"] > 0


def test_the_summarys_scalars_are_means_over_the_last_epoch(er: Run) -> None:
    recorded = curves(er.last())
    for name in ("loss", "entropy", "entropy_trained", "reconstruction", "infonce"):
        steps, values = recorded[name]
        assert steps.tolist() == list(range(1, 11))
        assert er.summary[name] == pytest.approx(values[5:].mean(), rel=1e-6)


def test_the_loss_is_minus_the_trained_entropy_plus_reconstruction(er: Run) -> None:
    recorded = curves(er.last())
    objective = recorded["entropy_trained"][1] + recorded["reconstruction"][1]
    np.testing.assert_allclose(recorded["loss"][1], -objective, atol=1e-4)


def test_schedules_follow_their_formulas(er: Run) -> None:
    recorded = curves(er.last())
    rates = recorded["lr"][1] / load_config(er.config).optim_wrapper.optimizer.lr
    cosine = (1 + np.cos(np.pi * np.arange(5) / 4)) / 2
    np.testing.assert_allclose(rates[:5], np.arange(1, 6) / 5, rtol=1e-6)
    np.testing.assert_allclose(rates[5:], cosine, atol=1e-7)
    momentum = recorded["teacher_momentum"][1]
    start = momentum[0]
    expected = 1 - (1 - start) * (1 + np.cos(np.pi * np.arange(10) / 9)) / 2
    np.testing.assert_allclose(momentum, expected, atol=1e-12)


def test_knn_is_measured_before_and_after(er: Run) -> None:
    steps, values = curves(er.last())["knn_top1"]
    assert steps.tolist() == [0, 10]
    assert values.tolist() == [er.summary["knn_top1_init"], er.summary["knn_top1"]]


def test_timm_loads_the_backbone_and_gives_the_models_features(er: Run) -> None:
    file = er.folder / "backbone.safetensors"
    arguments = er.summary["backbone"]["create_model"]
    with safetensors.safe_open(file, framework="pt") as opened:
        assert json.loads(opened.metadata()["create_model"]) == arguments
    assert arguments["num_classes"] == 0
    assert "global_pool" in arguments
    model = timm.create_model(**arguments).eval()
    model.load_state_dict(safetensors.torch.load_file(file), strict=True)
    trained = _trained_model(er)
    images = trained.data_preprocessor(
        {"image": torch.stack([Digits("test", 32)[i]["image"] for i in range(6)])}
    )["inputs"]
    with torch.no_grad():
        expected = trained.backbone(images)
        torch.testing.assert_close(model(images), expected, rtol=0, atol=0)
        torch.testing.assert_close(mvssl.load_backbone(file)(images), expected, rtol=0, atol=0)


def _trained_model(run: Run) -> MultiView:
    model = MODELS.build(load_config(run.config).model)
    model.load_state_dict(torch.load(run.last(), weights_only=True)["state_dict"], strict=True)
    return model.eval()


def test_the_reported_knn_is_that_of_the_saved_model(er: Run) -> None:
    model = _trained_model(er)
    bank, queries = (extract_features(model, Digits(s, 32)) for s in ("train", "test"))
    assert knn_accuracy(bank, queries, k=20, temperature=0.07) == er.summary["knn_top1"]


def test_tensorboard_shows_the_scalars(er: Run) -> None:
    events = list(er.folder.rglob("events.out.tfevents*"))
    assert len(events) == 1
    board = EventAccumulator(str(events[0]))
    board.Reload()
    tags = {name: tag_of(name, {"knn_top1"}) for name in SCALARS}
    assert set(board.Tags()["scalars"]) >= set(tags.values())
    assert {"information/entropy_cap", "eval/knn_top1", "optim/lr"} <= set(board.Tags()["scalars"])
    assert "custom_scalars__config__" in board.Tags()["tensors"]
    assert board.Tags()["images"] == ["views"]
    recorded = curves(er.last())
    for name in SCALARS:
        steps, values = recorded[name]
        shown = board.Scalars(tags[name])
        assert [event.step for event in shown] == steps.tolist()
        np.testing.assert_allclose([event.value for event in shown], values, rtol=1e-5, atol=1e-7)


def test_every_checkpoint_opens_with_weights_only(er: Run) -> None:
    for number in (1, 2):
        content = torch.load(epoch(er.folder, number), weights_only=True)
        assert content["meta"]["epoch"] == number
        assert set(content) >= {"meta", "state_dict", "optimizer", "param_schedulers", "history"}


def test_the_console_shows_the_run_and_the_log_file_the_dumps(er: Run) -> None:
    text, log = er.out + er.err, (er.folder / "train.log").read_text()
    environment = (er.folder / "environment.txt").read_text()
    for word in ("digits (train)", "ERHead", "kNN top-1", "MI estimate", "summary.json"):
        assert word in text
    for dump in ("processor: ", "before_train:", f"timm: {timm.__version__}", "seed: 0"):
        assert dump not in text
        assert dump not in log
        assert dump in environment
    assert "environment in environment.txt, config in config.py" in log.splitlines()[0]
    assert "digits (train)" in "".join(log.splitlines()[:10])
    assert load_config(str(er.folder / "config.py")).model.head.type == "ERHead"
    assert "Traceback" not in text
    assert len(text.splitlines()) < 45


def test_the_same_run_again_and_by_objective_er_gives_the_same_numbers(
    er: Run, place: Path
) -> None:
    config = write_config(place, "byol_vit.py")
    assert train_cli(config, "--work-dir", place / "again", "--objective", "er") == 0
    assert_same_curves(er.last(), epoch(place / "again", 2))
    for number in (1, 2):
        one, other = (
            torch.load(epoch(f, number), weights_only=True) for f in (er.folder, place / "again")
        )
        for key, value in one["state_dict"].items():
            assert torch.equal(value, other["state_dict"][key]), key


def test_another_seed_gives_other_losses(er: Run, place: Path) -> None:
    assert train_cli(er.config, "--work-dir", place / "seed", "--seed", 1) == 0
    ours, other = curves(er.last())["loss"][1], curves(epoch(place / "seed", 2))["loss"][1]
    assert not np.isclose(ours, other).any()
    assert json.loads((place / "seed" / "summary.json").read_text())["seed"] == 1


def test_byol_without_er_reports_the_information_too(place: Path) -> None:
    config = write_config(place, "byol_vit.py")
    assert train_cli(config, "--work-dir", place / "native") == 0
    summary = json.loads((place / "native" / "summary.json").read_text())
    assert summary["entropy_trained"] is None
    for name in ("entropy", "reconstruction", "mi_bound", "mi_ceiling", "infonce"):
        assert np.isfinite(summary[name])
    assert 0 < summary["loss"] < 4


def test_what_is_measured_now_and_then_has_curves_and_means_of_its_own(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(place / "seldom", more="default_hooks['information']['interval'] = 3\n")
    assert train_cli(config, "--work-dir", place / "seldom_run") == 0
    recorded = curves(epoch(place / "seldom_run", 2))
    for name in ("loss", "entropy_trained"):
        assert recorded[name][0].tolist() == list(range(1, 11))
    steps, values = recorded["entropy"]
    assert steps.tolist() == [1, 4, 5, 7, 10]  # every third, and the last of each epoch
    summary = json.loads((place / "seldom_run" / "summary.json").read_text())
    assert summary["entropy"] == pytest.approx(values[-2:].mean())
    assert summary["loss"] == pytest.approx(recorded["loss"][1][5:].mean())
    assert f"entropy             {summary['entropy']:.2f} nats" in capsys.readouterr().out


@HOOKS.register_module(force=True)
class InterruptHook(Hook):
    """Ctrl-C at the first iteration of an epoch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def before_train_iter(self, runner: Any, *_: Any, **__: Any) -> None:
        if runner.epoch == self.epoch and runner.iter % 5 == 2:
            raise KeyboardInterrupt


def test_an_interrupted_run_that_is_resumed_equals_one_that_was_not(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Drop-path draws from torch's own generator, so it shows that this one goes on too.
    more = (
        "model['backbone']['model_args'].update(drop_path_rate=0.3, proj_drop_rate=0.1)\n"
        "train_cfg = dict(max_epochs=4)\n"
        "evaluation = dict(interval=1)\n"
    )
    whole = write_config(place / "whole", more=more)
    cut = write_config(
        place / "cut", more=more + "custom_hooks = [dict(type='InterruptHook', epoch=2)]\n"
    )
    assert train_cli(whole, "--work-dir", place / "whole_run") == 0
    assert train_cli(cut, "--work-dir", place / "cut_run") == 130
    assert "--resume goes on from the last checkpoint" in capsys.readouterr().err
    assert not (place / "cut_run" / "summary.json").exists()
    assert train_cli(whole, "--work-dir", place / "cut_run", "--resume") == 0
    assert_same_curves(epoch(place / "whole_run", 4), epoch(place / "cut_run", 4))
    summaries = [
        json.loads((place / f / "summary.json").read_text()) for f in ("whole_run", "cut_run")
    ]
    for name in ("knn_top1_init", "knn_top1", "loss", "entropy", "infonce", "epochs"):
        assert summaries[0][name] == summaries[1][name], name
    ours, theirs = (
        safetensors.torch.load_file(place / f / "backbone.safetensors")
        for f in ("whole_run", "cut_run")
    )
    assert set(ours) == set(theirs)
    assert all(torch.equal(value, theirs[key]) for key, value in ours.items())


def test_a_folder_with_a_run_is_refused_and_left_alone(
    er: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree(er.folder)
    assert train_cli(er.config, "--work-dir", er.folder) == 2
    assert f"error: {er.folder} holds a run already: add --resume" in capsys.readouterr().err
    assert tree(er.folder) == before


def test_a_finished_run_resumed_keeps_its_numbers(er: Run, place: Path) -> None:
    copy = place / "finished"
    shutil.copytree(er.folder, copy)
    assert train_cli(er.config, "--work-dir", copy, "--resume") == 0
    summary = json.loads((copy / "summary.json").read_text())
    for name in sorted(SUMMARY_KEYS - {"seconds"}):
        assert summary[name] == er.summary[name], name


def test_a_longer_run_goes_on_from_a_finished_one(er: Run, place: Path) -> None:
    options = ("--cfg-options", "train_cfg.max_epochs=3")
    folder = place / "longer"
    status = train_cli(er.config, "--work-dir", folder, "--resume", epoch(er.folder, 2), *options)
    assert status == 0
    assert json.loads((folder / "summary.json").read_text())["epochs"] == 3
    assert curves(epoch(folder, 3))["loss"].shape == (2, 15)
    assert not epoch(er.folder, 3).exists()


def test_a_dry_run_shows_the_plan_and_writes_nothing(
    er: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert train_cli(er.config, "--dry-run", "--work-dir", tmp_path / "none") == 0
    told = capsys.readouterr().out
    for words in (
        "TimmBackbone",
        "parameters (not trained)",
        "1,437 images",
        "2 epochs of 5 steps",
        "view 2",
        "teacher.momentum 0.9 to 1 (cosine)",
        "WarmupCosineLR",
        "GiB",
        "nothing was written",
    ):
        assert words in told
    assert list(tmp_path.iterdir()) == []


def test_mixed_precision_trains(er: Run, place: Path) -> None:
    folder = place / "amp"
    options = ("--cfg-options", "train_cfg.max_epochs=1")
    assert train_cli(er.config, "--amp", "--work-dir", folder, *options) == 0
    content = torch.load(epoch(folder, 1), weights_only=True)
    weights = content["state_dict"].values()
    assert {w.dtype for w in weights if w.is_floating_point()} == {torch.float32}
    ours, half = curves(er.last())["loss"][1], content["history"]["series"]["loss"]["values"]
    assert half[0] == pytest.approx(ours[0], abs=0.05)
    assert half[0] != ours[0]


def test_a_resumed_run_keeps_its_seed(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    config, short, whole = write_config(place), place / "seed3_short", place / "seed3"
    assert train_cli(config, "--work-dir", whole, "--seed", 3) == 0
    shutil.copytree(whole, short)
    for name in ("epoch_2.pth", "last_checkpoint", "summary.json"):
        (short / name).unlink()
    before = tree(place)
    refused = ("--resume", "--seed", 0)
    for argv in (("--work-dir", short, *refused), ("--work-dir", short, *refused, "--dry-run")):
        assert train_cli(config, *argv) == 2
        assert "epoch_1.pth is of a run with seed 3" in capsys.readouterr().err
    assert train_cli(config, "--work-dir", short, "--resume", "--dry-run") == 0
    assert "seed 3" in capsys.readouterr().out
    assert tree(place) == before
    assert train_cli(config, "--work-dir", short, "--resume") == 0
    assert_same_curves(epoch(whole, 2), epoch(short, 2))
    assert json.loads((short / "summary.json").read_text())["seed"] == 3


def test_a_run_that_was_stopped_before_its_first_checkpoint_can_be_started_again(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = place / "early"
    cut = write_config(place, more="custom_hooks = [dict(type='InterruptHook', epoch=0)]\n")
    assert train_cli(cut, "--work-dir", folder) == 130
    told = capsys.readouterr().err
    assert f"interrupted; nothing was saved in {folder} yet" in told
    assert "--resume" not in told
    assert (folder / "train.log").exists()
    assert train_cli(cut, "--work-dir", folder, "--resume") == 2
    assert "start without --resume" in capsys.readouterr().err
    one = ("--cfg-options", "train_cfg.max_epochs=1", "custom_hooks=[]")
    assert train_cli(cut, "--work-dir", folder, *one) == 0
    assert (folder / "summary.json").exists()
