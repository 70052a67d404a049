"""What every evaluator has in common: its needs, its results, how they are shown."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor

from mvssl.datasets.base import ImageDataset
from mvssl.errors import UserError
from mvssl.evaluation.inputs import Inputs
from mvssl.registry import EVALUATORS

__all__ = ["Evaluator", "Learner", "Need", "Shown", "known_evaluators"]

Need = Literal["features", "record", "backbone"]


@dataclass(frozen=True)
class Shown:
    """How a result is shown.

    Attributes:
        label: in tables and on the console ("kNN top-1").
        unit: of the axis of its curve ("top-1 accuracy", "nats").
        decimals: of its values.
        significant: whether these are significant digits instead, of values of many sizes.
        panel: title of its own panel in ``curves.png``; None: it has none.
        curve: what its curve is called there, beside others.
        listed: whether console and tables show it; the curves, TensorBoard and the summary hold
            every result.
    """

    label: str
    unit: str = ""
    decimals: int = 3
    panel: str | None = None
    curve: str = ""
    listed: bool = True
    significant: bool = False

    def text(self, value: float | None) -> str:
        """A value as people read it."""
        kind = "g" if self.significant else "f"
        return "–" if value is None else f"{value:.{self.decimals}{kind}}"

    def gain(self, before: float, after: float) -> str:
        """``+0.073``: the difference of the two numbers as they are shown."""
        gain = round(after, self.decimals) - round(before, self.decimals)
        return f"{gain:+.{self.decimals}f}"


@EVALUATORS.base_class
class Evaluator(ABC):
    """Asks something of what a network has learned.

    A subclass says by class attributes what it takes, is built from its config, and is run on any
    number of networks. It leaves the network and the data sets as they are. Every process runs it
    on the same inputs.

    Attributes:
        needs: ``features`` (``inputs.train`` and ``inputs.test``), ``record`` (``inputs.record``:
            views of held-out images, drawn as in training) and ``backbone`` (``inputs.backbone``
            and the data sets). What takes features alone is also run on raw pixels, to compare.
        needs_labels: of both data sets; without them it is left out or refused.
    """

    needs: ClassVar[tuple[Need, ...]] = ("features",)
    needs_labels: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        known = get_args(Need)
        if isinstance(cls.needs, str) or not set(cls.needs) <= set(known):
            raise UserError(
                f"{cls.__name__}.needs is a tuple of {', '.join(map(repr, known))}, "
                f"got {cls.needs!r}."
            )

    @property
    @abstractmethod
    def results(self) -> Mapping[str, Shown]:
        """Every result that ``run`` may give, by its name in curves and summary."""

    @property
    def curves(self) -> Mapping[str, Shown]:
        """Everything that a run shows of it: its results."""
        return self.results

    @property
    def protocol(self) -> dict[str, Any]:
        """What a number must be told with: k, a temperature, a number of images."""
        return {}

    @property
    def short_protocol(self) -> str:
        """The same in a few characters, for the console."""
        return ", ".join(
            f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}"
            for name, value in self.protocol.items()
        )

    @property
    def on_pixels(self) -> bool:
        """Whether raw pixels will do in the place of features."""
        return self.needs == ("features",)

    def check_data(self, train: ImageDataset, test: ImageDataset) -> None:  # noqa: B027
        """Called before anything is computed.

        Raises:
            UserError: a number of it does not suit the data sets.
        """

    @abstractmethod
    def run(self, inputs: Inputs) -> dict[str, float]:
        """The results, by name."""


class Learner(Evaluator):
    """An evaluator that learns while a run trains, step by step, from the features that are there.

    It is given features without gradients and draws nothing from the generators that training
    uses, so that the run is the same without it. The evaluation of a run begins it and asks it for
    results; before its first step it has none. Every process holds the same.
    """

    @property
    @abstractmethod
    def scalars(self) -> Mapping[str, Shown]:
        """What ``learn`` gives, by its name in curves."""

    @property
    def curves(self) -> Mapping[str, Shown]:
        return {**self.results, **self.scalars}

    @property
    def on_pixels(self) -> bool:
        """False: there is nothing to learn from them step by step."""
        return False

    @abstractmethod
    def check_training(self, dataset: ImageDataset, test: ImageDataset) -> None:
        """Called before training, with its images and the held-out ones.

        Raises:
            UserError: nothing can be learned from them.
        """

    @abstractmethod
    def begin(self, dataset: ImageDataset, num_features: int, device: torch.device) -> None:
        """Be as before the first step of a run on these images, by features (B, num_features)."""

    @abstractmethod
    def learn(self, features: Sequence[Tensor], labels: Tensor) -> dict[str, Tensor]:
        """Take a step; every process calls this with its share of the batch.

        Args:
            features: V x (B, C), of the views that the student sees, without gradient.
            labels: (B,), below 0 where there is none.

        Returns:
            Scalars of the whole batch; none where it has no labels.
        """

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """What it has learned, as tensors and plain containers, the same on all processes."""

    @abstractmethod
    def load_state_dict(self, state: Mapping[str, Any]) -> bool:
        """Put back what ``state_dict`` gave, after ``begin``; whether it was of the same sizes,
        without which nothing is changed.
        """


def known_evaluators() -> list[Evaluator]:
    """One of every registered class that needs no arguments."""
    EVALUATORS.import_from_location()  # mvssl's own
    known = []
    for kind in EVALUATORS.module_dict.values():
        try:
            known.append(kind())
        except Exception:  # anyone's class
            continue
    return known
