"""Evaluators beside training, in real runs of the main job made small."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch
from mmengine.hooks import Hook

from mvssl.apis import TrainOptions, train
from mvssl.config.checks import check_config
from mvssl.config.read import load_config
from mvssl.datasets import Digits
from mvssl.engine.hooks import EvaluationHook
from mvssl.engine.run import Run
from mvssl.errors import UserError
from mvssl.registry import DATASETS, EVALUATORS, HOOKS
from tests.apis.test_train import _train as train_as_rank
from tests.evaluation.small import (
    BackboneMean,
    CountedDigits,
    MeanFeature,
    ViewAgreement,
    registered,
)
from tests.gloo_pool import GlooPool
from tests.mini import curves, write_config

FEW = "dict(_delete_=True, type='CountedDigits', size=32, test_fraction={})"
OWN = f"""
evaluation = dict(
    train={FEW.format(0.03)},
    test={FEW.format(0.02)},
    interval=2,
    evaluators=dict(
        knn=dict(k=3),
        information=dict(type='Information'),
        mean=dict(type='MeanFeature'),
        views=dict(type='ViewAgreement'),
        backbone=dict(type='BackboneMean')))
"""
NAMES = ("knn_top1", "mean_feature", "agreement", "backbone_mean", "heldout_mi_bound")


@pytest.fixture(autouse=True)
def _own_parts() -> Iterator[None]:
    DATASETS.register_module(module=CountedDigits, force=True)
    with registered(BackboneMean, MeanFeature, ViewAgreement):
        yield
    DATASETS.module_dict.pop("CountedDigits")


def run(config: Path, folder: Path, **options: Any) -> dict[str, Any]:
    summary = train(TrainOptions(str(config), work_dir=str(folder), **options))
    assert summary is not None
    return summary


def test_every_evaluator_is_measured_before_during_and_after_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path, more=OWN + "train_cfg = dict(max_epochs=3)\n")
    summary = run(config, tmp_path / "run")
    recorded = curves(tmp_path / "run" / "epoch_3.pth")
    for name in NAMES:
        steps, values = recorded[name]
        assert steps.tolist() == [0, 10, 15], name  # five steps an epoch; the last comes always
        assert (summary[f"{name}_init"], summary[name]) == (values[0], values[-1])
    pixels = {name for name in recorded if name.endswith("_pixels")}
    assert pixels == {"knn_top1_pixels", "knn_balanced_pixels", "mean_feature_pixels"}
    for name in pixels:
        assert recorded[name][0].tolist() == [0]
        assert summary[name] == recorded[name][1][0]
    assert summary["evaluation"] == {
        "knn": {"k": 3, "temperature": 0.07},
        "information": {"kappa": 10.0, "images": 2048},
        "mean": {},
        "views": {"images": None},
        "backbone": {},
    }
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["evaluation_note"] is None
    told = capsys.readouterr().out
    for line in (
        f"before training  kNN top-1 {summary['knn_top1_init']:.3f}  (k=3, t=0.07)\n",
        f"epoch 3          kNN top-1 {summary['knn_top1']:.3f}  (k=3, t=0.07)\n",
        f"epoch 3          mean feature {summary['mean_feature']:.2f}\n",
        f"epoch 3          held-out MI {summary['heldout_mi_bound']:.2f}  held-out RankMe ",
    ):
        assert line in told
    assert "backbone_mean" not in told  # it is recorded, and asks not to be listed


def hook(**arguments: Any) -> EvaluationHook:
    digits = {"type": "Digits", "size": 8}
    evaluators = {"knn": {"type": "KNN"}}
    return EvaluationHook(
        **{"train": digits, "test": digits, "evaluators": evaluators, **arguments}
    )


def test_evaluators_are_left_out_by_none() -> None:
    chosen = hook(evaluators={"off": None, "mean": {"type": "MeanFeature"}})
    assert list(chosen.evaluators) == ["mean"]


@pytest.mark.parametrize(
    "wrong", [{"interval": 0}, {"batch_size": -1}, {"num_workers": -1}, {"interval": 1.5}]
)
def test_the_numbers_of_the_hook_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=f"EvaluationHook: {next(iter(wrong))} is an integer"):
        hook(**wrong)


def test_what_is_no_evaluator_is_refused() -> None:
    def plain() -> list[int]:
        return []

    EVALUATORS.register_module(module=plain)
    try:
        with pytest.raises(UserError, match="list is not derived from mvssl"):
            hook(evaluators={"mine": {"type": "plain"}})
    finally:
        EVALUATORS.module_dict.pop("plain")


def test_two_evaluators_of_one_name_are_told_before_training(tmp_path: Path) -> None:
    more = "evaluation = dict(evaluators=dict(twin=dict(type='KNN', k=5)))\n"
    with pytest.raises(UserError, match="KNN and KNN both give 'knn_top1'"):
        run(write_config(tmp_path, more=more), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_resumed_run_keeps_its_results_and_measures_new_evaluators(tmp_path: Path) -> None:
    first = write_config(tmp_path / "a", more=OWN + "evaluation['evaluators'].pop('views')\n")
    whole = run(first, tmp_path / "run")
    shutil.copytree(tmp_path / "run", tmp_path / "again")
    again = run(first, tmp_path / "again", resume=True)
    for name in (*NAMES, "knn_top1_pixels"):
        assert again.get(name) == whole.get(name)
        assert again.get(f"{name}_init") == whole.get(f"{name}_init")
    more = write_config(tmp_path / "b", more=OWN + "train_cfg = dict(max_epochs=3)\n")
    longer = run(more, tmp_path / "longer", resume=str(tmp_path / "run" / "epoch_2.pth"))
    recorded = curves(tmp_path / "longer" / "epoch_3.pth")
    assert recorded["agreement"][0].tolist() == [10, 15]
    assert longer["agreement_init"] is None  # it was not there before training
    assert longer["agreement"] == recorded["agreement"][1][-1]
    assert longer["knn_top1_init"] == whole["knn_top1_init"]
    assert recorded["knn_top1"][0].tolist() == [0, 10, 15]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Forty digits as files, in a folder for each of two classes."""
    digits = Digits("test", 32)
    assert digits.labels is not None
    for name in (0, 1):
        (tmp_path / "data" / str(name)).mkdir(parents=True)
        for index in (digits.labels == name).nonzero()[0][:20].tolist():
            image = digits.read(index)
            cv2.imwrite(str(tmp_path / "data" / str(name) / f"{index}.png"), image)
    return tmp_path / "data"


SMALL = {"train_dataloader.batch_size": 16, "train_cfg.max_epochs": 1}
LABEL_FREE = "evaluation = dict(evaluators=dict(information=dict(type='Information')))\n"


def test_a_folder_without_labels_is_evaluated_without(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path, more=LABEL_FREE)
    summary = run(config, tmp_path / "run", data=str(folder), cfg_options=SMALL)
    assert "knn_top1" not in summary
    assert summary["evaluation"] == {"information": {"kappa": 10.0, "images": 2048}}
    assert summary["heldout_mi_ceiling"] == pytest.approx(torch.tensor(40.0).log())  # all of them
    told = capsys.readouterr().out
    assert "note: evaluation by knn is left out, for want of labels (add --labels" in told
    assert "held-out MI" in told
    assert "kNN" not in told


def test_a_folder_with_labels_is_evaluated_by_all(tmp_path: Path, folder: Path) -> None:
    config = write_config(tmp_path, more=LABEL_FREE)
    options = {"labels": True, "cfg_options": SMALL}
    summary = run(config, tmp_path / "run", data=str(folder), **options)
    assert set(summary["evaluation"]) == {"knn", "information"}
    assert 0 <= summary["knn_top1"] <= 1
    assert summary["heldout_mi_ceiling"] == pytest.approx(torch.tensor(8.0).log())  # held out


def test_where_nothing_is_left_the_reason_is_given(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path)
    summary = run(config, tmp_path / "run", data=str(folder), cfg_options=SMALL)
    assert summary["evaluation"] is None
    assert summary["evaluation_note"].startswith("not measured: no labels (add --labels")
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split()[:3] == ["evaluation", "not", "measured:"] for line in lines)
    none = {"evaluation": None, "train_cfg.max_epochs": 1}
    summary = run(config, tmp_path / "none", cfg_options=none)
    assert summary["evaluation_note"] == "not measured: the config has no evaluators"


def _train(arguments: dict[str, Any]) -> dict[str, Any] | None:
    DATASETS.register_module(module=CountedDigits, force=True)
    with registered(BackboneMean, MeanFeature, ViewAgreement):
        summary = train_as_rank(arguments)
    assert summary is None or isinstance(summary, dict)
    return summary


def test_two_processes_measure_what_one_does(run_distributed: GlooPool, tmp_path: Path) -> None:
    config = str(write_config(tmp_path, more=OWN))
    options = {"train_cfg.max_epochs": 1}
    alone = run(Path(config), tmp_path / "one", cfg_options=options)
    arguments = {"config": config, "work_dir": str(tmp_path / "two"), "cfg_options": options}
    first, second = run_distributed(_train, 2, arguments)
    assert first is not None
    assert second is None
    for name in NAMES:
        expected = alone[f"{name}_init"]
        assert first[f"{name}_init"] == pytest.approx(expected, rel=1e-3, abs=1e-4), name
    for name in ("knn_top1_pixels", "mean_feature_pixels"):
        assert first[name] == pytest.approx(alone[name], rel=1e-6)


def test_check_config_knows_the_blocks_of_an_evaluation(tmp_path: Path) -> None:
    assert check_config(load_config(write_config(tmp_path, more=OWN)).to_dict()) == []


class StopAfterOne(Hook):
    """Ends a run with its first epoch."""

    def after_train_epoch(self, runner: Run) -> None:
        runner.train_loop.stop_training = True


def test_a_run_that_a_hook_ends_is_measured_at_its_end(tmp_path: Path) -> None:
    HOOKS.register_module(module=StopAfterOne)
    try:
        more = "custom_hooks = [dict(type='StopAfterOne')]\nevaluation = dict(interval=100)\n"
        config = write_config(tmp_path, "byol_vit.py", more)
        run(config, tmp_path / "run", cfg_options={"train_cfg.max_epochs": 3})
    finally:
        HOOKS.module_dict.pop("StopAfterOne")
    measured = curves(tmp_path / "run" / "epoch_1.pth")["knn_top1"][0]
    assert measured.tolist() == [0, 5]
    assert not (tmp_path / "run" / "epoch_2.pth").exists()
