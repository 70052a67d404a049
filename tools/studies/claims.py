r"""The claims about ER, with seeds: a training run a row, tables and figures from the rows.

    python tools/studies/arrays.py cifar10 data/cifar10      # the data, once
    python tools/studies/claims.py --tune                    # on validation images
    python tools/studies/claims.py --arms competitive batch ema centre --seeds 0 1 2
    python tools/studies/claims.py --write                   # docs/claims.md from the rows

Rows lie in ``docs/results/claims.json`` (``--json``), each written as soon as its run is over, and
those that are there are not run again, so a study that was interrupted goes on. Two runs go side by
side (``--jobs``), one thread each. Tuning takes a validation part of the training images and one
seed that is not reported; every reported row is measured on the test images after the last epoch.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import claims_page  # lies beside this file
import claims_plan as plan
import claims_tuning
import numpy as np
import rows as store  # lies beside the benchmarks
from claims_plan import Numbers, Row

from mvssl.apis import TrainOptions
from mvssl.config.read import parse_options
from mvssl.engine.environment import processor
from mvssl.errors import RunError, UserError
from mvssl.process.telling import status_of
from mvssl.report.recorded import read_run

CURVES = (
    "entropy",
    "entropy_floor",
    "entropy_cap",
    "student_entropy",
    "entropy_trained",
    "reconstruction",
    "information",
    "conditional_entropy",
    "mi_bound",
    "mi_ceiling",
    "infonce",
    "loss",
)
"""Of the batches of training; ``heldout_*`` and ``knn_*`` are kept beside them."""
POINTS = 40
TOLD = ("asked", "knn_top1")
"""What every row has."""


def stages(data: str, methods: Sequence[str], path: Path) -> Iterator[list[tuple[Row, Numbers]]]:
    """One number after the other, each at the best of those before: sharpness, rate, EMA.

    Natively and with ER alike: as many values, and as many runs. A stage is told by the rows that
    the file has once it is asked for.
    """
    pairs = [(method, objective) for method in methods for objective in ("native", "er")]
    for stage in range(len(claims_tuning.STAGES)):
        rows = store.read(path, TOLD)
        grid = [row for pair in pairs for row in claims_tuning.trials(rows, data, *pair)[stage]()]
        yield [(row, claims_tuning.as_asked(row)) for row in grid]


def run(row: Row, chosen: dict[str, Any]) -> dict[str, Any]:
    """A row with what its run reached; the run's outputs are thrown away."""
    words = plan.command(row, chosen)
    arrays = plan.ROOT / "data" / "studies" / row.data
    if not (arrays / "train.npy").is_file():
        raise UserError(f"{arrays} has no train.npy: make it by tools/studies/arrays.py.")
    with tempfile.TemporaryDirectory() as folder:
        place = ["--work-dir", f"{folder}/run"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        full = [sys.executable, *words[:2], *place, *words[2:]]
        done = store.command(full, plan.ROOT, environment)
        if done.returncode:
            raise RunError(f"{shlex.join(words)}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        recorded = read_run(Path(folder) / "run")
        summary = recorded.summary
        curves = {
            name: _thinned(*recorded.history.series(name))
            for name in recorded.history.names()
            if name in CURVES or name.startswith(("heldout_", "knn_top1", "online_"))
        }
    return {
        "digest": digest(row, chosen),
        **plan.numbers_of(row, chosen),
        **{name: summary.get(name) for name in store.KEPT},
        "steps": recorded.iterations,
        "curves": curves,
        "command": shlex.join(["python", *words]),
        "processor": processor(),
    }


def digest(row: Row, chosen: Numbers) -> str:
    """Of the config that the row's command trains."""
    _, config, *words = plan.command(row, chosen)
    options = parse_options(words[words.index("--cfg-options") + 1 :])
    return store.digest(
        TrainOptions(str(plan.ROOT / config), objective=row.objective, cfg_options=options)
    )


def _thinned(steps: Any, values: Any) -> list[list[float]]:
    """At most ``POINTS`` points of a curve, its last one among them."""
    kept = (
        sorted({round(one) for one in np.linspace(0, len(steps) - 1, POINTS)}) if len(steps) else []
    )
    return [[int(steps[i]) for i in kept], [float(f"{values[i]:.5g}") for i in kept]]


def check(rows: Sequence[dict[str, Any]], wanted: Sequence[tuple[Row, Numbers]]) -> None:
    """Refuse rows of other numbers than are best now, and of a config that has changed since.

    Raises:
        UserError: there is one.
    """
    remedy = "take the rows of {} out of the file, or give another --json."
    for row, chosen in wanted:
        for one in (one for one in rows if one["asked"] == asdict(row)):
            if any(one[name] != x for name, x in plan.numbers_of(row, chosen).items()):
                raise UserError(
                    f"A row of {told(row)} was run with other numbers than those that the tuning "
                    f"chooses now: {remedy.format(f'the test images of {row.method}')}"
                )
            if "digest" in one and one["digest"] != digest(row, chosen):
                raise UserError(
                    f"A row of {told(row)} was run before configs/studies/{row.method}.py or what "
                    f"it is made of was changed: {remedy.format(row.method)}"
                )


def complete(path: Path, wanted: Sequence[tuple[Row, Numbers]], jobs: int) -> None:
    """Run what the file lacks, ``jobs`` at a time, each written as soon as it is over."""
    check(store.read(path, TOLD), wanted)

    def measure(asked: tuple[Row, Numbers]) -> dict[str, Any]:
        found = run(*asked)
        reached = f"kNN {found['knn_top1']:.3f}  {found['seconds']:.0f} s"
        print(f"{told(asked[0])}  {reached}", flush=True)
        return found

    store.complete(path, settled(wanted), measure, jobs)


def settled(
    wanted: Sequence[tuple[Row, Numbers]],
) -> list[tuple[dict[str, Any], tuple[Row, Numbers]]]:
    """Each with what tells its row from all others."""
    return [({"asked": asdict(one[0])}, one) for one in wanted]


def show(path: Path, wanted: Sequence[tuple[Row, Numbers]]) -> bool:
    """Print the commands of what the file lacks; whether there is any."""
    rows = store.read(path, TOLD)
    check(rows, wanted)
    missing = store.lacking(rows, settled(wanted))
    for _, (row, chosen) in missing:
        print(shlex.join(["python", *plan.command(row, chosen)]))
    return bool(missing)


def told(row: Row) -> str:
    """What is changed, in words."""
    said = {name: value for name, value in asdict(row).items() if value != getattr(PLAIN, name)}
    for name in ("method", "objective"):
        said.pop(name, None)
    more = ", ".join(f"{name} {value}" for name, value in said.items())
    return f"{row.method} {row.objective}" + (f" ({more})" if more else "")


PLAIN = Row("cifar10", "", "")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", type=Path, default=plan.ROOT / "docs/results/claims.json")
    parser.add_argument("--data", default="cifar10", help="folder under data/studies")
    parser.add_argument("--methods", nargs="+", default=list(plan.NAMES), choices=list(plan.NAMES))
    parser.add_argument("--arms", nargs="+", default=[], choices=list(plan.ARMS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side, a thread each")
    parser.add_argument("--tune", action="store_true", help="the grid, on validation images")
    parser.add_argument("--dry-run", action="store_true", help="print commands of what is missing")
    parser.add_argument("--write", type=Path, nargs="?", const=plan.ROOT / "docs/claims.md")
    args = parser.parse_args()
    if plan.TUNING_SEED in args.seeds:
        parser.error(f"--seeds: {plan.TUNING_SEED} is that of the tuning, choose others.")
    return args


def main() -> None:
    args = parse()
    store.check_page(args.write, *claims_page.TABLES)
    for stage in stages(args.data, args.methods, args.json) if args.tune else ():
        if not args.dry_run:
            complete(args.json, stage, args.jobs)
        elif show(args.json, stage):
            return  # what later stages try, these runs tell
    rows = store.read(args.json, TOLD)
    wanted: dict[Row, dict[str, Any]] = {}
    for seed in args.seeds:
        for name in args.arms:
            for row in plan.ARMS[name](args.data, seed):
                if row.method in args.methods:
                    row, chosen = claims_tuning.as_tuned(row, rows)
                    wanted[row] = chosen
    if args.dry_run:
        show(args.json, [*wanted.items()])
    else:
        complete(args.json, [*wanted.items()], args.jobs)
    if args.write:
        claims_page.write(args.write, store.read(args.json, TOLD))


if __name__ == "__main__":
    raise SystemExit(status_of(main))
