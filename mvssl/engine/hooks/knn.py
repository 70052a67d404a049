"""kNN accuracy before, during and after training."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook

from mvssl.datasets.base import ImageDataset
from mvssl.errors import UserError
from mvssl.evaluation import extract_features, knn_accuracy, pixel_features
from mvssl.registry import DATASETS, HOOKS

__all__ = ["KNNHook"]

# Images beyond which raw pixels, 12 kB each, are left out of the comparison.
PIXEL_LIMIT = 100_000


@HOOKS.register_module()
class KNNHook(Hook):
    """Classifies held-out images by their nearest neighbours among the training images.

    The protocol is Wu et al. 2018's (weighted vote, cosine similarity). Labels serve for this
    measurement alone. The results are ``knn_top1`` in the curves and in TensorBoard.

    Args:
        bank: data set whose images are the neighbours.
        queries: data set whose images are classified.
        k: number of neighbours.
        temperature: of the votes.
        interval: epochs between two measurements; the first is before training, the last after.
        batch_size: images embedded at once by each process.
        num_workers: of the loaders of each process.

    Raises:
        UserError: a data set has no labels, or a number is not positive.
    """

    # After the scalars of the epoch, before checkpoints, which hold the curves.
    priority = "LOW"

    def __init__(
        self,
        bank: dict[str, Any],
        queries: dict[str, Any],
        k: int = 20,
        temperature: float = 0.07,
        interval: int = 10,
        batch_size: int = 256,
        num_workers: int = 0,
    ) -> None:
        if min(k, interval, batch_size) < 1 or not temperature > 0:
            raise UserError(
                f"KNNHook: k, interval, batch_size and temperature are positive; got k={k}, "
                f"interval={interval}, batch_size={batch_size}, temperature={temperature:g}."
            )
        self.bank: ImageDataset = DATASETS.build(bank)
        self.queries: ImageDataset = DATASETS.build(queries)
        for dataset in (self.bank, self.queries):
            if dataset.labels is None:
                raise UserError(
                    f"kNN needs labels, and {dataset.describe()} has none: give labels=True in "
                    f"the config's evaluation data sets, or drop its evaluation."
                )
        self.k = k
        self.temperature = temperature
        self.interval = interval
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.initial: float | None = None
        self.final: float | None = None
        self.pixels: float | None = None

    @property
    def protocol(self) -> dict[str, float]:
        """What a number must be told with."""
        return {"k": self.k, "temperature": self.temperature}

    def before_train(self, runner: Any) -> None:
        steps, values = runner.history.series("knn_top1")
        if len(steps):  # a resumed run keeps the numbers it has
            self.initial, self.final = float(values[0]), float(values[-1])
            pixels = runner.history.series("knn_top1_pixels")[1]
            self.pixels = float(pixels[0]) if len(pixels) else None
        else:
            self.pixels = self._pixel_accuracy()
            if self.pixels is not None:
                runner.record({"knn_top1_pixels": self.pixels}, runner.iter)
            self.initial = self._measure(runner, "before training")

    def after_train_epoch(self, runner: Any) -> None:
        last = runner.epoch + 1 == runner.max_epochs
        if last or self.every_n_epochs(runner, self.interval):
            self._measure(runner, f"epoch {runner.epoch + 1}")

    def _measure(self, runner: Any, when: str) -> float:
        model = runner.model
        arguments = (self.batch_size, self.num_workers)
        accuracy = knn_accuracy(
            extract_features(model, self.bank, *arguments),
            extract_features(model, self.queries, *arguments),
            self.k,
            self.temperature,
        )
        self.final = accuracy
        runner.record({"knn_top1": accuracy}, runner.iter)
        shown = f"k={self.k}, t={self.temperature:g}"
        runner.console_message(f"{when:<16} kNN top-1 {accuracy:.3f}  ({shown})")
        return accuracy

    def _pixel_accuracy(self) -> float | None:
        if len(self.bank) > PIXEL_LIMIT:
            return None
        return knn_accuracy(
            pixel_features(self.bank, self.batch_size, self.num_workers),
            pixel_features(self.queries, self.batch_size, self.num_workers),
            self.k,
            self.temperature,
        )
