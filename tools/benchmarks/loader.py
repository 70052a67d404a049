"""How fast the loader's workers are, and whether their memory stays.

    python tools/benchmarks/loader.py --json docs/results/loader.json
    python tools/benchmarks/loader.py --json docs/results/loader.json --files 1000000

Photographs of 500 x 375 are read from JPEG files and two views of 224 pixels are drawn of each, in
this process and by workers, alternating in one run; and small files are read so many times that a
leak would show. With --files, only how a data set of so many files begins: its time, its memory.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import rows as store
from PIL import Image
from sklearn.datasets import load_sample_images
from torch.utils.data import DataLoader

from mvssl.apis import TrainOptions
from mvssl.apis.prepare import prepare
from mvssl.arguments import check_count
from mvssl.datasets import ImageFolder
from mvssl.errors import UserError
from mvssl.process.telling import status_of

CONFIG = Path(__file__).parents[2] / "configs" / "photos" / "byol_er_vit_96.py"
BATCH = 32
IN_A_FOLDER = 1000


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--docs", type=Path, help="page whose table is written anew")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--images", type=int, default=512, help="of a round")
    parser.add_argument("--rounds", type=int, default=5, help="whose medians are told")
    parser.add_argument("--samples", type=int, default=200_000, help="during which memory is seen")
    parser.add_argument("--files", type=int, help="of a folder that is listed, and nothing else")
    return parser.parse_args()


def write_images(folder: Path, count: int, width: int, height: int) -> None:
    """Crops of photographs as JPEG files: a few that differ, and links to them."""
    photographs = [Image.fromarray(one) for one in load_sample_images().images]
    for number in range(count):
        file = folder / f"{number}.jpg"
        if number < 16:
            left, top = 9 * number, 3 * number
            cut = photographs[number % 2].crop((left, top, left + 500, top + 375))
            cut.resize((width, height)).save(file, quality=90)
        else:
            os.link(folder / f"{number % 16}.jpg", file)


def write_folders(folder: Path, count: int) -> None:
    """Small files, a thousand in each folder: links to a few."""
    for first in range(0, count, IN_A_FOLDER):
        (folder / f"{first // IN_A_FOLDER:05}").mkdir()
    few = folder / "00000"
    write_images(few, min(count, 32), 40, 30)
    for number in range(32, count):
        below = folder / f"{number // IN_A_FOLDER:05}"
        os.link(few / f"{number % 32}.jpg", below / f"{number}.jpg")


def begin(folder: Path) -> dict[str, Any]:
    """Seconds until a data set of a folder is there, and what it adds to the memory, in between and
    afterwards, in a process of its own.
    """
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(_begin, (folder,))


def _begin(folder: Path) -> dict[str, Any]:
    before = _mib("VmRSS")
    start = time.perf_counter()
    dataset = ImageFolder(folder)
    seconds = time.perf_counter() - start
    return {
        "files": len(dataset),
        "listing_s": seconds,
        "listing_mib": _mib("VmRSS") - before,
        "listing_peak_mib": _mib("VmHWM") - before,
    }


def _mib(name: str) -> float:
    """Of this process, by what Linux says."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def loader_of(folder: Path, size: int, workers: int) -> DataLoader[Any]:
    """What a run would read with."""
    given = {
        "model.data_preprocessor.size": size,
        "model.data_preprocessor.engine": "host",
        "model.backbone.model_args.img_size": size,
        "train_dataloader.batch_size": BATCH,
        "train_dataloader.num_workers": workers,
    }
    options = TrainOptions(str(CONFIG), data=str(folder), cfg_options=given)
    return prepare(options.read(), options.config, seed=0).loader


def rate(loader: DataLoader[Any]) -> tuple[float, float]:
    """Images a second once it runs, and seconds to the first batch."""
    start = time.perf_counter()
    batches = iter(loader)
    next(batches)
    first = time.perf_counter() - start
    # What lies ready by then was not read in the time that is measured.
    for _ in range(2 * max(loader.num_workers, 1)):
        next(batches)
    start, count = time.perf_counter(), 0
    for _ in batches:
        count += BATCH
    return count / (time.perf_counter() - start), first


def compare_rates(folder: Path, workers: int, rounds: int) -> dict[str, Any]:
    """Medians, with and without workers in turn."""
    loaders = {number: loader_of(folder, 224, number) for number in (0, workers)}
    found: dict[int, list[tuple[float, float]]] = {number: [] for number in loaders}
    for _ in range(rounds):
        for number, loader in loaders.items():
            found[number].append(rate(loader))
    alone, together = (statistics.median(one for one, _ in found[n]) for n in loaders)
    return {
        "workers": workers,
        "images_per_second_alone": alone,
        "images_per_second": together,
        "of_so_many_times": together / (workers * alone),
        "first_batch_s": statistics.median(first for _, first in found[workers]),
    }


def memory_of_family() -> int:
    """Bytes of this process and its children, what they share counted once."""
    own = os.getpid()
    children = Path(f"/proc/{own}/task/{own}/children").read_text().split()
    total = 0
    for process in (str(own), *children):
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        total += sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total


def endless(loader: DataLoader[Any]) -> Iterator[Any]:
    return itertools.chain.from_iterable(itertools.repeat(loader))


def memory(folder: Path, workers: int, samples: int) -> dict[str, Any]:
    """Memory after a tenth of the samples, and after all of them."""
    begin, end = samples // BATCH // 10, samples // BATCH
    seen = {}
    for number, _ in enumerate(endless(loader_of(folder, 32, workers)), start=1):
        if number in (begin, end):
            seen[number] = memory_of_family()
        if number == end:
            break
    return {
        "samples": samples,
        "mib_after_a_tenth": seen[begin] / 2**20,
        "mib_in_the_end": seen[end] / 2**20,
    }


def table(row: dict[str, Any]) -> str:
    """Line by line, of what has been measured."""
    lines: dict[str, str] = {}
    if "workers" in row:
        workers = row["workers"]
        lines = {
            "images/s in one process": f"{row['images_per_second_alone']:.0f}",
            f"images/s by {workers} workers": f"{row['images_per_second']:.0f}",
            f"share of {workers} times one process": f"{row['of_so_many_times']:.0%}",
            "seconds to the first batch": f"{row['first_batch_s']:.2f}",
            f"MiB after {row['samples'] // 10:,} samples": f"{row['mib_after_a_tenth']:.0f}",
            f"MiB after {row['samples']:,} samples": f"{row['mib_in_the_end']:.0f}",
        }
    if "files" in row:
        lines |= {
            f"seconds to list a folder of {row['files']:,} files": f"{row['listing_s']:.1f}",
            "MiB of the list": f"{row['listing_mib']:.0f}",
            "MiB while it is made": f"{row['listing_peak_mib']:.0f}",
        }
    return "\n".join(["| | |", "|---|---:|", *(f"| {k} | {v} |" for k, v in lines.items())])


def main() -> None:
    args = parse()
    check_count("loader", workers=args.workers, rounds=args.rounds)
    # Batches that lie ready, two a worker, are not timed.
    least = BATCH * (2 * args.workers + 2)
    for name, fewest in (("images", least), ("samples", 10 * BATCH)):
        if getattr(args, name) < fewest:
            raise UserError(
                f"loader: --{name} is at least {fewest} here, got {getattr(args, name)}."
            )
    store.check_page(args.docs, "loader")
    row: dict[str, Any] = next(iter(store.read(args.json)), {})
    with tempfile.TemporaryDirectory() as photographs, tempfile.TemporaryDirectory() as small:
        if args.files is not None:
            write_folders(Path(small), args.files)
            row |= begin(Path(small))
        else:
            write_images(Path(photographs), args.images, 500, 375)
            row |= compare_rates(Path(photographs), args.workers, args.rounds)
            # One pass: a worker that copied its list of files would grow with it.
            write_images(Path(small), args.samples, 40, 30)
            row |= memory(Path(small), args.workers, args.samples)
    store.write(args.json, [row])
    print(table(row))
    store.rewrite(args.docs, {"loader": table(row)})


if __name__ == "__main__":
    raise SystemExit(status_of(main))
