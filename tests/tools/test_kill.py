"""A run that is killed and goes on ends as one that was left alone, to the last bit."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch

from mvssl.checkpoint import open_safetensors
from tests.mini import ROOT, assert_same_curves, train_cli, write_config

MORE = """
model['backbone']['model_args'].update(drop_path_rate=0.2, proj_drop_rate=0.1)
model['data_preprocessor'] = dict(engine='host')
train_dataloader.update(batch_size=24, num_workers=2, dataset=dict(split='test'))
train_cfg.update(max_epochs=2)
evaluation = None
default_hooks['checkpoint'].update(interval_minutes=1e-4)
"""
SECONDS = 300.0


def _killed(command: list[str], folder: Path, steps: int) -> None:
    """Start a run, and kill it at a random point once a mid-epoch checkpoint is there."""
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        give_up = time.monotonic() + SECONDS
        while not _steps(folder) or max(_steps(folder)) < steps:
            assert process.poll() is None, "it ended before it was killed"
            assert time.monotonic() < give_up
            time.sleep(0.002)
        time.sleep(random.uniform(0.0, 0.1))
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL


def _steps(folder: Path) -> list[int]:
    return [int(path.stem.removeprefix("iter_")) for path in folder.glob("iter_*.pth")]


def test_a_killed_run_with_drop_path_and_workers_goes_on(tmp_path: Path) -> None:
    config = write_config(tmp_path, "byol_vit.py", MORE)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert train_cli(config, "--work-dir", whole) == 0
    words = [sys.executable, "tools/train.py", str(config), "--work-dir", str(killed)]
    _killed(words, killed, steps=random.randrange(2, 20))
    assert train_cli(config, "--work-dir", killed, "--resume") == 0
    assert_same_curves(whole / "epoch_2.pth", killed / "epoch_2.pth")
    ends = [torch.load(f / "epoch_2.pth", weights_only=True) for f in (whole, killed)]
    for part in ("state_dict", "optimizer"):
        first, second = (_plain(end[part]) for end in ends)
        np.testing.assert_equal(first, second, err_msg=part)
    first, second = (
        _plain(open_safetensors(f / "backbone.safetensors")[0]) for f in (whole, killed)
    )
    np.testing.assert_equal(first, second)


def _plain(value: object) -> object:
    if isinstance(value, torch.Tensor):
        return value.numpy()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value
