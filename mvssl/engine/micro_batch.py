"""The gradient of a whole batch in the memory of a small one.

Objectives that look across samples (ER, InfoNCE) need all embeddings of the batch at once, but
only a few images' activations at a time (GradCache; Gao et al. 2021, arXiv 2101.06983): embed the
batch in pieces without a graph, take the gradient of the loss with respect to the embeddings, then
embed each piece again and push its share of that gradient through the network.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from mvssl.models.precision import at_least_float32
from mvssl.models.record import Embeddings

__all__ = ["Piece", "embed_pieces", "join", "pull"]

# What the student makes, and what the targets are, which without a teacher are some of the former.
TRAINED = ("features", "z", "p", "logits")
TARGETS = ("target", "target_logits")


@dataclass
class Piece:
    """A few images of the batch: their views, and the random state that embedded them."""

    views: list[Tensor]
    index: Tensor
    rows: slice
    state: tuple[Tensor, Tensor | None]


@torch.no_grad()
def embed_pieces(
    network: nn.Module, views: Sequence[Tensor], index: Tensor, size: int
) -> tuple[list[Piece], list[Embeddings]]:
    """The batch in pieces of ``size`` images, and their records, without a graph."""
    pieces, parts = [], []
    for start in range(0, len(index), size):
        rows = slice(start, start + size)
        piece = Piece([view[rows] for view in views], index[rows], rows, random_state())
        parts.append(network(piece.views, piece.index))
        pieces.append(piece)
    return pieces, parts


def join(parts: Sequence[Embeddings]) -> Embeddings:
    """The record of the whole batch, what the student made as leaves of a new graph.

    Where two entries of a record are one tensor (predictions without a predictor are the
    projections), they are one leaf.
    """
    leaves: dict[int, Tensor] = {}

    def column(name: str) -> list[Tensor] | None:
        if getattr(parts[0], name) is None:
            return None
        joined = []
        for views in zip(*(getattr(part, name) for part in parts), strict=True):
            if id(views[0]) not in leaves:
                whole = torch.cat(views)
                leaves[id(views[0])] = whole.requires_grad_(name in TRAINED)
            joined.append(leaves[id(views[0])])
        return joined

    columns: dict[str, Any] = {name: column(name) for name in TRAINED + TARGETS}
    return replace(parts[0], index=torch.cat([part.index for part in parts]), **columns)


def pull(network: nn.Module, piece: Piece, record: Embeddings) -> Tensor:
    """A scalar whose gradient is that of the loss through a piece: sum of <embedding, gradient>.

    Args:
        record: of the whole batch; its leaves have the gradients of the loss.
    """
    set_random_state(piece.state)
    again = network(piece.views, piece.index, False)  # targets have no gradient
    terms = [
        (at_least_float32(output) * leaf.grad[piece.rows]).sum()
        for output, leaf in _pairs(again, record)
        if leaf.grad is not None  # an output that the loss does not look at has none
    ]
    return torch.stack(terms).sum()


def _pairs(again: Embeddings, record: Embeddings) -> Iterator[tuple[Tensor, Tensor]]:
    """Each output of the network, and the leaf that stood for it, once."""
    seen = set()
    for name in TRAINED:
        outputs, leaves = getattr(again, name), getattr(record, name)
        for output, leaf in zip(outputs or [], leaves or [], strict=True):
            if id(leaf) not in seen:
                seen.add(id(leaf))
                yield output, leaf


def random_state() -> tuple[Tensor, Tensor | None]:
    """Of torch's generators on the host and on the GPU."""
    cuda = torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None
    return torch.get_rng_state(), cuda


def set_random_state(state: tuple[Tensor, Tensor | None]) -> None:
    """Put back what :func:`random_state` gave."""
    torch.set_rng_state(state[0])
    if state[1] is not None:
        torch.cuda.set_rng_state(state[1])
