"""The engine: mmengine's Runner with our loaders, hooks, optimiser parts and checkpoints."""

from mvssl.engine import hooks
from mvssl.engine.history import History
from mvssl.engine.job import Job
from mvssl.engine.loaders import EpochSampler
from mvssl.engine.loop import TrainLoop
from mvssl.engine.optim import AutocastOptimWrapper, DecayGroups, WarmupCosineLR
from mvssl.engine.runner import Runner

__all__ = [
    "AutocastOptimWrapper",
    "DecayGroups",
    "EpochSampler",
    "History",
    "Job",
    "Runner",
    "TrainLoop",
    "WarmupCosineLR",
    "hooks",
]
