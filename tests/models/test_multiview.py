from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from mvssl.errors import UserError
from mvssl.models import Embeddings, MultiView
from mvssl.models.heads import Head
from mvssl.models.multiview import joined
from mvssl.registry import HEADS, MODELS

VIT: dict[str, Any] = {
    "type": "TimmBackbone",
    "name": "vit_tiny_patch16_224",
    "model_args": {
        "img_size": 16,
        "patch_size": 8,
        "embed_dim": 16,
        "depth": 1,
        "num_heads": 2,
        "dynamic_img_size": True,
    },
}
NECK = {"type": "MLP", "hidden_channels": 12, "out_channels": 8, "norm": "layer"}
PREDICTOR = {"type": "MLP", "hidden_channels": 10, "norm": "layer"}
HEAD: dict[str, Any] = {"type": "PairHead", "loss": {"type": "CosineSimilarityLoss"}}
TEACHER = {"momentum": 0.9}


def preprocessor(num_views: int) -> dict[str, Any]:
    return {"type": "MultiViewPreprocessor", "views": [{} for _ in range(num_views)], "size": 16}


def compose(**parts: Any) -> MultiView:
    cfg = {"type": "MultiView", "backbone": VIT, "neck": NECK, "head": HEAD, **parts}
    model = MODELS.build(cfg)
    model.init_weights()
    return model


def byol(**parts: Any) -> MultiView:
    return compose(**{"predictor": PREDICTOR, "teacher": TEACHER, **parts})


def some_views(*sizes: int, batch: int = 3) -> list[Tensor]:
    return [torch.randn(batch, 3, size, size) for size in sizes]


INDEX = torch.arange(3)


def loss_of(model: MultiView, views: list[Tensor]) -> Tensor:
    loss = model.loss(model.embed(views, INDEX))["loss"]
    assert isinstance(loss, Tensor)
    return loss


def test_the_record_has_one_entry_a_view_and_one_a_target() -> None:
    record = byol().embed(some_views(16, 16, 16), INDEX)
    assert [x.shape for x in record.features] == [(3, 16)] * 3
    assert [x.shape for x in record.z] == [(3, 8)] * 3
    assert [x.shape for x in record.p] == [(3, 8)] * 3
    assert [x.shape for x in record.target] == [(3, 8)] * 2
    assert torch.equal(record.index, INDEX)
    assert record.logits is None
    assert record.target_logits is None


def test_without_predictor_and_teacher_predictions_and_targets_are_the_projections() -> None:
    record = compose(num_targets=1).embed(some_views(16, 16), INDEX)
    assert all(torch.equal(p, z) for p, z in zip(record.p, record.z, strict=True))
    assert len(record.target) == 1
    assert torch.equal(record.target[0], record.z[0])
    assert record.target[0].requires_grad


@pytest.mark.parametrize("together", [True, False])
def test_batch_statistics_are_of_all_views_or_of_each(together: bool) -> None:
    normed = {"type": "MLP", "hidden_channels": 12}
    parts = {"neck": {**normed, "out_channels": 8}, "predictor": normed, "teacher": TEACHER}
    model = compose(**parts, views_together=together)
    views = [torch.randn(6, 3, 16, 16), 3 + 2 * torch.randn(6, 3, 16, 16)]
    record = model.embed(views, torch.arange(6))

    def passed(network: Any) -> list[Tensor]:
        if together:
            return list(network(torch.cat(views)).chunk(2))
        return [network(view) for view in views]

    assert model.predictor is not None
    assert model.teacher is not None
    taught = model.teacher.parts
    wanted = {
        "z": passed(lambda x: model.neck(model.backbone(x))),
        "p": passed(lambda x: model.predictor(model.neck(model.backbone(x)))),
        "target": passed(lambda x: taught["neck"](taught["backbone"](x))),
    }
    for name, expected in wanted.items():
        for found, one in zip(getattr(record, name), expected, strict=True):
            torch.testing.assert_close(found, one, msg=name)
    other = model.neck(model.backbone(torch.cat(views)))[:6]
    assert torch.allclose(record.z[0], other, atol=1e-3) is together


def test_views_of_several_sizes_give_what_each_gives_alone() -> None:
    model = byol(num_targets=3).eval()
    views = some_views(32, 32, 16, 16, 32)
    record = model.embed(views, INDEX)
    for view, features, z, p in zip(views, record.features, record.z, record.p, strict=True):
        alone = model.backbone(view)
        torch.testing.assert_close(features, alone)
        torch.testing.assert_close(z, model.neck(alone))
        assert model.predictor is not None
        torch.testing.assert_close(p, model.predictor(model.neck(alone)))
    for view, target in zip(views, record.target, strict=False):
        assert model.teacher is not None
        torch.testing.assert_close(target, model.teacher(view))


def test_the_target_of_a_view_comes_from_the_teacher_without_gradient() -> None:
    model = byol().eval()
    assert model.teacher is not None
    with torch.no_grad():
        for parameter in model.teacher.parameters():
            parameter.mul_(0.5)
    views = some_views(16, 16)
    record = model.embed(views, INDEX)
    for view, target, z in zip(views, record.target, record.z, strict=True):
        parts = model.teacher.parts
        torch.testing.assert_close(target, parts["neck"](parts["backbone"](view)))
        assert not torch.allclose(target, z)
        assert not target.requires_grad


def test_byol_trains_backbone_neck_and_predictor_and_not_the_teacher() -> None:
    model = byol()
    loss_of(model, some_views(16, 16)).backward()
    assert model.predictor is not None
    assert model.teacher is not None
    for part in (model.backbone, model.neck, model.predictor):
        grads = [p.grad for p in part.parameters()]
        assert all(g is not None for g in grads)
        assert any(bool(g.abs().max() > 0) for g in grads if g is not None)
    assert all(p.grad is None and not p.requires_grad for p in model.teacher.parameters())


def test_init_weights_leaves_teacher_equal_to_student_and_weights_as_they_are() -> None:
    model = MODELS.build(
        {"type": "MultiView", "backbone": VIT, "neck": NECK, "head": HEAD, "teacher": TEACHER}
    )
    with torch.no_grad():  # weights that were loaded, say
        for parameter in model.backbone.parameters():
            parameter.fill_(0.25)
    model.init_weights()
    assert all(bool((p == 0.25).all()) for p in model.backbone.parameters())
    for name, part in model.taught_parts.items():
        own, copied = part.state_dict(), model.teacher.parts[name].state_dict()
        assert list(own) == list(copied)
        assert all(torch.equal(own[key], copied[key]) for key in own)


def test_the_teacher_shares_no_memory_with_the_student() -> None:
    model = byol()
    assert model.teacher is not None
    student = {p.data_ptr() for p in [*model.backbone.parameters(), *model.neck.parameters()]}
    assert student.isdisjoint(p.data_ptr() for p in model.teacher.parameters())


def test_a_monitor_is_shown_the_record_without_gradients_and_its_scalars_are_told() -> None:
    model = byol()
    record = model.embed(some_views(16, 16), INDEX)
    shown: list[Embeddings] = []

    def monitor(seen: Embeddings) -> dict[str, float | Tensor]:
        shown.append(seen)
        return {"views_seen": float(len(seen.z))}

    assert "views_seen" not in model.loss(record)
    assert not model.head.measuring
    assert model.loss(record, monitor)["views_seen"] == 2.0
    assert model.head.measuring
    (seen,) = shown
    for name in ("features", "z", "p", "target"):
        for own, other in zip(getattr(record, name), getattr(seen, name), strict=True):
            assert torch.equal(own, other)
            assert not other.requires_grad


def test_a_monitor_is_shown_the_targets_that_the_head_compares_with() -> None:
    target = {"type": "NearestNeighborTargets", "queue_size": 3}
    model = compose(head={**HEAD, "target": target})
    model.loss(model.embed(some_views(16, 16), INDEX))  # fills the queue
    past = model.head.target.queue.read()

    def monitor(seen: Embeddings) -> dict[str, float | Tensor]:
        rows = torch.cat(seen.target)
        known = [any(torch.equal(row, other) for other in past) for row in rows]
        return {"known": float(sum(known)), "rows": float(len(rows))}

    scalars = model.loss(model.embed(some_views(16, 16), INDEX), monitor)
    assert scalars["known"] == scalars["rows"] == 6.0


@pytest.mark.parametrize("head", [HEAD, {"type": "ERHead"}])
def test_too_few_views_for_the_head(head: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=rf"{head['type']} needs at least 2 views .* makes 1"):
        byol(head=head, num_targets=1, data_preprocessor=preprocessor(1))


@pytest.mark.parametrize("num_targets", [0, 3])
def test_more_targets_than_views_or_none(num_targets: int) -> None:
    with pytest.raises(UserError, match=rf"num_targets is {num_targets}.*from 1 to 2"):
        byol(num_targets=num_targets, data_preprocessor=preprocessor(2))


@pytest.mark.parametrize("momentum", [-0.1, 1.5])
def test_a_momentum_outside_of_its_range(momentum: float) -> None:
    with pytest.raises(UserError, match=r"fraction that is kept, so it lies in \[0, 1\]"):
        byol(teacher={"momentum": momentum})


def test_an_empty_teacher_is_a_teacher_with_the_default_momentum() -> None:
    model = byol(teacher={})
    assert model.teacher is not None
    assert model.teacher.momentum == 0.996


class _OneView(Head):
    min_views = 1

    def compare(self, record: Embeddings) -> dict[str, Tensor]:
        return {"loss": record.z[0].square().mean()}


def test_a_head_for_one_view_takes_one_view() -> None:
    HEADS.register_module(module=_OneView, force=True)
    try:
        model = compose(head={"type": "_OneView"}, num_targets=1, data_preprocessor=preprocessor(1))
        assert loss_of(model, some_views(16)).item() > 0
    finally:
        HEADS.module_dict.pop("_OneView")


def test_views_that_lie_side_by_side_are_joined_without_a_copy() -> None:
    whole = torch.randn(6, 3, 4, 4)
    views = list(whole.chunk(3))
    assert joined(views).data_ptr() == whole.data_ptr()
    assert torch.equal(joined(views), whole)
    for others in (
        views[::-1],
        [views[0], views[2]],
        [view.clone() for view in views],
        list(whole.transpose(2, 3).chunk(3)),
        list(whole.clone().requires_grad_().chunk(3)),
        [views[0], torch.randn(2, 3, 4, 4)],
    ):
        assert torch.equal(joined(others), torch.cat(others))
    assert joined(views[1:]).data_ptr() == views[1].data_ptr()
    assert torch.equal(joined(views[1:]), whole[2:])


def test_views_of_one_image_are_joined_though_they_are_pieces_of_a_stack() -> None:
    """Strides of a dimension of one say nothing."""
    stacked = torch.arange(4 * 3 * 3 * 2 * 2).reshape(4, 3, 3, 2, 2).float()
    for image in range(4):
        views = list(stacked[image : image + 1].unbind(1))
        assert torch.equal(joined(views), torch.cat(views))
        assert torch.equal(joined(views[1:]), torch.cat(views[1:]))
