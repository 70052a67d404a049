"""Hooks with the loop that mmengine makes, written out, around a small model."""

from __future__ import annotations

import math
from typing import Any, cast

import pytest
import torch
from mmengine.optim import OptimWrapper
from torch import Tensor, nn
from torch.utils.data import DataLoader

from mvssl.datasets import ImageDataset
from mvssl.engine.hooks import DataFaultHook, InformationHook, ScheduleHook, TeacherHook
from mvssl.errors import UserError
from mvssl.models import EMATeacher, MultiView
from tests.gloo_pool import GlooPool
from tests.runs import StubRun, loader_of, optimizer_of, small_model


class Student(nn.Module):
    """What TeacherHook sees of a MultiView."""

    def __init__(self, with_teacher: bool = True) -> None:
        super().__init__()
        self.body = nn.Linear(3, 2).double()
        self.teacher: EMATeacher | None = None
        if with_teacher:
            self.teacher = EMATeacher(0.8)
            self.teacher.copy_from(self.taught_parts)

    @property
    def taught_parts(self) -> dict[str, nn.Module]:
        return {"body": self.body}


def teacher_run(
    model: Student, steps: int, accumulative_counts: int = 1, skipped: tuple[int, ...] = ()
) -> tuple[list[Tensor], list[Tensor], dict[str, float]]:
    """Weights of student and teacher after each iteration, and the means of the scalars.

    In ``skipped`` iterations the optimiser's step is left out, as a loss scaler does after an
    overflow.
    """
    optimizer = torch.optim.SGD(model.body.parameters(), lr=0.1)
    wrapper = OptimWrapper(optimizer, accumulative_counts=accumulative_counts)
    wrapper.initialize_count_status(model, 0, steps)
    runner = StubRun(cast(MultiView, model), wrapper, loader_of(steps))
    schedule = ScheduleHook("model.teacher.momentum", end=1.0)
    runner.hooks = [] if model.teacher is None else [schedule]
    hook = TeacherHook()
    for one in runner.hooks:
        one.before_run(runner)
    hook.before_train(runner)
    student, teacher = [], []
    for step in range(steps):
        runner.iter = step
        for one in runner.hooks:
            one.before_train_iter(runner)
        with wrapper.optim_context(model):
            loss = model.body(torch.randn(4, 3, dtype=torch.float64)).square().mean()
        if step in skipped:
            optimizer.zero_grad()
        else:
            wrapper.update_params(loss)
        hook.after_train_iter(runner, step, None, None)
        student.append(model.body.weight.detach().clone())
        if model.teacher is not None:
            teacher.append(model.teacher.parts["body"].weight.detach().clone())  # type: ignore[operator]
    hook.after_train(runner)
    optimizer.step()
    assert not hook._stepped  # it no longer listens to the optimiser
    return student, teacher, runner.scalars.epoch.read_and_clear()


def momentum(step: int, total: int) -> float:
    return 1.0 - 0.2 * (math.cos(math.pi * step / (total - 1)) + 1) / 2


def test_the_teacher_follows_by_the_closed_form() -> None:
    model = Student()
    start = model.body.weight.detach().clone()
    student, teacher, scalars = teacher_run(model, 9)
    expected = start
    for step, weight in enumerate(student):
        m = momentum(step, 9)
        expected = m * expected + (1 - m) * weight
        torch.testing.assert_close(teacher[step], expected, rtol=1e-12, atol=1e-12)
    mean = sum(momentum(step, 9) for step in range(9)) / 9
    assert scalars["teacher_momentum"] == pytest.approx(mean)


def test_the_teacher_rests_while_gradients_are_accumulated() -> None:
    model = Student()
    start = model.body.weight.detach().clone()
    student, teacher, _ = teacher_run(model, 8, accumulative_counts=2)
    before = [start, *teacher[:-1]]
    for step in range(8):
        moved = not torch.equal(teacher[step], before[step])
        assert moved == (step in (1, 3, 5)), step  # at step 7 the momentum is 1
    assert torch.equal(student[0], start)


def test_the_teacher_rests_where_the_optimisers_step_was_skipped() -> None:
    model = Student()
    _, teacher, _ = teacher_run(model, 6, skipped=(2, 3))
    assert torch.equal(teacher[1], teacher[2])
    assert torch.equal(teacher[2], teacher[3])
    assert not torch.equal(teacher[3], teacher[4])


def test_a_scaler_that_finds_an_overflow_leaves_the_teacher_where_it_was() -> None:
    """torch's GradScaler itself calls the optimiser, or does not."""
    model = Student()
    optimizer = torch.optim.SGD(model.body.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0)
    runner = StubRun(cast(MultiView, model), OptimWrapper(optimizer))
    hook = TeacherHook()
    hook.before_train(runner)
    assert model.teacher is not None
    for value, moves in ((1.0, True), (math.inf, False), (1.0, True)):
        before = model.teacher.parts["body"].weight.detach().clone()  # type: ignore[operator]
        optimizer.zero_grad()
        scaler.scale(model.body(torch.ones(1, 3, dtype=torch.float64)).sum() * value).backward()
        scaler.step(optimizer)
        scaler.update()
        hook.after_train_iter(runner)
        after = model.teacher.parts["body"].weight
        assert torch.equal(before, after) != moves  # type: ignore[arg-type]
    # Without a schedule the hook tells the momentum itself.
    assert runner.scalars.epoch.read_and_clear() == {"teacher_momentum": pytest.approx(0.8)}


def test_without_a_teacher_the_hook_does_nothing() -> None:
    _, _, scalars = teacher_run(Student(with_teacher=False), 3)
    assert scalars == {}


def _information(head: dict[str, Any]) -> list[set[str]]:
    """Names of the scalars of seven steps, none of which is the last of an epoch."""
    run = StubRun(small_model(head), OptimWrapper(torch.optim.SGD([torch.zeros(1)], lr=0.1)))
    hook = InformationHook(interval=3, kappa=10.0)
    names = []
    for step in range(7):
        run.iter = step
        hook.before_train_iter(run, step)
        views = [torch.randn(4, 3, 16, 16) for _ in range(2)]
        record = run.model.embed(views, torch.arange(4))
        names.append(set(run.model.loss(record, run.train_loop.monitor)))
    return names


def test_information_is_measured_every_interval_for_heads_that_do_not() -> None:
    names = _information({"type": "PairHead", "loss": {"type": "CosineSimilarityLoss"}})
    assert [len(found) > 1 for found in names] == [True, False, False, True, False, False, True]
    assert {"entropy", "reconstruction", "mi_bound", "mi_ceiling", "infonce"} <= names[0]
    assert "entropy_trained" not in names[0]


def test_information_is_left_to_heads_that_measure_it() -> None:
    names = _information({"type": "ERHead"})
    measured = [step for step, found in enumerate(names) if "alignment" in found]
    assert measured == [0, 3, 6]
    assert {"entropy", "mi_bound", "infonce", "alignment"} <= names[0]


class Files(ImageDataset):
    """400 files, none of which can be read."""

    def __init__(self) -> None:
        super().__init__(labels=None, classes=None, size=8)

    def __len__(self) -> int:
        return 400

    def read(self, index: int) -> None:
        return None

    def path(self, index: int) -> str:
        return f"file{index}"

    def describe(self) -> str:
        return "400 files"


def _feed(rows: list[list[int]], interval: int = 1, minimum: int = 3) -> StubRun:
    """A run in which some images were replaced, as its batches tell."""
    model = small_model({"type": "ERHead"})
    run = StubRun(model, optimizer_of(model), DataLoader(Files(), batch_size=1))
    hook = DataFaultHook(minimum, interval=interval)
    for step, row in enumerate(rows):
        run.iter = step
        batch: dict[str, Any] = {"replaced": torch.tensor(row)}
        hook.after_train_iter(run, step, batch)
    return run


def test_every_unreadable_file_is_named_once() -> None:
    runner = _feed([[-1, 7], [7, -1], [-1, -1], [9, 7]])
    assert [m.split()[0] for m in runner.messages] == ["file7", "file9"]


def test_one_per_cent_or_three_files_do_not_stop_a_run() -> None:
    _feed([[1, 2], [3, 4]])
    with pytest.raises(UserError, match=r"^5 of 400 images .* more than 4: file1 .*4 more"):
        _feed([[1, 2], [3, 4], [5, -1]])


def test_the_console_names_ten_files_and_the_log_all(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "mvssl.tests"):
        run = _feed([list(range(8)), list(range(8, 13))], minimum=13)
    assert [message.split()[0] for message in run.messages] == [f"file{n}" for n in range(10)]
    assert [message.split()[0] for message in caplog.messages] == ["file10", "file11", "file12"]


def _faults_on_ranks() -> tuple[list[str], str]:
    rank = torch.distributed.get_rank()
    rows = [[10 * rank + i] for i in range(3)]
    runner = _feed(rows[:1])
    with pytest.raises(UserError) as caught:
        _feed(rows)
    return runner.messages, str(caught.value)


def test_faults_are_counted_over_processes_and_stop_all_of_them(run_distributed: GlooPool) -> None:
    answers = run_distributed(_faults_on_ranks, 2)
    assert answers[0] == answers[1]
    messages, told = answers[0]
    assert [m.split()[0] for m in messages] == ["file0", "file10"]
    assert told.startswith("6 of 400 images cannot be read")
