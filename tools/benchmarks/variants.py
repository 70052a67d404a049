"""What settings of a training step save, one by one, of BYOL.

    pip install -r requirements/benchmarks.txt
    python tools/benchmarks/variants.py --json docs/results/variants.json

In every round all settings take turns with the step as it is by default.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

import rows as store
import torch
from methods import split_page
from step import NETWORKS, device, our_steps

from mvssl.files import write_bytes_atomically

PLAIN = "as it is"
OPTIMIZER = "optim_wrapper.optimizer"

VARIANTS: dict[str, dict[str, Any]] = {
    PLAIN: {},
    "channels last": {"memory_format": torch.channels_last},
    "`compile=True`": {"changes": {"compile": True}},
    "`optimizer.foreach=True`": {"changes": {f"{OPTIMIZER}.foreach": True}},
    "`optimizer.fused=True`": {"changes": {f"{OPTIMIZER}.fused": True}},
}
"""Name to arguments of ``our_steps``."""


def compare(network: str, steps: int, rounds: int) -> list[dict[str, Any]]:
    """Ratios to the plain step: medians over rounds."""
    found: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for _ in range(rounds):
        for name, given in VARIANTS.items():
            with tempfile.TemporaryDirectory() as folder:
                seconds, _ = our_steps("byol", network, steps, Path(folder), **given)
            found[name].append(statistics.median(seconds))
    plain = found[PLAIN]
    return [
        {
            "network": network,
            "setting": name,
            "ms": 1e3 * statistics.median(each),
            "speed": statistics.median(p / one for one, p in zip(each, plain, strict=True)),
            "rounds": rounds,
            "threads": torch.get_num_threads(),
            "device": device(),
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
    parser.add_argument("--steps", type=int, default=6, help="of a round")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    found = [row for one in args.networks for row in compare(one, args.steps, args.rounds)]
    store.write(args.json, found)
    print(table(found))
    if args.docs:
        before, after = split_page(args.docs.read_text(), "variants")
        write_bytes_atomically(args.docs, f"{before}\n{table(found)}\n{after}".encode())


if __name__ == "__main__":
    main()
