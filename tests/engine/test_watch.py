"""Where the first NaN of a run came from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mvssl.engine import Job, Runner
from mvssl.engine.hooks import ScalarsHook
from mvssl.errors import UserError
from tests.runs import SMALL_VIT, small_job

LEJEPA: dict[str, Any] = {
    "type": "MultiView",
    "backbone": SMALL_VIT,
    "neck": {"type": "MLP", "hidden_channels": 12, "out_channels": 6},
    "head": {"type": "RegularizedHead", "loss": {"type": "SIGRegLoss"}},
    "data_preprocessor": {"type": "MultiViewPreprocessor", "size": 16, "views": "gentle"},
}


def job(model: dict[str, Any] = LEJEPA) -> Job:
    """Six iterations an epoch, looked at once."""
    optim = {"type": "OptimWrapper", "optimizer": {"type": "SGD", "lr": 1e-3}}
    built = small_job(model, 1, 60, optim | {"constructor": "DecayGroups"})
    built.default_hooks |= {"checkpoint": None, "scalars": ScalarsHook(interval=10)}
    return built


def told(folder: Path, built: Job) -> str:
    with pytest.raises(UserError) as raised:
        Runner(built, folder).train()
    return str(raised.value)


class Spoilt(nn.Module):
    """The part that it takes the place of, with a NaN in the third call that has a gradient."""

    def __init__(self, part: nn.Module, backward: bool = False) -> None:
        super().__init__()
        self.part = part
        self.backward = backward
        self.calls = 0

    def forward(self, *inputs: Any) -> Tensor:
        output: Tensor = self.part(*inputs)
        self.calls += 1
        if self.calls != 3:
            return output
        if self.backward:
            output.register_hook(lambda grad: grad * torch.nan)
            return output
        return torch.where(torch.arange(len(output))[:, None] == 5, torch.nan, output)


@pytest.mark.parametrize(
    ("part", "what"),
    [("backbone", "the backbone's features"), ("neck", "the neck's projections")],
)
def test_the_part_whose_output_is_none_is_named(tmp_path: Path, part: str, what: str) -> None:
    built = job()
    model: Any = built.model
    body = model.backbone.model if part == "backbone" else model.neck
    spoilt: Any = Spoilt(body)
    if part == "backbone":
        model.backbone.model = spoilt
    else:
        spoilt.out_channels = body.out_channels
        model.neck = spoilt
    text = told(tmp_path, built)
    assert text.startswith("The loss is nan at iteration 3. ")
    assert f"in iteration 3, is {what}" in text


def test_the_term_of_the_loss_is_named(tmp_path: Path) -> None:
    built = job()
    regularizer: Any = built.model.head.loss

    class Broken(type(regularizer)):  # type: ignore[misc]
        def forward(self, z_vkd: Tensor, step: int) -> Tensor:
            value: Tensor = super().forward(z_vkd, step)
            return value * torch.inf if step == 2 else value

    regularizer.__class__ = Broken
    assert "in iteration 3, is the head's regularizer (in the loss)" in told(tmp_path, built)


def test_a_gradient_is_told_from_the_loss(tmp_path: Path) -> None:
    built = job()
    model: Any = built.model
    model.backbone.model = Spoilt(model.backbone.model, backward=True)
    text = told(tmp_path, built)
    assert "in iteration 4, is the weights of model.backbone, by the gradient" in text


def test_weights_that_the_loss_does_not_see_are_looked_at_too(tmp_path: Path) -> None:
    built = job()
    unused = nn.Linear(2, 2)
    built.model.add_module("unused", unused)
    nn.init.constant_(unused.bias, torch.inf)
    text = told(tmp_path, built)
    assert text.startswith("The weights are no numbers after iteration 6: unused.bias (1 of ")


def test_views_are_told_from_what_is_made_of_them(tmp_path: Path) -> None:
    built = job()
    preprocessor: Any = built.model.data_preprocessor
    preprocessor.mean.fill_(torch.nan)
    text = told(tmp_path, built)
    assert "in iteration 1, is the views" in text
    assert "Look at model.data_preprocessor" in text


@pytest.mark.parametrize("loss", ["FroSSLLoss", "MMCRLoss", "EMPSSLLoss"])
def test_what_is_decomposed_is_named_as_well(tmp_path: Path, loss: str) -> None:
    built = job({**LEJEPA, "head": {"type": "ViewsHead", "loss": {"type": loss}}})
    model: Any = built.model
    spoilt: Any = Spoilt(model.neck)
    spoilt.out_channels = model.neck.out_channels
    model.neck = spoilt
    assert "in iteration 3, is the neck's projections" in told(tmp_path, built)
