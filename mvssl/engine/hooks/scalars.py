"""Writes the means of the scalars of training where they are looked at."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

from mmengine.hooks import Hook, RuntimeInfoHook

from mvssl.arguments import check_count
from mvssl.distributed import world_size
from mvssl.engine.history import format_scalar
from mvssl.engine.run import Run
from mvssl.engine.watch import names_of_non_finite, non_finite_weights
from mvssl.errors import UserError
from mvssl.registry import HOOKS

__all__ = ["RunInfoHook", "ScalarsHook"]


@HOOKS.register_module()
class RunInfoHook(RuntimeInfoHook):
    """mmengine's ``RuntimeInfoHook`` without its reading of every scalar at every step, which
    makes the host wait for the device; ``ScalarsHook`` reads them now and then.
    """

    def after_train_iter(self, *_: Any, **__: Any) -> None:
        """Nothing: see the class."""


@HOOKS.register_module()
class ScalarsHook(Hook):
    """Means of the scalars to curves, TensorBoard, mmengine's message hub and the log file.

    Other hooks add theirs by ``runner.scalars.add``. Every ``interval`` iterations and at the end
    of an epoch the means since the last time are read, over all processes; the means of the whole
    epoch are left in ``runner.epoch_means``.

    Args:
        interval: iterations between two points of the curves.
    """

    # After hooks that add scalars, before those that show them.
    priority = "BELOW_NORMAL"

    def __init__(self, interval: int = 10) -> None:
        check_count("ScalarsHook", interval=interval)
        self.interval = interval
        self._images = self._epoch_images = 0
        self._since = self._epoch_since = 0.0

    def state_dict(self) -> dict[str, Any]:
        """Images since the last point and in the epoch, and the seconds that they took."""
        now = time.perf_counter()
        return {
            "images": [self._images, self._epoch_images],
            "seconds": [now - self._since, now - self._epoch_since],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what ``state_dict`` gave."""
        now = time.perf_counter()
        self._images, self._epoch_images = state["images"]
        self._since, self._epoch_since = (now - seconds for seconds in state["seconds"])

    def before_train_epoch(self, runner: Run) -> None:
        if not runner.train_loop.epoch_images:
            self._images = self._epoch_images = 0
            self._since = self._epoch_since = time.perf_counter()

    def after_train_iter(
        self, runner: Run, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        runner.scalars.add({"lr": runner.optim_wrapper.get_lr()["lr"][0], **(outputs or {})})
        images = len(data_batch["index"]) * world_size()
        self._images += images
        self._epoch_images += images
        if self.every_n_train_iters(runner, self.interval) or self.end_of_epoch(
            runner.train_dataloader, batch_idx
        ):
            self._flush(runner)

    def _flush(self, runner: Run) -> None:
        means = runner.scalars.interval.read_and_clear()
        # Values are looked at here alone, since looking makes the host wait for the device.
        weights = int(non_finite_weights(runner.model))
        if weights or not math.isfinite(means.get("loss", 0.0)):
            raise UserError(_told(runner, means))
        runner.train_loop.watch.clear()
        now = time.perf_counter()
        means["images_per_second"] = self._images / max(now - self._since, 1e-9)
        self._images, self._since = 0, now
        runner.record(means, runner.iter + 1)
        for name, value in means.items():
            runner.message_hub.update_scalar(f"train/{name}", value)
        told = "  ".join(f"{name} {format_scalar(value)}" for name, value in means.items())
        runner.logger.info(f"epoch {runner.epoch + 1}  iter {runner.iter + 1}  {told}")

    def after_train_epoch(self, runner: Run) -> None:
        seconds = max(time.perf_counter() - self._epoch_since, 1e-9)
        runner.epoch_means = {
            **runner.scalars.epoch.read_and_clear(),
            "images_per_second": self._epoch_images / seconds,
        }


def _told(runner: Run, means: Mapping[str, float]) -> str:
    """What is no number any more, since when, and where it began."""
    found = runner.train_loop.watch.first(runner.rank)
    if math.isfinite(means.get("loss", 0.0)):
        names = names_of_non_finite(runner.model)
        text = f"The weights are no numbers after iteration {runner.iter + 1}: {names}"
    else:
        since = runner.iter + 1 if found is None else found.iteration
        text = f"The loss is {means['loss']} at iteration {since}"
    if found is not None:
        text += f". The first that was not finite, in iteration {found.iteration}, is {found.what}"
        text += "" if world_size() == 1 else f" (process {found.rank})"
    views = found is not None and found.place == 0
    remedy = (
        "Look at model.data_preprocessor and its operations"
        if views
        else "Lower optim_wrapper.optimizer.lr, add optim_wrapper.clip_grad=dict(max_norm=1.0), or "
        "leave out --amp"
    )
    return f"{text}. {remedy}. Earlier checkpoints are in {runner.work_dir}."
