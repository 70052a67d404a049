"""A step in pieces against the step on the whole batch, float64."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from mvssl.engine.loop import total_loss
from mvssl.engine.micro_batch import join
from mvssl.information import VonMisesFisher, infonce_bound
from mvssl.models import MultiView
from mvssl.models.losses import PairLoss
from mvssl.models.teacher import EMATeacher
from mvssl.registry import LOSSES, MODELS
from tests.gloo_pool import GlooPool
from tests.runs import StubRun, optimizer_of

B = 8
NECK = {"type": "MLP", "hidden_channels": 12, "out_channels": 8, "norm": "layer"}


class PassOn(nn.Module):
    """A preprocessor for batches that hold views already."""

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        return data


def build(head: dict[str, Any], drop: float = 0.0, **parts: Any) -> MultiView:
    torch.manual_seed(1)
    args = {"img_size": 16, "patch_size": 8, "embed_dim": 16, "depth": 2, "num_heads": 2}
    backbone = {
        "type": "TimmBackbone",
        "name": "vit_tiny_patch16_224",
        "model_args": {**args, "proj_drop_rate": drop},
    }
    neck = PROTOTYPES if "in_neck" in parts else NECK
    parts = {name: part for name, part in parts.items() if name != "in_neck"}
    model: MultiView = MODELS.build(
        {"type": "MultiView", "backbone": backbone, "neck": neck, "head": head, **parts}
    )
    model.data_preprocessor = PassOn()
    model.init_weights()
    return model.double()


def batch() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(2)
    views = [torch.randn(B, 3, 16, 16, generator=generator, dtype=torch.float64) for _ in range(2)]
    return {"inputs": views, "index": torch.arange(B)}


def share(data: dict[str, Any]) -> dict[str, Any]:
    world, rank = dist.get_world_size(), dist.get_rank()
    views = [view.chunk(world)[rank] for view in data["inputs"]]
    return {"inputs": views, "index": data["index"].chunk(world)[rank]}


def step(
    model: MultiView, data: dict[str, Any], micro: int | None = None
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Gradients of a step of SGD at rate 1, read off the weights, and its scalars."""
    before = copy.deepcopy(model.state_dict())
    run = StubRun(model, optimizer_of(model), micro_batch_size=micro)
    scalars = run.train_loop.step(data)
    after = model.state_dict()
    names = [name for name, p in model.named_parameters() if p.requires_grad]
    return {name: before[name] - after[name] for name in names}, scalars


BYOL: dict[str, Any] = {
    "predictor": {"type": "MLP", "hidden_channels": 10, "norm": "layer"},
    "teacher": {"momentum": 0.9},
}

# The teacher sees the first view, the student the second.
ONE_WAY: dict[str, Any] = {
    "teacher": {"momentum": 0.9},
    "num_targets": 1,
    "teacher_only_views": 1,
}


@LOSSES.register_module()
class InfoNCEOfTest(PairLoss):
    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        z1, z2 = F.normalize(prediction, dim=1), F.normalize(target, dim=1)
        return -infonce_bound(z1, z2, VonMisesFisher(5.0), validate=False).value


HEADS: dict[str, dict[str, Any]] = {
    "infonce": {"type": "PairHead", "loss": {"type": "InfoNCEOfTest"}},
    "er": {"type": "ERHead", "entropy_weight": 0.7},
    "queue": {"type": "ERHead", "queue_size": 2 * B},
    "discrete": {"type": "DiscreteERHead", "num_prototypes": 6},
    "swav": {"type": "AssignmentHead", "assigner": {"type": "Sinkhorn"}, "num_prototypes": 6},
    "dino": {"type": "AssignmentHead", "assigner": {"type": "Centering"}},
    "bank": {"type": "InstanceHead", "num_samples": 2 * B},
}
# Heads that look at the prototypes of the neck.
IN_NECK = {"dino"}
PROTOTYPES = {"type": "PrototypeNeck", "projector": NECK, "num_prototypes": 5}


def named(head: str, **parts: Any) -> MultiView:
    if head in IN_NECK:
        return build(HEADS[head], **{**parts, "in_neck": True, "predictor": None})
    return build(HEADS[head], **parts)


@pytest.mark.parametrize("micro", [1, 3, 8, 20])
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("parts", [BYOL, {}, ONE_WAY], ids=["byol", "plain", "one_way"])
def test_the_gradient_is_that_of_the_whole_batch(
    head: str, parts: dict[str, Any], micro: int
) -> None:
    whole, whole_scalars = step(named(head, **parts), batch())
    pieces, scalars = step(named(head, **parts), batch(), micro)
    for name, grad in whole.items():
        torch.testing.assert_close(pieces[name], grad, rtol=1e-8, atol=1e-12, msg=name)
    for name, value in whole_scalars.items():
        torch.testing.assert_close(scalars[name], value, rtol=1e-8, atol=1e-10, msg=name)


def test_the_teacher_sees_each_piece_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second pass is for the gradient, and targets have none."""
    model = build(HEADS["er"], **BYOL)
    teach = Mock(side_effect=EMATeacher.forward)
    monkeypatch.setattr(EMATeacher, "forward", lambda *args: teach(*args))
    step(model, batch(), 2)
    assert teach.call_count == B // 2


def test_the_optimiser_steps_once() -> None:
    model = build(HEADS["er"], **BYOL)
    wrapper = optimizer_of(model, lr=0.1)
    steps = []
    wrapper.optimizer.register_step_post_hook(lambda *_: steps.append(1))  # what moves the teacher
    StubRun(model, wrapper, micro_batch_size=2).train_loop.step(batch())
    assert len(steps) == 1


def test_a_queue_is_read_as_before_the_step_and_written_once() -> None:
    model = build(HEADS["queue"], **BYOL)
    for number in (1, 2):
        step(model, batch(), 2)
        assert len(model.head.entropy.queue.read()) == number * B


def test_dropout_is_replayed() -> None:
    model = build(HEADS["er"], drop=0.5, **BYOL)
    reference = copy.deepcopy(model)
    torch.manual_seed(9)
    grads, _ = step(model, batch(), 3)
    after = torch.rand(3)
    # The same pieces with the same draws, in one graph.
    torch.manual_seed(9)
    data = batch()
    chunks = [view.split(3) for view in data["inputs"]]
    parts = [
        reference.embed([a, b], i) for a, b, i in zip(*chunks, data["index"].split(3), strict=True)
    ]
    record = join([part.detach() for part in parts])
    z, p = (
        [torch.cat(view) for view in zip(*(getattr(part, name) for part in parts), strict=True)]
        for name in ("z", "p")
    )
    total_loss(reference.loss(replace(record, z=z, p=p)), "ERHead").backward()
    for name, parameter in reference.named_parameters():
        if parameter.requires_grad:
            torch.testing.assert_close(grads[name], parameter.grad, rtol=1e-8, atol=1e-12)
    # What follows draws as if the second pass had not been.
    assert torch.equal(after, torch.rand(3))


def test_one_tensor_under_two_names_is_one_leaf() -> None:
    model = build(HEADS["er"])
    with torch.no_grad():
        parts = [model.embed(list(views), index) for views, index in pieces_of(batch(), 3)]
    record = join(parts)
    assert record.p[0] is record.z[0]
    assert record.target[1] is record.z[1]
    assert record.z[0].requires_grad
    assert record.z[0].is_leaf


def pieces_of(data: dict[str, Any], size: int) -> Iterator[tuple[tuple[Tensor, ...], Tensor]]:
    views = zip(*(view.split(size) for view in data["inputs"]), strict=True)
    yield from zip(views, data["index"].split(size), strict=True)


def _step_of_rank(head: str, micro: int | None) -> dict[str, Tensor]:
    return step(named(head, **BYOL), share(batch()), micro)[0]


@pytest.mark.filterwarnings("ignore:`broadcast_buffers` is deprecated:FutureWarning")
@pytest.mark.parametrize("micro", [None, 2])
@pytest.mark.parametrize("head", ["er", "queue", "discrete", "swav", "dino"])
def test_several_processes_give_the_gradient_of_the_whole_batch(
    run_distributed: GlooPool, head: str, micro: int | None
) -> None:
    """Prototypes of the head lie outside of DDP, those of the neck inside."""
    whole, _ = step(named(head, **BYOL), batch())
    for grads in run_distributed(_step_of_rank, 2, head, micro):
        assert set(grads) == set(whole)
        for name, grad in whole.items():
            torch.testing.assert_close(grads[name], grad, rtol=1e-6, atol=1e-10, msg=name)
