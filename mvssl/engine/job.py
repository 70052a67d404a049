"""What a run is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, _ParamScheduler  # the base of all schedulers, exported
from torch.utils.data import DataLoader

from mvssl.datasets import ImageDataset
from mvssl.models import MultiView

__all__ = ["Job"]


@dataclass
class Job:
    """Everything that a run is made of, built and checked before anything is written.

    Attributes:
        config: path of the config.
        cfg: the config, with what the command line said.
        seed: of weights, shuffling and views.
        loader: of the training data, its data set included.
        default_hooks: by name; None leaves one of mmengine's own out.
        objective: ``er`` where the config's er_head is in the place of its head.
        notes: sentences for the console.
        evaluation_note: why nothing is evaluated, where it is not.
        stored: what checkpoints hold of the run beside, in their ``meta``.
        fitted: config values that were lowered to fit the data, by path.
        facts: what the images say of the config, where they are not RGB of 8 bits.
        changed: config values that are not those of the checkpoint which is resumed, by path.
    """

    config: str
    cfg: Config
    seed: int
    loader: DataLoader[Any]
    model: MultiView
    optim_wrapper: OptimWrapper
    schedulers: list[_ParamScheduler]
    default_hooks: dict[str, Hook | None]
    custom_hooks: list[Hook]
    objective: str = "native"
    notes: list[str] = field(default_factory=list)
    evaluation_note: str = ""
    stored: dict[str, Any] = field(default_factory=dict)
    fitted: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    changed: frozenset[str] = frozenset()

    @property
    def dataset(self) -> ImageDataset:
        """What is trained on."""
        dataset = self.loader.dataset
        assert isinstance(dataset, ImageDataset)
        return dataset

    @property
    def expected(self) -> dict[str, Any]:
        """What the backbone expects of images, as its file says it."""
        expected = dict(self.model.data_preprocessor.describe_inputs())
        limits = self.dataset.value_range
        if limits is not None:
            expected["value_range"] = list(limits)
        shares = {share for hook in self.hooks if (share := _crop_of(hook)) is not None}
        if len(shares) == 1 and shares != {1.0}:  # by which it was measured
            expected["crop_pct"] = shares.pop()
        return expected

    @property
    def hooks(self) -> list[Hook]:
        """All of the run's own."""
        return [hook for hook in (*self.default_hooks.values(), *self.custom_hooks) if hook]


def _crop_of(hook: Hook) -> float | None:
    """The share of an image's side that an evaluation shows; None where the hook is none."""
    held_out = getattr(hook, "test_set", None)
    reading = getattr(held_out, "reading", None)
    return None if held_out is None else getattr(reading, "crop_pct", 1.0)
