"""Means of scalars, collected without synchronising the device at every step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.device import get_device
from torch import Tensor

from mvssl.distributed import all_reduce_mean

__all__ = ["RunScalars", "ScalarMeans"]


class ScalarMeans:
    """Running means of scalars, kept on their device until they are read."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, scalars: Mapping[str, float | Tensor]) -> None:
        """Count one step of ``scalars``; a name may be missing in other steps."""
        for name, scalar in scalars.items():
            value = torch.as_tensor(scalar, dtype=torch.float64).detach()
            self._sums[name] = self._sums[name] + value if name in self._sums else value
            self._counts[name] = self._counts.get(name, 0) + 1

    def state_dict(self) -> dict[str, Any]:
        """Sums and counts of this process."""
        return {"sums": dict(self._sums), "counts": dict(self._counts)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put back what ``state_dict`` gave, on the device that the run uses."""
        self._sums = {name: value.to(get_device()) for name, value in state["sums"].items()}
        self._counts = dict(state["counts"])

    def read_and_clear(self) -> dict[str, float]:
        """Means over steps and processes; every process calls this after the same step."""
        if not self._sums:
            return {}
        names = sorted(self._sums)
        device = max((s.device for s in self._sums.values()), key=lambda d: d.type != "cpu")
        means = [(self._sums[name] / self._counts[name]).to(device) for name in names]
        values = all_reduce_mean(torch.stack(means)).tolist()
        self._sums.clear()
        self._counts.clear()
        return dict(zip(names, values, strict=True))


class RunScalars:
    """Scalars of the running interval and of the running epoch."""

    def __init__(self) -> None:
        self.interval = ScalarMeans()
        self.epoch = ScalarMeans()

    def add(self, scalars: Mapping[str, float | Tensor]) -> None:
        """Count one step of ``scalars`` in both."""
        self.interval.add(scalars)
        self.epoch.add(scalars)

    def state_dict(self) -> dict[str, Any]:
        """Of this process."""
        return {"interval": self.interval.state_dict(), "epoch": self.epoch.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put back what ``state_dict`` gave."""
        self.interval.load_state_dict(state["interval"])
        self.epoch.load_state_dict(state["epoch"])
