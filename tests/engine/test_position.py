"""A run that goes on from within an epoch equals one that never stopped, to the last bit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook

from mvssl.apis import TrainOptions
from mvssl.checkpoint import load_run
from mvssl.distributed import barrier, is_distributed
from mvssl.engine import Runner
from mvssl.engine.generators import seed_everything
from tests.gloo_pool import GlooPool
from tests.mini import ROOT, prepared

CONFIGS = sorted(p.stem for p in (ROOT / "configs").glob("*.py"))
STEPS = 5  # an epoch of 360 images in batches of 64
SMALL: dict[str, Any] = {
    "train_dataloader.dataset.split": "test",
    "train_cfg.max_epochs": 2,
    "param_scheduler.warmup_epochs": 1,
    "default_hooks.scalars.interval": 3,
    "default_hooks.information.interval": 2,
    "default_hooks.checkpoint": {"type": "CheckpointHook", "interval": 9},
    "visualizer.vis_backends": [],
    "evaluation": None,
}
NARROW: dict[str, Any] = {
    "model.backbone.model_args.embed_dim": 16,
    "model.backbone.model_args.depth": 2,
    "model.backbone.model_args.num_heads": 2,
    "model.backbone.model_args.drop_path_rate": 0.2,
    "model.backbone.model_args.proj_drop_rate": 0.1,
}


class SaveHook(Hook):
    """Saves after some steps, counted from 1."""

    priority = "LOWEST"

    def __init__(self, steps: Sequence[int]) -> None:
        self.steps = steps

    def after_train_iter(self, runner: Runner, *_: Any, **__: Any) -> None:
        if runner.iter + 1 in self.steps:
            path = runner.save_mid_epoch()
            if runner.rank == 0:  # so that nobody clears it away
                path.rename(path.with_name(f"step_{runner.iter + 1}.pth"))


def run(
    folder: Path,
    config: str = "byol_vit",
    steps: Sequence[int] = (),
    checkpoint: Path | None = None,
    hooks: Sequence[Hook] = (),
    objective: str = "native",
    **more: Any,
) -> Path:
    """A run of two small epochs; its last checkpoint."""
    options = {**SMALL, **({} if config == "cmc_vit" else NARROW), **more}
    file = str(ROOT / "configs" / f"{config}.py")
    seed_everything(0)
    job = prepared(TrainOptions(config=file, objective=objective, cfg_options=options))
    job.custom_hooks += [SaveHook(steps), *hooks]
    launcher = "pytorch" if is_distributed() else "none"
    Runner(job, folder, None if checkpoint is None else load_run(checkpoint), launcher).train()
    return folder / "epoch_2.pth"


def plain(value: Any) -> Any:
    """Arrays in the place of tensors, without what is measured in seconds."""
    if isinstance(value, torch.Tensor):
        return value.numpy()
    if isinstance(value, Mapping):
        timed = ("seconds", "images_per_second", "train/images_per_second")
        return {k: plain(v) for k, v in value.items() if k not in timed}
    return [plain(v) for v in value] if isinstance(value, list) else value


def assert_equal(first: Path, second: Path) -> None:
    """Everything in two checkpoints, bit for bit."""
    for name in ("meta", "state_dict", "optimizer", "history", "scalars", "random", "hooks"):
        a, b = (plain(torch.load(p, weights_only=True)[name]) for p in (first, second))
        np.testing.assert_equal(a, b, err_msg=name)


@pytest.mark.parametrize("config", CONFIGS)
def test_every_method_goes_on_where_it_stood(tmp_path: Path, config: str) -> None:
    step = STEPS + 3
    whole = run(tmp_path / "whole", config, [step])
    rest = run(tmp_path / "rest", config, checkpoint=tmp_path / "whole" / f"step_{step}.pth")
    assert_equal(whole, rest)


@pytest.mark.parametrize(
    ("config", "steps"),  # an epoch's last step comes before what ends it
    [
        ("byol_vit", [1, STEPS]),
        ("deepcluster_vit", [STEPS + 1]),
        ("mocov2_vit", [2 * STEPS]),
        ("swav_vit", [STEPS]),
    ],
)
def test_the_er_twin_too_and_after_any_step(tmp_path: Path, config: str, steps: list[int]) -> None:
    whole = run(tmp_path / "whole", config, steps, objective="er")
    for step in steps:
        file = tmp_path / "whole" / f"step_{step}.pth"
        assert_equal(whole, run(tmp_path / f"{step}", config, checkpoint=file, objective="er"))


MORE: dict[str, dict[str, Any]] = {
    "micro-batches": {"train_cfg.micro_batch_size": 24},
    "workers make views": {
        "train_dataloader.num_workers": 2,
        "model.data_preprocessor.engine": "host",
    },
    "accumulation": {"optim_wrapper.accumulative_counts": 3},
    "scheduler of mmengine": {
        "param_scheduler": {"_delete_": True, "type": "StepLR", "step_size": 1, "gamma": 0.5}
    },
}


@pytest.mark.filterwarnings("ignore:Detected call of `scheduler.step")
@pytest.mark.parametrize("name", MORE)
def test_so_do_runs_that_are_carried_out_otherwise(tmp_path: Path, name: str) -> None:
    # Schedules of epochs have not moved yet after an epoch's last step.
    steps = [STEPS if name == "scheduler of mmengine" else STEPS + 2]
    whole = run(tmp_path / "whole", steps=steps, **MORE[name])
    for step in steps:
        file = tmp_path / "whole" / f"step_{step}.pth"
        assert_equal(whole, run(tmp_path / f"{step}", checkpoint=file, **MORE[name]))


def _stop_and_go_on(folder: Path, configs: Sequence[str]) -> None:
    step = STEPS + 2
    for config in configs:
        run(folder / config / "whole", config, [step])
        barrier()
        file = folder / config / "whole" / f"step_{step}.pth"
        run(folder / config / "rest", config, checkpoint=file)


# MoCo's teacher shuffles, on every process in another way.
def test_each_of_two_processes_goes_on_where_it_stood(
    run_distributed: GlooPool, tmp_path: Path
) -> None:
    configs = ("mocov2_vit", "deepcluster_vit")
    run_distributed(_stop_and_go_on, 2, tmp_path, configs)
    for config in configs:
        folder = tmp_path / config
        assert_equal(folder / "whole" / "epoch_2.pth", folder / "rest" / "epoch_2.pth")
        states = torch.load(folder / "rest" / "epoch_2.pth", weights_only=True)["random"]
        assert not torch.equal(states[0]["torch"], states[1]["torch"])


def test_another_number_of_processes_goes_on_too(run_distributed: GlooPool, tmp_path: Path) -> None:
    still: dict[str, Any] = {
        name: 0.0 for name in NARROW if name.endswith("_rate")
    }  # nothing draws then
    step = STEPS + 2
    whole = run(tmp_path / "whole", steps=[step], **still)
    file = tmp_path / "whole" / f"step_{step}.pth"
    run_distributed(_go_on, 2, tmp_path / "rest", file, still)
    one, two = (torch.load(f, weights_only=True) for f in (whole, tmp_path / "rest/epoch_2.pth"))
    for name, series in one["history"]["series"].items():
        other = two["history"]["series"][name]
        assert series["steps"].equal(other["steps"]), name
        if name != "images_per_second":
            torch.testing.assert_close(other["values"], series["values"], rtol=1e-2, atol=1e-2)


def _go_on(folder: Path, file: Path, more: dict[str, Any]) -> None:
    run(folder, "byol_vit", checkpoint=file, **more)


class OldGradient(Hook):
    """What is left of a gradient when an epoch begins, after clusters are made anew."""

    priority = "LOW"

    def __init__(self) -> None:
        self.left: list[bool] = []

    def before_train_epoch(self, runner: Any) -> None:
        self.left.append(runner.model.head.classifier.weight.grad is not None)


# The rate moves at each step, an update comes with every second one.
@pytest.mark.filterwarnings("ignore:Detected call of `scheduler.step")
def test_a_new_classifier_has_no_gradient_of_the_clusters_before(tmp_path: Path) -> None:
    """Of five steps an epoch, two of which make an update, the last one waits for another."""
    hook = OldGradient()
    more: dict[str, Any] = {"model.head.interval": 1, "optim_wrapper.accumulative_counts": 2}
    run(tmp_path, "deepcluster_vit", hooks=[hook], **more)
    assert hook.left == [False, False]
