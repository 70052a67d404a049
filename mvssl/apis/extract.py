"""Features of images, in memory or as a file: what ``tools/extract.py`` and notebooks call."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Collection
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from mvssl.apis.given import Images, open_images, open_network
from mvssl.apis.npy import NpyRows
from mvssl.arguments import check_count
from mvssl.datasets.base import ImageDataset
from mvssl.distributed import broadcast_object, on_all_ranks, on_first_rank, rank
from mvssl.distributed.launch import processes
from mvssl.errors import UserError
from mvssl.evaluation import extract_features, stream_features
from mvssl.evaluation.network import Network
from mvssl.files import (
    clear_leftovers,
    make_folder,
    replacing,
    write_atomically,
    write_bytes_atomically,
)
from mvssl.models.backbones import Which
from mvssl.process.places import FEATURES, new_file
from mvssl.words import count, printable

__all__ = ["Extracted", "extract", "extract_to_file"]


@dataclass(frozen=True)
class Extracted:
    """Features of the images that could be read, a row each.

    Attributes:
        x: (N, C), float32; mapped from the file where they were extracted into a ``.npy``.
        names: of the images, (N,); of a folder, paths below it.
        labels: (N,), int64, -1 where an image has none; None unless they were asked for.
        classes: names of the classes, or None.
        unreadable: images without a row, each with what is wrong with it.
    """

    x: NDArray[np.float32]
    names: list[str]
    labels: NDArray[np.int64] | None
    classes: list[str] | None
    unreadable: dict[str, str]

    def __len__(self) -> int:
        return len(self.x)

    def __repr__(self) -> str:
        """Its shape: the names of all images would fill a screen."""
        classes = "no labels" if self.classes is None else count(len(self.classes), "class")
        left_out = f", {len(self.unreadable):,} unreadable" if self.unreadable else ""
        return f"Extracted({len(self.x):,} x {self.x.shape[1]}, {classes}{left_out})"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write them whole or not at all, over what is there.

        - ``.npz``: ``features``, ``names``, and with labels ``labels`` and ``classes``;
        - ``.npy``: the features alone, which ``numpy.load(..., mmap_mode='r')`` maps, and the rest
          in a ``.json`` beside;
        - ``.parquet``: columns ``name``, ``features`` and with labels ``label`` and ``class``.

        Raises:
            UserError: the name has another ending, or a package is missing.
        """
        writers: dict[str, Callable[[Path], None]] = {
            ".npz": self._save_npz,
            ".npy": self._save_npy,
            ".parquet": self._save_parquet,
        }
        file = new_file(path, FEATURES, overwrite=True)
        make_folder(file.parent)
        writers[file.suffix.lower()](file)

    def _save_npz(self, path: Path) -> None:
        arrays: dict[str, Any] = {"features": self.x, "names": np.array(self.names, dtype=str)}
        if self.labels is not None:
            arrays |= {"labels": self.labels, "classes": np.array(self.classes, dtype=str)}
        write_atomically(path, lambda file: np.savez(file, **arrays))

    def _save_npy(self, path: Path) -> None:
        with replacing(path) as file:
            rows = NpyRows(file, path, len(self))
            rows.add(self.x)
            rows.finish()
            self._save_beside(path)

    def _save_beside(self, path: Path) -> None:
        """Before the features get their name, so that who finds them finds this."""
        labels = None if self.labels is None else self.labels.tolist()
        beside = {"names": self.names, "labels": labels, "classes": self.classes}
        data = json.dumps(beside).encode(errors="backslashreplace")
        write_bytes_atomically(path.with_suffix(".json"), data)

    def _save_parquet(self, path: Path) -> None:
        pyarrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
        rows = pyarrow.FixedSizeListArray.from_arrays(
            pyarrow.array(self.x.reshape(-1)), self.x.shape[1]
        )
        columns = {"name": [printable(name) for name in self.names], "features": rows}
        if self.labels is not None and self.classes is not None:
            columns["label"] = self.labels
            classes = [printable(name) for name in self.classes]
            columns["class"] = [None if label < 0 else classes[label] for label in self.labels]
        buffer = io.BytesIO()
        parquet.write_table(pyarrow.table(columns), buffer)
        write_bytes_atomically(path, buffer.getvalue())


def extract(
    source: nn.Module | str | os.PathLike[str],
    images: Images,
    *,
    labels: bool = False,
    split: str = "all",
    image_size: int | None = None,
    which: Which = "student",
    amp: bool = False,
    batch_size: int = 256,
    num_workers: int = 0,
    tick: Callable[[], object] | None = None,
    out: str | os.PathLike[str] | None = None,
) -> Extracted:
    """Features of every image once, on one process or several, which all receive them.

    Images are prepared as the backbone says: their largest squares at its size, normalised.

    Args:
        source: a backbone, or what :func:`mvssl.load_backbone` takes: a run, a file, a checkpoint,
            ``timm:NAME``.
        images: a folder, a data set, or an array (N, H, W, C).
        labels: whether sub-folders are classes.
        split: of a folder: ``train``, ``test`` or ``all``.
        image_size: side of the images, where it is not that of training.
        which: ``student`` or ``teacher``.
        amp: whether they are computed in bfloat16.
        batch_size: images at once on each process.
        num_workers: processes that read images, on each process.
        tick: called after each batch.
        out: a file to write them to as well, as of :meth:`Extracted.save`. Into a ``.npy`` they are
            written while they are extracted, and never held in memory as a whole; all processes
            need to see its folder.

    Raises:
        UserError: something that was given is missing or does not fit, or no image can be read;
            nothing has been written then.
    """
    check_count("extract", batch_size=batch_size)
    check_count("extract", at_least=0, num_workers=num_workers)
    path = None
    if out is not None:
        path = on_all_ranks(lambda: new_file(out, FEATURES, overwrite=True, option="out"))
    network = on_all_ranks(lambda: open_network(source, image_size, which, amp))
    dataset = on_all_ranks(
        lambda: open_images(images, network.backbone, labels=labels, split=split)
    )
    if path is not None and path.suffix.lower() == ".npy":
        return _streamed(network, dataset, path, batch_size, num_workers, tick)
    features = extract_features(network, dataset, batch_size, num_workers, tick)
    kept, found = _described(dataset, features.replaced)
    found = replace(found, x=features.x.numpy()[kept])
    if path is not None:
        on_first_rank(lambda: found.save(path))
    return found


def _described(
    dataset: ImageDataset, replaced: Collection[int]
) -> tuple[NDArray[np.int64], Extracted]:
    """Numbers of the images that could be read, and what is known of them without the features."""
    kept = np.setdiff1d(np.arange(len(dataset)), sorted(replaced))
    if not len(kept):
        raise UserError(f"{dataset.describe()}: none of the images can be read.")
    names = dataset.names()
    return kept, Extracted(
        np.empty((0, 0), np.float32),
        [names[number] for number in kept],
        None if dataset.labels is None else dataset.labels[kept],
        dataset.classes,
        {names[number]: dataset.fault(number) for number in sorted(replaced)},
    )


def _streamed(
    network: Network,
    dataset: ImageDataset,
    path: Path,
    batch_size: int,
    num_workers: int,
    tick: Callable[[], object] | None,
) -> Extracted:
    """Features that go into a ``.npy`` as they come; the first process writes."""
    replaced: set[int] = set()
    with ExitStack() as stack:
        rows = on_all_ranks(lambda: _begin(path, len(dataset), stack) if rank() == 0 else None)
        begun = broadcast_object("" if rows is None else rows.name)
        on_all_ranks(lambda: _check_seen(path, begun))

        def take(x: Tensor, bad: Tensor) -> None:
            replaced.update(bad[bad >= 0].tolist())
            read = x[bad < 0].numpy()
            on_all_ranks(lambda: rows.add(read) if rows and len(read) else None)

        stream_features(network, dataset, take, batch_size, num_workers, tick)
        _, found = _described(dataset, replaced)

        def finish() -> None:
            if rows is not None:
                rows.finish()
                found._save_beside(path)
            stack.close()

        on_all_ranks(finish)
    return on_all_ranks(lambda: replace(found, x=np.load(path, mmap_mode="r")))


def _begin(path: Path, most: int, stack: ExitStack) -> NpyRows:
    make_folder(path.parent)
    clear_leftovers(path.parent, path.name)
    return NpyRows(stack.enter_context(replacing(path)), path, most)


def _check_seen(path: Path, begun: str) -> None:
    """That this process sees what the first one has begun, which it is to map in the end."""
    if not path.with_name(begun).exists():
        raise UserError(
            f"Rank {rank()} does not see {path}, which rank 0 has begun: give it a folder that all "
            f"processes share."
        )


def extract_to_file(
    source: str,
    data: str,
    out: str,
    *,
    overwrite: bool = False,
    launcher: str = "none",
    **options: Any,
) -> None:
    """:func:`extract` of a folder into a file, told on the console as it goes.

    Args:
        source, data, options: as of :func:`extract`.
        out: the file, as of :meth:`Extracted.save`, whose folder is made.
        overwrite: whether it may be there.
        launcher: ``none``, ``pytorch`` (torchrun) or ``slurm`` (srun).

    Raises:
        UserError: as of both; nothing has been written then.
    """
    with processes(launcher):
        on_first_rank(lambda: new_file(out, FEATURES, overwrite))
        found = extract(source, data, out=out, **options)
    if rank() == 0:
        for name, fault in found.unreadable.items():
            print(f"left out {name}: {fault}")
        rows = f"{count(len(found), 'image')} x {found.x.shape[1]} numbers"
        print(f"written {out}: {rows}{_classes(found)}")


def _classes(found: Extracted) -> str:
    return "" if found.classes is None else f", {count(len(found.classes), 'class')}"
