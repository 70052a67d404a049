"""What a checkpoint says of its command line sets numbers and names, and runs nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mvssl.apis import TrainOptions, train
from mvssl.apis.adopted import adoptable
from mvssl.apis.resume import described
from mvssl.checkpoint import RunCheckpoint, load_checkpoint, save_checkpoint
from mvssl.errors import UserError
from tests.mini import ROOT, prepared, tree, write_config

PATH = Path("epoch_1.pth")
RUNS = {"type": "os.system", "command": "touch run"}
HARMLESS: dict[str, Any] = {
    "optim_wrapper.optimizer.lr": 1e-3,
    "optim_wrapper.optimizer": {"type": "SGD", "lr": 0.1, "_delete_": True},
    "optim_wrapper.constructor": "DefaultOptimWrapperConstructor",
    "param_scheduler": [{"type": "CosineAnnealingLR", "by_epoch": False}],
    "model.backbone.name": "vit_tiny_patch16_224.augreg_in21k",
    "model.backbone.model_args": {"img_size": 32, "drop_path_rate": 0.1},
    "model.head.loss": {"type": "InfoNCELoss", "temperature": 0.2},
    "model.data_preprocessor.views": "byol",
    "custom_hooks": [{"type": "ScheduleHook", "path": "model.head.kappa", "end": 2.0}],
    "evaluation": None,
    "evaluation.test.root": "../held out/test",
    "activation_checkpointing": ["backbone.model"],
    "default_hooks.checkpoint.interval": 1,
    "compile": True,
}
HARMFUL: list[tuple[str, Any]] = [
    ("custom_hooks", [RUNS]),
    ("custom_hooks.0.type", "os.system"),
    ("custom_hooks", [{"type": "antigravity"}]),
    ("custom_hooks", [{"type": "TeacherHook", "_scope_": "mmdet"}]),
    ("custom_imports", {"imports": ["antigravity"]}),
    ("custom_imports.imports", ["antigravity"]),
    ("evaluation", {"type": "EvaluationHook", "train": RUNS}),
    ("model", {"backbone": {"parts": [{"type": RUNS}]}}),
    ("model.backbone.type", "os.system"),
    ("model.backbone.checkpoint", RUNS),
    ("model.backbone", {"type": "TimmBackbone", "name": "resnet18", "pretrained": True}),
    ("model.backbone.name", "hf-hub:someone/model"),
    ("model.backbone.name", "local-dir:/home"),
    ("model.backbone.model_args.pretrained_cfg_overlay", {"url": "x"}),
    ("model.backbone.model_args", {"pretrained_cfg": {"file": "x"}}),
    ("optim_wrapper.constructor", "os.system"),
    ("visualizer.vis_backends", [{"type": "WandbVisBackend"}]),
    ("compile", {"options": {"cpp.cxx": ["sh"]}}),
    ("compile.options", {"cpp": 1}),
    ("compile.backend", "tvm"),
    ("train_dataloader.dataset.root", "a\nnote: b"),
    ("train_dataloader.dataset.root", "http://host"),
    ("evaluation.test", {"type": "ImageList", "file": "a.txt", "root": "s3://bucket"}),
    ("evaluation.test", {"type": "TorchvisionImages", "name": "CIFAR10", "download": True}),
    ("train_dataloader.dataset.download", 1),
    ("a\nnote: b", 1),
    ("", 1),
]


def test_numbers_names_and_registered_components_are_taken_over() -> None:
    assert adoptable(HARMLESS, PATH) == HARMLESS


@pytest.mark.parametrize(("name", "value"), HARMFUL, ids=str)
def test_what_could_run_code_or_reach_a_network_is_refused(name: str, value: Any) -> None:
    with pytest.raises(UserError, match=r"epoch_1\.pth says .* not taken from a file") as told:
        adoptable({name: value}, PATH)
    assert "\n" not in str(told.value)


def test_weights_that_are_left_out_anyway_are_not_refused() -> None:
    over = {"model.backbone.pretrained": True, "model.backbone.parts.0.checkpoint": "/a/b.pth"}
    assert adoptable(over, PATH) == over


def test_a_run_that_goes_on_still_says_what_it_began_with(tmp_path: Path) -> None:
    file = tmp_path / "old weights.pth"
    file.touch()
    begun = TrainOptions(str(ROOT / "configs/byol_er_vit.py"), init_from=str(file))
    job = prepared(replace(begun, init_from=None))
    meta = described(begun, job)
    assert meta["options"]["init_from"] == str(file)
    went_on = replace(begun, init_from=None, resume=True)
    again = described(went_on, job, RunCheckpoint(tmp_path / "epoch_1.pth", {"meta": meta}))
    assert again["options"]["init_from"] == str(file)
    old: dict[str, Any] = {"meta": {"options": {}}}
    assert described(went_on, job, RunCheckpoint(file, old))["options"]["init_from"] is None


def test_a_resumed_run_runs_nothing_that_its_checkpoint_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = write_config(tmp_path, "byol_er_vit.py", "evaluation = None\n")
    changes = {"train_cfg.max_epochs": 1, "train_dataloader.batch_size": 1024}
    train(TrainOptions(str(config), work_dir="first", cfg_options=changes))
    content = load_checkpoint("first/epoch_1.pth")
    content["meta"]["options"]["cfg_options"] = {**changes, "custom_hooks": [RUNS]}
    save_checkpoint(content, "a.pth")
    before = tree(tmp_path)
    for given in (True, False):
        own: dict[str, Any] = {"custom_hooks": []} if given else {}
        options = TrainOptions(str(config), "two", resume="a.pth", dry_run=True, cfg_options=own)
        if given:
            train(options)
            continue
        with pytest.raises(UserError, match=r"custom_hooks=.*os\.system.*give it again"):
            train(options)
    assert tree(tmp_path) == before
