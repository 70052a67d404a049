"""TensorBoard that shows each step of a resumed run once."""

from __future__ import annotations

from mmengine.visualization import TensorboardVisBackend as MMBackend
from tensorboard.compat.proto.event_pb2 import Event, SessionLog

from mvssl.registry import VISBACKENDS

__all__ = ["TensorboardVisBackend"]


@VISBACKENDS.register_module()
class TensorboardVisBackend(MMBackend):
    """mmengine's, which takes back what an earlier process wrote beyond the step it goes on from.

    Args:
        save_dir: folder of the event files.
    """

    def take_back(self, step: int) -> None:
        """Have readers forget, of the earlier files, this step and those after it."""
        writer = self.experiment.file_writer
        writer.add_event(Event(step=step, file_version="brain.Event:2"))
        writer.add_event(Event(step=step, session_log=SessionLog(status=SessionLog.START)))
