"""The benchmark of what runs survive: a short form of it, and its verdicts."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from tests.mini import ROOT, load_tool


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> tuple[ModuleType, ModuleType]:
    """The benchmark, and the module with its trials."""
    monkeypatch.syspath_prepend(ROOT / "tools" / "benchmarks")
    faults = load_tool("benchmarks/faults")
    return faults, sys.modules["disturbed"]


def test_a_run_that_is_killed_while_it_saves_goes_on_as_if_nothing_had_been(
    tools: tuple[ModuleType, ModuleType],
) -> None:
    faults, disturbed = tools
    row = faults.run_row("kill while saving", disturbed.Setting(1, 0), times=1, seed=0)
    assert row["ends"] == {"identical": 1}


def write_run(folder: Path, weight: float) -> None:
    """What the benchmark reads of a run."""
    folder.mkdir()
    series = {"loss": {"values": torch.tensor([1.0, weight])}, "images_per_second": random.random()}
    content = {
        "state_dict": {"w": torch.tensor([weight])},
        "optimizer": {"state": {0: {"step": torch.tensor(2.0)}}, "param_groups": [{"lr": 0.1}]},
        "param_schedulers": [{"last_step": 2}],
        "history": {"series": series},
    }
    torch.save(content, folder / "epoch_1.pth")
    (folder / "last_checkpoint").write_text(str(folder / "epoch_1.pth"))
    (folder / "backbone.safetensors").write_bytes(b"weights")


def test_one_other_bit_is_a_difference_and_the_clock_is_none(
    tools: tuple[ModuleType, ModuleType], tmp_path: Path
) -> None:
    _, disturbed = tools
    for name, weight in (("a", 0.5), ("b", 0.5), ("c", 0.5 + 2**-24)):
        write_run(tmp_path / name, weight)
    reference = disturbed.state(tmp_path / "a")
    assert disturbed.compared(tmp_path / "b", reference) == "identical"
    assert disturbed.compared(tmp_path / "c", reference).startswith("differs: weights.w and 1 more")


def test_the_table_tells_every_end_that_was_not_intact(
    tools: tuple[ModuleType, ModuleType],
) -> None:
    faults, _ = tools
    row = {"trial": "kill", "processes": 1, "workers": 2, "trials": 3, "identical": 2}
    told = faults.table([row | {"ends": {"identical": 2, "status 1: x": 1}}])
    assert "| kill | 1 | 2 | 3 | 2 | 1 x status 1: x |" in told
