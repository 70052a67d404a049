"""The linear layer that is trained on views."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import default_collate

from mvssl.errors import UserError
from mvssl.evaluation import Features, SGDProbe, evaluate
from mvssl.evaluation.classes import split_classes
from mvssl.evaluation.inputs import network_inputs
from mvssl.evaluation.network import as_network, evaluation_mode
from mvssl.evaluation.sgd_probe import Plan, train_heads
from mvssl.models import MultiView
from mvssl.views.host_views import HostViews
from mvssl.views.view import View
from tests.evaluation.small import PREPROCESSING, CountedDigits, Labelled, small_model
from tests.gloo_pool import GlooPool

CPU = torch.device("cpu")


def sets() -> tuple[CountedDigits, CountedDigits]:
    """90 images to learn from, 36 held out."""
    return CountedDigits(test_fraction=0.05), CountedDigits(test_fraction=0.02)


def alone(
    epochs: list[Features], mask: Tensor, lr: float, batch_size: int, seed: int
) -> tuple[Tensor, Tensor]:
    """One head by itself, on the images of its mask alone."""
    head = nn.Linear(epochs[0].x.shape[1], 3)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        head.weight.copy_(0.01 * torch.randn(head.weight.shape, generator=generator))
        head.bias.zero_()
    norm = nn.BatchNorm1d(epochs[0].x.shape[1], eps=1e-6, momentum=None, affine=False)
    optimizer = torch.optim.SGD(head.parameters(), lr=lr, momentum=0.9)
    steps = len(epochs) * -(-len(mask) // batch_size)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for epoch, seen in enumerate(epochs):
        order = np.random.default_rng([seed, epoch]).permutation(len(mask))
        for start in range(0, len(mask), batch_size):
            whole = order[start : start + batch_size]
            own = [place for place, n in enumerate(whole) if mask[n]]
            x, labels = norm(seen.x[whole])[own], seen.labels[whole][own]
            optimizer.zero_grad()
            nn.functional.cross_entropy(head(x), labels).backward()
            optimizer.step()
            cosine.step()
    # By what it makes of 0 and of each channel.
    with torch.no_grad():
        asked = torch.cat([torch.zeros(1, len(head.weight.T)), torch.eye(len(head.weight.T))])
        logits = head(norm.eval()(asked))
    return (logits[1:] - logits[0]).T, logits[0]


def test_heads_side_by_side_are_each_what_torch_trains_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(20) % 3
    epochs = [Features(torch.randn(20, 5, generator=generator), labels) for _ in range(4)]
    masks = torch.ones(3, 20, dtype=torch.bool)
    masks[0, ::6] = False
    rates = [0.5, 0.5, 0.01]
    heads = train_heads(epochs, masks, 3, Plan(rates, 4, 6, seed=2), CPU)
    for head, mask, lr in zip(heads, masks, rates, strict=True):
        weight, bias = alone(epochs, mask, lr, 6, seed=2)
        torch.testing.assert_close(head.weight, weight)
        torch.testing.assert_close(head.bias, bias)
    assert not torch.allclose(heads[0].weight, heads[1].weight)


def test_a_head_that_diverges_harms_no_other() -> None:
    epochs = [Features(100 * torch.randn(12, 4), torch.arange(12) % 2)] * 9
    masks = torch.ones(2, 12, dtype=torch.bool)
    both = train_heads(epochs, masks, 2, Plan([1e38, 1e-3], 9, 4, 0), CPU)
    one = train_heads(epochs, masks[:1], 2, Plan([1e-3], 9, 4, 0), CPU)[0]
    assert not both[0].weight.isfinite().all()
    torch.testing.assert_close(both[1].weight, one.weight)


def test_features_of_a_nearly_collapsed_backbone_are_told_apart() -> None:
    labels = torch.arange(60) % 3
    near = torch.randn(60, 8, generator=torch.manual_seed(0)) / 9
    x = 5.0 + 1e-2 * (torch.eye(8)[labels] + near)
    (head,) = train_heads(
        [Features(x, labels)] * 9,
        torch.ones(1, 60, dtype=torch.bool),
        3,
        Plan([0.3], 9, 20, 0),
        CPU,
    )
    assert float((head.predict(x) == labels).float().mean()) > 0.95


def state(model: MultiView) -> dict[str, Any]:
    return copy.deepcopy(model.state_dict())


@pytest.mark.parametrize("engine", ["device", "host"])
def test_the_backbone_stays_as_it_is(engine: str) -> None:
    train, test = sets()
    model = small_model(engine).train()
    before, reads = state(model), train.reads
    found = evaluate(model, [SGDProbe(epochs=3, batch_size=32)], train, test, batch_size=25)
    assert model.training
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(p.grad is None for p in model.parameters())
    assert all(p.requires_grad for p in model.backbone.parameters())
    assert set(reads) == {4}  # whole, and in three epochs
    assert set(found) == set(SGDProbe().results)
    assert 0 <= found["sgd_top1"] <= found["sgd_top5"] <= 1
    assert (train.view_transform, train.size) == (None, 16)


def test_views_are_new_in_each_epoch_and_those_of_the_backbone() -> None:
    train, test = sets()
    model = small_model()
    inputs = network_inputs(as_network(model), train, test, batch_size=40)
    view = View.flat(16, crop_scale=(0.3, 0.5), flip=0.5)
    first, again, second = (inputs.train_view(view, 7, epoch).x for epoch in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.allclose(first, second)
    shown = CountedDigits(test_fraction=0.05)
    shown.view_transform = HostViews([view], 7)
    batch = default_collate([shown[(n, 1)] for n in range(len(shown))])
    with evaluation_mode(model), torch.no_grad():
        images = model.data_preprocessor({"image": batch["views"][0]})["inputs"]
        torch.testing.assert_close(second, model.backbone(images), rtol=1e-4, atol=1e-5)


def test_a_rate_is_chosen_on_held_out_images_and_tested_on_others() -> None:
    train, test = CountedDigits(test_fraction=0.1), CountedDigits(test_fraction=0.05)
    whole = View.flat(16, crop_scale=(1.0, 1.0), crop_ratio=(1.0, 1.0), flip=0.0)
    inputs = network_inputs(as_network(nn.Flatten(), PREPROCESSING), train, test)
    x, labels = inputs.train_view(whole, 0, 0).x, inputs.train.labels
    kept, out = split_classes(labels.numpy(), 0.2, 0)
    rates = [1e-5, 0.03, 1.0]
    probe = SGDProbe(
        epochs=5, lr=rates, batch_size=30, crop_scale=(1.0, 1.0), flip=0.0, held_out=0.2
    )
    probe.view = whole
    found = probe.run(inputs)
    epochs = [Features(x, labels)] * 5
    mask = torch.zeros(3, len(x), dtype=torch.bool)
    mask[:, kept] = True
    plan = Plan([lr * 30 / 256 for lr in rates], 5, 30, 0)
    choosing = train_heads(epochs, mask, 10, plan, CPU)
    scores = [
        float((h.predict(inputs.train.x[out]) == labels[out]).double().mean()) for h in choosing
    ]
    assert len(set(scores)) == 3
    best = int(np.argmax(scores))
    assert found["sgd_lr"] == rates[best]
    final = train_heads(epochs, torch.ones_like(mask), 10, plan, CPU)[best]
    right = final.predict(inputs.test.x) == inputs.test.labels
    assert found["sgd_top1"] == pytest.approx(float(right.double().mean()))


def test_it_learns_more_than_chance_and_from_any_numbers_of_classes() -> None:
    train, test = CountedDigits(test_fraction=0.2), CountedDigits(test_fraction=0.1)
    probe = SGDProbe(epochs=6, lr=0.03, batch_size=64, crop_scale=(0.6, 1.0), flip=0.0)
    found = evaluate(nn.Flatten(), [probe], train, test, preprocessing=PREPROCESSING)
    assert found["sgd_top1"] > 0.6
    for one in (train, test):
        assert one._labels is not None
        one._labels = one._labels * 3 + 1
    again = evaluate(nn.Flatten(), [probe], train, test, preprocessing=PREPROCESSING)
    assert again["sgd_top1"] == found["sgd_top1"]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"lr": []}, "SGDProbe: lr is "),
        ({"lr": [0.1, 0.1]}, "SGDProbe: lr is "),
        ({"epochs": 0}, "SGDProbe: epochs is "),
        ({"held_out": 1.0}, "SGDProbe: held_out is "),
        ({"crop_scale": (0.0, 1.0)}, "scale"),
        ({"flip": 2.0}, "prob"),
    ],
)
def test_its_numbers_are_checked(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        SGDProbe(**wrong)


def test_what_cannot_be_learned_is_told() -> None:
    two = Labelled([0, 0, 1])
    with pytest.raises(UserError, match=r"^SGDProbe holds out .* the class 'c1' has 1"):
        SGDProbe().check_data(two, two)
    with pytest.raises(UserError, match=r"^SGDProbe tells .* the class 'c1' alone"):
        SGDProbe().check_data(Labelled([1, 1]), two)


def test_its_protocol_says_how() -> None:
    told = SGDProbe(epochs=3, lr=[0.1, 0.2]).protocol
    assert told["lr"] == [0.1, 0.2]
    assert "flip" in told["views"]
    assert SGDProbe().short_protocol == "10 epochs, lr of 10 by 0.1 of train"


def _on_this_rank() -> dict[str, float]:
    train, test = sets()
    return evaluate(small_model(), [SGDProbe(epochs=2, batch_size=32)], train, test, batch_size=16)


def test_two_processes_give_what_one_gives(run_distributed: GlooPool) -> None:
    by_one = _on_this_rank()
    for found in run_distributed(_on_this_rank, 2):
        assert found == pytest.approx(by_one, abs=0.03)
