"""Hooks: what happens beside the training step."""

from mmengine.hooks import Hook

from mvssl.engine.hooks.checkpoint import CheckpointHook
from mvssl.engine.hooks.clustering import ClusteringHook
from mvssl.engine.hooks.data_faults import DataFaultHook
from mvssl.engine.hooks.doctor import DoctorHook
from mvssl.engine.hooks.evaluation import EvaluationHook
from mvssl.engine.hooks.freeze import FreezeHook
from mvssl.engine.hooks.information import InformationHook
from mvssl.engine.hooks.progress import ProgressHook
from mvssl.engine.hooks.scalars import RunInfoHook, ScalarsHook
from mvssl.engine.hooks.schedule import ScheduleHook
from mvssl.engine.hooks.stop import StopHook
from mvssl.engine.hooks.teacher import TeacherHook
from mvssl.registry import HOOKS

__all__ = [
    "CheckpointHook",
    "ClusteringHook",
    "DataFaultHook",
    "DoctorHook",
    "EvaluationHook",
    "FreezeHook",
    "InformationHook",
    "ProgressHook",
    "RunInfoHook",
    "ScalarsHook",
    "ScheduleHook",
    "StopHook",
    "TeacherHook",
]

HOOKS.base_class(Hook)
