from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config

from mvssl.apis.fitting import fit_to_data, put_back
from tests.mini import ROOT, train_cli

MODEL: dict[str, Any] = {
    "neck": {"num_prototypes": 65536},
    "head": {"num_clusters": [30, 3000], "target": {"queue_size": 98304}},
}


def fitted(num_samples: int, batch: int, given: dict[str, Any] | None = None) -> dict[str, Any]:
    content = {"model": copy.deepcopy(MODEL), "train_dataloader": {"batch_size": batch}}
    cfg = Config(content)
    values, notes = fit_to_data(cfg, num_samples, given or {})
    assert len(values) == len(notes)
    again = Config({"model": copy.deepcopy(MODEL)})
    put_back(again, values)
    assert again.model == cfg.model
    return values


def test_what_outnumbers_the_images_is_lowered() -> None:
    assert fitted(500, 64) == {
        "model.neck.num_prototypes": 50,
        "model.head.num_clusters": [30, 50],
        "model.head.target.queue_size": 384,  # 6 batches: 500 images less the present batch
    }


@pytest.mark.parametrize(("images", "most"), [(10, 10), (16, 16), (120, 16), (170, 17), (999, 99)])
def test_every_cluster_has_ten_images_or_there_are_few(images: int, most: int) -> None:
    for value, left in ((most, most), (most + 1, most), (images, most)):
        cfg = Config(
            {"model": {"head": {"num_clusters": value}}, "train_dataloader": {"batch_size": 8}}
        )
        fitted = fit_to_data(cfg, images, {})
        assert cfg.model.head.num_clusters == left
        assert [note.split()[1:4] for note in fitted.notes] == (
            [["model.head.num_clusters", "is", f"{left},"]] if left < value else []
        )


def test_what_fits_and_what_was_said_stay() -> None:
    assert fitted(2**20, 256) == {}
    said = {"model.neck.num_prototypes": 65536, "model.head": {}}
    assert fitted(500, 64, said) == {}


def test_a_queue_is_a_multiple_of_the_batch() -> None:
    assert fitted(2**20, 100) == {"model.head.target.queue_size": 98300}


def test_a_queue_of_assignments_may_hold_an_image_twice() -> None:
    head = {"assigner": {"type": "Sinkhorn"}, "queue_size": 3850}
    cfg = Config({"model": {"head": head}, "train_dataloader": {"batch_size": 64}})
    assert fit_to_data(cfg, 1437, {}).values == {"model.head.queue_size": 3840}


SMALL = """
_base_ = [{base!r}]
model = dict(
    backbone=dict(model_args=dict(embed_dim=16, depth=1, num_heads=2)),
    neck=dict(hidden_channels=16, out_channels=8),
    head=dict(num_clusters=5000, interval=1))
train_dataloader = dict(dataset=dict(split='test', test_fraction=0.02), batch_size=16)
train_cfg = dict(max_epochs=1)
evaluation = None
"""


def test_a_resumed_run_keeps_what_was_fitted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "small.py"
    config.write_text(SMALL.format(base=str(ROOT / "configs" / "deepcluster_vit.py")))
    work = tmp_path / "run"
    assert train_cli(config, "--work-dir", work, "--batch-size", 8) == 0
    told = capsys.readouterr().out
    assert "note: model.head.num_clusters is 16, not 5000, to fit 36 images." in told
    assert "note: learning rate 0.001 for batches of 8: 0.002 is that of 16" in told
    meta = torch.load(work / "epoch_1.pth", weights_only=True)["meta"]
    assert meta["options"]["fitted"] == {"model.head.num_clusters": 16}
    assert meta["values"]["model"]["head"]["num_clusters"] == 16
    more = ["--cfg-options", "train_cfg.max_epochs=2"]
    assert train_cli(config, "--resume", "--work-dir", work, *more) == 0
    told = capsys.readouterr().out
    assert "goes on as before, with --batch-size 8" in told
    meta = torch.load(work / "epoch_2.pth", weights_only=True)["meta"]
    assert meta["options"]["fitted"] == {"model.head.num_clusters": 16}
    assert meta["options"]["batch_size"] == 8
    more = ["--batch-size", "12", "--cfg-options", "train_cfg.max_epochs=3"]
    assert train_cli(config, "--resume", "--work-dir", work, *more) == 0
    assert "train_dataloader.batch_size was 8 and is 12 from here on" in capsys.readouterr().out
    assert train_cli(config, "--resume", "--work-dir", work, "--image-size", "64") == 2
    assert "leave out --image-size 64" in capsys.readouterr().err
