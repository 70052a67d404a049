"""What evaluators are given in one measurement; each part is computed once, when asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

from torch import nn

from mvssl.datasets.base import ImageDataset
from mvssl.errors import UserError
from mvssl.evaluation.features import Features, extract_features, pixel_features, view_features
from mvssl.evaluation.network import Network
from mvssl.evaluation.records import extract_record, spread
from mvssl.models.heads import Head
from mvssl.models.record import Embeddings
from mvssl.views.view import View
from mvssl.words import count

__all__ = ["Inputs", "network_inputs", "pixel_inputs"]


class Inputs:
    """The inputs of one measurement, shared by all of its evaluators.

    Every process holds the same; what an evaluator computes from them needs no communication.

    Args:
        train_set, test_set: data sets; what is learned or looked up, and what is asked.
        features: a data set to its features.
        record: a data set and sample numbers to the record of their views; None: there is none.
        network: None where there is no backbone, as for raw pixels.
        view_features: a data set, a view, a seed and an epoch to the features of a random view of
            each image, likewise.
    """

    def __init__(
        self,
        train_set: ImageDataset,
        test_set: ImageDataset,
        features: Callable[[ImageDataset], Features],
        record: Callable[[ImageDataset, Sequence[int]], Embeddings] | None = None,
        network: Network | None = None,
        view_features: Callable[[ImageDataset, View, int, int], Features] | None = None,
    ) -> None:
        self.train_set = train_set
        self.test_set = test_set
        self._features = features
        self._record = record
        self._network = network
        self._view_features = view_features
        self._records: dict[int, Embeddings] = {}

    @cached_property
    def train(self) -> Features:
        """Features of the training images.

        Raises:
            UserError: some are no finite numbers; likewise of ``test``.
        """
        return _finite(self._features(self.train_set), self.train_set)

    @cached_property
    def test(self) -> Features:
        """Features of the held-out images."""
        return _finite(self._features(self.test_set), self.test_set)

    def unreadable(self) -> list[tuple[ImageDataset, frozenset[int]]]:
        """The data sets whose features were computed, and which of their images cannot be read."""
        known = {"train": self.train_set, "test": self.test_set}
        return [
            (one, vars(self)[name].replaced) for name, one in known.items() if name in vars(self)
        ]

    def record(self, most: int | None = None) -> Embeddings:
        """The record of the views of at most ``most`` held-out images, evenly spaced.

        Raises:
            UserError: there is none; an evaluator says in ``needs`` that it takes one.
        """
        if self._record is None:
            raise UserError(_undeclared("record"))
        chosen = spread(len(self.test_set), most)
        if len(chosen) not in self._records:
            self._records[len(chosen)] = self._record(self.test_set, chosen)
        return self._records[len(chosen)]

    @property
    def head(self) -> Head:
        """The objective of the model that makes the records.

        Raises:
            UserError: as for ``record``.
        """
        model = None if self._network is None else self._network.model
        if model is None:
            raise UserError(_undeclared("record"))
        return model.head

    def train_view(self, view: View, seed: int, epoch: int) -> Features:
        """Features of a random view of each training image, by the backbone in evaluation mode,
        drawn from (seed, epoch, image). They are not kept.

        Raises:
            UserError: as for ``train``, and as for ``backbone``.
        """
        if self._view_features is None:
            raise UserError(_undeclared("backbone"))
        return _finite(self._view_features(self.train_set, view, seed, epoch), self.train_set)

    @property
    def backbone(self) -> nn.Module:
        """Normalised images (B, 3, s, s) to features; who trains it trains a copy.

        Raises:
            UserError: there is none; an evaluator says in ``needs`` that it takes one.
        """
        return self._known_network().backbone

    @property
    def preprocessor(self) -> nn.Module:
        """A loader's batch of images to ``{"inputs": what the backbone takes}``.

        Raises:
            UserError: as for ``backbone``.
        """
        return self._known_network().preprocessor

    def _known_network(self) -> Network:
        if self._network is None:
            raise UserError(_undeclared("backbone"))
        return self._network


def network_inputs(
    network: Network,
    train: ImageDataset,
    test: ImageDataset,
    batch_size: int = 256,
    num_workers: int = 0,
    between: Callable[[], object] | None = None,
) -> Inputs:
    """Of a network: features, backbone, and records where there is a model around it."""
    model = network.model

    def features(dataset: ImageDataset) -> Features:
        return extract_features(network, dataset, batch_size, num_workers, between)

    def record(dataset: ImageDataset, indices: Sequence[int]) -> Embeddings:
        assert model is not None
        return extract_record(
            model, dataset, indices, batch_size, num_workers, between, amp=network.amp
        )

    def of_view(dataset: ImageDataset, view: View, seed: int, epoch: int) -> Features:
        return view_features(network, dataset, view, seed, epoch, batch_size, num_workers, between)

    return Inputs(train, test, features, None if model is None else record, network, of_view)


def pixel_inputs(
    train: ImageDataset, test: ImageDataset, batch_size: int = 256, num_workers: int = 0
) -> Inputs:
    """Raw pixels in the place of features, and nothing else."""
    return Inputs(train, test, lambda dataset: pixel_features(dataset, batch_size, num_workers))


def _finite(features: Features, dataset: ImageDataset) -> Features:
    bad = int((~features.x.isfinite().all(dim=1)).sum())
    if bad:
        raise UserError(
            f"The features of {bad} of {count(len(dataset), 'image')} hold NaN or infinite numbers "
            f"({dataset.describe()}), from which nothing can be measured: the network's weights "
            f"have diverged, or its half precision overflows; evaluate an earlier checkpoint."
        )
    return features


def _undeclared(need: str) -> str:
    return (
        f"An evaluator asks for the {need} where there is none: it says so in its class, "
        f'needs = ("{need}",), and is not run there.'
    )
