"""What the names in the pages stand for: folders of images, runs, and a home.

Commands are run in a folder in which ``tools`` and ``configs`` are the project's, and whose other
contents are made here: small, and without a network.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from sklearn.datasets import load_digits, load_sample_images

from mvssl.models.backbones import save_backbone
from mvssl.registry import BACKBONES
from tests.mini import ROOT, write_config

RUNS = ("RUN", "OTHER_RUN", "work_dirs/photos/byol_er_vit_96/RUN")
LABELS = "labels of the console"


def make_place(folder: Path, run: Callable[[str], str]) -> None:
    """Fill ``folder``.

    Args:
        run: runs a command in that folder and gives what it printed.
    """
    for name in ("tools", "configs", "requirements", "tests"):
        (folder / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "docs", folder / "docs")
    photographs(folder / "home" / "Pictures", 24)
    for name in ("FOLDER", "photographs", "data/birds/train", "data/birds/test"):
        photographs(folder / name, 16, classes=True)
    digits(folder / "home" / "flowers", per_class=12)
    config = write_config(folder / "mini")
    told = run(f"python tools/train.py {config} --work-dir RUN")
    (folder / LABELS).write_text(told)
    run(
        f"python tools/train.py {config} --work-dir OTHER_RUN --seed 1 --cfg-options "
        "train_cfg.max_epochs=1"
    )
    for name in RUNS[2:]:
        shutil.copytree(folder / RUNS[0], folder / name)
    resnet(folder / "RESNET" / "backbone.safetensors")
    published(folder / "hub", "resnet18.a1_in1k")
    others(folder)


def photographs(folder: Path, count: int, classes: bool = False) -> None:
    """Pieces of scikit-learn's two photographs; half of each, in folders of their own or in one."""
    for number in range(count):
        name = ("china", "flower")[number % 2]
        whole = load_sample_images().images[number % 2]
        piece = whole[8 * number : 8 * number + 160, 16 * number : 16 * number + 200]
        place = folder / name if classes else folder
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(piece).save(place / f"{name}_{number}.jpg")


def digits(folder: Path, per_class: int, classes: int = 4) -> None:
    """scikit-learn's digits as files in a folder for each class."""
    images, labels = load_digits(return_X_y=True)
    for label in range(classes):
        (folder / str(label)).mkdir(parents=True)
        for number, image in enumerate(images[labels == label][:per_class]):
            pixels = (image.reshape(8, 8) * 15.9).astype(np.uint8)
            large = Image.fromarray(pixels).resize((32, 32))
            large.save(folder / str(label) / f"{number}.png")


def resnet(file: Path) -> None:
    """A backbone that torchvision has, too."""
    build = {"type": "TimmBackbone", "name": "resnet18"}
    file.parent.mkdir()
    statistics = {"mean": [0.5] * 3, "std": [0.5] * 3}
    save_backbone(BACKBONES.build(build), file, build, {"size": 64, **statistics})


def published(hub: Path, name: str) -> None:
    """What would have been fetched for a model of timm, with random weights."""
    model = timm.create_model(name)
    place = hub / f"models--timm--{name}"
    snapshot = place / "snapshots" / "0"
    snapshot.mkdir(parents=True)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text("0")
    save_file(model.state_dict(), snapshot / "model.safetensors")
    config = {"architecture": name.partition(".")[0], "pretrained_cfg": model.pretrained_cfg}
    (snapshot / "config.json").write_text(json.dumps(config))


def others(folder: Path) -> None:
    """Files of others, and a module of one's own."""
    weights = {"state_dict": timm.create_model("resnet18").state_dict()}
    torch.save({**weights, "args": argparse.Namespace(lr=0.1)}, folder / "theirs.pth")
    (folder / "my_project").mkdir()
    for name in ("__init__", "backbones", "margin_head"):
        (folder / "my_project" / f"{name}.py").touch()
    base = f"{ROOT}/configs/byol_vit.py"
    (folder / "my_config.py").write_text(f"_base_ = [{base!r}]\ntrain_cfg = dict(max_epochs=1)\n")


def environment(folder: Path, python: str) -> dict[str, str]:
    """Of a command: its home, the programs that it finds, no network."""
    programs = folder / "programs"
    programs.mkdir(exist_ok=True)
    modules = {"mvssl": "-m mvssl", "torchrun": "-m torch.distributed.run", "python": ""}
    for name, words in modules.items():
        # What huggingface_hub takes from the environment, it takes when it is imported.
        fresh = f'case "$*" in *timm:*) exec {sys.executable} {words} "$@" ;; esac'
        (programs / name).write_text(f'#!/bin/sh\n{fresh}\nexec {python} {words} "$@"\n')
        (programs / name).chmod(0o755)
    return {
        **{k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")},
        "HOME": str(folder / "home"),
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_CACHE": str(folder / "hub"),
        "HF_HUB_OFFLINE": "1",
        "MPLCONFIGDIR": str(folder / "matplotlib"),
    }


def bash(text: str, folder: Path, python: str = sys.executable, seconds: float = 280) -> str:
    """What a program of bash prints, run in ``folder``; it has to end well."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text.replace("/path/to/mvssl", str(ROOT))],
        cwd=folder,
        env=environment(folder, python),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, f"status {done.returncode} of\n{text}\n{done.stdout}"
    return done.stdout


def shortened(commands: Sequence[Sequence[str]]) -> list[list[str]]:
    """The commands, with one epoch for each training, of batches that a few images fill."""
    found = []
    for words in map(list, commands):
        if "train" in words or any(word.endswith(("train.py", "train.sh")) for word in words):
            place = words.index("--cfg-options") + 1 if "--cfg-options" in words else len(words)
            option = ["train_cfg.max_epochs=1"]
            if "--data" in words and "--batch-size" not in words:
                option.append("train_dataloader.batch_size=4")
            words = [word for word in words if not word.startswith("train_cfg.max_epochs")]
            words[place:place] = option if "--cfg-options" in words else ["--cfg-options", *option]
        found.append(words)
    return found
