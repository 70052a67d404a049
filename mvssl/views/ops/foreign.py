"""What adapters of other libraries' transforms share."""

from __future__ import annotations

import contextlib
import random
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from mvssl.errors import UserError
from mvssl.views.ops.base import Drawn, Image, RandomOperation

__all__ = ["ForeignOperation", "seed_generators", "seeded_generators"]


def seed_generators(seed: int) -> None:
    """Seeds the global generators of Python, NumPy and torch's CPU, by a number that is not
    negative.
    """
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.default_generator.manual_seed(seed % 2**63)  # torch.manual_seed would seed the GPUs too


@contextlib.contextmanager
def seeded_generators(seed: int) -> Iterator[None]:
    """As ``seed_generators``; afterwards they are as they were."""
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    seed_generators(seed)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])


@dataclass(frozen=True, kw_only=True)
class ForeignOperation(RandomOperation):
    """A transform of another library, for the host engine.

    What it draws from the global generators follows from the view's own random numbers.

    Args:
        transform: ``dict(type=..., ...)``, name and arguments.
        prob: Probability that a sample is touched.

    Raises:
        UserError: There is no such transform, it does not take these arguments, or, when it is
            applied, it fails or gives anything but a uint8 image of as many channels.
    """

    numbers: ClassVar[int] = 2

    transform: Mapping[str, Any] = field(hash=False)
    prob: float = 1.0
    built: Any = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        kind = type(self).__name__
        if not isinstance(self.transform, Mapping) or not isinstance(
            self.transform.get("type"), str
        ):
            raise UserError(
                f"{kind}: transform is dict(type='...', ...), the transform's name and its "
                f"arguments, not {self.transform!r}."
            )
        super().__post_init__()
        object.__setattr__(self, "built", self.build())

    @property
    def name(self) -> str:
        # With the transform, so that two of them in a view draw numbers of their own.
        return f"{super().name}({self.transform['type']})"

    @abstractmethod
    def build(self) -> Any:
        """The transform that ``self.transform`` describes."""

    @abstractmethod
    def apply(self, image: Image) -> object:
        """What the transform makes of a contiguous copy of an image, (H, W, C), RGB."""

    def draw(self, u_bn: NDArray[np.float64], height: int, width: int) -> Drawn:
        """``seed`` of the global generators, int64 (B,)."""
        seed_b = (u_bn[:, 1] * 2.0**53).astype(np.int64)
        return {**super().draw(u_bn, height, width), "seed": seed_b}

    def host(self, image: Image, drawn: Mapping[str, Any]) -> Image:
        with seeded_generators(int(drawn["seed"])):
            try:
                made = self.apply(image.copy())
            except Exception as error:
                told = " ".join(str(error).split()) or type(error).__name__
                raise UserError(f"{self.name} failed on an image: {told}") from error
        if not isinstance(made, np.ndarray):
            raise UserError(f"{self.name} must give an image, not {type(made).__name__}.")
        if made.dtype != image.dtype or made.ndim != 3 or made.shape[2] != image.shape[2]:
            raise UserError(
                f"{self.name} must give a {image.dtype} image of {image.shape[2]} channels, and "
                f"gave {made.dtype} of shape (H, W, C) = {made.shape}."
            )
        return np.ascontiguousarray(made)

    def describe(self) -> str:
        return f"{self.transform['type']} p {self.prob:g}"

    def told(self, drawn: Mapping[str, Any], height: int, width: int) -> str:
        return str(self.transform["type"])
