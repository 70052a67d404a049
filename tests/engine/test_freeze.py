from __future__ import annotations

import itertools
from typing import cast

import pytest
import torch
from mmengine.optim import OptimWrapper
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector

from mvssl.engine.hooks import FreezeHook
from mvssl.models import MultiView
from mvssl.models.prototypes import Prototypes
from tests.runs import StubRun


class Prototyped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(3, 3)
        self.prototypes = Prototypes(3, (5, 4))


def trail(free_after: int, steps: int, amp: bool) -> list[list[Tensor]]:
    """Prototypes and body after each step of SGD with momentum and weight decay."""
    torch.manual_seed(0)
    model = Prototyped()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    run = StubRun(cast(MultiView, model), OptimWrapper(optimizer))
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0, enabled=amp)
    hook = FreezeHook()
    hook.before_train(run)
    seen = [[p.detach().clone() for p in model.parameters()]]
    for step in range(steps):
        model.prototypes.frozen = step < free_after
        optimizer.zero_grad()
        logits = model.prototypes(model.body(torch.ones(2, 3)))
        scaler.scale(torch.cat(logits, 1).square().mean()).backward()
        scaler.step(optimizer)
        scaler.update()
        seen.append([p.detach().clone() for p in model.parameters()])
    hook.after_train(run)
    model.prototypes.frozen = True
    optimizer.step()
    assert not torch.equal(model.prototypes.weights[0], seen[-1][2])  # it no longer listens
    return seen


@pytest.mark.parametrize("amp", [False, True])
def test_frozen_prototypes_stand_still_and_then_move(amp: bool) -> None:
    for step, (before, after) in enumerate(itertools.pairwise(trail(2, 4, amp))):
        moved = [not torch.equal(a, b) for a, b in zip(before, after, strict=True)]
        assert moved == [True, True, step >= 2, step >= 2], step


def test_prototypes_that_were_trained_stand_still_once_they_are_frozen() -> None:
    """Neither weight decay nor the momentum that they have moves them."""
    torch.manual_seed(0)
    model = Prototyped()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.1)
    run = StubRun(cast(MultiView, model), OptimWrapper(optimizer))
    FreezeHook().before_train(run)
    for frozen in (False, False, True):
        model.prototypes.frozen = frozen
        before = model.prototypes.weights[0].detach().clone()
        optimizer.zero_grad()
        model.prototypes(model.body(torch.ones(2, 3)))[0].square().mean().backward()
        optimizer.step()
        assert torch.equal(before, model.prototypes.weights[0]) == frozen


@pytest.mark.parametrize("frozen", [False, True])
def test_frozen_prototypes_have_no_part_in_clipping(frozen: bool) -> None:
    torch.manual_seed(0)
    model = Prototyped()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    wrapper = OptimWrapper(optimizer, clip_grad={"max_norm": 1e-3})
    hook = FreezeHook()
    run = StubRun(cast(MultiView, model), wrapper)
    hook.before_train(run)
    model.prototypes.frozen = frozen
    before = parameters_to_vector(model.body.parameters()).detach()
    logits = model.prototypes(model.body(torch.ones(2, 3)))
    wrapper.update_params(torch.cat(logits, 1).square().mean())
    length = (parameters_to_vector(model.body.parameters()).detach() - before).norm()
    # A step of SGD is as long as the gradient: all that clipping allows, or a part of it.
    assert (float(length) == pytest.approx(1e-3, rel=1e-3)) == frozen
    hook.after_train(run)
