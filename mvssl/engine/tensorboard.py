"""TensorBoard, which may fail to be written without ending the run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mmengine.config import Config
from mmengine.visualization import TensorboardVisBackend as MMBackend
from tensorboard.compat.proto.event_pb2 import Event, SessionLog

from mvssl.engine.log import Forgiving
from mvssl.engine.tags import CHARTS
from mvssl.registry import VISBACKENDS

__all__ = ["TensorboardVisBackend"]


@VISBACKENDS.register_module()
class TensorboardVisBackend(MMBackend):
    """mmengine's, which takes back what an earlier process wrote beyond the step it goes on from,
    and stops writing, not training, where its file cannot be written.

    Args:
        save_dir: folder of the event files.
    """

    def __init__(self, save_dir: str) -> None:
        super().__init__(save_dir)
        self._forgiving = Forgiving("TensorBoard's file")

    def _init_env(self) -> None:
        super()._init_env()
        # What fails in the writer's thread would end it, with a traceback of its own.
        file = getattr(self._tensorboard.file_writer.event_writer, "_general_file_writer", None)
        for name in ("write", "flush", "close"):
            if hasattr(file, name):
                setattr(file, name, self._until_it_fails(getattr(file, name)))

        # Entropy between its floor and its cap, and the like.
        self._forgiving.attempt(self._tensorboard.add_custom_scalars, CHARTS)

    def _until_it_fails(self, call: Callable[..., object]) -> Callable[..., None]:
        # After a record that is half written, readers would take no other.
        def called(*arguments: Any) -> None:
            if not self._forgiving.failed:
                self._forgiving.attempt(call, *arguments)

        return called

    def add_config(self, config: Config, **arguments: Any) -> None:
        self._forgiving.attempt(super().add_config, config)

    def take_back(self, step: int) -> None:
        """Have readers forget, of the earlier files, this step and those after it."""
        writer = self.experiment.file_writer
        writer.add_event(Event(step=step, file_version="brain.Event:2"))
        writer.add_event(Event(step=step, session_log=SessionLog(status=SessionLog.START)))
