"""What the information monitors cost beside a training step.

    python tools/benchmarks/monitors.py --json docs/results/monitors.json

Steps of ``configs/byol_vit.py`` with and without a measurement alternate in one run; the cost at
an interval of n iterations is the median extra time of a measured step over n times that of a
plain one.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mvssl.apis import TrainOptions
from mvssl.apis.prepare import prepare
from mvssl.engine import Runner
from mvssl.files import write_bytes_atomically
from mvssl.information import VonMisesFisher
from mvssl.models import Embeddings
from mvssl.models.measures import measure, measure_geometry

CONFIG = Path(__file__).parents[2] / "configs" / "byol_vit.py"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[64, 256])
    parser.add_argument("--steps", type=int, default=12, help="of each kind")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def monitor(kernel: VonMisesFisher, record: Embeddings) -> dict[str, float | Tensor]:
    """What InformationHook measures, read off the device."""
    scalars = measure(record, kernel) | measure_geometry(record, kernel)
    return {name: float(value) for name, value in scalars.items()}


def compare(batch_size: int, steps: int) -> dict[str, Any]:
    """Median seconds of plain and measured steps, alternating."""
    options = TrainOptions(str(CONFIG), cfg_options={"train_dataloader.batch_size": batch_size})
    job = prepare(options.read(), options.config, seed=0)
    kernel = VonMisesFisher(10.0)
    seconds: dict[bool, list[float]] = {False: [], True: []}
    with tempfile.TemporaryDirectory() as folder:
        loop = Runner(job, folder).train_loop
        batch = next(iter(job.loader))
        for number in range(2 * steps + 4):
            measured = number % 2 == 1
            loop.monitor = partial(monitor, kernel) if measured else None
            start = time.perf_counter()
            loop.step(batch)
            if number >= 4:  # the first ones warm up
                seconds[measured].append(time.perf_counter() - start)
    plain, with_monitors = (statistics.median(seconds[kind]) for kind in (False, True))
    extra = with_monitors - plain
    return {
        "batch_size": batch_size,
        "step_ms": 1e3 * plain,
        "measurement_ms": 1e3 * extra,
        "cost_at_5": extra / (5 * plain),
        "cost_at_50": extra / (50 * plain),
        "threads": torch.get_num_threads(),
    }


def main() -> None:
    args = parse()
    rows = [compare(size, args.steps) for size in args.batch_sizes]
    print("| batch | step (ms) | measurement (ms) | cost at interval 5 | at 50 |")
    print("|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['batch_size']} | {row['step_ms']:.0f} | {row['measurement_ms']:.1f} "
            f"| {row['cost_at_5']:.2%} | {row['cost_at_50']:.2%} |"
        )
    if args.json is not None:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        write_bytes_atomically(args.json, json.dumps(rows, indent=1).encode())


if __name__ == "__main__":
    main()
