"""What hooks may use of a run is there in the Runner, and in the tests' stand-in."""

from __future__ import annotations

from pathlib import Path

import pytest

from mvssl.engine import Runner
from mvssl.engine.loop import TrainLoop
from mvssl.engine.run import Loop, Run
from tests.runs import SMALL_MODEL, StubRun, optimizer_of, small_job, small_model


def members(protocol: type) -> set[str]:
    """Names that a protocol asks for."""
    names = set(vars(protocol)) | set(protocol.__annotations__)
    return {name for name in names if not name.startswith("_")}


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    optim = {"type": "OptimWrapper", "optimizer": {"type": "SGD", "lr": 0.1}}
    return Runner(small_job(SMALL_MODEL, 1, 60, optim), tmp_path_factory.mktemp("run"))


@pytest.mark.parametrize("name", sorted(members(Run)))
def test_the_runner_has_what_hooks_may_use(runner: Runner, name: str) -> None:
    assert hasattr(runner, name)


@pytest.mark.parametrize("name", sorted(members(Loop)))
def test_the_loop_has_what_hooks_may_use(runner: Runner, name: str) -> None:
    assert isinstance(runner.train_loop, TrainLoop)
    assert hasattr(runner.train_loop, name)


def test_the_stand_in_of_tests_is_no_more_than_a_run() -> None:
    """What it has beyond a Run it keeps for tests to look at."""
    model = small_model({"type": "ERHead"})
    stub: Run = StubRun(model, optimizer_of(model))
    own = {name for name in dir(stub) if not name.startswith("_")}
    assert members(Run) <= own
    kept = {"called", "messages", "micro_batch_size", "saved", "texts"}
    assert own - members(Run) == kept


def test_hooks_are_typed_by_it() -> None:
    folder = Path(__file__).resolve().parents[2] / "mvssl" / "engine" / "hooks"
    untyped = [path.name for path in folder.glob("*.py") if "runner: Any" in path.read_text()]
    assert untyped == []
