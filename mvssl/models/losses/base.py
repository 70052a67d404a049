"""What all losses share, and their kinds, which say where one fits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, TypeVar

from torch import Tensor, nn

from mvssl.errors import UserError
from mvssl.registry import LOSSES, public_name
from mvssl.words import either

__all__ = ["DistributionLoss", "Loss", "PairLoss", "Regularizer", "ViewsLoss", "check_images"]

L = TypeVar("L", bound="Loss")


@LOSSES.base_class
class Loss(nn.Module, ABC):
    """A stateless function to a scalar, of one of the kinds below. None communicates.

    Attributes:
        kind: what it is a loss of, for sentences.
    """

    kind: ClassVar[str] = "a kind of its own"

    @classmethod
    def build_for(cls: type[L], owner: str, cfg: dict[str, Any]) -> L:
        """A member of LOSSES that is of this kind.

        Raises:
            UserError: it is of another kind; the sentence says which ones ``owner`` takes.
        """
        loss: Loss = LOSSES.build(cfg)
        if isinstance(loss, cls):
            return loss
        known = sorted(LOSSES.module_dict.items())
        fitting = [name for name, kind in known if isinstance(kind, type) and issubclass(kind, cls)]
        raise UserError(
            f"{owner} takes a loss of {cls.kind}, and {type(loss).__name__} is one of {loss.kind}: "
            f"give {either(fitting)}, or one derived from {public_name(cls)}."
        )


class PairLoss(Loss):
    """Compares embeddings of two views of the same images.

    Attributes:
        crosses_samples: whether it compares images with each other; it is then given the joined
            batch of all processes.
    """

    kind: ClassVar[str] = "pairs of embeddings"
    crosses_samples: ClassVar[bool] = False

    @abstractmethod
    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """(B, D) and (B, D), not normalised, to a scalar."""


class DistributionLoss(Loss):
    """Compares logits over prototypes with distributions over them."""

    kind: ClassVar[str] = "logits and distributions"

    @abstractmethod
    def forward(self, logits: Tensor, distributions: Tensor) -> Tensor:
        """Logits (B, K) and distributions (B, K), rows that sum to 1, to a scalar."""


class Regularizer(Loss):
    """Says how far embeddings of one view are from what they should be like as a whole."""

    kind: ClassVar[str] = "the embeddings of one view"

    @abstractmethod
    def forward(self, z: Tensor, step: int) -> Tensor:
        """Embeddings (k, D) or (V, k, D) of all processes and the number of the training step to
        a scalar, the mean over the views.
        """


class ViewsLoss(Loss):
    """Looks at all views of all images at once."""

    kind: ClassVar[str] = "all views at once"

    @abstractmethod
    def forward(self, z: Tensor) -> Tensor:
        """Embeddings (V, k, D) of all processes, not normalised, to a scalar."""


def check_images(owner: str, z: Tensor) -> None:
    """Raises a UserError unless embeddings (..., k, D) are of two images or more."""
    if z.shape[-2] < 2:
        raise UserError(
            f"{owner} compares images with each other, and the batch holds {z.shape[-2]}: choose a "
            f"batch_size of 2 or more."
        )
