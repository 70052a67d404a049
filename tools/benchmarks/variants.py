"""What settings of a training step save, one by one, of BYOL.

    pip install -r requirements/benchmarks.txt
    python tools/benchmarks/variants.py --json docs/results/variants.json

The settings take turns, step by step.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

import rows as store
import torch
from step import NETWORKS, WARM_UP, Steps

from mvssl.engine.environment import processor
from mvssl.process.telling import status_of

PLAIN = "as it is"
OPTIMIZER = "optim_wrapper.optimizer"

VARIANTS: dict[str, dict[str, Any]] = {
    PLAIN: {},
    "channels first": {"memory_format": torch.contiguous_format},
    "`compile=True`": {"changes": {"compile": True}},
    "`optimizer.fused=False`": {"changes": {f"{OPTIMIZER}.fused": False}},
    "`optimizer.foreach=True`": {"changes": {f"{OPTIMIZER}.foreach": True}},
}
"""Name to arguments of ``Steps``."""


def compare(network: str, steps: int) -> list[dict[str, Any]]:
    """Medians over steps, and of ratios to the plain step before; the settings take turns."""
    with tempfile.TemporaryDirectory() as folder:
        runs = {}
        for number, (name, given) in enumerate(VARIANTS.items()):
            own = Path(folder, str(number))
            own.mkdir()
            runs[name] = Steps("byol", network, own, **given)
        for _ in range(steps + WARM_UP):
            for run in runs.values():
                run.step()
    found = {name: run.seconds[WARM_UP:] for name, run in runs.items()}
    return [
        {
            "network": network,
            "setting": name,
            "ms": 1e3 * statistics.median(each),
            "speed": statistics.median(p / one for one, p in zip(each, found[PLAIN], strict=True)),
            "steps": steps,
            "threads": torch.get_num_threads(),
            "device": processor(),
        }
        for name, each in found.items()
    ]


def table(rows: list[dict[str, Any]]) -> str:
    """A line for each setting and network."""
    lines = ["| network | setting | ms a step | times as fast |", "|---|---|---:|---:|"]
    for row in rows:
        lines.append(
            f"| {row['network']} | {row['setting']} | {row['ms']:.0f} | {row['speed']:.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--docs", type=Path, help="page whose table is written anew")
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--steps", type=int, default=12)
    args = parser.parse_args()
    store.check_page(args.docs, "variants")
    found = [row for one in args.networks for row in compare(one, args.steps)]
    store.write(args.json, found)
    print(table(found))
    store.rewrite(args.docs, {"variants": table(found)})


if __name__ == "__main__":
    raise SystemExit(status_of(main))
