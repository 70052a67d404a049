"""What hooks and the loop may use of the run that they are part of."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from mmengine.hooks import Hook
from mmengine.logging import MessageHub
from mmengine.optim import OptimWrapper
from torch import nn
from torch.utils.data import DataLoader

from mvssl.datasets import ImageDataset
from mvssl.engine.agreement import Agreed
from mvssl.engine.history import History
from mvssl.engine.scalars import RunScalars
from mvssl.engine.watch import Watch
from mvssl.models import Embeddings, MultiView
from mvssl.models.multiview import Monitor

__all__ = ["Loop", "Observer", "Run", "is_last_epoch"]

Observer = Callable[[Embeddings, Mapping[str, Any]], object]
"""Of a step's record, without gradients, and the loader's batch; it leaves both as they are."""


class Loop(Protocol):
    """The training loop, as hooks see it."""

    dataloader: DataLoader[Any]
    micro_batch_size: int | None
    monitor: Monitor | None
    """Set before an iteration in which the record is to be measured."""
    observers: list[Observer]
    """Called in every step, after the optimiser's."""
    watch: Watch
    """Knows what first was no number."""
    epoch_images: int
    """Images of the running epoch that were trained on, over all processes; above 0 before its
    first step where a resumed run goes on within the epoch."""
    stop_training: bool
    """Set to end the run after this epoch."""


class Run(Protocol):
    """A run, as hooks see it: what ``mvssl.engine.Runner`` is, and a test's stand-in has to be."""

    epoch_means: dict[str, float]
    """Means of the scalars over the last whole epoch."""

    @property
    def model(self) -> MultiView: ...
    @property
    def network(self) -> nn.Module:
        """``model.embed``, in DDP where there are several processes."""

    @property
    def optim_wrapper(self) -> OptimWrapper: ...
    @property
    def train_loop(self) -> Loop: ...
    @property
    def train_dataloader(self) -> DataLoader[Any]: ...
    @property
    def train_set(self) -> ImageDataset:
        """What is trained on."""

    @property
    def hooks(self) -> list[Hook]: ...
    @property
    def epoch(self) -> int:
        """Whole epochs so far; during an epoch its number from 0."""

    @property
    def iter(self) -> int:
        """Iterations so far; during an iteration its number from 0."""

    @property
    def position(self) -> int:
        """Iterations so far, counted in those of a whole run with the present batch.

        It differs from ``iter`` where the batch was another one before a resume; schedules go by
        it, out of ``length``.
        """

    @property
    def length(self) -> int:
        """Iterations of a whole run with the present batch."""

    @property
    def max_epochs(self) -> int: ...
    @property
    def max_iters(self) -> int: ...
    @property
    def seed(self) -> int: ...
    @property
    def rank(self) -> int: ...
    @property
    def work_dir(self) -> str: ...
    @property
    def history(self) -> History:
        """Curves of the run."""

    @property
    def agreed(self) -> Agreed:
        """What all processes know alike after the step that runs now.

        To be asked in ``after_train_iter``; the answer is exchanged once in a step.
        """

    @property
    def scalars(self) -> RunScalars:
        """Takes what is to be averaged over an interval and over the epoch."""

    @property
    def logger(self) -> logging.Logger: ...
    @property
    def message_hub(self) -> MessageHub: ...

    def save_mid_epoch(self) -> Path:
        """Write ``iter_N.pth`` after the step that runs now; see ``mvssl.engine.Runner``."""

    def between_steps(self) -> None:
        """To be called now and then by a hook that takes long between two steps, on every process
        equally often.

        Raises:
            StopAskedError: on all processes, once any has got a signal: the hook leaves what it
                does, and sees to it that a run which is resumed makes up for it.
        """

    def save_between_epochs(self, over: int) -> Path:
        """Write ``iter_N.pth`` where ``over`` epochs and no step of the next one are over."""

    def save_epoch(self) -> Path:
        """Write ``epoch_N.pth`` after the epoch that runs now."""

    def call_hook(self, fn_name: str, **arguments: Any) -> None:
        """Let every hook that has a method of this name run it."""

    def record(self, scalars: Mapping[str, float], step: int) -> None:
        """Add a point to the curves and to TensorBoard, after ``step`` iterations."""

    def write_text(self, name: str, text: str, step: int) -> None:
        """Put a text into TensorBoard, after ``step`` iterations."""

    def console_message(self, text: str) -> None:
        """Print a line that stays, above the progress line, and log it."""


def is_last_epoch(run: Run) -> bool:
    """Whether the run ends with the epoch that runs now."""
    return run.epoch + 1 == run.max_epochs or run.train_loop.stop_training
