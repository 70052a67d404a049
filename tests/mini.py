"""The main job made small, through its command line."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import torch

from mvssl.apis import TrainOptions
from mvssl.apis.prepare import prepare
from mvssl.apis.resume import described
from mvssl.engine import Job

ROOT = Path(__file__).resolve().parent.parent

MINI = """
_base_ = [{base!r}]
model = dict(
    backbone=dict(model_args=dict(embed_dim=16, depth=1, num_heads=2)),
    neck=dict(hidden_channels=16, out_channels=8),
    predictor=dict(hidden_channels=16))
train_dataloader = dict(batch_size=256)
param_scheduler = dict(warmup_epochs=1)
train_cfg = dict(max_epochs=2)
default_hooks = dict(
    checkpoint=dict(interval=1, max_keep_ckpts=-1),
    scalars=dict(interval=1),
    information=dict(interval=1))
"""


def write_config(folder: Path, base: str = "byol_er_vit.py", more: str = "") -> Path:
    """A config of the project with a tiny model and two epochs, as a file in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"mini_{Path(base).stem}.py"
    file.write_text(MINI.format(base=str(ROOT / "configs" / base)) + more)
    return file


def load_tool(name: str) -> ModuleType:
    """A script of tools/, which is no package."""
    spec = importlib.util.spec_from_file_location(
        f"tools_{name.replace('/', '_')}", ROOT / "tools" / f"{name}.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def train_cli(*argv: object) -> int:
    """``python tools/train.py ...`` in this process; the exit status."""
    status: int = load_tool("train").main([str(word) for word in argv])
    return status


def prepared(options: TrainOptions) -> Job:
    """What a command line makes before anything is written."""
    job = prepare(options.read(), options.config, options.seed or 0)
    return replace(job, stored=described(options, job))


def curves(checkpoint: Path) -> dict[str, np.ndarray]:
    """Every recorded series of a run but its speed, steps beside values."""
    series = torch.load(checkpoint, weights_only=True)["history"]["series"]
    return {
        name: torch.stack([one["steps"].double(), one["values"]]).numpy()
        for name, one in series.items()
        if name != "images_per_second"
    }


def assert_same_curves(first: Path, second: Path) -> None:
    """Bit for bit."""
    a, b = curves(first), curves(second)
    assert set(a) == set(b)
    for name, series in a.items():
        np.testing.assert_array_equal(series, b[name], err_msg=name)


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below ``folder`` with its content; folders with none."""
    return {
        str(p.relative_to(folder)): p.read_bytes() if p.is_file() else b""
        for p in sorted(folder.rglob("*"))
    }
