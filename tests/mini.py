"""The main job made small, through its command line."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits

from mvssl.apis import TrainOptions
from mvssl.apis.prepare import prepare
from mvssl.apis.resume import described
from mvssl.engine import Job
from mvssl.models.backbones import TimmBackbone, save_backbone

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


TINY_VIT = {"img_size": 16, "patch_size": 8, "embed_dim": 16, "depth": 1, "num_heads": 2}
TINY_EXPECTED = {"size": 16, "color_space": "rgb", "mean": [0.5] * 3, "std": [0.5] * 3}


def write_config(folder: Path, base: str = "byol_er_vit.py", more: str = "") -> Path:
    """A config of the project with a tiny model and two epochs, as a file in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"mini_{Path(base).stem}.py"
    file.write_text(MINI.format(base=str(ROOT / "configs" / base)) + more)
    return file


def write_digits(folder: Path, train: int, test: int, classes: int = 3) -> Path:
    """Digits of scikit-learn as a folder of classes, so many of each in train and test."""
    images, labels = load_digits(return_X_y=True)
    for label in range(classes):
        for number, row in enumerate(images[labels == label][: train + test]):
            place = folder / ("train" if number < train else "test") / f"digit{label}"
            place.mkdir(parents=True, exist_ok=True)
            pixels = np.round(row.reshape(8, 8) * 255 / 16).astype(np.uint8)
            Image.fromarray(pixels).save(place / f"{number}.png")
    return folder


def write_backbone(file: Path, seed: int = 0, **model_args: int) -> Path:
    """A tiny ViT with drawn weights, for RGB images of 16 pixels, as a run leaves it."""
    torch.manual_seed(seed)
    made = TimmBackbone("vit_tiny_patch16_224", {**TINY_VIT, **model_args})
    build = {"type": "TimmBackbone", "name": made.name, "model_args": made.model_args}
    save_backbone(made, file, build, TINY_EXPECTED)
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
