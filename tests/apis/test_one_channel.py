"""A network of images with one channel, from training to everything that comes after."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from mvssl import export
from mvssl.apis.evaluate import EvaluateOptions, evaluate_backbones
from mvssl.apis.extract import extract
from mvssl.apis.finetune import FinetuneOptions, finetune
from mvssl.apis.report import ReportOptions, report_run
from tests.mini import train_cli, write_config, write_digits
from tests.report.pages import Page

pytestmark = pytest.mark.usefixtures("_quick_runs")


def test_one_channel_from_training_to_the_page(tmp_path: Path) -> None:
    data, run = write_digits(tmp_path / "digits", train=20, test=8), tmp_path / "run"
    kept = [f"{place}.channels=1" for place in ("train_dataloader.dataset", "evaluation.test")]
    words = [
        "--data",
        data,
        "--labels",
        "--batch-size",
        16,
        "--cfg-options",
        *kept,
        "evaluation.train.channels=1",
    ]
    assert train_cli(write_config(tmp_path), *words, "--work-dir", run) == 0
    weights = load_file(run / "backbone.safetensors")
    assert weights["patch_embed.proj.weight"].shape[1] == 1

    found = extract(run, data)
    assert len(found) == 84
    assert np.isfinite(found.x).all()
    assert np.ptp(found.x, axis=0).max() > 0
    evaluated = evaluate_backbones(
        EvaluateOptions([str(run), "pixels"], str(data), evaluators=["knn"], options={"knn.k": 3})
    )
    assert [0 <= one.results["knn_top1"] <= 1 for one in evaluated] == [True, True]
    assert export(run, "timm", tmp_path / "timm", data=data) < 1e-4
    config = json.loads((tmp_path / "timm" / "config.json").read_text())
    assert config["pretrained_cfg"]["input_size"][0] == 1
    assert len(config["pretrained_cfg"]["mean"]) == 1
    assert export(run, "torch_export", tmp_path / "graph") < 1e-4
    finetune(FinetuneOptions(str(run), str(data), str(tmp_path / "tuned"), epochs=1))
    assert (tmp_path / "tuned" / "classifier.safetensors").is_file()
    for given in (None, str(data)):
        report_run(ReportOptions(str(run), data=given, images=20))
        assert Page(run / "report.html").root.all("figure", "map")
