"""What a run has measured so far: scalars against the global iteration."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch


class History:
    """Scalar series of one run, each against the global iteration, small enough to keep whole.

    A value takes sixteen bytes. Names in use: ``loss``, ``lr``, ``teacher_momentum``, ``entropy``,
    ``entropy_trained``, ``entropy_floor``, ``entropy_cap``, ``reconstruction``, ``mi_bound``,
    ``mi_ceiling``, ``infonce`` (nats), ``images_per_second``, and what evaluators give
    (``knn_top1``, ``knn_top1_pixels``, ...); any may be missing.

    Attributes:
        latest: the last value of every name.
    """

    def __init__(self) -> None:
        self.latest: dict[str, float] = {}
        self._steps: dict[str, array[int]] = {}
        self._values: dict[str, array[float]] = {}

    def add(self, step: int, scalars: Mapping[str, float]) -> None:
        """Record ``scalars`` at global iteration ``step``.

        A second value for the same name and step replaces the first.

        Raises:
            ValueError: if a name already has a value at a later step. Nothing is recorded then.
        """
        for name in scalars:
            steps = self._steps.get(name)
            if steps and step < steps[-1]:
                raise ValueError(
                    f"history: step {step} of {name!r} comes after step {steps[-1]}; steps may not "
                    "go back (load the history of the checkpoint that the run resumes from)"
                )
        for name, value in scalars.items():
            steps = self._steps.setdefault(name, array("q"))
            values = self._values.setdefault(name, array("d"))
            if steps and steps[-1] == step:
                values[-1] = float(value)
            else:
                steps.append(int(step))
                values.append(float(value))
            self.latest[name] = values[-1]

    def series(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Steps (int64) and values (float64) of one name, both empty if it was never recorded."""
        steps = np.array(self._steps.get(name, array("q")), dtype=np.int64)
        values = np.array(self._values.get(name, array("d")), dtype=np.float64)
        return steps, values

    def last_step(self, name: str) -> int | None:
        """The step of the last value of one name, None where it was never recorded."""
        steps = self._steps.get(name)
        return steps[-1] if steps else None

    def names(self) -> list[str]:
        """Every recorded name, in the order of first appearance."""
        return list(self._steps)

    def state_dict(self) -> dict[str, Any]:
        """Tensors in plain dicts: ``{"series": {name: {"steps": ..., "values": ...}}}``."""
        series = {}
        for name in self.names():
            steps, values = self.series(name)
            series[name] = {"steps": torch.from_numpy(steps), "values": torch.from_numpy(values)}
        return {"series": series}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Replace everything recorded by a ``state_dict()``.

        Raises:
            ValueError: if steps and values of a name differ in length. Nothing is replaced then.
        """
        steps: dict[str, array[int]] = {}
        values: dict[str, array[float]] = {}
        for name, one in state["series"].items():
            if len(one["steps"]) != len(one["values"]):
                raise ValueError(
                    f"history: {name!r} has {len(one['steps'])} steps but {len(one['values'])} "
                    "values; the saved state is damaged"
                )
            steps[name] = array("q", one["steps"].tolist())
            values[name] = array("d", one["values"].tolist())
        self._steps, self._values = steps, values
        self.latest = {name: one[-1] for name, one in values.items() if one}


def format_scalar(value: float) -> str:
    """A scalar as people read it, with about four digits."""
    size = abs(value)
    if not math.isfinite(value):
        return str(value)
    if size >= 1e6 or 0 < size < 1e-2:
        return f"{value:.1e}"
    digits = 2 if size < 100 else 1 if size < 1000 else 0
    return f"{value:.{digits}f}"


def format_duration(seconds: float | None) -> str:
    """``h:mm:ss``; ``-`` where the duration is not known."""
    if seconds is None or not math.isfinite(seconds):
        return "-"
    minutes, second = divmod(round(max(seconds, 0.0)), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}"
