"""Training from JPEG files on, beside lightly's under Lightning, with the same small network.

    pip install -r requirements/benchmarks.txt
    python tools/benchmarks/end_to_end.py --json docs/results/end_to_end.json

Photographs of 500 x 375 lie in a folder; what is timed is everything from the files to the end of a
step. The network is so small that the views are most of the work, as they are beside a GPU. Both
read in the training process, one batch of the one after one of the other.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from pathlib import Path
from typing import Any

import lightly_methods
import rows as store
from lightly.data import LightlyDataset
from lightly.transforms import (
    BYOLTransform,
    BYOLView1Transform,
    BYOLView2Transform,
    DINOTransform,
    SimCLRTransform,
)
from step import LOCAL, NETWORKS, SMALL, WARM_UP, Steps, in_turn, measured, row, table
from torch.utils.data import DataLoader
from views import photographs

from mvssl.process.telling import status_of


def lightlys(method: str, size: int) -> Any:
    """Its transform with the settings that the config of the method has."""
    if method == "dino":
        return DINOTransform(
            global_crop_size=size,
            global_crop_scale=(0.4, 1.0),
            local_crop_size=LOCAL[size],
            local_crop_scale=(0.05, 0.4),
        )
    if method == "simclr":
        return SimCLRTransform(input_size=size, min_scale=0.08)
    return BYOLTransform(BYOLView1Transform(size), BYOLView2Transform(size))


def compare(method: str, network: str, steps: int) -> dict[str, Any]:
    size, batch, _ = NETWORKS[network]
    with tempfile.TemporaryDirectory() as given:
        folder, images = Path(given, "run"), Path(given, "images")
        folder.mkdir()
        images.mkdir()
        files = photographs(500, 375)
        for number in range(batch * (steps + WARM_UP)):
            Path(images, f"{number}.jpg").write_bytes(files[number % len(files)])
        ours = Steps(method, network, folder, data=images)
        theirs = LightlyDataset(str(images), transform=lightlys(method, size))
        data = DataLoader(theirs, batch, shuffle=True, drop_last=True)
        seconds = in_turn(ours, method, network, data, folder)
    return row(method, network, ours.seconds[WARM_UP:], seconds[WARM_UP:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--docs", type=Path, help="page whose table is written anew")
    parser.add_argument("--methods", nargs="+", default=list(lightly_methods.METHODS))
    parser.add_argument("--steps", type=int, default=10)
    args = parser.parse_args()
    warnings.filterwarnings("ignore", module="pytorch_lightning|lightning")
    store.check_page(args.docs, "end_to_end")
    rows = measured(args.json, args.methods, [SMALL], lambda m, n: compare(m, n, args.steps))
    print(table(rows))
    store.rewrite(args.docs, {"end_to_end": table(rows)})


if __name__ == "__main__":
    raise SystemExit(status_of(main))
