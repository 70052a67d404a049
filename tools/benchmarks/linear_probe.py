"""CPU time and accuracy of LinearProbe, beside scikit-learn's LogisticRegression.

    python tools/benchmarks/linear_probe.py --samples 8000 --channels 256 --classes 50 \
        [--repeats 3] [--decay 1] [--json FILE]

Both choose among the same penalties on the same held-out tenth, from strong to weak, each fit
beginning where the last one ended, and then learn from all of the training images: L-BFGS in
float32 in both, scikit-learn's with its own tolerance. "one" is a fit at one penalty. Repeats of
the two alternate; seconds are those of the processor, of one thread, and the least of all repeats.

Features are drawn around a centre for each class and mixed, so that the deviations of their
principal axes fall as ``1 / i**decay``, as those of networks do; a fifth more are held out.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from mvssl.arguments import check_count
from mvssl.datasets.base import ImageDataset
from mvssl.errors import UserError
from mvssl.evaluation import Features, LinearProbe
from mvssl.evaluation.classes import split_classes
from mvssl.evaluation.inputs import Inputs
from mvssl.evaluation.linear import DECADES
from mvssl.files import make_folder, write_bytes_atomically
from mvssl.process.places import new_file
from mvssl.process.telling import status_of

Row = dict[str, float | str]
FEWEST = 20
"""Samples of a class, a tenth of which is held out."""


def features(n: int, channels: int, classes: int, decay: float) -> tuple[Features, Features]:
    """Training and held-out features (n, channels) and (n / 5, channels), and their classes."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(classes, channels, generator=generator)
    labels = torch.arange(n + n // 5) % classes
    x = torch.randn(len(labels), channels, generator=generator) + 0.3 * centres[labels]
    axes = torch.linalg.qr(torch.randn(channels, channels, generator=generator)).Q
    x = x * torch.arange(1, channels + 1) ** -decay @ axes
    return Features(x[:n], labels[:n]), Features(x[n:], labels[n:])


def ours(train: Features, test: Features, l2: list[float]) -> dict[str, float]:
    sets = {"train": train, "test": test}  # in the place of data sets, of which nothing is asked
    inputs = Inputs(
        cast(ImageDataset, "train"),
        cast(ImageDataset, "test"),
        lambda name: sets[cast(str, name)],
    )
    found = LinearProbe(l2=l2).run(inputs)
    return {"accuracy": found["linear_top1"], "l2": found["linear_l2"]}


def theirs(train: Features, test: Features, l2: list[float]) -> dict[str, float]:
    scaler = StandardScaler().fit(train.x)
    x, labels = scaler.transform(train.x), np.asarray(train.labels)
    chosen = l2[0]
    if len(l2) > 1:
        kept, out = split_classes(labels, 0.1, 0)
        # One object goes on from its own last weights.
        model = LogisticRegression(warm_start=True, max_iter=200)
        reached = {}
        for one in sorted(l2, reverse=True):
            model.set_params(C=1 / (one * len(kept))).fit(x[kept], labels[kept])
            reached[one] = model.score(x[out], labels[out])
        chosen = max(reached, key=lambda one: reached[one])
    model = LogisticRegression(C=1 / (chosen * len(x)), max_iter=1000).fit(x, labels)
    score = model.score(scaler.transform(test.x), test.labels)
    return {"accuracy": float(score), "l2": chosen}


def measure(
    sets: tuple[Features, Features], repeats: int, path: list[float], one: float
) -> list[Row]:
    fits: dict[str, Callable[[Features, Features, list[float]], dict[str, float]]] = {
        "mvssl": ours,
        "scikit-learn": theirs,
    }
    rows: list[Row] = []
    for task, l2 in (("one", [one]), ("choice", path)):
        seconds: dict[str, list[float]] = {name: [] for name in fits}
        found: dict[str, dict[str, float]] = {}
        for _ in range(repeats):
            for name, fit in fits.items():
                start = time.process_time()
                found[name] = fit(*sets, l2)
                seconds[name].append(time.process_time() - start)
        base = min(seconds["scikit-learn"])
        for name in fits:
            least = min(seconds[name])
            times = {"seconds": least, "of_scikit_learn": least / base}
            rows.append({"task": task, "name": name, **times, **found[name]})
    return rows


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    for name, default in (("samples", 20_000), ("channels", 512), ("classes", 100)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--decay", type=float, default=1.0, help="0: channels of one size alone")
    parser.add_argument("--l2", type=float, default=1e-3, help="penalty of the single fit")
    parser.add_argument("--json", type=Path, help="write the rows here")
    args = parser.parse_args(argv)
    check_count("linear_probe", channels=args.channels, repeats=args.repeats)
    if args.classes < 2 or args.samples < FEWEST * args.classes:
        raise UserError(
            f"linear_probe: it takes 2 classes or more, and {FEWEST} samples of each; got "
            f"--classes {args.classes} --samples {args.samples}."
        )
    if args.json is not None:
        new_file(args.json, overwrite=True, option="--json")
    torch.set_num_threads(1)
    # Its weak penalties end at the limit of iterations, as ours may.
    warnings.simplefilter("ignore", ConvergenceWarning)
    sets = features(args.samples, args.channels, args.classes, args.decay)
    rows = measure(sets, args.repeats, list(DECADES), args.l2)
    for row in rows:
        told = [f"{k} {v:.4g}" for k, v in row.items() if not isinstance(v, str)]
        print(f"{row['task']:7}{row['name']:13}", *told, sep="  ")
    if args.json:
        given = {name: value for name, value in vars(args).items() if name != "json"}
        make_folder(args.json.parent)
        text = json.dumps({**given, "rows": rows}, indent=2) + "\n"
        write_bytes_atomically(args.json, text.encode())


if __name__ == "__main__":
    raise SystemExit(status_of(main))
