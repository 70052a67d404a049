from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mmengine.optim import CosineAnnealingLR, OptimWrapper
from torch import nn

from mvssl.engine import AutocastOptimWrapper, DecayGroups, WarmupCosineLR
from mvssl.engine.hooks import TeacherHook
from mvssl.engine.optim import build_optim_wrapper, build_schedulers
from mvssl.errors import UserError
from mvssl.models import EMATeacher
from mvssl.models.backbones import TimmBackbone
from mvssl.registry import PARAM_SCHEDULERS

ADAMW = {"type": "AdamW", "lr": 1e-3, "weight_decay": 0.05}


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.Linear(6, 2))
        self.teacher = EMATeacher()
        self.teacher.copy_from({"body": self.body})


def test_decay_groups_leave_out_the_teacher_and_spare_biases_and_norms() -> None:
    net = Net()
    wrapper = DecayGroups({"type": "OptimWrapper", "optimizer": ADAMW})(net)
    assert isinstance(wrapper, OptimWrapper)
    assert isinstance(wrapper.optimizer, torch.optim.AdamW)
    by_decay = {g["weight_decay"]: g["params"] for g in wrapper.optimizer.param_groups}
    assert set(by_decay) == {0.0, 0.05}
    assert {id(p) for p in by_decay[0.05]} == {id(net.body[0].weight), id(net.body[2].weight)}
    others = (net.body[0].bias, net.body[1].weight, net.body[1].bias, net.body[2].bias)
    assert {id(p) for p in by_decay[0.0]} == {id(p) for p in others}


def test_adamw_is_fused_to_the_same_weights_and_what_a_config_chooses_stays() -> None:
    nets = [Net(), Net()]
    nets[1].load_state_dict(nets[0].state_dict())
    fused, plain = (
        DecayGroups({"optimizer": {**ADAMW, **more}})(net).optimizer
        for net, more in zip(nets, ({}, {"foreach": False}), strict=True)
    )
    assert [group["fused"] for group in fused.param_groups] == [True, True]
    assert [group["fused"] for group in plain.param_groups] == [None, None]
    for _ in range(5):
        x_nd = torch.randn(8, 4)
        for net, optimizer in zip(nets, (fused, plain), strict=True):
            optimizer.zero_grad()
            net.body(x_nd).square().mean().backward()
            optimizer.step()
    torch.testing.assert_close(nets[0].state_dict(), nets[1].state_dict())
    other = DecayGroups({"optimizer": {"type": "SGD", "lr": 0.1}})(Net()).optimizer
    assert not other.param_groups[0]["fused"]


def test_decay_groups_pass_the_wrappers_arguments_on() -> None:
    wrapper = DecayGroups(
        {"type": "AutocastOptimWrapper", "optimizer": ADAMW, "accumulative_counts": 4}
    )(Net())
    assert isinstance(wrapper, AutocastOptimWrapper)
    assert wrapper._accumulative_counts == 4


def test_decay_groups_refuse_what_is_for_mmengines_constructor() -> None:
    with pytest.raises(UserError, match="constructor='DefaultOptimWrapperConstructor'"):
        DecayGroups({"optimizer": ADAMW}, paramwise_cfg={"norm_decay_mult": 0.0})


def test_layers_of_a_backbone_learn_the_slower_the_lower_they_are() -> None:
    small = {"img_size": 16, "patch_size": 8, "embed_dim": 16, "depth": 3, "num_heads": 2}
    rate: Any = ADAMW["lr"]
    net = nn.Module()
    net.backbone = TimmBackbone("vit_tiny_patch16_224", small)
    net.neck = nn.Linear(16, 4)
    wrapper = DecayGroups({"optimizer": ADAMW}, paramwise_cfg={"layer_decay": 0.5})(net)
    names = {id(p): name for name, p in net.named_parameters()}
    rates, decays = {}, {}
    for group in wrapper.optimizer.param_groups:
        for p in group["params"]:
            rates[names[id(p)]] = group["lr"]
            decays[names[id(p)]] = group["weight_decay"]
    assert set(rates) == set(names.values())
    assert rates["neck.weight"] == rates["backbone.model.norm.weight"] == rate
    # timm counts the last norm to the last block, and patches are below block 0.
    for depth, name in enumerate(("blocks.2", "blocks.1", "blocks.0")):
        assert rates[f"backbone.model.{name}.mlp.fc1.weight"] == pytest.approx(rate * 0.5**depth)
    assert rates["backbone.model.patch_embed.proj.weight"] == pytest.approx(rate * 0.5**3)
    assert {decays[name] for name, p in net.named_parameters() if p.ndim <= 1} == {0.0}
    assert decays["backbone.model.blocks.0.mlp.fc1.weight"] == ADAMW["weight_decay"]
    schedule = WarmupCosineLR(wrapper, total_iters=4, iters_per_epoch=4, warmup_epochs=0)
    for _ in range(2):
        wrapper.step()
        schedule.step()
    later = sorted({group["lr"] for group in wrapper.optimizer.param_groups}, reverse=True)
    assert later[0] < rate
    assert later == pytest.approx([later[0] * 0.5**depth for depth in range(4)])


@pytest.mark.parametrize("value", [0, 2.0, "half"])
def test_a_layer_decay_is_a_fraction(value: Any) -> None:
    with pytest.raises(UserError, match="layer_decay is a number greater than 0"):
        DecayGroups({"optimizer": ADAMW}, paramwise_cfg={"layer_decay": value})


def test_autocast_computes_in_bfloat16_and_keeps_weights_in_float32() -> None:
    net = nn.Linear(8, 3)
    wrapper = AutocastOptimWrapper(torch.optim.SGD(net.parameters(), lr=0.1))
    x = torch.randn(5, 8)
    before = net.weight.detach().clone()
    with wrapper.optim_context(net):
        out = net(x)
        assert out.dtype == torch.bfloat16
        loss = out.float().square().mean()
    assert net(x).dtype == torch.float32
    wrapper.update_params(loss)
    assert net.weight.dtype == torch.float32
    plain = nn.Linear(8, 3)
    plain.load_state_dict({"weight": before, "bias": net.bias.detach()})
    assert not torch.equal(net.weight, before)
    assert wrapper.optimizer.param_groups[0]["params"][0] is net.weight


def _schedule(total: int, per_epoch: int, **arguments: Any) -> tuple[Any, WarmupCosineLR]:
    own_rate: dict[str, Any] = {"params": [nn.Parameter(torch.zeros(1))], "lr": 0.5}
    optimizer = torch.optim.SGD([{"params": [nn.Parameter(torch.zeros(1))]}, own_rate], lr=2.0)
    return optimizer, WarmupCosineLR(optimizer, total, per_epoch, **arguments)


def _rates(optimizer: Any, scheduler: WarmupCosineLR, steps: int) -> list[list[float]]:
    rates = []
    for _ in range(steps):
        rates.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    return rates


def test_the_learning_rate_warms_up_and_falls_as_a_cosine() -> None:
    rates = _rates(*_schedule(30, 4, warmup_epochs=2.5, end_factor=0.1), 30)
    for step, (first, second) in enumerate(rates):
        if step < 10:
            factor = (step + 1) / 10
        else:
            factor = 0.1 + 0.9 * (1 + math.cos(math.pi * (step - 10) / 19)) / 2
        assert first == pytest.approx(2.0 * factor, rel=1e-12)
        assert second == pytest.approx(0.5 * factor, rel=1e-12)
    assert rates[-1][0] == pytest.approx(0.2)


def test_the_learning_rate_goes_on_where_it_was_saved() -> None:
    whole = _rates(*_schedule(20, 5, warmup_epochs=1), 20)
    optimizer, scheduler = _schedule(20, 5, warmup_epochs=1)
    first = _rates(optimizer, scheduler, 8)
    again, resumed = _schedule(20, 5, warmup_epochs=1)
    again.load_state_dict(optimizer.state_dict())
    resumed.load_state_dict(scheduler.state_dict())
    assert first + _rates(again, resumed, 12) == whole


def test_a_short_run_keeps_half_of_its_steps_for_the_cosine() -> None:
    rates = [r for r, _ in _rates(*_schedule(8, 4, warmup_epochs=10), 8)]
    assert rates[:4] == pytest.approx([0.5, 1.0, 1.5, 2.0])
    assert rates[4] == pytest.approx(2.0)
    assert rates[-1] == pytest.approx(0.0, abs=1e-12)


def test_a_negative_warmup_is_refused() -> None:
    with pytest.raises(
        UserError, match=r"warmup_epochs is a number that is not negative .* got -1"
    ):
        _schedule(8, 4, warmup_epochs=-1)


def test_a_longer_schedule_goes_on_along_its_own_curve() -> None:
    optimizer, scheduler = _schedule(10, 5, warmup_epochs=1)
    _rates(optimizer, scheduler, 10)
    again, resumed = _schedule(20, 5, warmup_epochs=1)
    again.load_state_dict(optimizer.state_dict())
    resumed.load_state_dict(scheduler.state_dict())
    longer = _rates(*_schedule(20, 5, warmup_epochs=1), 20)
    assert resumed.get_last_value() == longer[10]
    assert _rates(again, resumed, 10) == longer[10:]


WARMUP: dict[str, Any] = {"type": "WarmupCosineLR", "warmup_epochs": 1}


@pytest.mark.parametrize("cfg", [WARMUP, [WARMUP], [{**WARMUP, "type": WarmupCosineLR}]])
def test_schedules_get_the_length_of_the_run(cfg: Any) -> None:
    optimizer, _ = _schedule(1, 1)
    (built,) = build_schedulers(cfg, optimizer, 20, 5)
    assert isinstance(built, WarmupCosineLR)
    assert (built.total_iters, built.warmup_iters) == (20, 5)


@PARAM_SCHEDULERS.register_module(force=True)
class HalvedLR(WarmupCosineLR):
    """A schedule of one's own, which takes one of the two lengths."""

    def __init__(self, optimizer: Any, total_iters: int) -> None:
        super().__init__(optimizer, total_iters // 2, 1)


def test_schedules_of_ones_own_and_of_mmengine_get_what_they_take() -> None:
    optimizer, given = _schedule(1, 1)
    cfg = [
        {"type": "HalvedLR"},
        {"type": "CosineAnnealingLR", "T_max": 4},
        {"type": "CosineAnnealingLR", "T_max": 20, "by_epoch": False},
        {"type": "CosineAnnealingLR", "T_max": 4, "convert_to_iter_based": True},
        {"type": "CosineAnnealingLR", "T_max": 4, "end": 2},
        given,
    ]
    own, *others, last = build_schedulers(cfg, optimizer, 20, 5)
    assert isinstance(own, HalvedLR)
    assert own.total_iters == 10
    assert all(isinstance(one, CosineAnnealingLR) for one in others)
    assert [one.end for one in others] == [4, 20, 20, 2]
    assert last is given
    assert build_schedulers(None, optimizer, 20, 5) == []


def written_out_lars(
    weight: torch.Tensor, grads: list[torch.Tensor], decay: float, adapt: bool
) -> torch.Tensor:
    """You et al. 2017: local rate 0.001 |w| / (|g| + decay |w|), momentum 0.9, rate 0.3."""
    buffer = torch.zeros_like(weight)
    for grad in grads:
        step = grad + decay * weight
        if adapt:
            size = weight.square().sum().sqrt()
            step = step * 1e-3 * size / (grad.square().sum().sqrt() + decay * size)
        buffer = 0.9 * buffer + step
        weight = weight - 0.3 * buffer
    return weight


@pytest.mark.parametrize("decay", [0.0, 1e-2])
def test_lars_adapts_weights_and_neither_biases_nor_norms(decay: float) -> None:
    net = Net().double()
    lars = {"type": "LARS", "lr": 0.3, "momentum": 0.9, "weight_decay": decay}
    wrapper = DecayGroups({"optimizer": lars})(net)
    trained = [p for p in net.parameters() if p.requires_grad]
    start = [p.detach().clone() for p in trained]
    grads = [[torch.randn_like(p) for _ in range(4)] for p in trained]
    for step in range(4):
        for p, grad in zip(trained, grads, strict=True):
            p.grad = grad[step].clone()
        wrapper.optimizer.step()
    for p, before, grad in zip(trained, start, grads, strict=True):
        plain = p.ndim <= 1
        expected = written_out_lars(before, grad, 0.0 if plain else decay, not plain)
        torch.testing.assert_close(p.detach(), expected, rtol=1e-7, atol=1e-12)


def test_a_config_may_have_lars_adapt_everything() -> None:
    lars = {"type": "LARS", "lr": 0.3, "always_adapt": True}
    groups = DecayGroups({"optimizer": lars})(Net()).optimizer.param_groups
    assert [group["always_adapt"] for group in groups] == [True, True]


@pytest.mark.parametrize(
    ("cfg", "told"),
    [
        ({"type": "StepLR", "step_size": 0}, "step_size is an integer and at least 1"),
        ({"type": "ExponentialLR", "gamma": -1.0}, "gamma is a number greater than 0"),
        ({"type": "ExponentialLR", "gamma": float("nan")}, "gamma is a number greater than 0"),
        ({"type": "CosineAnnealingLR", "T_max": 0}, "T_max is an integer and at least 1"),
        ({"type": "CosineAnnealingLR", "eta_min": -3.0}, "eta_min is a number that is not negat"),
        ({"type": "PolyLR", "power": -1.0}, "power is a number that is not negative"),
        ({"type": "ReduceOnPlateauLR", "monitor": "loss"}, "waits for a validation loop"),
    ],
    ids=str,
)
def test_a_schedule_of_nonsense_is_refused(cfg: dict[str, Any], told: str) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    with pytest.raises(UserError, match=f"param_scheduler: .*{told}"):
        build_schedulers([cfg], optimizer, 10, 5)


@pytest.mark.parametrize("options", [{}, {"foreach": True}])
def test_the_teacher_waits_where_an_overflow_skips_the_step(options: dict[str, Any]) -> None:
    """A fused optimiser, which is the usual one, skips it inside of its step."""
    student = nn.Linear(4, 4)
    teacher = EMATeacher(momentum=0.5)
    teacher.copy_from({"backbone": student})
    with torch.no_grad():
        student.weight += 1.0
    adamw = {"type": "AdamW", "lr": 1e-2, **options}
    wrapper = build_optim_wrapper({"constructor": "DecayGroups", "optimizer": adamw}, student)
    assert bool(wrapper.optimizer.defaults.get("fused")) is not bool(options)
    model = SimpleNamespace(teacher=teacher, taught_parts={"backbone": student})
    scalars = SimpleNamespace(add=lambda _: None)
    run: Any = SimpleNamespace(optim_wrapper=wrapper, hooks=[], model=model, scalars=scalars)
    hook, scaler = TeacherHook(), torch.amp.GradScaler("cpu")
    hook.before_train(run)
    moved = []
    for factor in (torch.inf, 1.0):
        before = teacher.parts["backbone"].weight.clone()  # type: ignore[operator]
        wrapper.optimizer.zero_grad()
        scaler.scale(student(torch.ones(2, 4)).sum() * factor).backward()
        scaler.step(wrapper.optimizer)
        scaler.update()
        hook.after_train_iter(run)
        moved.append(not torch.equal(before, teacher.parts["backbone"].weight))  # type: ignore[arg-type]
    assert moved == [False, True]
