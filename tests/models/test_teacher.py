from __future__ import annotations

import pytest
import torch
from timm.layers.evo_norm import EvoNorm2dB0
from torch import nn

from mvssl.errors import UserError
from mvssl.models import EMATeacher


def student() -> dict[str, nn.Module]:
    return {"backbone": nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)), "neck": nn.Linear(3, 2)}


def test_the_teacher_is_a_moving_average_of_the_student() -> None:
    parts = {name: part.double() for name, part in student().items()}
    teacher = EMATeacher()
    teacher.copy_from(parts)
    start = [p.clone() for p in teacher.parameters()]
    own = [p for part in parts.values() for p in part.parameters()]
    trail = []
    for momentum in (0.9, 0.5, 0.99):
        with torch.no_grad():
            for p in own:
                p.add_(torch.randn_like(p))
        trail.append([p.detach().clone() for p in own])
        teacher.momentum = momentum
        teacher.update(parts)
    # 0.9 * 0.5 * 0.99 of the start, and what the later steps keep of each student.
    kept = (0.9 * 0.5 * 0.99, 0.1 * 0.5 * 0.99, 0.5 * 0.99, 0.01)
    for i, p in enumerate(teacher.parameters()):
        expected = kept[0] * start[i] + sum(
            share * student[i] for share, student in zip(kept[1:], trail, strict=True)
        )
        torch.testing.assert_close(p, expected, rtol=1e-12, atol=1e-12)


def test_momentum_one_keeps_the_teacher_and_zero_copies_the_student() -> None:
    parts, teacher = student(), EMATeacher(1.0)
    teacher.copy_from(parts)
    start = [p.clone() for p in teacher.parameters()]
    with torch.no_grad():
        parts["neck"].weight.add_(1.0)  # type: ignore[operator]
    teacher.update(parts)
    assert all(torch.equal(a, b) for a, b in zip(start, teacher.parameters(), strict=True))
    teacher.momentum = 0.0
    teacher.update(parts)
    own = [p for part in parts.values() for p in part.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(own, teacher.parameters(), strict=True))


def test_batch_statistics_are_the_teachers_own() -> None:
    parts, teacher = student(), EMATeacher()
    teacher.copy_from(parts)
    before = teacher.parts["backbone"][1].running_mean.clone()  # type: ignore[index]
    parts["backbone"](torch.randn(8, 4) + 5)
    teacher.update(parts)
    assert torch.equal(before, teacher.parts["backbone"][1].running_mean)  # type: ignore[index]
    teacher(torch.randn(8, 4) + 5)
    assert not torch.equal(before, teacher.parts["backbone"][1].running_mean)  # type: ignore[index]


def test_reset_takes_over_weights_and_buffers() -> None:
    parts, teacher = student(), EMATeacher()
    teacher.copy_from(parts)
    parts["backbone"](torch.randn(8, 4))
    with torch.no_grad():
        parts["neck"].weight.zero_()  # type: ignore[operator]
    teacher.reset(parts)
    for name, part in parts.items():
        for key, value in part.state_dict().items():
            assert torch.equal(value, teacher.parts[name].state_dict()[key])


def test_a_momentum_that_is_set_later_is_checked_too() -> None:
    teacher = EMATeacher(0.9)
    with pytest.raises(UserError, match=r"fraction that is kept, so it lies in \[0, 1\]; got 1.5"):
        teacher.momentum = 1.5
    assert teacher.momentum == 0.9


class Noisy(nn.Module):
    """Dropout and BatchNorm behind each other."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.BatchNorm1d(4, eps=1e-9), nn.Dropout(0.5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


def test_dropout_is_the_students_alone() -> None:
    teacher = EMATeacher()
    teacher.copy_from({"backbone": Noisy()})
    nn.ModuleDict({"model": nn.ModuleDict({"teacher": teacher})}).train()
    norm, dropout = [*teacher.parts["backbone"].modules()][2:]
    assert norm.training
    assert not dropout.training
    x = torch.randn(8, 4)
    torch.testing.assert_close(teacher(x), (x - x.mean(0)) / x.var(0, correction=0).sqrt())
    assert norm.num_batches_tracked == 1


def test_a_shuffled_batch_is_normalised_in_groups() -> None:
    teacher = EMATeacher(shuffle_groups=3)
    teacher.copy_from({"backbone": nn.BatchNorm1d(2, eps=1e-9).double()})
    teacher.train()
    x = torch.randn(12, 2, dtype=torch.float64)
    torch.manual_seed(5)
    found = teacher(x)
    torch.manual_seed(5)
    expected = torch.empty_like(x)
    for rows in torch.randperm(12).split(4):
        group = x[rows]
        expected[rows] = (group - group.mean(0)) / group.std(0, correction=0)
    torch.testing.assert_close(found, expected)
    whole = (x - x.mean(0)) / x.std(0, correction=0)
    assert (found - whole).abs().max() > 0.01


def test_groups_are_counted() -> None:
    with pytest.raises(UserError, match="EMATeacher: shuffle_groups"):
        EMATeacher(shuffle_groups=0)


@pytest.mark.parametrize(
    "norm", [nn.BatchNorm2d(4), nn.InstanceNorm2d(4, track_running_stats=True), EvoNorm2dB0(4)]
)
def test_statistics_of_any_layer_are_the_teachers_own(norm: nn.Module) -> None:
    teacher = EMATeacher()
    teacher.copy_from({"backbone": nn.Sequential(nn.Conv2d(3, 4, 1), norm)})
    before = teacher.parts["backbone"][1].running_var.clone()  # type: ignore[index]
    teacher.train()(10 * torch.randn(16, 3, 4, 4))
    after = teacher.parts["backbone"][1].running_var.clone()  # type: ignore[index]
    assert not torch.equal(before, after)
    teacher.eval()(10 * torch.randn(16, 3, 4, 4))
    assert torch.equal(after, teacher.parts["backbone"][1].running_var)  # type: ignore[index]
