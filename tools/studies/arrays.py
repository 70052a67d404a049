"""The data of the studies as arrays, with a validation part of the training images.

    python tools/studies/arrays.py cifar10 data/cifar10          # <split>/<class>/<image>
    python tools/studies/arrays.py fashion /usr/share/datasets/fashion-mnist

writes ``data/studies/<name>/``: ``train.npy`` (20,000 images, 2,000 of each class), ``short.npy``
(15,000 of these, for as many steps with a small batch), ``bank.npy`` (10,000 of these, among which
neighbours are looked for), ``validation.npy`` (5,000 other training images, for tuning) and
``test.npy`` (10,000), each with its ``_labels.npy``. Which image is in which part depends on
nothing but its place in the data set.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvssl.datasets import ImageFolder, TorchvisionImages
from mvssl.datasets.base import ImageDataset
from mvssl.errors import UserError
from mvssl.files import make_folder, write_atomically
from mvssl.process.telling import status_of

ROOT = Path(__file__).parents[2]
SIZE = 32
# Images of a class. One epoch of the short part with batches of 32 has the 468 steps of six epochs
# of the whole with batches of 256.
TRAIN, SHORT, BANK, VALIDATION = 2000, 1500, 1000, 500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("name", choices=["cifar10", "fashion"])
    parser.add_argument("source", help="folder of the data set")
    parser.add_argument("--out", type=Path, default=ROOT / "data" / "studies")
    args = parser.parse_args()
    out: Path = args.out / args.name
    images, labels = _arrays(_open(args.name, args.source, "train"))
    test = _arrays(_open(args.name, args.source, "test"))
    fewest = int(np.bincount(labels).min())
    if fewest < TRAIN + VALIDATION:
        raise UserError(
            f"{args.source}: a class has {fewest:,} training images, the parts take "
            f"{TRAIN + VALIDATION:,} of each: give the whole data set."
        )
    make_folder(out)
    order = [np.flatnonzero(labels == label) for label in range(labels.max() + 1)]
    parts = {
        "train": _part(order, 0, TRAIN),
        "short": _part(order, 0, SHORT),
        "bank": _part(order, 0, BANK),
        "validation": _part(order, TRAIN, TRAIN + VALIDATION),
    }
    for name, chosen in parts.items():
        _write(out / name, images[chosen], labels[chosen])
    _write(out / "test", *test)


def _open(name: str, source: str, split: str) -> ImageDataset:
    if name == "cifar10":
        return ImageFolder(source, split=split, labels=True, size=SIZE)
    return TorchvisionImages("FashionMNIST", source, split=split, size=SIZE)


def _arrays(dataset: ImageDataset) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    assert dataset.labels is not None
    images = []
    for index in range(len(dataset)):
        image = dataset.read(index)
        if image is None:
            raise UserError(f"{dataset.path(index)} {dataset.fault(index)}: mend or replace it.")
        images.append(image)
    return np.stack(images), dataset.labels


def _part(order: list[NDArray[np.int64]], start: int, stop: int) -> NDArray[np.int64]:
    """Those from ``start`` to ``stop`` of each class, in the order of the data set."""
    return np.sort(np.concatenate([one[start:stop] for one in order]))


def _write(path: Path, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> None:
    _save(path.parent / f"{path.name}_labels.npy", labels)
    _save(path.parent / f"{path.name}.npy", images)
    print(f"{path}.npy  {' x '.join(map(str, images.shape))}")


def _save(path: Path, values: NDArray[Any]) -> None:
    write_atomically(path, lambda file: np.save(file, values))


if __name__ == "__main__":
    raise SystemExit(status_of(main))
