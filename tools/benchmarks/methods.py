r"""Every method, natively and with ER: what it learns, and what the bound says of it.

    python tools/benchmarks/methods.py --json docs/results/methods.json --docs docs/methods.md

Each row is a run of ``configs/<method>_vit.py`` on the digits, natively or with ``--objective er``.
Rows that the file holds, of the config as it is now, are not run again: an interrupted benchmark
goes on. The table holds means over the file's seeds, n of them, and of what is reached the standard
deviation, too. Other configs make other tables:

    python tools/benchmarks/methods.py --configs 'configs/cifar10/{method}_resnet18.py' \
        --methods simclr byol dino swav --json docs/results/methods_cifar10.json \
        --docs docs/methods.md --table cifar10
"""

from __future__ import annotations

import argparse
import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import rows as store
import torch

from mvssl.apis import TrainOptions
from mvssl.config.read import parse_options
from mvssl.process.telling import status_of

ROOT = Path(__file__).parents[2]
METHODS = [
    "simclr",
    "dcl",
    "mocov2",
    "mocov3",
    "nnclr",
    "cmc",
    "ir",
    "deepcluster",
    "deepclusterv2",
    "swav",
    "byol",
    "simsiam",
    "fastsiam",
    "dino",
    "ressl",
    "barlowtwins",
    "vicreg",
    "lejepa",
    "visreg",
    "mmcr",
    "empssl",
    "frossl",
]
OBJECTIVES = ["native", "er"]
# Column, value of a row, what is made of the values of all seeds, how it is written.
COLUMNS = (
    ("kNN before", "knn_top1_init", store.mean, ".3f"),
    ("after", "knn_top1", store.mean, ".3f"),
    ("±", "knn_top1", store.deviation, ".3f"),
    ("H", "entropy", store.mean, ".2f"),
    ("reconstruction", "reconstruction", store.mean, ".2f"),
    ("MI estimate", "mi_bound", store.mean, ".2f"),
    ("ceiling", "mi_ceiling", store.mean, ".2f"),
    ("InfoNCE", "infonce", store.mean, ".2f"),
)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", type=Path, required=True, help="rows, read and written")
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    parser.add_argument("--objectives", nargs="+", default=OBJECTIVES, choices=OBJECTIVES)
    parser.add_argument("--epochs", type=int, help="default: each config's own")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of a run")
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side")
    parser.add_argument(
        "--configs", default="configs/{method}_vit.py", help="pattern, from the repository's root"
    )
    parser.add_argument("--cfg-options", nargs="+", default=[], metavar="K=V", help="for all runs")
    parser.add_argument("--docs", type=Path, help="page whose table is written anew")
    parser.add_argument("--table", default="digits", help="name of the table in that page")
    return parser.parse_args()


def wanted(args: argparse.Namespace) -> Iterator[tuple[dict[str, Any], TrainOptions]]:
    """Settings and options of each run."""
    options = parse_options(args.cfg_options)
    for seed, method, objective in itertools.product(args.seeds, args.methods, args.objectives):
        config = args.configs.replace("{method}", method)
        path = str(ROOT / config)
        epochs = args.epochs or _asked(path, objective, seed, options).read().train_cfg.max_epochs
        settings = {"method": method, "objective": objective, "epochs": epochs, "seed": seed}
        asked = _asked(path, objective, seed, {**options, "train_cfg.max_epochs": epochs})
        told = {"config": config, "cfg_options": args.cfg_options, "digest": store.digest(asked)}
        yield settings | told, asked


def _asked(path: str, objective: Any, seed: int, options: dict[str, Any]) -> TrainOptions:
    return TrainOptions(config=path, objective=objective, seed=seed, cfg_options=options)


def table(rows: list[dict[str, Any]]) -> str:
    """A line for each method, objective and number of epochs: means over n seeds, in nats, and
    what ER reaches more than the method's own objective, of the seeds that both have.

    Runs of another config or with other overrides have lines of their own.
    """
    cells = defaultdict(list)
    for row in rows:
        told = " ".join([row["method"], *row.get("cfg_options", [])])
        cells[told, row["objective"], row["epochs"], row["config"]].append(row)
    titles = [title for title, *_ in COLUMNS]
    head = ["method", "objective", "epochs", "n", *titles, "ER - native, kNN"]
    lines = [f"| {' | '.join(head)} |", "|---|---" + "|---:" * (len(head) - 2) + "|"]

    def place(key: tuple[Any, ...]) -> tuple[Any, ...]:
        return METHODS.index(cells[key][0]["method"]), key[1] == "er", key

    for key in sorted(cells, key=place):
        runs = cells[key]
        values = [store.show(of(runs, name), form) for _, name, of, form in COLUMNS]
        told, objective, *other = key
        native = cells.get((told, "native", *other), [])
        more = store.with_interval(store.paired(_knn(runs), _knn(native)))
        values.append(more if objective == "er" else "")
        lines.append(f"| {' | '.join([*map(str, key[:3]), str(len(runs)), *values])} |")
    return "\n".join(lines)


def _knn(runs: list[dict[str, Any]]) -> store.BySeed:
    return {run["seed"]: run["knn_top1"] for run in runs}


def fill(args: argparse.Namespace, table: Callable[[list[dict[str, Any]]], str]) -> None:
    """Run what is missing, and write the table of all rows."""
    store.check_page(args.docs, args.table)
    made = table(store.trained(args.json, wanted(args), args.threads, args.jobs))
    print(made)
    store.rewrite(args.docs, {args.table: made})


def main() -> None:
    args = parse()
    fill(args, table)


if __name__ == "__main__":
    raise SystemExit(status_of(main))
