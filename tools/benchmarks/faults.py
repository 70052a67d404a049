r"""What a run survives: kills, signals, a full disk, damaged files, two runs in one folder.

    python tools/benchmarks/faults.py --json docs/results/faults.json --docs docs/reliability.md

A small ViT with drop-path is trained on the digits by the command line, once without disturbance
(the reference) and then over and over with one: at a random moment, on one process and on two, with
and without loader workers. What was disturbed goes on with ``--resume``, and is intact where
weights, teacher, optimiser, curves and the exported backbone equal the reference to the last bit.

Rows that the file holds are not run again, so an interrupted benchmark goes on. A full disk is a
small tmpfs, which only root may mount.
"""

from __future__ import annotations

import argparse
import itertools
import platform
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import rows as store
from disturbed import (
    INTACT,
    TRIALS,
    Place,
    Setting,
    finish,
    may_mount,
    possible,
    state,
    wait_for_training,
)

from mvssl.process.telling import status_of


def run_row(name: str, setting: Setting, times: int, seed: int) -> dict[str, Any]:
    """A trial ``times`` times, beside a run that nobody disturbs."""
    draw = random.Random(f"{seed} {name} {setting}")
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder), setting)
        process = place.start()
        wait_for_training(process)
        since = time.monotonic()
        status, out = finish(process)
        if status:
            raise SystemExit(f"The undisturbed run failed: {out}")
        seconds = time.monotonic() - since
        reference = state(place.work_dir)
        ends = []
        for number in range(times):
            shutil.rmtree(place.work_dir)
            end = TRIALS[name](place, reference, seconds, draw)
            ends.append(end.replace(folder, "FOLDER"))
            print(f"{name}, {setting}, {number + 1}/{times}: {ends[-1]}", file=sys.stderr)
    return {
        "trials": times,
        "identical": ends.count(INTACT),
        "ends": dict(Counter(ends)),
        "processor": _processor(),
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


def table(found: list[dict[str, Any]]) -> str:
    """A line for each trial and setting."""
    head = "| disturbance | processes | workers of each | trials | resumed and identical | else |"
    lines = [head, "|---|---:|---:|---:|---:|---|"]
    order = {name: number for number, name in enumerate(TRIALS)}
    for row in sorted(found, key=lambda r: (order[r["trial"]], r["processes"], r["workers"])):
        other = "; ".join(f"{n} x {end}" for end, n in row["ends"].items() if end != INTACT)
        cells = [row[k] for k in ("trial", "processes", "workers", "trials", "identical")]
        lines.append(f"| {' | '.join(map(str, cells))} | {other or '–'} |")
    return "\n".join(lines)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", type=Path, required=True, help="rows, read and written")
    parser.add_argument("--docs", type=Path, help="page whose table is written anew")
    parser.add_argument("--trials", nargs="+", choices=list(TRIALS), default=list(TRIALS))
    parser.add_argument("--processes", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--workers", nargs="+", type=int, default=[0, 2])
    parser.add_argument("--times", type=int, default=20, help="of each row")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    return parser.parse_args()


def main() -> None:
    args = parse()
    store.check_page(args.docs, "faults")
    # In the background it may be ignored, and so would be by all that is started here.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    found = store.read(args.json)
    for name, processes, workers in itertools.product(args.trials, args.processes, args.workers):
        setting = Setting(processes, workers)
        wanted = {"trial": name, "processes": processes, "workers": workers, "seed": args.seed}
        done = any(all(row[key] == value for key, value in wanted.items()) for row in found)
        if done or not possible(name, setting) or (name == "full disk" and not may_mount()):
            continue
        found.append(wanted | run_row(name, setting, args.times, args.seed))
        store.write(args.json, found)
    print(table(found))
    store.rewrite(args.docs, {"faults": table(found)})


if __name__ == "__main__":
    raise SystemExit(status_of(main))
