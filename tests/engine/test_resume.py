"""An optimiser that goes on: its state, and its rates."""

from __future__ import annotations

import pytest
import torch
from mmengine.optim import OptimWrapper

from mvssl.engine.optim import build_schedulers
from mvssl.engine.resume import load_optimizer, replay
from mvssl.errors import UserError

CHAIN = [
    {"type": "LinearLR", "start_factor": 0.1, "by_epoch": False, "end": 5},
    {"type": "CosineAnnealingLR", "by_epoch": False, "begin": 5},
    {"type": "ExponentialLR", "gamma": 0.5},
]


def adam(*sizes: int, lr: float = 1.0) -> OptimWrapper:
    """A parameter group for each size."""
    groups = [{"params": [torch.nn.Parameter(torch.ones(size))], "lr": lr} for size in sizes]
    return OptimWrapper(torch.optim.AdamW(groups, lr=lr))


def step(wrapper: OptimWrapper) -> None:
    for group in wrapper.optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.full_like(parameter, 0.5)
    wrapper.step()


@pytest.mark.parametrize("position", [0, 1, 4, 7, 12, 20])
def test_schedules_are_replayed_to_the_values_of_a_run(position: int) -> None:
    ran, new = adam(2, 3), adam(2, 3)
    schedulers = build_schedulers(CHAIN, ran, 20, 4)
    for number in range(position):
        step(ran)
        for scheduler in schedulers[:2]:
            scheduler.step()
        if number % 4 == 3:
            schedulers[2].step()
    replay(build_schedulers(CHAIN, new, 20, 4), position, position // 4, 4)
    assert new.get_lr() == ran.get_lr()


def test_options_are_those_of_the_state_or_stay() -> None:
    ran, new = adam(2, 3, lr=0.5), adam(2, 3, lr=0.1)
    step(ran)
    load_optimizer(new, ran.state_dict(), "a.pth", keep_options=False)
    assert new.get_lr()["lr"] == [0.5, 0.5]
    new = adam(2, 3, lr=0.1)
    load_optimizer(new, ran.state_dict(), "a.pth", keep_options=True)
    assert new.get_lr()["lr"] == [0.1, 0.1]
    moments = [state["exp_avg"] for state in new.optimizer.state.values()]
    assert [len(moment) for moment in moments] == [2, 3]
    assert all((moment > 0).all() for moment in moments)


def test_an_epoch_that_is_not_over_moves_no_schedule_of_epochs() -> None:
    rates = []
    for epochs in (0, 1):
        new = adam(2)
        replay(build_schedulers(CHAIN, new, 20, 4), 4, epochs, 4)
        rates.append(new.get_lr()["lr"][0])
    assert rates[1] == 0.5 * rates[0]


def test_what_is_no_number_in_a_state_is_not_taken() -> None:
    state = adam(2, lr=0.5).state_dict()
    state["param_groups"][0] |= {"weight_decay": "much", "betas": None}
    new = adam(2)
    load_optimizer(new, state, "a.pth", keep_options=False)
    (group,) = new.param_groups
    assert (group["lr"], group["weight_decay"], group["betas"]) == (0.5, 0.01, (0.9, 0.999))


def test_a_state_of_other_groups_is_refused() -> None:
    state = adam(2).state_dict()
    with pytest.raises(UserError, match=r"in a\.pth is of other parameters"):
        load_optimizer(adam(2, 3), state, "a.pth", keep_options=False)
