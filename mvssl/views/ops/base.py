"""What an operation of a view is: one class in a file of its own, with nothing elsewhere."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from mvssl.errors import UserError
from mvssl.registry import VIEW_OPS
from mvssl.views.ops.ranges import check_probability

__all__ = ["Drawn", "Image", "Operation", "RandomOperation"]

Image = NDArray[Any]
"""An image (H, W, C) of uint8, or of float32 in [0, 1]."""

Drawn = dict[str, NDArray[Any]]
"""What an operation drew: arrays by name, one row a sample. ``on``, (B,) of bool, says which
samples it touches."""


@VIEW_OPS.base_class
@dataclass(frozen=True, kw_only=True)
class Operation(ABC):
    """One step from an image to a view, in two forms: on one image and on a batch.

    A subclass is a frozen dataclass, registered in ``VIEW_OPS``; its fields are the arguments of a
    config, which it checks in ``__post_init__``. It holds no state: what is random follows from the
    uniform numbers that it is given, so that views repeat in whatever process they are made.

    Attributes:
        numbers: How many uniform numbers a sample takes.
        first_number: Where its numbers stand in the sequence of a view; None, for all but the
            operations that come with mvssl, for a place that follows from ``name``. A derived class
            does not take it over.
        flat: Arguments that can be given to a view directly, ``dict(size=32, blur=0.5)``: the
            view's short name to the name of the argument here.
        place: Where a view that is given by short names applies it: in increasing order.
        usual: Whether such a view has it unless it says otherwise.
        takes_bytes: Whether its form for the device also takes images as those of a data set are,
            uint8 or float32, and makes float32 of them without writing into them; others come after
            a conversion of the whole images.
        means_color: Whether it takes images of three channels alone, red, green and blue.
    """

    numbers: ClassVar[int] = 1
    first_number: ClassVar[int | None] = None
    flat: ClassVar[Mapping[str, str]] = {}
    place: ClassVar[int] = 1000
    usual: ClassVar[bool] = False
    takes_bytes: ClassVar[bool] = False
    means_color: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """What messages call it and its random numbers follow from: its name in the registry."""
        registered = VIEW_OPS.module_dict.items()
        return next((name for name, one in registered if one is type(self)), type(self).__name__)

    @property
    def first_of_its_own(self) -> int | None:
        """``first_number`` of the class itself: a derived one would draw what the one above it
        draws.
        """
        first: int | None = vars(type(self)).get("first_number")
        return first

    @property
    def idle(self) -> bool:
        """Whether it never changes an image; a view leaves it out then."""
        return False

    def sized(self, size: int) -> Operation:
        """The operation as it acts in a view of ``size`` pixels; most act the same in all."""
        return self

    @abstractmethod
    def draw(self, u_bn: NDArray[np.float64], height: int, width: int) -> Drawn:
        """Turns uniform numbers into what is done to each of B samples.

        Args:
            u_bn: Independent, in [0, 1), (B, ``numbers``).
            height, width: Of the images as they are when the operation's turn comes.

        Returns:
            ``on``, and arrays with one row a sample for the operation's own use.
        """

    @abstractmethod
    def host(self, image: Image, drawn: Mapping[str, Any]) -> Image:
        """Changes one image, uint8 or float32 in [0, 1], (H, W, C), which it must not write into.

        ``drawn`` holds the image's row of what was drawn. Called where ``on`` is true.
        """

    def spare(self, drawn: Drawn) -> float:
        """By how much the sides of an image, the only one of ``drawn``, may be divided before it,
        so that what it makes is as sharp: of a crop, its side by that of the view. 1: by nothing.
        """
        return 1.0

    def device(self, images: Tensor, drawn: Drawn) -> Tensor:
        """Changes images, float32 (B, C, H, W) in [0, 1], which it may write into.

        The images are those for which ``on`` is true, ``drawn`` their rows. An operation without
        this form serves the host engine alone.
        """
        raise UserError(self.host_alone())

    def without_color(self) -> Operation | None:
        """What is left of it where no channels are red, green and blue; None: nothing."""
        return None if self.means_color else self

    def lost_without_color(self) -> str:
        """What ``without_color`` takes away, in words, of an operation that means colour; empty
        where that is nothing.
        """
        return self.name

    @property
    def has_device_form(self) -> bool:
        return type(self).device is not Operation.device

    def host_alone(self) -> str:
        """The sentence for a user who asks for it on the device."""
        return (
            f"{self.name} acts on one image at a time, in the loader's workers: "
            f"set engine='host' in model.data_preprocessor, or leave the operation out."
        )

    @abstractmethod
    def describe(self) -> str:
        """A few words for the plan of a run: ``blur p 0.5``."""

    def told(self, drawn: Mapping[str, Any], height: int, width: int) -> str:
        """A few words for what is done to one image: ``blur sigma 1.2``; by default its name.

        Args:
            drawn: The image's row of what was drawn, ``on`` being true.
            height, width: Of the image as it is when the operation's turn comes.
        """
        return self.name


@dataclass(frozen=True, kw_only=True)
class RandomOperation(Operation):
    """An operation that is applied or not: the first of its uniform numbers decides.

    Args:
        prob: Probability that a sample is touched.
    """

    prob: float

    def __post_init__(self) -> None:
        check_probability(self.name, prob=self.prob)

    @property
    def idle(self) -> bool:
        return self.prob == 0

    def draw(self, u_bn: NDArray[np.float64], height: int, width: int) -> Drawn:
        return {"on": u_bn[:, 0] < self.prob}
