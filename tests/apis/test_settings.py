"""What mmengine's Runner builds from a config is tried, and told in a sentence, before a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from torch import nn

from mvssl.apis import TrainOptions
from mvssl.engine.recompute import recomputed_parts
from mvssl.errors import UserError
from tests.mini import prepared, write_config
from tests.runs import small_model

WHOLE = {"evaluation": None, "train_dataloader.batch_size": 8}


def told(config: Path, options: dict[str, Any]) -> str:
    """The sentence of a config with these options, which is refused."""
    with pytest.raises(UserError) as caught:
        prepared(TrainOptions(config=str(config), cfg_options={**WHOLE, **options}))
    return str(caught.value)


FAULTS: list[tuple[str, Any, str]] = [
    ("visualizer.vis_backends", [{"type": "WandbVisBackend"}], "needs the package wandb"),
    ("visualizer.vis_backends", [{"type": "MLflowVisBackend"}], "pip install mlflow, or leave"),
    ("visualizer.vis_backends", [{"type": "NoBackend"}], "not in the registry VISBACKENDS"),
    ("visualizer.vis_backends", [{"type": "LocalVisBackend", "x": 1}], "takes no 'x'"),
    (
        "visualizer.vis_backends",
        [{"type": "LocalVisBackend"}] * 2,
        "there are two of 'LocalVisBackend'",
    ),
    ("visualizer.vis_backends", 3, "visualizer.vis_backends: Visualizer takes a list, a dict"),
    ("visualizer", 3, "visualizer is a dict, got 3"),
    (
        "activation_checkpointing",
        ["bakcbone"],
        "has no part 'bakcbone'; did you mean 'backbone' or",
    ),
    ("activation_checkpointing", 3, "activation_checkpointing is a list of names"),
    ("activation_checkpointing", [3], "a list of names of parts of the model, got 3 in it"),
    ("activation_checkpointing", ["head"], "name the backbone, the neck, the predictor"),
    ("compile", "fast", "compile is True, False or a dict"),
    ("compile", {"mod": "default"}, "compile takes no 'mod'; did you mean 'mode'"),
    ("compile", {"fullgraph": "yes"}, "compile.fullgraph: compile takes True or False"),
    ("env_cfg", {"cudnn_benchmrk": True}, "takes no 'cudnn_benchmrk'; did you mean"),
    ("env_cfg", {"cudnn_benchmark": 3}, "env_cfg.cudnn_benchmark: Environment takes True or"),
    ("env_cfg", {"mp_cfg": 3}, "env_cfg.mp_cfg is a dict, got 3"),
    ("env_cfg", {"mp_cfg": {"mp_start_method": "spwan"}}, "mp_start_method is one of fork"),
    ("env_cfg", {"mp_cfg": {"opencv_num_threads": "two"}}, "takes a whole number here"),
    ("env_cfg", {"dist_cfg": {"backend": "nccl"}}, "the backend follows from the device"),
    ("optim_wrapper.optimizer.betas", 3, "AdamW takes a list of 2 numbers here, got 3"),
    ("env_cfg", {"resource_limit": -1}, "resource_limit is an integer and at least 1"),
    ("log_level", "info", "got 'info'; did you mean 'INFO'?"),
    ("log_level", [], "log_level is one of DEBUG"),
    ("log_level", 1000, "log_level is a number from 0 to 50"),
    ("default_scope", "mmengine", "default_scope is 'mvssl', got 'mmengine'"),
    ("default_scope", 3, "default_scope is 'mvssl', got 3"),
    ("find_unused_parameters", "yes", "find_unused_parameters is True or False"),
    ("custom_hooks", [3], "custom_hooks.0 is a dict, got 3"),
    ("default_hooks.scalars", 3, "default_hooks.scalars is a dict, got 3"),
    ("default_hooks.scalars.priority", "HIHG", "got 'HIHG'; did you mean 'HIGH'"),
    ("default_hooks.scalars.priority", 200, "from 0 (first) to 100"),
    ("default_hooks.scalars.priority", [], "priority is a whole number"),
    ("default_hooks.scalars.priority", True, "priority is a whole number"),
]


@pytest.mark.parametrize(
    ("path", "value", "words"), FAULTS, ids=[f"{path}={value}" for path, value, _ in FAULTS]
)
def test_a_setting_that_cannot_be(tmp_path: Path, path: str, value: Any, words: str) -> None:
    text = told(write_config(tmp_path), {path: value})
    assert words in text
    assert "Error" not in text


def test_a_list_that_computes_nothing_is_not_recomputed() -> None:
    model = small_model({"type": "PairHead", "loss": {"type": "CosineSimilarityLoss"}})
    model.neck.register_module("bag", nn.ModuleList([nn.Linear(2, 2)]))
    with pytest.raises(
        UserError, match=r"'neck\.bag' only holds .* what it holds \(neck\.bag\.0\)"
    ):
        recomputed_parts(model, ["neck.bag"])


@pytest.mark.parametrize(
    "options",
    [
        {"visualizer": None},
        {"default_scope": None},
        {"env_cfg": {"mp_cfg": {"opencv_num_threads": 1}}},
        {"log_level": 10},
        {"activation_checkpointing": "backbone"},
        {"default_hooks.scalars.priority": "very_low"},
        {"compile": False},
        {"optim_wrapper.optimizer.betas": [0.9, 0.95]},
    ],
    ids=str,
)
def test_settings_that_are_right(tmp_path: Path, options: dict[str, Any]) -> None:
    assert prepared(TrainOptions(str(write_config(tmp_path)), cfg_options={**WHOLE, **options}))


@pytest.mark.parametrize("name", ["config", "data", "work_dir", "resume"])
def test_an_empty_path_is_none(name: str) -> None:
    given: dict[str, Any] = {"config": "a.py", name: ""}
    with pytest.raises(UserError, match=rf"{name} is empty: give a path"):
        TrainOptions(**given)
