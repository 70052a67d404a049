"""The gradient of a whole batch in the memory of a small one.

Objectives that look across samples (ER, InfoNCE) need all embeddings of the batch at once, but
only a few images' activations at a time (GradCache; Gao et al. 2021, arXiv 2101.06983): embed the
batch in pieces without a graph, take the gradient of the loss with respect to the embeddings, then
embed each piece again and push its share of that gradient through the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from mvssl.models.precision import at_least_float32
from mvssl.models.record import Embeddings

if TYPE_CHECKING:
    from mvssl.models.multiview import MultiView

__all__ = ["Gradients", "MultiViewDDP", "cached_step", "surrogate"]


class MultiViewDDP(MMDistributedDataParallel):
    """DDP whose training step splits the batch where the model asks for it."""

    def train_step(self, data: Any, optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
        if self.module.micro_batch_size is None:
            return super().train_step(data, optim_wrapper)
        return cached_step(self.module, self, data, optim_wrapper)


@dataclass
class Gradients:
    """Of the loss, with respect to the projections and predictions of each view, V x (b, D).

    ``p`` is empty where there is no predictor.
    """

    z: list[Tensor]
    p: list[Tensor]


@dataclass
class Piece:
    """A few images of the batch: their views, and the random state that embedded them."""

    views: list[Tensor]
    state: tuple[Tensor, Tensor | None]


def cached_step(
    model: MultiView, wrapped: nn.Module, data: Any, optim_wrapper: OptimWrapper
) -> dict[str, Tensor]:
    """One optimiser step on a loader's batch, in pieces of ``model.micro_batch_size`` images.

    Equals the step on the whole batch, but for BatchNorm: its statistics are those of a piece, and
    its running statistics see every piece twice.

    Args:
        wrapped: ``model``, or DDP around it, which joins gradients with the last piece alone.

    Returns:
        The scalars of the step.
    """
    with optim_wrapper.optim_context(wrapped):
        batch = model.data_preprocessor(data, True)
        pieces, parts = _embed_pieces(model, batch["inputs"], batch["index"])
        record = _join(model, parts)
        loss, log_vars = model.parse_losses(model.judge(record))
    optim_wrapper.backward(loss)
    after = _random_state()
    start = 0
    for number, piece in enumerate(pieces, start=1):
        stop = start + len(piece.views[0])
        grads = _gradients(model, record, slice(start, stop))
        with _last_joins(wrapped, last=number == len(pieces)):
            with optim_wrapper.optim_context(wrapped):
                _set_random_state(piece.state)
                value = wrapped(piece.views, mode="surrogate", grads=grads)
            value.backward()
        start = stop
    _set_random_state(after)
    optim_wrapper.step()
    optim_wrapper.zero_grad()
    return log_vars


def surrogate(model: MultiView, views: list[Tensor], grads: Gradients) -> Tensor:
    """A scalar whose gradient is that of the loss through these images: sum of <embedding, grad>.

    Parameters behind the embeddings (the head's, the neck's prototypes), whose gradient is
    complete, enter with factor zero: DDP waits for all.
    """
    _, z, p = model.embed_student(views)
    pairs = [*zip(z, grads.z, strict=True), *zip(p if grads.p else [], grads.p, strict=True)]
    terms = [(at_least_float32(output) * grad).sum() for output, grad in pairs]
    done = [*model.head.parameters()]
    done += [] if model.prototypes is None else [*model.prototypes.parameters()]
    terms += [parameter.sum() * 0.0 for parameter in done]
    return torch.stack(terms).sum()


def _embed_pieces(
    model: MultiView, views: list[Tensor], index: Tensor
) -> tuple[list[Piece], list[Embeddings]]:
    size = model.micro_batch_size
    assert size is not None
    pieces, parts = [], []
    with torch.no_grad():
        for start in range(0, len(index), size):
            rows = slice(start, start + size)
            pieces.append(Piece([view[rows] for view in views], _random_state()))
            parts.append(model.project(pieces[-1].views, index[rows]))
    return pieces, parts


def _join(model: MultiView, parts: Sequence[Embeddings]) -> Embeddings:
    """The record of the whole batch, its projections and predictions leaves of a new graph."""

    def column(name: str, leaf: bool) -> list[Tensor]:
        views = zip(*(getattr(part, name) for part in parts), strict=True)
        return [torch.cat(view).requires_grad_(leaf) for view in views]

    z = column("z", True)
    record = Embeddings(
        features=column("features", False),
        z=z,
        p=z if model.predictor is None else column("p", True),
        target=z[: model.num_targets] if model.teacher is None else column("target", False),
        index=torch.cat([part.index for part in parts]),
        views=parts[0].views,
        target_views=parts[0].target_views,
    )
    return model.add_logits(record)


def _gradients(model: MultiView, record: Embeddings, rows: slice) -> Gradients:
    def of(outputs: list[Tensor]) -> list[Tensor]:
        # An output that the loss does not look at has no gradient.
        grads = [torch.zeros_like(x) if x.grad is None else x.grad for x in outputs]
        return [grad[rows] for grad in grads]

    return Gradients(of(record.z), [] if model.predictor is None else of(record.p))


def _last_joins(wrapped: nn.Module, last: bool) -> AbstractContextManager[None]:
    """DDP joins the gradients of all processes with the last piece, not with every one."""
    if last or not isinstance(wrapped, MultiViewDDP):
        return nullcontext()
    return wrapped.no_sync()


def _random_state() -> tuple[Tensor, Tensor | None]:
    cuda = torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None
    return torch.get_rng_state(), cuda


def _set_random_state(state: tuple[Tensor, Tensor | None]) -> None:
    torch.set_rng_state(state[0])
    if state[1] is not None:
        torch.cuda.set_rng_state(state[1])
