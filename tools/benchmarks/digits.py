"""BYOL and BYOL + ER on the digits, over learning rates, EMA coefficients and seeds.

    python tools/benchmarks/digits.py --json docs/results/digits.json

Every row is one run of ``configs/byol_vit.py``, natively or with ``--objective er``; rows that the
file holds, of the config as it is now, are not run again: an interrupted benchmark goes on. The
table names the best cell of each objective by the median over seeds.
"""

from __future__ import annotations

import argparse
import itertools
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import rows as store
import torch

from mvssl.apis import TrainOptions
from mvssl.process.telling import status_of

CONFIG = Path(__file__).parents[2] / "configs" / "byol_vit.py"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", type=Path, required=True, help="rows, read and written")
    parser.add_argument(
        "--objectives", nargs="+", default=["er", "native"], choices=["er", "native"]
    )
    parser.add_argument("--lrs", nargs="+", type=float, default=[5e-4, 1e-3, 2e-3])
    parser.add_argument("--momenta", nargs="+", type=float, default=[0.9, 0.99, 0.996])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of a run")
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side")
    return parser.parse_args()


def wanted(args: argparse.Namespace) -> Iterator[tuple[dict[str, Any], TrainOptions]]:
    """Settings and options of each run."""
    grid = itertools.product(args.seeds, args.lrs, args.momenta, args.objectives)
    for seed, lr, momentum, objective in grid:
        settings = {"objective": objective, "lr": lr, "momentum": momentum, "seed": seed}
        options = TrainOptions(
            config=str(CONFIG),
            objective=objective,
            seed=seed,
            cfg_options={
                "optim_wrapper.optimizer.lr": lr,
                "model.teacher.momentum": momentum,
                "train_cfg.max_epochs": args.epochs,
            },
        )
        yield settings | {"epochs": args.epochs, "digest": store.digest(options)}, options


def table(rows: list[dict[str, Any]]) -> str:
    """Medians over seeds, the best cell of each objective first."""
    cells = defaultdict(list)
    for row in rows:
        cells[row["objective"], row["lr"], row["momentum"], row["epochs"]].append(row)
    lines = ["| objective | lr | EMA | epochs | seeds | kNN top-1 | MI estimate (nats) |"]
    lines.append("|---|---|---|---|---|---|---|")
    ranked = sorted(cells.items(), key=lambda c: (c[0][0], -(store.median(c[1], "knn_top1") or 0)))
    for (objective, lr, momentum, epochs), runs in ranked:
        top1, bound = (store.median(runs, name) for name in ("knn_top1", "mi_bound"))
        seeds = " ".join(str(r["seed"]) for r in sorted(runs, key=lambda r: r["seed"]))
        lines.append(
            f"| {objective} | {lr:g} | {momentum:g} | {epochs} | {seeds} "
            f"| {store.show(top1, '.3f')} | {store.show(bound, '.2f')} |"
        )
    return "\n".join(lines)


def main() -> None:
    args = parse()
    print(table(store.trained(args.json, wanted(args), args.threads, args.jobs)))


if __name__ == "__main__":
    raise SystemExit(status_of(main))
