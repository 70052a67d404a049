"""Classes of images: what evaluators ask of labels, parts of every class, accuracies."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mvssl.datasets.base import ImageDataset
from mvssl.errors import UserError
from mvssl.words import count

__all__ = [
    "Labels",
    "accuracy",
    "balanced_accuracy",
    "check_classes",
    "check_divisible",
    "check_widths",
    "class_accuracies",
    "class_name",
    "draw_of_each_class",
    "known_labels",
    "split_classes",
    "unequal",
]

Labels = NDArray[np.int64]

# Images of the largest class over those of the smallest: beyond it, accuracies over images are
# those of the large classes.
UNEQUAL = 2.0


def class_accuracies(predicted: Tensor, labels: Tensor, num_classes: int | None = None) -> Tensor:
    """Fraction of the images of each class whose class is predicted, float64 (num_classes,).

    NaN stands for a class that no image is of.

    Args:
        predicted, labels: (N,) classes.
        num_classes: by default as many as the labels tell of.
    """
    classes = int(labels.max()) + 1 if num_classes is None else num_classes
    right = (predicted == labels).double()
    return torch.bincount(labels, right, classes) / torch.bincount(labels, minlength=classes)


def accuracy(predicted: Tensor, labels: Tensor) -> float:
    """Fraction of the images whose class is predicted, in [0, 1]."""
    return (predicted == labels).double().mean().item()


def balanced_accuracy(predicted: Tensor, labels: Tensor) -> float:
    """Mean of the accuracies of the classes that there are, in [0, 1]: however many images a class
    has, who always answers the same reaches 1 / classes.
    """
    return class_accuracies(predicted, labels).nanmean().item()


def check_widths(queries: Tensor, bank: Tensor) -> None:
    """Raises a UserError unless both are features (N, C) of one width C."""
    if queries.dim() != 2 or bank.dim() != 2 or queries.shape[1] != bank.shape[1]:
        shapes = " and ".join(" x ".join(map(str, x.shape)) for x in (queries, bank))
        raise UserError(
            f"Features of unequal width cannot be compared: they are {shapes}, images x channels; "
            f"give features of one backbone."
        )


def unequal(dataset: ImageDataset) -> bool:
    """Whether a class has over twice the images of another, so that accuracies over images and
    over classes differ.
    """
    sizes = np.unique(known_labels(dataset), return_counts=True)[1]
    return bool(sizes.max() > UNEQUAL * sizes.min())


def known_labels(dataset: ImageDataset) -> Labels:
    """Class of every image of a data set that has labels (N,)."""
    assert dataset.labels is not None  # of an evaluator that needs labels, told before
    return dataset.labels


def class_name(dataset: ImageDataset, number: int) -> str:
    """A class in a sentence: ``'owl'``, or ``3`` where classes have no names."""
    names = dataset.classes
    return repr(names[number]) if names is not None and number < len(names) else str(number)


def check_classes(owner: str, train: ImageDataset, test: ImageDataset) -> None:
    """That every image has a label, and that there is something to tell apart.

    Raises:
        UserError: it is otherwise.
    """
    for dataset in (train, test):
        missing = int((known_labels(dataset) < 0).sum())
        if missing:
            raise UserError(
                f"{owner}: {count(missing, 'image')} of {dataset.describe()} "
                f"{'has' if missing == 1 else 'have'} no label (a number below 0): give every "
                f"image of the evaluation one, or leave {owner} out."
            )
    classes = np.unique(known_labels(train))
    if len(classes) < 2:
        only = f"the class {class_name(train, int(classes[0]))} alone" if len(classes) else "none"
        raise UserError(
            f"{owner} tells classes apart, and the images that it takes them from are of {only} "
            f"({train.describe()}): give images of two classes or more, or leave {owner} out."
        )


def check_divisible(owner: str, train: ImageDataset, why: str, instead: str) -> None:
    """That a part of every class can be held out.

    Args:
        why: what it is held out for ("to choose l2 by").
        instead: what else a user may give.

    Raises:
        UserError: a class has one image.
    """
    classes, sizes = np.unique(known_labels(train), return_counts=True)
    if sizes.min() < 2:
        only = class_name(train, int(classes[sizes.argmin()]))
        raise UserError(
            f"{owner} holds out training images of every class {why}, and the class {only} has 1 "
            f"({train.describe()}): give 2 or more, or {instead}."
        )


def split_classes(labels: Labels, fraction: float, seed: int) -> tuple[Labels, Labels]:
    """Numbers of images that are kept and of those held out, ascending: the fraction of every
    class, at least one image of each and never all.
    """

    def held(images: int) -> int:
        return min(max(round(fraction * images), 1), images - 1)

    out = draw_of_each_class(labels, held, np.random.default_rng(seed))
    return np.setdiff1d(np.arange(len(labels)), out), out


def draw_of_each_class(
    labels: Labels, number: Callable[[int], int], generator: np.random.Generator
) -> Labels:
    """Numbers of random images, ascending: of a class of n images ``number(n)``."""
    drawn = []
    for one in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == one))
        drawn.append(members[: number(len(members))])
    return np.sort(np.concatenate(drawn))
