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
import itertools
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import rows as store
import timm
import torch
from torch import nn
from torch.utils.data import DataLoader

from mvssl.apis import TrainOptions
from mvssl.apis.prepare import prepare
from mvssl.engine import Runner
from mvssl.engine.environment import processor
from mvssl.process.telling import status_of

try:
    import lightly_methods
    import pytorch_lightning as pl
except ModuleNotFoundError as error:
    print(
        f"error: {error.name} is missing: pip install -r requirements/benchmarks.txt.",
        file=sys.stderr,
    )
    raise SystemExit(2) from None

ROOT = Path(__file__).parents[2]
WARM_UP = 3

# Local crops are smaller.
TINY = {
    "model_name": "vit_tiny_patch16_224",
    "patch_size": 32,
    "embed_dim": 64,
    "depth": 2,
    "num_heads": 2,
    "dynamic_img_size": True,
}
VIT = {"model_name": "vit_small_patch16_224", "img_size": 96, "dynamic_img_size": True}

SMALL = "ViT of 0.3 M, 224 px"
LOCAL = {224: 96}
"""Size of DINO's local crops, where it is not the half."""

HIDDEN = {SMALL: 512}
"""Width of the heads' hidden layers, where it is not that of the methods."""

NETWORKS: dict[str, tuple[int, int, dict[str, Any]]] = {
    "ResNet-18, 32 px": (32, 64, {"model_name": "resnet18"}),
    "ViT-S/16, 96 px": (96, 32, VIT),
    SMALL: (224, 64, TINY),
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
    predictor={predictor!r},
    data_preprocessor=dict(size={size}, engine='host', views={views!r}))
train_dataloader = dict(batch_size={batch}, dataset=dict(size={size}, split='all'))
param_scheduler = None
train_cfg = dict(max_epochs=1)
evaluation = None
default_hooks = dict(param_scheduler=None, checkpoint=dict(interval=1000, interval_minutes=None))
visualizer = dict(vis_backends=[])
"""


class Stopwatch(pl.Callback):
    """Seconds of every step of Lightning's, its batch included; after each, ours makes one."""

    def __init__(self, other: Steps) -> None:
        self.other = other
        self.seconds: list[float] = []
        self._since = time.perf_counter()

    def on_train_epoch_start(self, *_: Any, **__: Any) -> None:
        self._since = time.perf_counter()

    def on_train_batch_end(self, *_: Any, **__: Any) -> None:
        _wait()
        self.seconds.append(time.perf_counter() - self._since)
        self.other.step()
        self._since = time.perf_counter()


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
    hidden = {"hidden_channels": HIDDEN[network]} if network in HIDDEN else {}
    neck: dict[str, Any] = dict(hidden)
    views: Any = method
    if method == "dino":
        neck = {"num_prototypes": lightly_methods.PROTOTYPES, "projector": hidden}
        views = {
            "_delete_": True,
            "type": "dino",
            "num_local": 6,
            "local_size": LOCAL.get(size, size // 2),
        }
    return CONFIG.format(
        root=str(ROOT),
        method=method,
        name=named.pop("model_name"),
        args=named,
        neck=neck,
        predictor=hidden if method == "byol" else None,
        size=size,
        batch=batch,
        views=views,
    )


def prepared(
    method: str, network: str, folder: Path, changes: Mapping[str, Any], data: Path | None
) -> Any:
    file = folder / f"{method}.py"
    file.write_text(config_text(method, network))
    options = TrainOptions(str(file), data=str(data) if data else None, cfg_options=dict(changes))
    return prepare(options.read(), str(file), seed=0)


class Steps:
    """A run of ours that makes a step when it is told to, with the same batch or with the next.

    Args:
        changes: of the config, as --cfg-options takes them.
        memory_format: of the weights, which what they are applied to follows.
        data: folder of images, of which every step takes the next batch; without it all steps
            have one batch, which lies ready.

    Attributes:
        views: the float views of a batch.
        seconds: of every step, from its batch to the end of all hooks.
    """

    def __init__(
        self,
        method: str,
        network: str,
        folder: Path,
        changes: Mapping[str, Any] | None = None,
        memory_format: torch.memory_format | None = None,
        data: Path | None = None,
    ) -> None:
        job = prepared(method, network, folder, changes or {}, data)
        batch = next(iter(job.loader))
        self.batches = iter(job.loader) if data else itertools.repeat(batch)
        self.seconds: list[float] = []
        with contextlib.redirect_stdout(sys.stderr):
            self.runner = runner = Runner(job, folder / "run")
            views = runner.model.data_preprocessor(batch, True)["inputs"]
            self.views = [view.cpu() for view in views]
            if memory_format is not None:
                runner.model.to(memory_format=memory_format)
            self.loop = runner.train_loop
            runner.make_ready()
            for moment in ("before_run", "before_train", "before_train_epoch"):
                runner.call_hook(moment)
            runner.model.train()

    def step(self) -> None:
        number, since = len(self.seconds), time.perf_counter()
        batch = next(self.batches)
        with contextlib.redirect_stdout(sys.stderr):
            self.runner.call_hook("before_train_iter", batch_idx=number, data_batch=batch)
            outputs = self.loop.step(batch)
            self.runner.call_hook(
                "after_train_iter", batch_idx=number, data_batch=batch, outputs=outputs
            )
        _wait()
        self.loop.iter += 1
        self.seconds.append(time.perf_counter() - since)


def in_turn(
    ours: Steps, method: str, network: str, data: Iterable[Any], folder: Path
) -> list[float]:
    """Seconds of lightly's steps, of which each is followed by one of ours."""
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
    trainer.fit(lightly_methods.METHODS[method](make, HIDDEN.get(network)), data)
    return watch.seconds


def compare(method: str, network: str, steps: int) -> dict[str, Any]:
    """Of steps on the same views."""
    with tempfile.TemporaryDirectory() as folder:
        ours = Steps(method, network, Path(folder))
        data = DataLoader(Repeated((ours.views, None), steps + WARM_UP), batch_size=None)
        theirs = in_turn(ours, method, network, data, Path(folder))
    return row(method, network, ours.seconds[WARM_UP:], theirs[WARM_UP:])


def row(
    method: str, network: str, ours: Sequence[float], theirs: Sequence[float]
) -> dict[str, Any]:
    """Medians over steps, and of the ratios of those that followed each other."""
    batch = NETWORKS[network][1]
    return {
        "method": method,
        "network": network,
        "batch": batch,
        "images_per_second": batch / statistics.median(ours),
        "lightly_images_per_second": batch / statistics.median(theirs),
        "ratio": statistics.median(b / a for a, b in zip(ours, theirs, strict=True)),
        "steps": len(ours),
        "threads": torch.get_num_threads(),
        "device": processor(),
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--docs", type=Path, help="page whose table is written anew")
    parser.add_argument("--methods", nargs="+", default=list(lightly_methods.METHODS))
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS)[:2], choices=list(NETWORKS))
    parser.add_argument("--steps", type=int, default=20)
    args = parser.parse_args()
    warnings.filterwarnings("ignore", module="pytorch_lightning|lightning")
    store.check_page(args.docs, "step")
    rows = measured(args.json, args.methods, args.networks, lambda m, n: compare(m, n, args.steps))
    print(table(rows))
    store.rewrite(args.docs, {"step": table(rows)})


def measured(
    file: Path,
    methods: Iterable[str],
    networks: Iterable[str],
    measure: Callable[[str, str], dict[str, Any]],
) -> list[dict[str, Any]]:
    """The rows of a file, with these measured anew."""
    found = store.read(file)
    for network in networks:
        for method in methods:
            new = measure(method, network)
            found = [r for r in found if (r["method"], r["network"]) != (method, network)] + [new]
            store.write(file, found)
    return found


if __name__ == "__main__":
    raise SystemExit(status_of(main))
