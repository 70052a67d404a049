"""What of two configs differs, and what is done about it."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from mvssl.apis import TrainOptions
from mvssl.config.changes import Rule, changes, plain_values
from tests.mini import ROOT, prepared

BEFORE: dict[str, Any] = {
    "model": {
        "backbone": {"name": "resnet18", "checkpoint": None},
        "head": {"type": "ERHead", "kappa": 10.0},
        "predictor": {"type": "MLP", "hidden_channels": 8},
        "teacher": {"momentum": 0.9},
        "data_preprocessor": {"views": [{"flip": 0.5}, {"flip": 0.5}], "mean": [0.5, 0.5, 0.5]},
    },
    "train_dataloader": {"batch_size": 8, "dataset": {"type": "ImageFolder", "root": "a"}},
    "optim_wrapper": {
        "type": "OptimWrapper",
        "constructor": "DecayGroups",
        "optimizer": {"type": "AdamW", "lr": 1e-3, "weight_decay": 0.05},
    },
    "param_scheduler": {"type": "WarmupCosineLR", "warmup_epochs": 1},
    "schedules": {"teacher_momentum": {"path": "model.teacher.momentum", "end": 1.0}},
    "train_cfg": {"max_epochs": 2},
    "default_hooks": {"checkpoint": {"type": "CheckpointHook", "interval": 1}},
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """The config with another value; None as a value leaves it out."""
    now = copy.deepcopy(BEFORE)
    node: Any = now
    *way, last = path.split(".")
    for key in way:
        node = node[int(key) if isinstance(node, list) else key]
    node[int(last) if isinstance(node, list) else last] = value
    return now


@pytest.mark.parametrize(
    ("path", "value", "rule"),
    [
        ("model.head.kappa", 20.0, Rule.AGREES),
        ("model.predictor", None, Rule.AGREES),
        ("model.teacher", None, Rule.AGREES),
        ("model.teacher.momentum", 0.99, Rule.CHANGES),
        ("model.backbone.checkpoint", "a.pth", Rule.OVER),
        ("model.data_preprocessor.mean.0", 0.4, Rule.AGREES),
        ("model.data_preprocessor.views", "byol", Rule.AGREES),
        ("train_dataloader.batch_size", 16, Rule.CHANGES),
        ("train_dataloader.dataset.root", "b", Rule.SILENT),
        ("train_dataloader.dataset.size", 32, Rule.AGREES),
        ("train_dataloader.num_workers", 2, Rule.CHANGES),
        ("train_dataloader.shuffle_window", 100, Rule.AGREES),
        ("optim_wrapper.type", "AutocastOptimWrapper", Rule.CHANGES),
        ("optim_wrapper.clip_grad", {"max_norm": 1.0}, Rule.CHANGES),
        ("optim_wrapper.paramwise_cfg", {"bias_decay_mult": 0.0}, Rule.AGREES),
        ("optim_wrapper.optimizer.lr", 1.0, Rule.CHANGES),
        ("optim_wrapper.optimizer.amsgrad", True, Rule.AGREES),
        ("param_scheduler.warmup_epochs", 3, Rule.CHANGES),
        ("schedules.teacher_momentum.end", 0.99, Rule.CHANGES),
        ("schedules.kappa", {"path": "model.head.kappa", "end": 20.0}, Rule.AGREES),
        ("train_cfg.max_epochs", 4, Rule.CHANGES),
        ("default_hooks.checkpoint.interval", 5, Rule.CHANGES),
        ("evaluation", {"interval": 5}, Rule.CHANGES),
        ("er_head", {"type": "ERHead"}, Rule.SILENT),
    ],
)
def test_one_difference_is_found_and_sorted(path: str, value: Any, rule: Rule) -> None:
    if value is None:
        assert path.split(".")[1] in BEFORE["model"]
    (found,) = changes(plain_values(BEFORE), plain_values(changed(path, value)))
    assert (found.path, found.rule) == (path, rule)
    (back,) = changes(plain_values(changed(path, value)), plain_values(BEFORE))
    assert (back.path, back.rule, back.now) == (path, rule, found.before)


def test_inside_of_a_list_the_entry_is_named() -> None:
    now = changed("model.data_preprocessor.views.1.flip", 0.0)
    (found,) = changes(BEFORE, now)
    assert str(found) == "model.data_preprocessor.views.1.flip was 0.5 and is 0.0"


def test_of_another_component_the_arguments_are_not_listed_where_it_is_refused() -> None:
    now = changed("model.head", {"type": "PairHead", "loss": {"type": "InfoNCELoss"}})
    assert [c.path for c in changes(BEFORE, now)] == ["model.head.type"]


@pytest.mark.parametrize("nothing", [None, {}, []])
def test_nothing_and_none_are_one(nothing: Any) -> None:
    assert changes(BEFORE, changed("evaluation", nothing)) == []


def test_values_of_any_kind_are_made_plain_and_compare_equal() -> None:
    odd = {"type": TrainOptions, "rate": np.float64(0.5), "size": (2, 3), "path": ROOT, 4: abs}
    plain = plain_values(odd)
    assert plain["type"] == "mvssl.apis.options.TrainOptions"
    assert (plain["rate"], plain["size"], plain["path"]) == (0.5, [2, 3], str(ROOT))
    assert changes(plain, plain_values(odd)) == []


def test_a_config_of_the_project_is_what_it_was_and_all_methods_differ() -> None:
    def values(name: str) -> dict[str, Any]:
        job = prepared(TrainOptions(str(ROOT / "configs" / name)))
        found: dict[str, Any] = plain_values(job.cfg.to_dict())
        return found

    byol, simclr = values("byol_vit.py"), values("simclr_vit.py")
    assert changes(byol, values("byol_vit.py")) == []
    refused = [c.path for c in changes(byol, simclr) if c.rule is Rule.AGREES]
    assert "model.head.loss.type" in refused
