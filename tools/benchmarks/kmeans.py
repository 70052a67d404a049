"""Time, peak memory and inertia of k-means, beside scikit-learn's MiniBatchKMeans.

    python tools/benchmarks/kmeans.py --samples 1000000 --channels 128 --clusters 3000 \
        --iterations 1 [--json FILE]

Both cluster the same unit vectors, drawn around as many centres as there are clusters, by squared
distance; MiniBatchKMeans makes ``iterations`` passes in batches. "Start" is the choice of the first
centroids and the first assignment. Times are to be compared beside the inertia that they bought.
Each runs in a process of its own: wall seconds, and the peak memory added to the data.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch
import torch.nn.functional as F
from sklearn.cluster import MiniBatchKMeans

from mvssl.models.clustering import KMeans

Row = dict[str, float | str]


def samples(n: int, channels: int, clusters: int) -> torch.Tensor:
    """Unit vectors (n, channels) around ``clusters`` centres."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(clusters, channels, generator=generator)
    x = torch.randn(n, channels, generator=generator)
    for chunk in x.split(4096):
        chunk += centres[torch.randint(clusters, (len(chunk),), generator=generator)]
        F.normalize(chunk, dim=1, out=chunk)
    return x


def peak() -> float:
    """Peak resident memory in megabytes (Linux counts in kilobytes)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def ours(n: int, channels: int, clusters: int, iterations: int) -> Row:
    x = samples(n, channels, clusters)
    before, start = peak(), time.perf_counter()
    first = KMeans(clusters, 0, spherical=False).fit(x)
    started = time.perf_counter()
    found = KMeans(clusters, iterations, spherical=False, tolerance=0.0).fit(x, first.centroids)
    ended = time.perf_counter()
    return {
        "name": "mvssl",
        "start_seconds": started - start,
        # One assignment more than the centroids are moved.
        "iteration_seconds": (ended - started) / (found.iterations + 1),
        "seconds": ended - start,
        "megabytes": peak() - before,
        "inertia": found.inertia,
    }


def theirs(n: int, channels: int, clusters: int, iterations: int) -> Row:
    x = samples(n, channels, clusters).numpy()
    before, start = peak(), time.perf_counter()
    model = MiniBatchKMeans(clusters, batch_size=4096, n_init=1, max_iter=iterations).fit(x)
    return {
        "name": "MiniBatchKMeans",
        "seconds": time.perf_counter() - start,
        "megabytes": peak() - before,
        "inertia": float(model.inertia_),
    }


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    for name, default in (("samples", 1_000_000), ("channels", 128), ("clusters", 3000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--iterations", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the rows here")
    args = parser.parse_args(argv)
    rows: list[Row] = []
    asked = (args.samples, args.channels, args.clusters, args.iterations)
    for measure in (ours, theirs):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            rows.append(pool.submit(measure, *asked).result())
        told = [f"{k} {v:.4g}" for k, v in rows[-1].items() if not isinstance(v, str)]
        print(rows[-1]["name"], *told, sep="  ")
    if args.json:
        sizes = {name: getattr(args, name) for name in ("samples", "channels", "clusters")}
        answer = {**sizes, "threads": torch.get_num_threads(), "rows": rows}
        args.json.write_text(json.dumps(answer, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
