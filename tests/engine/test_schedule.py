"""Schedules of attributes and optimiser options, and prototypes that stand still."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from mmengine.optim import OptimWrapper
from torch import nn

from mvssl.checkpoint import load_run
from mvssl.engine import Runner
from mvssl.engine.hooks import ScheduleHook
from mvssl.errors import UserError
from mvssl.information import VonMisesFisher
from mvssl.models import EMATeacher, MultiView
from mvssl.models.memory import EmbeddingQueue
from mvssl.models.prototypes import Prototypes
from tests.runs import SMALL_VIT, StubRun, loader_of, small_job

STEPS, PER_EPOCH = 12, 4


class Counted(nn.Module):
    """Of a user's own."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size


class Net(nn.Module):
    """A model with something of each kind to set."""

    def __init__(self) -> None:
        super().__init__()
        self.neck = nn.Module()
        self.neck.prototypes = Prototypes(3, (4,))
        self.body = nn.Linear(3, 2)
        self.teacher = EMATeacher(0.8)
        self.empty: EMATeacher | None = None
        self.temperature = 2
        self.kernel = VonMisesFisher(10.0)
        self.limit: float | None = None
        self.kind = "a text"
        self.queue = EmbeddingQueue(8, 2)
        self.counted = Counted(3)

    @property
    def size(self) -> float:
        return 1.0


def a_run(model: nn.Module | None = None, **adamw: Any) -> StubRun:
    """What hooks see of a Runner: two parameter groups, the first without weight decay."""
    model = model or Net()
    groups: list[dict[str, Any]] = [
        {"params": [p for p in model.parameters() if p.ndim < 2], "weight_decay": 0.0},
        {"params": [p for p in model.parameters() if p.ndim >= 2]},
    ]
    wrapper = OptimWrapper(torch.optim.AdamW(groups, **{"weight_decay": 0.04, **adamw}))
    return StubRun(cast(MultiView, model), wrapper, loader_of(PER_EPOCH), STEPS // PER_EPOCH)


def teacher_of(run: StubRun) -> EMATeacher:
    assert run.model.teacher is not None
    return run.model.teacher


def values_of(hook: ScheduleHook, run: StubRun, read: Any) -> list[Any]:
    """What stands there at each step, which is also what the curves get."""
    hook.before_run(run)
    seen = []
    for step in range(run.max_iters):
        run.iter = step
        hook.before_train_iter(run, step)
        seen.append(read())
        assert run.scalars.interval.read_and_clear() == {hook.name: float(seen[-1])}
    return seen


def by_cosine(start: float, end: float, steps: int) -> list[float]:
    turns = [math.cos(math.pi * min(k / (steps - 1), 1)) for k in range(STEPS)]
    return [end + (start - end) * (1 + turn) / 2 for turn in turns]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, by_cosine(0.8, 1.0, STEPS)),
        ({"start": 0.5}, by_cosine(0.5, 1.0, STEPS)),
        ({"iters": 5}, by_cosine(0.8, 1.0, 5)),
        ({"epochs": 1.5}, by_cosine(0.8, 1.0, 6)),
        ({"shape": "linear"}, [0.8 + 0.2 * k / 11 for k in range(STEPS)]),
        ({"shape": "linear", "epochs": 2}, [0.8 + 0.2 * min(k / 7, 1) for k in range(STEPS)]),
        ({"shape": "step", "epochs": 1}, [0.8] * 4 + [1.0] * 8),
        ({"shape": "step", "iters": 7}, [0.8] * 7 + [1.0] * 5),
        ({"shape": "step", "epochs": 9}, [0.8] * STEPS),
    ],
)
def test_an_attribute_follows_its_formula(arguments: dict[str, Any], expected: list[float]) -> None:
    run = a_run()
    hook = ScheduleHook("model.teacher.momentum", end=1.0, **arguments)
    assert hook.name == "teacher_momentum"
    seen = values_of(hook, run, lambda: teacher_of(run).momentum)
    assert seen == pytest.approx(expected, abs=1e-15)


def test_true_and_false_change_at_a_step() -> None:
    run = a_run()
    hook = ScheduleHook(
        "model.neck.prototypes.frozen", start=True, end=False, shape="step", epochs=1
    )
    seen = values_of(hook, run, lambda: run.model.neck.prototypes.frozen)
    assert seen == [True] * 4 + [False] * 8
    assert hook.name == "prototypes_frozen"


def test_a_whole_number_becomes_what_the_schedule_says() -> None:
    run = a_run()
    hook = ScheduleHook("model.temperature", end=0.5, shape="linear")
    seen = values_of(hook, run, lambda: run.model.temperature)
    assert (seen[0], seen[-1]) == (2.0, 0.5)
    assert hook.name == "model_temperature"


def test_an_option_moves_in_the_groups_where_it_is_not_zero() -> None:
    run = a_run()
    groups = run.optim_wrapper.optimizer.param_groups
    hook = ScheduleHook("optim_wrapper.optimizer.weight_decay", end=0.4)
    assert hook.name == "optimizer_weight_decay"
    seen = values_of(hook, run, lambda: groups[1]["weight_decay"])
    assert seen == pytest.approx(by_cosine(0.04, 0.4, STEPS), abs=1e-15)
    assert groups[0]["weight_decay"] == 0.0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"path": "model.teacher.momentun"}, "EMATeacher has no 'momentun'; did you mean 'mom"),
        ({"path": "model.teecher.momentum"}, "Net has no 'teecher'; did you mean 'teacher'?"),
        ({"path": "model.neck.prototypes.frosen"}, "no 'frosen'; did you mean 'frozen'?"),
        ({"path": "model.empty.momentum"}, "None has no 'momentum'."),
        ({"path": "model.teacher"}, "and a schedule sets numbers, True and False"),
        ({"path": "model.kind"}, "it is 'a text', and a schedule sets"),
        ({"path": "model.limit", "start": 1.0}, "it is None, and a schedule sets"),
        ({"path": "model.body.weight"}, "and a schedule sets"),
        ({"path": "model.size"}, "it can be read and not be set"),
        ({"path": "model.teacher.momentum", "end": True}, "it takes numbers, got 0.8 to True"),
        ({"path": "model.neck.prototypes.frozen"}, "it takes True and False, got False to 1.0"),
        ({"path": "model.neck.prototypes.frozen", "end": True}, "give shape='step'"),
        ({"path": "model.teacher.momentum", "end": 1.5}, r"lies in [0, 1]; got 1.5"),
        (
            {"path": "model.teacher.shuffle_groups", "end": 4, "shape": "step", "epochs": 1},
            "EMATeacher.shuffle_groups may not change in a run; 'momentum' may.",
        ),
        (
            {"path": "model.queue.size", "end": 16, "shape": "step", "epochs": 1},
            "EmbeddingQueue.size may not change in a run.",
        ),
        ({"path": "model.counted.size", "end": 4}, "a whole number: give shape='step'"),
        ({"path": "model.kernel.kappa", "end": -5.0}, "kappa must be finite and > 0, found -5.0"),
        ({"path": "optim_wrapper.optimizer.weight_dekay"}, "did you mean 'weight_decay'"),
        ({"path": "optim_wrapper.optimizer.betas"}, "it is (0.9, 0.999), and a schedule"),
        ({"path": "optim_wrapper.optimizer.amsgrad"}, "takes True and False, got False to 1.0"),
    ],
)
def test_what_cannot_be_scheduled(arguments: dict[str, Any], told: str) -> None:
    run = a_run()
    hook = ScheduleHook(**{"end": 1.0, **arguments})
    with pytest.raises(UserError) as caught:
        hook.bind(run.model, run.optim_wrapper.optimizer)
    assert told in str(caught.value)
    assert f"ScheduleHook of '{arguments['path']}': " in str(caught.value)
    assert teacher_of(run).momentum == 0.8


def test_an_option_that_is_zero_everywhere_is_left_alone() -> None:
    run = a_run(weight_decay=0.0)
    hook = ScheduleHook("optim_wrapper.optimizer.weight_decay", end=0.4)
    with pytest.raises(UserError, match="it is 0 in every parameter group"):
        hook.bind(run.model, run.optim_wrapper.optimizer)
    hook.bind(run.model, None)  # left for when there is an optimiser


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"path": "teacher.momentum"}, "an attribute model"),
        ({"path": "model."}, "an attribute model"),
        ({"path": "optim_wrapper.optimizer.lr"}, "a schedule of its own, param_scheduler"),
        ({"shape": "sine"}, "shape is 'cosine', 'linear' or 'step', got 'sine'"),
        ({"end": "1.0"}, "start and end are numbers, or True and False; got start=None, end='1"),
        ({"start": (1,)}, "start and end are numbers"),
        ({"epochs": 1, "iters": 4}, "in epochs or in iters, not in both"),
        ({"epochs": 0.0}, "its length is positive, got 0"),
        ({"iters": -3}, "its length is positive, got -3"),
        ({"shape": "step"}, "needs epochs or iters"),
    ],
)
def test_arguments_that_make_no_schedule(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError) as caught:
        ScheduleHook(**{"path": "model.teacher.momentum", "end": 1.0, **arguments})
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({}, "teacher.momentum 0.8 to 1 (cosine)"),
        ({"start": 0.5, "epochs": 10}, "teacher.momentum 0.5 to 1 (cosine over 10 epochs)"),
        ({"shape": "step", "epochs": 1}, "teacher.momentum 0.8 to 1 (step after 1 epoch)"),
        ({"shape": "linear", "iters": 9}, "teacher.momentum 0.8 to 1 (linear over 9 iterations)"),
    ],
)
def test_a_schedule_describes_itself(arguments: dict[str, Any], told: str) -> None:
    hook = ScheduleHook("model.teacher.momentum", end=1.0, **arguments)
    hook.bind(Net(), None)
    assert hook.describe() == told


MODEL: dict[str, Any] = {
    "type": "MultiView",
    "backbone": SMALL_VIT,
    "neck": {"type": "MLP", "hidden_channels": 8, "out_channels": 4},
    "predictor": {"type": "MLP", "hidden_channels": 8},
    "teacher": {"momentum": 0.5},
    "head": {"type": "PairHead", "loss": {"type": "CosineSimilarityLoss"}},
    "data_preprocessor": {"type": "MultiViewPreprocessor", "views": "gentle", "size": 16},
}
SCHEDULES: tuple[dict[str, Any], ...] = (
    {"path": "model.teacher.momentum", "end": 1.0},
    {"path": "optim_wrapper.optimizer.weight_decay", "end": 0.4},
)
OPTIM: dict[str, Any] = {
    "type": "OptimWrapper",
    "constructor": "DecayGroups",
    "optimizer": {"type": "AdamW", "lr": 1e-2, "weight_decay": 0.04},
}


def build(folder: Path, epochs: int, checkpoint: Path | None = None) -> Runner:
    job = small_job(MODEL, epochs, 120, OPTIM, schedules=SCHEDULES)
    return Runner(job, folder, None if checkpoint is None else load_run(checkpoint))


def test_a_resumed_run_equals_one_that_never_stopped(tmp_path: Path) -> None:
    whole = build(tmp_path / "whole", 3)
    whole.train()
    saved = torch.load(tmp_path / "whole" / "epoch_2.pth", weights_only=True)
    # The saved groups hold what the schedule had set, which is not where a schedule starts.
    assert saved["optimizer"]["param_groups"][1]["weight_decay"] > 0.2
    rest = build(tmp_path / "rest", 3, tmp_path / "whole" / "epoch_2.pth")
    rest.train()
    for name in ("loss", "teacher_momentum", "optimizer_weight_decay"):
        for a, b in zip(whole.history.series(name), rest.history.series(name), strict=True):
            np.testing.assert_array_equal(a, b, err_msg=name)
    for key, value in whole.model.state_dict().items():
        assert torch.equal(value, rest.model.state_dict()[key]), key
    steps, decay = whole.history.series("optimizer_weight_decay")
    expected = [0.4 - 0.36 * (1 + math.cos(math.pi * k / 8)) / 2 for k in range(9)]
    np.testing.assert_allclose(decay, expected, atol=1e-12)
    assert steps.tolist() == list(range(1, 10))
