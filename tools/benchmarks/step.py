"""What a training step takes, beside lightly's under Lightning, with the same network and views.

    pip install -r requirements/benchmarks.txt
    python tools/benchmarks/step.py --json docs/results/step.json

Both train on the same views, which lie ready, at the same batch, optimiser and precision, a step of
the one after a step of the other; what is timed is everything between two batches: the step, the
teacher, hooks and callbacks.
"""

from __future__ import annotations

import argparse
import contextlib
import platform
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightly_methods
import pytorch_lightning as pl
import rows as store
import timm
import torch
from methods import split_page
from torch import nn
from torch.utils.data import DataLoader

from mvssl.apis import TrainOptions
from mvssl.apis.prepare import prepare
from mvssl.engine import Runner
from mvssl.files import write_bytes_atomically

ROOT = Path(__file__).parents[2]
WARM_UP = 3

# Local crops are smaller.
VIT = {"model_name": "vit_small_patch16_224", "img_size": 96, "dynamic_img_size": True}

NETWORKS: dict[str, tuple[int, int, dict[str, Any]]] = {
    "ResNet-18, 32 px": (32, 64, {"model_name": "resnet18"}),
    "ViT-S/16, 96 px": (96, 32, VIT),
}
"""Name to size of the views, batch, and arguments of timm."""

CONFIG = """
_base_ = [
    {root!r} + '/configs/_base_/methods/{method}.py',
    {root!r} + '/configs/_base_/datasets/digits.py',
    {root!r} + '/configs/_base_/schedules/adamw.py',
    {root!r} + '/configs/_base_/runtime.py']
model = dict(
    backbone=dict(type='TimmBackbone', name={name!r}, model_args={args!r}),
    neck={neck!r},
    data_preprocessor=dict(size={size}, engine='host', views={views!r}))
train_dataloader = dict(batch_size={batch}, dataset=dict(size={size}, split='all'))
param_scheduler = None
train_cfg = dict(max_epochs=1)
evaluation = None
default_hooks = dict(param_scheduler=None, checkpoint=dict(interval=1000, interval_minutes=None))
visualizer = dict(vis_backends=[])
"""


class Stopwatch(pl.Callback):
    """Seconds of every step of Lightning's; before each, ours makes one of its own."""

    def __init__(self, other: Steps) -> None:
        self.other = other
        self.seconds: list[float] = []
        self._since = time.perf_counter()

    def on_train_batch_start(self, *_: Any, **__: Any) -> None:
        self.other.step()
        self._since = time.perf_counter()

    def on_train_batch_end(self, *_: Any, **__: Any) -> None:
        _wait()
        self.seconds.append(time.perf_counter() - self._since)


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


class Repeated(torch.utils.data.IterableDataset[Any]):
    """One batch, so many times."""

    def __init__(self, batch: Any, times: int) -> None:
        self.batch, self.times = batch, times

    def __len__(self) -> int:
        return self.times

    def __iter__(self) -> Any:
        return iter([self.batch] * self.times)


def config_text(method: str, network: str) -> str:
    size, batch, arguments = NETWORKS[network]
    named = dict(arguments)
    neck: dict[str, Any] = {}
    views: Any = method
    if method == "dino":
        neck = {"num_prototypes": lightly_methods.PROTOTYPES}
        views = {"_delete_": True, "type": "dino", "num_local": 6, "local_size": size // 2}
    return CONFIG.format(
        root=str(ROOT),
        method=method,
        name=named.pop("model_name"),
        args=named,
        neck=neck,
        size=size,
        batch=batch,
        views=views,
    )


def prepared(method: str, network: str, folder: Path, changes: Mapping[str, Any]) -> Any:
    file = folder / f"{method}.py"
    file.write_text(config_text(method, network))
    options = TrainOptions(str(file), cfg_options=dict(changes))
    return prepare(options.read(), str(file), seed=0)


class Steps:
    """A run of ours that makes a step when it is told to, always with the same batch.

    Args:
        changes: of the config, as --cfg-options takes them.
        memory_format: of the weights, which what they are applied to follows.

    Attributes:
        views: the float views of the batch.
        seconds: of every step, from its batch to the end of all hooks.
    """

    def __init__(
        self,
        method: str,
        network: str,
        folder: Path,
        changes: Mapping[str, Any] | None = None,
        memory_format: torch.memory_format = torch.contiguous_format,
    ) -> None:
        job = prepared(method, network, folder, changes or {})
        self.batch = next(iter(job.loader))
        self.seconds: list[float] = []
        with contextlib.redirect_stdout(sys.stderr):
            self.runner = runner = Runner(job, folder / "run")
            views = runner.model.data_preprocessor(self.batch, True)["inputs"]
            self.views = [view.cpu() for view in views]
            runner.model.to(memory_format=memory_format)
            self.loop = runner.train_loop
            runner.make_ready()
            for moment in ("before_run", "before_train", "before_train_epoch"):
                runner.call_hook(moment)
            runner.model.train()

    def step(self) -> None:
        number, batch, since = len(self.seconds), self.batch, time.perf_counter()
        with contextlib.redirect_stdout(sys.stderr):
            self.runner.call_hook("before_train_iter", batch_idx=number, data_batch=batch)
            outputs = self.loop.step(batch)
            self.runner.call_hook(
                "after_train_iter", batch_idx=number, data_batch=batch, outputs=outputs
            )
        _wait()
        self.loop.iter += 1
        self.seconds.append(time.perf_counter() - since)


def in_turn(ours: Steps, method: str, network: str, steps: int, folder: Path) -> list[float]:
    """Seconds of lightly's steps on the views of ours, which makes a step before each."""
    _, _, arguments = NETWORKS[network]

    def make() -> nn.Module:
        network: nn.Module = timm.create_model(**arguments, num_classes=0)
        return network

    torch.manual_seed(0)
    watch = Stopwatch(ours)
    trainer = pl.Trainer(
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[watch],
        default_root_dir=folder,
    )
    data = DataLoader(Repeated((ours.views, None), steps), batch_size=None)
    trainer.fit(lightly_methods.METHODS[method](make), data)
    return watch.seconds


def compare(method: str, network: str, steps: int) -> dict[str, Any]:
    """Medians over steps; those of ours and of lightly's alternate."""
    with tempfile.TemporaryDirectory() as folder:
        ours = Steps(method, network, Path(folder))
        theirs = in_turn(ours, method, network, steps + WARM_UP, Path(folder))[WARM_UP:]
    batch, mine = NETWORKS[network][1], ours.seconds[WARM_UP:]
    return {
        "method": method,
        "network": network,
        "batch": batch,
        "images_per_second": batch / statistics.median(mine),
        "lightly_images_per_second": batch / statistics.median(theirs),
        "ratio": statistics.median(b / a for a, b in zip(mine, theirs, strict=True)),
        "steps": steps,
        "threads": torch.get_num_threads(),
        "device": device(),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """A line for each method and network."""
    lines = [
        "| method | network | batch | images/s | lightly's | ratio |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for row in rows:
        speeds = f"{row['images_per_second']:.1f} | {row['lightly_images_per_second']:.1f}"
        lines.append(
            f"| {row['method']} | {row['network']} | {row['batch']} | {speeds} "
            f"| {row['ratio']:.2f} |"
        )
    return "\n".join(lines)


def device() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--docs", type=Path, help="page whose table is written anew")
    parser.add_argument("--methods", nargs="+", default=list(lightly_methods.METHODS))
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--steps", type=int, default=20)
    args = parser.parse_args()
    warnings.filterwarnings("ignore", module="pytorch_lightning|lightning")
    parts = split_page(args.docs.read_text(), "step") if args.docs else None
    found = store.read(args.json)
    for network in args.networks:
        for method in args.methods:
            row = compare(method, network, args.steps)
            found = [r for r in found if (r["method"], r["network"]) != (method, network)] + [row]
            store.write(args.json, found)
    print(table(found))
    if args.docs and parts:
        page = f"{parts[0]}\n{table(found)}\n{parts[1]}"
        write_bytes_atomically(args.docs, page.encode())


if __name__ == "__main__":
    main()
