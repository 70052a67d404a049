"""Several processes train as one: the same weights after some steps, in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from mvssl.datasets import Digits
from mvssl.distributed import average_gradients, world_size
from mvssl.engine.loaders import build_loader
from mvssl.engine.loop import distribute, total_loss
from mvssl.models import MultiView
from mvssl.models.batch_norm import synchronize_batch_norm
from mvssl.registry import MODELS
from tests.gloo_pool import GlooPool

HEADS: dict[str, dict[str, Any]] = {
    "er": {"type": "ERHead"},
    "byol": {"type": "PairHead", "loss": {"type": "CosineSimilarityLoss"}},
}


def _model(head: str) -> MultiView:
    torch.manual_seed(2)
    vit = {"img_size": 16, "patch_size": 8, "embed_dim": 16, "depth": 1, "num_heads": 2}
    model: MultiView = MODELS.build(
        {
            "type": "MultiView",
            "backbone": {
                "type": "TimmBackbone",
                "name": "vit_tiny_patch16_224",
                "model_args": vit,
            },
            "neck": {"type": "MLP", "hidden_channels": 12, "out_channels": 6},
            "predictor": {"type": "MLP", "hidden_channels": 12},
            "teacher": {"momentum": 0.9},
            "head": HEADS[head],
            "data_preprocessor": {"type": "MultiViewPreprocessor", "views": "byol", "size": 16},
        }
    )
    model.init_weights()
    return model.double()


def _train(head: str) -> tuple[list[float], dict[str, Tensor]]:
    """Losses (means over ranks) and the weights after three epochs of two steps."""
    model = _model(head)
    if world_size() > 1:
        model = synchronize_batch_norm(model)  # type: ignore[assignment]
    network = distribute(model)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.01)
    loader = build_loader(Digits("test", 16), 160, seed=1)
    losses = []
    for epoch in range(3):
        loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        for batch in loader:
            data = model.data_preprocessor(batch, training=True)
            views = [view.double() for view in data["inputs"]]
            loss = total_loss(model.loss(network(views, data["index"])), head)
            optimizer.zero_grad()
            loss.backward()
            average_gradients(model.head.parameters())
            optimizer.step()
            assert model.teacher is not None
            model.teacher.update(model.taught_parts)
            told = loss.detach()
            if world_size() > 1:
                dist.all_reduce(told)
            losses.append(float(told) / world_size())
    return losses, {key: value.detach() for key, value in model.state_dict().items()}


@pytest.mark.parametrize("world", [2, 4])
@pytest.mark.parametrize("head", sorted(HEADS))
def test_several_processes_end_with_the_weights_of_one(
    run_distributed: GlooPool, world: int, head: str
) -> None:
    losses, weights = _train(head)
    start = _model(head).state_dict()
    assert not torch.allclose(start["neck.layers.0.weight"], weights["neck.layers.0.weight"])
    for found, state in run_distributed(_train, world, head):
        assert found == pytest.approx(losses, rel=1e-6)
        assert set(state) == set(weights)
        for key, value in weights.items():
            torch.testing.assert_close(state[key], value, rtol=1e-6, atol=1e-7, msg=key)
