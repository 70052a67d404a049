"""DeepCluster from end to end: clusters before each epoch, on the digits."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from mvssl.apis import TrainOptions
from mvssl.datasets import Digits
from mvssl.distributed import gather_interleaved
from mvssl.engine.hooks import ClusteringHook
from mvssl.engine.optim import AutocastOptimWrapper
from mvssl.evaluation.features import still_projections
from mvssl.models import MultiView
from mvssl.registry import MODELS
from mvssl.views import MultiViewPreprocessor
from tests.gloo_pool import GlooPool
from tests.mini import ROOT, assert_same_curves, curves, train_cli
from tests.runs import StubRun

api = importlib.import_module("mvssl.apis.train")

CONFIG = """
_base_ = [{base!r} + name for name in (
    'methods/{method}.py', 'datasets/digits.py', 'schedules/adamw.py', 'runtime.py')]
_view = dict(size=16, crop_scale=(0.7, 1.0), flip=0.0, brightness=0.2, contrast=0.2)
model = dict(
    backbone=dict(
        type='TimmBackbone', name='vit_tiny_patch16_224',
        model_args=dict(img_size=16, patch_size=4, embed_dim=32, depth=1, num_heads=2)),
    neck=dict(hidden_channels=32, out_channels=16, last_norm='batch'),
    head=dict(_delete_=True, type={head!r}, num_clusters=15, interval={interval}),
    data_preprocessor=dict(views=[_view] * {views}, size=16))
train_dataloader = dict(dataset=dict(size=16), batch_size=64)
optim_wrapper = dict(optimizer=dict(lr=3e-3))
param_scheduler = dict(warmup_epochs=1)
evaluation = None
train_cfg = dict(max_epochs={epochs})
default_hooks = dict(
    checkpoint=dict(interval=1, max_keep_ckpts=-1), scalars=dict(interval=1),
    information=dict(interval=1))
"""
METHODS = {
    "deepcluster": ("DeepClusterHead", 1),
    "deepclusterv2": ("DeepClusterV2Head", 2),
}


def write(folder: Path, method: str, epochs: int = 3, interval: int = 1, more: str = "") -> Path:
    head, views = METHODS[method]
    base = str(ROOT / "configs" / "_base_") + "/"
    file = folder / f"{method}.py"
    filled = CONFIG.format(
        base=base, method=method, head=head, views=views, epochs=epochs, interval=interval
    )
    file.write_text(filled + more)
    return file


@pytest.mark.parametrize("method", sorted(METHODS))
def test_clustering_maximises_the_er_estimate(tmp_path: Path, method: str) -> None:
    config = write(tmp_path, method, epochs=8, interval=8)
    assert train_cli(config, "--work-dir", tmp_path / "run") == 0
    recorded = {name: values for name, (_, values) in curves(tmp_path / "run/epoch_8.pth").items()}
    steps = len(recorded["loss"]) // 8
    # Over the data set clusters are of nearly equal weight: H(W) is at its maximum throughout.
    assert recorded["cluster_entropy_cap"][0] == pytest.approx(np.log(15))
    assert recorded["cluster_entropy"][0] > 0.93 * np.log(15)
    rise = {name: v[-steps:].mean() - v[:steps].mean() for name, v in recorded.items()}
    for name in ("reconstruction", "mi_bound"):
        assert rise[name] > 0.15, name
    # The clusters' H(W) - H(W|X) is H(W), as they are certain; this is the predictions'.
    assert rise["student_information"] > 0.0
    assert recorded["student_entropy"][-steps:].mean() > 0.93 * np.log(15)


def _model(engine: str = "device", norm: str = "batch") -> MultiView:
    torch.manual_seed(0)
    vit = {"img_size": 16, "patch_size": 8, "embed_dim": 16, "depth": 1, "num_heads": 2}
    model: MultiView = MODELS.build(
        {
            "type": "MultiView",
            "backbone": {
                "type": "TimmBackbone",
                "name": "vit_tiny_patch16_224",
                "model_args": vit,
            },
            "neck": {"type": "MLP", "hidden_channels": 12, "out_channels": 6, "norm": norm},
            "head": {"type": "DeepClusterV2Head", "num_clusters": 4, "num_samples": 360},
            "data_preprocessor": {
                "type": "MultiViewPreprocessor",
                "views": "byol",
                "size": 16,
                "engine": engine,
            },
        }
    )
    return model.double()


SWAV = """
model['head'] = dict(
    type='AssignmentHead', assigner=dict(type='Sinkhorn', epsilon=0.05, iterations=10),
    num_prototypes=15)
schedules = dict(use_queue=None, frozen=None)
"""


def test_swav_maximises_the_er_estimate(tmp_path: Path) -> None:
    text = write(tmp_path, "deepclusterv2").read_text().replace("deepclusterv2.py", "swav.py")
    config = tmp_path / "swav.py"
    config.write_text(text.replace("max_epochs=3", "max_epochs=8") + SWAV)
    assert train_cli(config, "--work-dir", tmp_path / "run") == 0
    recorded = {name: values for name, (_, values) in curves(tmp_path / "run/epoch_8.pth").items()}
    each_step = ("entropy", "reconstruction", "mi_bound")
    epochs = {name: recorded[name].reshape(8, -1).mean(axis=1) for name in each_step}
    # Sinkhorn spreads images over prototypes; ten runs of other seeds: 0.73 of the most at least.
    assert epochs["entropy"].min() > 0.65 * np.log(15)
    for name in ("reconstruction", "mi_bound"):  # they rise by 0.5 at least
        assert epochs[name][-1] - epochs[name][0] > 0.3, name


@pytest.mark.parametrize("engine", ["host", "device"])
def test_images_are_embedded_whole_and_still(engine: str) -> None:
    model, dataset = _model(engine), Digits("test", 16)
    preprocessor = model.data_preprocessor
    assert isinstance(preprocessor, MultiViewPreprocessor)
    dataset.view_transform = before = preprocessor.host_transform()
    found = still_projections(model, dataset, batch_size=100)
    assert dataset.view_transform is before
    assert model.training
    plain = Digits("test", 16)
    images = torch.stack([plain[i]["image"] for i in range(len(plain))]) / 255.0
    model.eval()
    with torch.no_grad():
        expected = model.neck(model.backbone(preprocessor.normalize(images.double())))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    found += 1.0  # no inference tensor


def test_images_of_another_size_are_shown_at_the_size_of_the_views() -> None:
    for engine in ("host", "device"):
        model, dataset = _model(engine), Digits("test", 24)
        assert still_projections(model, dataset).shape == (360, 6)


def _joined_projections() -> torch.Tensor:
    return gather_interleaved(still_projections(_model(), Digits("test", 16)), 360)


def test_each_process_embeds_its_share(run_distributed: GlooPool) -> None:
    alone = still_projections(_model(), Digits("test", 16))
    for joined in run_distributed(_joined_projections, 2):
        torch.testing.assert_close(joined, alone)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_a_resumed_run_equals_one_that_never_stopped(tmp_path: Path, method: str) -> None:
    config = write(tmp_path, method, epochs=4, interval=2)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert train_cli(config, "--work-dir", whole) == 0
    for stop in (1, 2):  # in the middle of an interval, and at its end
        folder = cut / str(stop)
        folder.mkdir(parents=True)
        (folder / f"epoch_{stop}.pth").write_bytes((whole / f"epoch_{stop}.pth").read_bytes())
        assert (
            train_cli(config, "--work-dir", folder, "--resume", folder / f"epoch_{stop}.pth") == 0
        )
        assert_same_curves(whole / "epoch_4.pth", folder / "epoch_4.pth")
        states = [torch.load(f / "epoch_4.pth", weights_only=True) for f in (whole, folder)]
        for name, value in states[0]["state_dict"].items():
            assert torch.equal(value, states[1]["state_dict"][name]), name


def test_batch_norm_warms_up_in_the_pieces_and_the_precision_of_a_step() -> None:
    model = _model().float()
    seen = []

    def look(module: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        if module.training:
            seen.append((len(given[0]), torch.is_autocast_enabled("cpu")))

    model.backbone.register_forward_pre_hook(look)
    run = StubRun(
        model,
        AutocastOptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1)),
        DataLoader(Digits("test", 16), batch_size=120),
        micro_batch_size=24,
    )
    ClusteringHook().before_train_epoch(run)
    assert seen == [(2 * 24, True)] * 15  # two views of 360 images
    norm = next(part for part in model.modules() if isinstance(part, nn.BatchNorm1d))
    assert int(norm.num_batches_tracked or 0) == 15


def _train(arguments: dict[str, Any]) -> None:
    rank, world = torch.distributed.get_rank(), torch.distributed.get_world_size()
    environment = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world}
    before = dict(os.environ)
    os.environ.update({name: str(value) for name, value in environment.items()})
    try:
        api.train(TrainOptions(**arguments, launcher="pytorch"))
    finally:
        os.environ.clear()
        os.environ.update(before)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_two_processes_cluster_as_one(
    run_distributed: GlooPool, tmp_path: Path, method: str
) -> None:
    config = str(write(tmp_path, method, epochs=1))
    api.train(TrainOptions(config, work_dir=str(tmp_path / "one")))
    run_distributed(_train, 2, {"config": config, "work_dir": str(tmp_path / "two")})
    ours, theirs = (curves(tmp_path / name / "epoch_1.pth") for name in ("one", "two"))
    assert set(ours) == set(theirs)
    for name in ("cluster_entropy", "cluster_inertia"):
        np.testing.assert_allclose(theirs[name], ours[name], rtol=2e-2, err_msg=name)
    for name in ("loss", "reconstruction", "student_entropy"):
        np.testing.assert_allclose(theirs[name][:, 0], ours[name][:, 0], rtol=2e-2, err_msg=name)
