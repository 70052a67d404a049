"""Hooks with the loop that mmengine makes, written out, around a small model."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from mvssl.engine.hooks import DataFaultHook, InformationHook, ScheduleHook, TeacherHook
from mvssl.engine.scalars import RunScalars, ScalarMeans
from mvssl.errors import UserError
from mvssl.models import EMATeacher
from tests.gloo_pool import GlooPool
from tests.runs import StubRun, small_model


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
    runner = SimpleNamespace(
        model=model, optim_wrapper=wrapper, iter=0, max_iters=steps, scalars=RunScalars()
    )
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
    runner = SimpleNamespace(
        model=model,
        optim_wrapper=SimpleNamespace(optimizer=optimizer),
        iter=0,
        hooks=[],
        scalars=RunScalars(),
    )
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


def test_means_count_each_name_where_it_is_there() -> None:
    means = ScalarMeans()
    means.add({"loss": torch.tensor(1.0, requires_grad=True), "lr": 0.5})
    means.add({"loss": torch.tensor(4.0), "entropy": 3.0})
    assert means.read_and_clear() == {"loss": 2.5, "lr": 0.5, "entropy": 3.0}
    assert means.read_and_clear() == {}


def _means_over_ranks() -> dict[str, float]:
    means = ScalarMeans()
    means.add({"loss": float(torch.distributed.get_rank()), "lr": 0.5})
    return means.read_and_clear()


def test_means_are_over_processes(run_distributed: GlooPool) -> None:
    assert run_distributed(_means_over_ranks, 4) == [{"loss": 1.5, "lr": 0.5}] * 4


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


class Files:
    """A data set of 400 files, and its loader with batches of one."""

    def __len__(self) -> int:
        return 400

    def path(self, index: int) -> str:
        return f"file{index}"

    @property
    def dataset(self) -> Files:
        return self


class Faulty:
    """A run on them, and its messages."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.train_dataloader = Files()
        self.iter = 0

    def console_message(self, text: str) -> None:
        self.messages.append(text)


def _feed(rows: list[list[int]], interval: int = 1) -> Faulty:
    runner, hook = Faulty(), DataFaultHook(interval=interval)
    for step, row in enumerate(rows):
        runner.iter = step
        batch: dict[str, Any] = {"replaced": torch.tensor(row)}
        hook.after_train_iter(runner, step, batch)
    return runner


def test_every_unreadable_file_is_named_once() -> None:
    runner = _feed([[-1, 7], [7, -1], [-1, -1], [9, 7]])
    assert [m.split()[0] for m in runner.messages] == ["file7", "file9"]


def test_one_per_cent_or_three_files_are_borne() -> None:
    _feed([[1, 2], [3, 4]])
    with pytest.raises(UserError, match=r"^5 of 400 images cannot be read \(file1, file2, file3"):
        _feed([[1, 2], [3, 4], [5, -1]])


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
