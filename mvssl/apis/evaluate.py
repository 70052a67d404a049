"""Evaluators on trained backbones, side by side: what ``tools/evaluate.py`` and notebooks call."""

from __future__ import annotations

import inspect
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from mmengine.device import get_device
from torch import nn

from mvssl.apis.given import open_network, open_parts
from mvssl.arguments import check_count
from mvssl.datasets.base import ImageDataset
from mvssl.distributed import on_all_ranks, on_first_rank, rank
from mvssl.distributed.launch import processes
from mvssl.engine.environment import versions
from mvssl.errors import UserError
from mvssl.evaluation import Evaluator, Inputs, Learner, check_evaluators
from mvssl.evaluation.evaluate import PIXEL_LIMIT, check_records, run_evaluators, tell_unreadable
from mvssl.evaluation.inputs import network_inputs, pixel_inputs
from mvssl.evaluation.network import Network, evaluation_mode
from mvssl.files import make_folder
from mvssl.models.backbones import Which
from mvssl.models.backbones.export import weights_digest
from mvssl.models.whole import checkpoint_of, load_model
from mvssl.process.places import given_path, new_folder
from mvssl.registry import EVALUATORS
from mvssl.report.evaluated import plot_confusion, plot_neighbours, print_results
from mvssl.report.tables import write_summary
from mvssl.run_files import EVALUATED
from mvssl.words import count, near_names

__all__ = [
    "PIXELS",
    "EvaluateOptions",
    "Evaluated",
    "check_numbers",
    "evaluate_backbones",
    "evaluate_one",
    "named_evaluators",
]

USUAL: Final = ("knn", "linear")
PIXELS: Final = "pixels"
"""A source: raw pixels in the place of features, of images averaged down to 32 x 32."""


@dataclass(frozen=True)
class EvaluateOptions:
    """What ``tools/evaluate.py`` is given.

    Attributes:
        sources: what :func:`mvssl.load_backbone` takes, or ``pixels``.
        data: a folder of images, whose sub-folders are classes; what is held out is its ``test``
            or ``val`` folder, else a fifth of every class. For evaluators that need no labels
            sub-folders need be no classes: all images are held out then, or those of such a folder.
            None with ``checkpoints`` alone: what the run recorded itself.
        test: a folder whose images are held out instead, with the same classes.
        evaluators: names of members of EVALUATORS, or beginnings of them, in small letters; by
            default kNN and the linear probe.
        options: their arguments, ``{"knn.k": 50}``.
        out: folder of the outputs.
        which, image_size, amp, batch_size, num_workers: as of :func:`mvssl.extract`.
        launcher: ``none``, ``pytorch`` (torchrun) or ``slurm`` (srun).
    """

    sources: Sequence[str]
    data: str | None = None
    test: str | None = None
    evaluators: Sequence[str] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    out: str | None = None
    which: Which = "student"
    image_size: int | None = None
    amp: bool = False
    batch_size: int = 256
    num_workers: int = 0
    launcher: str = "none"


@dataclass(frozen=True)
class Evaluated:
    """What was found of one backbone.

    Attributes:
        label: its short name, in tables and names of files.
        source: what was given.
        results: by name.
        inputs: features and data sets, from which pictures are drawn.
        seconds: that it took.
    """

    label: str
    source: str
    results: dict[str, float]
    inputs: Inputs
    seconds: float


def evaluate_backbones(options: EvaluateOptions) -> list[Evaluated]:
    """Evaluate, print a table, and write ``metrics.json`` and pictures.

    Every process calls this; the first one prints and writes.

    Raises:
        UserError: something that was given is missing or does not fit; nothing was written then.
    """
    with processes(options.launcher):
        check_numbers(options)
        if options.data is None:
            raise UserError("What is to be evaluated on is missing: give --data FOLDER.")
        evaluators = named_evaluators(options.evaluators or USUAL, options.options)
        labels = labels_of(options.sources)
        out = on_all_ranks(lambda: new_folder(options.out or _usual_folder(options)))
        # All are opened first: what is wrong with the last is told before the first takes time.
        opened = [open_one(source, evaluators, options) for source in options.sources]
        on_first_rank(lambda: make_folder(out))
        found = [
            evaluate_one(one, label, options) for one, label in zip(opened, labels, strict=True)
        ]
        on_first_rank(lambda: _write(found, evaluators, options, out))
    return found


def check_numbers(options: EvaluateOptions) -> None:
    """Raises a UserError where images are to pass in no number that can be."""
    check_count("evaluate", batch_size=options.batch_size)
    check_count("evaluate", at_least=0, num_workers=options.num_workers)


def named_evaluators(names: Sequence[str], options: Mapping[str, Any]) -> dict[str, Evaluator]:
    """Evaluators by the names that were given.

    Args:
        names: of classes in EVALUATORS in small letters, or beginnings that only one has.
        options: ``<name>.<argument>`` to its value.

    Raises:
        UserError: a name is of none or of several, or an option is of none that was named.
    """
    EVALUATORS.import_from_location()  # mvssl's own
    kinds = {kind.lower(): one for kind, one in EVALUATORS.module_dict.items()}
    given: dict[str, dict[str, Any]] = {name.lower(): {} for name in names}
    for path, value in options.items():
        name, dot, argument = path.partition(".")
        name = name.lower()
        if name not in given or not dot:
            raise UserError(
                f"--options {path}: no evaluator of that name is run; write "
                f"{next(iter(given), 'knn')}.ARGUMENT=VALUE, say."
            )
        given[name][argument] = value
    chosen: dict[str, Evaluator] = {}
    for name, arguments in given.items():
        fitting = [kind for kind in kinds if kind == name] or [
            kind for kind in kinds if kind.startswith(name)
        ]
        if len(fitting) != 1:
            known = f" (there are {', '.join(sorted(kinds))})."
            if fitting:
                raise UserError(f"Evaluator '{name}' is of several: {', '.join(fitting)}.")
            raise UserError(f"There is no evaluator '{name}'{near_names(name, kinds, known)}")
        kind = kinds[fitting[0]]
        for argument in arguments:
            known_arguments = list(inspect.signature(kind).parameters)
            if argument not in known_arguments:
                near = near_names(argument, known_arguments)
                raise UserError(f"--options {name}.{argument}: {kind.__name__} has no such{near}")
        if isinstance(kind, type) and issubclass(kind, Learner):
            raise UserError(
                f"{kind.__name__} learns while a run trains: name it in the evaluation of a config "
                f"(--cfg-options evaluation.evaluators.online.type={kind.__name__}), and leave it "
                f"out here."
            )
        chosen[name] = EVALUATORS.build({"type": kind.__name__, **arguments})
    return chosen


def labels_of(sources: Sequence[str]) -> list[str]:
    """A short name for each source, all different: the last parts of its path that tell it.

    Raises:
        UserError: two are the same file or folder.
    """
    known: dict[str, str] = {}
    for source in sources:
        path = given_path(source)
        same = os.path.realpath(path) if path.exists() else source
        if same in known:
            also = f" ({known[same]} is the same)" if known[same] != source else ""
            raise UserError(f"{source} is given twice{also}: give each backbone once.")
        known[same] = source
    parts = [source.removesuffix("/").split("/") for source in sources]
    labels = []
    for own in parts:
        length = 1
        while length < len(own) and sum(other[-length:] == own[-length:] for other in parts) > 1:
            length += 1
        labels.append("/".join(own[-length:]))
    return labels


def _file_names(labels: Sequence[str]) -> list[str]:
    """Labels as beginnings of names of files, all different."""
    names: list[str] = []
    for label in labels:
        plain = re.sub(r"[^\w.+-]", "_", label)
        name, number = plain, 1
        while name in names:
            number += 1
            name = f"{plain}_{number}"
        names.append(name)
    return names


@dataclass(frozen=True)
class Opened:
    """A source that is ready to be evaluated.

    Attributes:
        source: what was given.
        network: of it; None for raw pixels.
        evaluators: those that can run on it.
        train, test: images to learn from or look up, and held-out ones.
    """

    source: str
    network: Network | None
    evaluators: list[Evaluator]
    train: ImageDataset
    test: ImageDataset


def open_one(source: str, evaluators: Mapping[str, Evaluator], options: EvaluateOptions) -> Opened:
    """Open a source and its images; every process calls this.

    Where an evaluator takes records of views, backbone and model are those of a checkpoint.

    Raises:
        UserError: as :func:`evaluate_backbones`.
    """
    chosen = list(evaluators.values())
    if source == PIXELS:
        chosen = [one for one in chosen if one.on_pixels]
        train, test = on_all_ranks(lambda: _images(None, chosen, options))
        if max(len(train), len(test)) > PIXEL_LIMIT:
            raise UserError(f"pixels: more than {PIXEL_LIMIT:,} images are too many: leave it out.")
        return Opened(source, None, chosen, train, test)
    records = any("record" in one.needs for one in chosen)
    network = on_all_ranks(lambda: _open(source, records, options))
    check_records(chosen, network)
    train, test = on_all_ranks(lambda: _images(network.backbone, chosen, options))
    return Opened(source, network, chosen, train, test)


def evaluate_one(opened: Opened, label: str, options: EvaluateOptions) -> Evaluated:
    """Results of one source; every process calls this."""
    since = time.perf_counter()
    network, train, test = opened.network, opened.train, opened.test
    if network is None:
        inputs = pixel_inputs(train, test, options.batch_size, options.num_workers)
        results = run_evaluators(opened.evaluators, inputs)
    else:
        inputs = network_inputs(network, train, test, options.batch_size, options.num_workers)
        with evaluation_mode(network.whole):
            results = run_evaluators(opened.evaluators, inputs)
    # Whatever the evaluators took: of features pictures are drawn, by the first process alone.
    _ = inputs.train, inputs.test
    tell_unreadable(inputs, print if rank() == 0 else lambda _: None)
    seconds = time.perf_counter() - since
    if rank() == 0:
        print(f"{label}: {len(train):,} + {len(test):,} images, {seconds:.0f} s", flush=True)
    return Evaluated(label, opened.source, results, inputs, seconds)


def _open(source: str, records: bool, options: EvaluateOptions) -> Network:
    whole = checkpoint_of(source) if records else None
    network = open_network(
        source if whole is None else whole, options.image_size, options.which, options.amp
    )
    if whole is None:
        return network
    model = load_model(whole)
    return replace(network, model=model.to(get_device()) if torch.cuda.is_available() else model)


def _images(
    backbone: nn.Module | None, evaluators: Sequence[Evaluator], options: EvaluateOptions
) -> tuple[ImageDataset, ImageDataset]:
    """What is learned from or looked up, and what is held out."""
    labels = any(one.needs_labels for one in evaluators)
    assert options.data is not None  # told before
    train, test = open_parts(options.data, options.test, backbone, labels)
    check_evaluators(evaluators, train, test)
    return train, test


def _usual_folder(options: EvaluateOptions) -> Path:
    """``evaluation`` in the run, where one alone is evaluated."""
    first = given_path(options.sources[0])
    if len(options.sources) == 1 and first.is_dir():
        return (first / EVALUATED).parent
    return Path("work_dirs", "evaluation", given_path(str(options.data)).absolute().name)


def _write(
    found: Sequence[Evaluated],
    evaluators: Mapping[str, Evaluator],
    options: EvaluateOptions,
    out: Path,
) -> None:
    print_results([(one.label, one.results) for one in found], evaluators)
    first = found[0].inputs
    classes = first.train_set.classes
    write_summary(
        out / Path(EVALUATED).name,
        {
            "data": options.data,
            "test": options.test,
            "images": {"train": len(first.train_set), "test": len(first.test_set)},
            "classes": None if classes is None else _counts(first.test_set),
            "protocol": {name: one.protocol for name, one in evaluators.items()},
            "which": options.which,
            "amp": options.amp,
            "backbones": [_told(one) for one in found],
            "versions": versions(),
        },
    )
    print(f"\nwritten {out / Path(EVALUATED).name}", flush=True)
    pictures = 0
    for one, name in zip(found, _file_names([one.label for one in found]), strict=True):
        if one.source != PIXELS:
            plot_neighbours(out / f"{name}_neighbours.png", one.inputs)
            pictures += 1
        if classes is not None:
            plot_confusion(out / f"{name}_confusion.png", one.inputs)
            pictures += 1
    print(f"and {count(pictures, 'picture')} beside")


def _told(one: Evaluated) -> dict[str, Any]:
    """A backbone's part of ``metrics.json``."""
    inputs = one.inputs
    pixels = one.source == PIXELS
    return {
        "source": one.source,
        "weights": None if pixels else weights_digest(inputs.backbone),
        "image_size": inputs.test_set.size,
        "unreadable": {"train": len(inputs.train.replaced), "test": len(inputs.test.replaced)},
        "seconds": round(one.seconds, 1),
        "results": one.results,
    }


def _counts(dataset: ImageDataset) -> dict[str, int]:
    """Held-out images of each class."""
    assert dataset.labels is not None
    assert dataset.classes is not None
    counts = np.bincount(dataset.labels, minlength=len(dataset.classes))
    return dict(zip(dataset.classes, counts.tolist(), strict=True))
