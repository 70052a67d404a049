"""Running any number of evaluators on one network."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from mmengine.logging import print_log
from torch import nn

from mvssl.datasets.base import ImageDataset
from mvssl.datasets.faults import check_unreadable, told_unreadable
from mvssl.errors import UserError
from mvssl.evaluation.base import Evaluator, Learner
from mvssl.evaluation.inputs import Inputs, network_inputs, pixel_inputs
from mvssl.evaluation.network import Network, as_network, evaluation_mode
from mvssl.registry import EVALUATORS
from mvssl.words import count

__all__ = [
    "PIXEL_LIMIT",
    "check_evaluators",
    "check_records",
    "evaluate",
    "evaluate_pixels",
    "run_evaluators",
    "tell_unreadable",
]

# Images of a data set beyond which raw pixels, 12 kB each, are left out of the comparison.
PIXEL_LIMIT = 100_000


def evaluate(
    model: nn.Module | Network,
    evaluators: Iterable[Evaluator],
    train: ImageDataset,
    test: ImageDataset,
    *,
    preprocessing: Mapping[str, Any] | None = None,
    batch_size: int = 256,
    num_workers: int = 0,
    between: Callable[[], object] | None = None,
    told: Callable[[str], object] | None = None,
) -> dict[str, float]:
    """Results of the evaluators, by name; features and records are computed once for all of them.

    Every process calls this and receives all results.

    Args:
        model: a ``MultiView``, or a backbone alone, such as ``mvssl.load_backbone`` returns.
        evaluators: members of EVALUATORS.
        train: what evaluators learn from or look up.
        test: held-out images.
        preprocessing: of a backbone that does not say it itself (``mean``, ``std``, ...).
        batch_size: images embedded at once by each process.
        num_workers: of the loaders of each process.
        between: called after each batch, equally often on every process; what it raises on all of
            them ends the evaluation.
        told: called with a sentence on each image that cannot be read, on all processes; by
            default they are logged.

    Raises:
        UserError: too many images cannot be read (more than 3, and than one of 100); an evaluator
            needs labels, or records, which a backbone alone does not give; or two give results of
            one name.
    """
    chosen = list(evaluators)
    network = as_network(model, preprocessing)
    check_evaluators(chosen, train, test)
    check_records(chosen, network)
    inputs = network_inputs(network, train, test, batch_size, num_workers, between)
    with evaluation_mode(network.whole):
        results = run_evaluators(chosen, inputs)
    tell_unreadable(inputs, told or partial(print_log, logger="current", level=logging.WARNING))
    return results


def tell_unreadable(inputs: Inputs, told: Callable[[str], object]) -> None:
    """Say which images could not be read, of the data sets whose features were computed.

    Raises:
        UserError: they are too many.
    """
    for dataset, indices in inputs.unreadable():
        for index in sorted(indices):
            told(told_unreadable(dataset, index))
        check_unreadable(dataset, indices)


def evaluate_pixels(
    evaluators: Iterable[Evaluator],
    train: ImageDataset,
    test: ImageDataset,
    batch_size: int = 256,
    num_workers: int = 0,
) -> dict[str, float]:
    """What raw pixels reach in the place of features: ``<name>_pixels``, of evaluators that take
    nothing but features; of none where a data set is too large.
    """
    chosen = [one for one in evaluators if one.on_pixels]
    if not chosen or max(len(train), len(test)) > PIXEL_LIMIT:
        return {}
    results = run_evaluators(chosen, pixel_inputs(train, test, batch_size, num_workers))
    return {f"{name}_pixels": value for name, value in results.items()}


def check_evaluators(
    evaluators: Sequence[Evaluator], train: ImageDataset, test: ImageDataset
) -> None:
    """What can be told before anything is computed.

    Raises:
        UserError: labels are needed and missing, be it of some images, two evaluators give results
            of one name, or a data set is too small for one.
    """
    if train.channels != test.channels:
        raise UserError(
            f"The data sets of the evaluation have {train.channels} and {test.channels} channels: "
            f"give two whose images are of the same kind."
        )
    givers: dict[str, str] = {}
    for one in evaluators:
        kind = type(one).__name__
        for dataset in (train, test) if one.needs_labels else ():
            _check_labels(kind, dataset)
        for name in one.results:
            if name in givers:
                raise UserError(
                    f"{givers[name]} and {kind} both give '{name}', so one would hide the other: "
                    f"leave one of them out."
                )
            givers[name] = kind
        one.check_data(train, test)


def _check_labels(kind: str, dataset: ImageDataset) -> None:
    if dataset.labels is None:
        raise UserError(
            f"{kind} needs labels, and {dataset.describe()} has none: give labels=True in the data "
            f"sets of the evaluation, or leave {kind} out."
        )
    without = int((dataset.labels < 0).sum())
    if without:  # as a test's, they would count as wrong
        raise UserError(
            f"{kind} needs labels, and of {dataset.describe()} {count(without, 'image')} "
            f"{'has' if without == 1 else 'have'} a label below 0, which stands for none: leave "
            f"{'it' if without == 1 else 'them'} out of the data set, or {kind} out."
        )


def check_records(evaluators: Iterable[Evaluator], network: Network) -> None:
    """Raises a UserError where an evaluator takes records and there is a backbone alone."""
    kinds = [type(one).__name__ for one in evaluators if "record" in one.needs]
    if kinds and network.model is None:
        raise UserError(
            f"{' and '.join(kinds)} need{'s' if len(kinds) == 1 else ''} the record of several "
            f"views (projections, predictions, targets), which a backbone alone does not give: "
            f"give the folder of a run with its checkpoints, or an epoch_*.pth of it, or leave "
            f"{'it' if len(kinds) == 1 else 'them'} out. {_without_record()} run on a backbone "
            f"alone."
        )


def _without_record() -> str:
    """Names of the evaluators that take none."""
    EVALUATORS.import_from_location()  # mvssl's own
    found = [
        name
        for name, kind in EVALUATORS.module_dict.items()
        if "record" not in getattr(kind, "needs", ()) and not issubclass(kind, Learner)
    ]
    return ", ".join(sorted(found))


def run_evaluators(evaluators: Iterable[Evaluator], inputs: Inputs) -> dict[str, float]:
    """Results by name, of evaluators that share the inputs.

    Raises:
        UserError: an evaluator gives a result that it does not name.
    """
    results: dict[str, float] = {}
    for one in evaluators:
        given = one.run(inputs)
        unknown = [name for name in given if name not in one.results]
        if unknown:
            raise UserError(
                f"{type(one).__name__}.run gives {', '.join(map(repr, unknown))}, which its "
                f"results do not name: add how it is shown there."
            )
        results |= {name: float(value) for name, value in given.items()}
    return results
