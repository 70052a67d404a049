"""What a training step takes, beside lightly's under Lightning, with the same network and views.

    pip install -r requirements/benchmarks.txt
    python tools/benchmarks/step.py --json docs/results/step.json

Both train on the same views, which lie ready, at the same batch, optimiser and precision, in turn
in one run; what is timed is everything between two batches: the step, the teacher, hooks and
callbacks.
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
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightly_methods
import pytorch_lightning as pl
import rows as store
import timm
import torch
from methods import split_page
from mmengine.hooks import Hook
from torch import Tensor, nn
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


class Stopwatch(Hook):
    """Seconds of every step of ours, from its batch to the end of all hooks."""

    priority = "LOWEST"

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._since = time.perf_counter()

    def before_train_iter(self, runner: Runner, *_: Any, **__: Any) -> None:
        self._since = time.perf_counter()

    def after_train_iter(self, runner: Runner, *_: Any, **__: Any) -> None:
        _wait()
        self.seconds.append(time.perf_counter() - self._since)


class LightningStopwatch(pl.Callback):
    """The same of Lightning's."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._since = time.perf_counter()

    def on_train_batch_start(self, *_: Any, **__: Any) -> None:
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


def our_steps(
    method: str,
    network: str,
    steps: int,
    folder: Path,
    changes: Mapping[str, Any] | None = None,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> tuple[list[float], Any]:
    """Seconds of steps, and the float views of a batch.

    Args:
        changes: of the config, as --cfg-options takes them.
        memory_format: of the weights, which what they are applied to follows.
    """
    job, watch = prepared(method, network, folder, changes or {}), Stopwatch()
    batch = next(iter(job.loader))
    job.custom_hooks.append(watch)
    with contextlib.redirect_stdout(sys.stderr):
        runner = Runner(job, folder / "run")
        views = runner.model.data_preprocessor(batch, True)["inputs"]
        loop = runner.train_loop
        runner.model.to(memory_format=memory_format)
        runner.make_ready()
        runner.call_hook("before_run")
        runner.call_hook("before_train")
        runner.call_hook("before_train_epoch")
        runner.model.train()
        for number in range(steps + WARM_UP):
            runner.call_hook("before_train_iter", batch_idx=number, data_batch=batch)
            outputs = loop.step(batch)
            runner.call_hook(
                "after_train_iter", batch_idx=number, data_batch=batch, outputs=outputs
            )
            loop.iter += 1
    return watch.seconds[WARM_UP:], [view.cpu() for view in views]


def lightning_steps(
    method: str, network: str, steps: int, views: Sequence[Tensor], folder: Path
) -> list[float]:
    """Seconds of lightly's steps on the same views."""
    _, _, arguments = NETWORKS[network]

    def make() -> nn.Module:
        network: nn.Module = timm.create_model(**arguments, num_classes=0)
        return network

    torch.manual_seed(0)
    watch = LightningStopwatch()
    trainer = pl.Trainer(
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[watch],
        default_root_dir=folder,
    )
    data = DataLoader(Repeated((list(views), None), steps + WARM_UP), batch_size=None)
    trainer.fit(lightly_methods.METHODS[method](make), data)
    return watch.seconds[WARM_UP:]


def compare(method: str, network: str, steps: int, rounds: int) -> dict[str, Any]:
    """Medians over steps of all rounds, which alternate."""
    ours, theirs = list[float](), list[float]()
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds):
            seconds, views = our_steps(method, network, steps, Path(folder))
            ours += seconds
            theirs += lightning_steps(method, network, steps, views, Path(folder))
    batch = NETWORKS[network][1]
    own, other = statistics.median(ours), statistics.median(theirs)
    return {
        "method": method,
        "network": network,
        "batch": batch,
        "images_per_second": batch / own,
        "lightly_images_per_second": batch / other,
        "ratio": other / own,
        "steps": len(ours),
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
    parser.add_argument("--steps", type=int, default=8, help="of a round")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    warnings.filterwarnings("ignore", module="pytorch_lightning|lightning")
    parts = split_page(args.docs.read_text(), "step") if args.docs else None
    found = store.read(args.json)
    for network in args.networks:
        for method in args.methods:
            row = compare(method, network, args.steps, args.rounds)
            found = [r for r in found if (r["method"], r["network"]) != (method, network)] + [row]
            store.write(args.json, found)
    print(table(found))
    if args.docs and parts:
        page = f"{parts[0]}\n{table(found)}\n{parts[1]}"
        write_bytes_atomically(args.docs, page.encode())


if __name__ == "__main__":
    main()
