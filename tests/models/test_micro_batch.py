"""A step in pieces against the step on the whole batch, float64."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from mmengine.optim import OptimWrapper
from torch import Tensor

from mvssl.information import VonMisesFisher, infonce_bound
from mvssl.models import MultiView
from mvssl.models.losses import PairLoss
from mvssl.models.micro_batch import MultiViewDDP, _join
from mvssl.registry import LOSSES, MODELS
from tests.gloo_pool import GlooPool

B = 8
NECK = {"type": "MLP", "hidden_channels": 12, "out_channels": 8, "norm": "layer"}


def build(head: dict[str, Any], micro: int | None, drop: float = 0.0, **parts: Any) -> MultiView:
    torch.manual_seed(1)
    args = {"img_size": 16, "patch_size": 8, "embed_dim": 16, "depth": 2, "num_heads": 2}
    backbone = {
        "type": "TimmBackbone",
        "name": "vit_tiny_patch16_224",
        "model_args": {**args, "proj_drop_rate": drop},
    }
    neck = NECK if head.get("assigner") is None else PROTOTYPES
    cfg = {"type": "MultiView", "backbone": backbone, "neck": neck, "head": head, **parts}
    model: MultiView = MODELS.build({**cfg, "micro_batch_size": micro})
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


def step(model: Any, data: dict[str, Any]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Gradients of a step of SGD at rate 1, read off the weights, and its scalars."""
    plain = model.module if isinstance(model, MultiViewDDP) else model
    before = copy.deepcopy(plain.state_dict())
    trained = [p for p in model.parameters() if p.requires_grad]
    scalars = model.train_step(data, OptimWrapper(torch.optim.SGD(trained, lr=1.0)))
    after = plain.state_dict()
    names = [name for name, p in plain.named_parameters() if p.requires_grad]
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
    "dino": {"type": "AssignmentHead", "assigner": {"type": "Centering"}},
    "bank": {"type": "InstanceHead", "num_samples": 2 * B},
}
PROTOTYPES = {"type": "PrototypeNeck", "projector": NECK, "num_prototypes": 5}


@pytest.mark.parametrize("micro", [1, 3, 8, 20])
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("parts", [BYOL, {}, ONE_WAY], ids=["byol", "plain", "one_way"])
def test_the_gradient_is_that_of_the_whole_batch(
    head: str, parts: dict[str, Any], micro: int
) -> None:
    whole, whole_scalars = step(build(HEADS[head], None, **parts), batch())
    pieces, scalars = step(build(HEADS[head], micro, **parts), batch())
    for name, grad in whole.items():
        torch.testing.assert_close(pieces[name], grad, rtol=1e-8, atol=1e-12, msg=name)
    for name, value in whole_scalars.items():
        torch.testing.assert_close(scalars[name], value, rtol=1e-8, atol=1e-10, msg=name)


def test_the_optimiser_steps_once() -> None:
    model = build(HEADS["er"], 2, **BYOL)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    steps = []
    optimizer.register_step_post_hook(lambda *_: steps.append(1))  # what moves the teacher
    model.train_step(batch(), OptimWrapper(optimizer))
    assert len(steps) == 1


def test_a_queue_is_read_as_before_the_step_and_written_once() -> None:
    model = build(HEADS["queue"], 2, **BYOL)
    for number in (1, 2):
        step(model, batch())
        assert len(model.head.entropy.queue.read()) == number * B


def test_dropout_is_replayed() -> None:
    model = build(HEADS["er"], 3, drop=0.5, **BYOL)
    reference = copy.deepcopy(model)
    torch.manual_seed(9)
    grads, _ = step(model, batch())
    after = torch.rand(3)
    # The same pieces with the same draws, in one graph.
    torch.manual_seed(9)
    data = batch()
    chunks = [view.split(3) for view in data["inputs"]]
    parts = [
        reference.embed([a, b], i) for a, b, i in zip(*chunks, data["index"].split(3), strict=True)
    ]
    record = _join(reference, [part.detach() for part in parts])
    z, p = (
        [torch.cat(view) for view in zip(*(getattr(part, name) for part in parts), strict=True)]
        for name in ("z", "p")
    )
    loss = reference.head(replace(record, z=z, p=p))["loss"]
    loss.backward()
    for name, parameter in reference.named_parameters():
        if parameter.requires_grad:
            torch.testing.assert_close(grads[name], parameter.grad, rtol=1e-8, atol=1e-12)
    # What follows draws as if the second pass had not been.
    assert torch.equal(after, torch.rand(3))


def _ddp_step(head: str, micro: int | None) -> dict[str, Tensor]:
    model = MultiViewDDP(module=build(HEADS[head], micro, **BYOL), broadcast_buffers=False)
    return step(model, share(batch()))[0]


@pytest.mark.filterwarnings("ignore:`broadcast_buffers` is deprecated:FutureWarning")
@pytest.mark.parametrize("head", ["er", "queue", "discrete", "dino"])
def test_several_processes_in_pieces_give_the_gradient_of_the_whole_batch(
    run_distributed: GlooPool, head: str
) -> None:
    whole, _ = step(build(HEADS[head], None, **BYOL), batch())
    for grads in run_distributed(_ddp_step, 2, head, 2):
        for name, grad in whole.items():
            torch.testing.assert_close(grads[name], grad, rtol=1e-6, atol=1e-10, msg=name)
