"""What views cost beside lightly, torchvision and kornia, on one core.

    pip install -r requirements/benchmarks.txt
    python tools/benchmarks/views.py --json docs/results/views.json

From the bytes of a JPEG file to what a worker hands over: two views of BYOL, and DINO's two large
and six small ones; and two views of BYOL of small images, which lie in memory, in batches. All make
the same operations with the same probabilities and take turns in one run.
"""

from __future__ import annotations

import argparse
import io
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import kornia.augmentation as kornia
import numpy as np
import rows as store
import torch
from lightly.transforms import (
    BYOLTransform,
    BYOLView1Transform,
    BYOLView2Transform,
    DINOTransform,
)
from PIL import Image
from sklearn.datasets import load_sample_images
from torchvision.io import ImageReadMode, decode_jpeg
from torchvision.transforms import v2

from mvssl.datasets.images import decode_image
from mvssl.engine.environment import processor
from mvssl.process.telling import status_of
from mvssl.views import DeviceViews, HostViews, build_views

BATCH = 256
SMALL = 32
LOCAL = 6
ROUND_S = 0.1
"""Seconds of each library in a round."""

Work = Callable[[int], object]
"""Makes the views of sample, or of batch, so and so."""


def photographs(width: int, height: int) -> list[bytes]:
    """Crops of sample photographs, 4:2:0, quality 90."""
    found = []
    for number in range(8):
        photograph = Image.fromarray(load_sample_images().images[number % 2])
        left, top = 9 * number, 3 * number
        cut = photograph.crop((left, top, left + 500, top + 375)).resize((width, height))
        buffer = io.BytesIO()
        cut.save(buffer, "JPEG", quality=90)
        found.append(buffer.getvalue())
    return found


def ours(files: Sequence[bytes], name: str, size: int, **arguments: Any) -> Work:
    transform = HostViews(build_views({"type": name, **arguments}, size), seed=0)

    def work(number: int) -> object:
        index = number % len(files)

        def spare(height: int, width: int) -> float:
            return transform.spare(height, width, index, number)

        image = decode_image(files[index], spare=spare)
        assert image is not None
        return transform(image, index, number)

    return work


def lightlys(files: Sequence[bytes], transform: Callable[[Image.Image], Any]) -> Work:
    return lambda n: transform(Image.open(io.BytesIO(files[n % len(files)])).convert("RGB"))


def torchvisions(files: Sequence[bytes], views: Sequence[v2.Transform]) -> Work:
    encoded = [torch.frombuffer(bytearray(one), dtype=torch.uint8) for one in files]

    def work(number: int) -> object:
        image = decode_jpeg(encoded[number % len(files)], ImageReadMode.RGB)
        return [view(image) for view in views]

    return work


def torchvision_view(
    size: int, blur: float, solarize: float, scale: tuple[float, float] = (0.08, 1.0)
) -> v2.Transform:
    """A view of BYOL, of tensors of uint8."""
    taps = max(3, size // 10 | 1)
    return v2.Compose(
        [
            v2.RandomResizedCrop(size, scale, antialias=True),
            v2.RandomHorizontalFlip(),
            v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.2, 0.1)], 0.8),
            v2.RandomGrayscale(0.2),
            v2.RandomApply([v2.GaussianBlur(taps, (0.1, 2.0))], blur),
            v2.RandomSolarize(128, solarize),
        ]
    )


def torchvision_dino() -> list[v2.Transform]:
    small = torchvision_view(96, 0.5, 0.0, (0.05, 0.4))
    large = [torchvision_view(224, *one, (0.4, 1.0)) for one in ((1.0, 0.0), (0.1, 0.2))]
    return [*large, *[small] * LOCAL]


def kornia_view(size: int, blur: float, solarize: float) -> torch.nn.Module:
    """A view of BYOL, of batches of floats."""
    taps = max(3, size // 10 | 1)
    return kornia.AugmentationSequential(
        kornia.RandomResizedCrop((size, size), (0.08, 1.0)),
        kornia.RandomHorizontalFlip(p=0.5),
        kornia.ColorJitter(0.4, 0.4, 0.2, 0.1, p=0.8),
        kornia.RandomGrayscale(p=0.2),
        kornia.RandomGaussianBlur((taps, taps), (0.1, 2.0), p=blur),
        kornia.RandomSolarize(0.0, 0.0, p=solarize),
    )


def from_files(width: int, height: int) -> dict[str, dict[str, Work]]:
    """Set of views to who makes them how."""
    files = photographs(width, height)
    # Ours are normalised on the training device.
    byol = BYOLTransform(
        BYOLView1Transform(normalize=None, cj_strength=1.0),
        BYOLView2Transform(normalize=None, cj_strength=1.0),
    )
    return {
        "BYOL, 2 of 224 px": {
            "mvssl": ours(files, "byol", 224),
            "lightly": lightlys(files, byol),
            "torchvision": torchvisions(
                files, [torchvision_view(224, *one) for one in ((1.0, 0.0), (0.1, 0.2))]
            ),
        },
        f"DINO, 2 of 224 and {LOCAL} of 96 px": {
            "mvssl": ours(files, "dino", 224, num_local=LOCAL),
            "lightly": lightlys(files, DINOTransform(n_local_views=LOCAL, normalize=None)),
            "torchvision": torchvisions(files, torchvision_dino()),
        },
    }


def in_batches() -> dict[str, Work]:
    """Two views of BYOL of small images on the CPU."""
    pixels = torch.from_numpy(np.stack([_small(n) for n in range(BATCH)])).permute(0, 3, 1, 2)
    pixels = pixels.contiguous()
    index = torch.arange(BATCH)
    engine = DeviceViews(build_views("byol", SMALL), seed=0)
    theirs = [kornia_view(SMALL, *one) for one in ((1.0, 0.0), (0.1, 0.2))]
    single = [torchvision_view(SMALL, *one) for one in ((1.0, 0.0), (0.1, 0.2))]
    floats = pixels.float() / 255.0
    return {
        "mvssl": lambda n: engine(pixels, index, torch.full_like(index, n)),
        "kornia": lambda n: [one(floats) for one in theirs],
        "torchvision": lambda n: [[one(image) for one in single] for image in pixels],
    }


def _small(number: int) -> np.ndarray:
    photograph = load_sample_images().images[number % 2]
    top, left = 13 * number % 300, 29 * number % 500
    return cv2.resize(photograph[top : top + 96, left : left + 96], (SMALL, SMALL))


def seconds(work: Work, times: int, first: int) -> float:
    """What one call takes, on average."""
    start = time.perf_counter()
    for number in range(first, first + times):
        work(number)
    return (time.perf_counter() - start) / times


def compare(
    views: str, source: str, works: Mapping[str, Work], rounds: int, count: int = 1
) -> list[dict[str, Any]]:
    """Milliseconds of an image and ratios to ours: medians over short rounds in which all take
    turns, so that a machine that slows down slows down all.
    """
    # What is made once is made before.
    once = {name: (seconds(work, 2, 0), seconds(work, 2, 2))[1] for name, work in works.items()}
    times = {name: max(round(ROUND_S / each), 1) for name, each in once.items()}
    found: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds):
        for name, work in works.items():
            found[name].append(seconds(work, times[name], number * times[name]) / count)
    own = found["mvssl"]
    return [
        {
            "views": views,
            "source": source,
            "of": name,
            "ms": 1e3 * statistics.median(each),
            "ratio": statistics.median(one / mine for one, mine in zip(each, own, strict=True)),
            "rounds": rounds,
            "device": processor(),
        }
        for name, each in found.items()
    ]


def table(rows: list[dict[str, Any]]) -> str:
    """A line for each set of views and each library."""
    lines = [
        "| views | images | library | ms an image | images/s | times ours |",
        "|---|---|---|---:|---:|---:|",
    ]
    for row in rows:
        ratio = "" if row["of"] == "mvssl" else f"{row['ratio']:.1f}"
        lines.append(
            f"| {row['views']} | {row['source']} | {row['of']} | {row['ms']:.3g} "
            f"| {1e3 / row['ms']:,.0f} | {ratio} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--docs", type=Path, help="page whose table is written anew")
    parser.add_argument("--rounds", type=int, default=40)
    args = parser.parse_args()
    torch.set_num_threads(1)
    store.check_page(args.docs, "views")
    cv2.setNumThreads(1)
    found = []
    for width, height in ((500, 375), (4000, 3000)):
        for views, works in from_files(width, height).items():
            found += compare(views, f"JPEG, {width} x {height}", works, args.rounds)
    source = f"in memory, {SMALL} x {SMALL}, batches of {BATCH}"
    found += compare(f"BYOL, 2 of {SMALL} px", source, in_batches(), args.rounds, BATCH)
    store.write(args.json, found)
    print(table(found))
    store.rewrite(args.docs, {"views": table(found)})


if __name__ == "__main__":
    raise SystemExit(status_of(main))
