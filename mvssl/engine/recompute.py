"""Activation checkpointing: parts that forget activations, and compute them again later."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint

from mvssl.errors import UserError
from mvssl.models import MultiView
from mvssl.words import near_names

__all__ = ["part_names", "recompute", "recomputed_parts"]

NAME = "activation_checkpointing"


def part_names(given: str | Iterable[str] | None) -> list[str]:
    """Names of a config's ``activation_checkpointing``: one, several or none."""
    return [given] if isinstance(given, str) else list(given or [])


def recomputed_parts(model: MultiView, names: Iterable[str]) -> list[nn.Module]:
    """The parts of these names.

    Raises:
        UserError: there is none of a name, or it is no part through which images pass.
    """
    parts = dict(model.named_modules())
    found = []
    for name in names:
        if not isinstance(name, str):
            raise UserError(f"{NAME} is a list of names of parts of the model, got {name!r} in it.")
        if name not in parts or not name:
            raise UserError(f"{NAME}: the model has no part '{name}'{near_names(name, parts)}")
        if name.split(".")[0] not in ("backbone", "neck", "predictor"):
            raise UserError(
                f"{NAME}: '{name}' keeps no activations worth the time: name the backbone, the "
                f"neck, the predictor, or parts of them."
            )
        if type(parts[name]).forward is nn.Module.forward:
            inner = [f"{name}.{one}" for one, _ in parts[name].named_children()]
            raise UserError(
                f"{NAME}: '{name}' only holds parts and computes nothing itself: name what it "
                f"holds ({', '.join(inner[:3])}{', ...' if len(inner) > 3 else ''})."
            )
        found.append(parts[name])
    return found


def recompute(model: MultiView, names: Iterable[str]) -> None:
    """Let the parts of these names forget activations until the way back."""
    for part in recomputed_parts(model, names):
        own = partial(type(part).forward, part)
        # The kind without reentrance, since DDP refuses the other one where a part runs once for
        # each view.
        contexts = partial(_contexts, part)
        part.forward = partial(checkpoint, own, use_reentrant=False, context_fn=contexts)


def _contexts(part: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    return nullcontext(), _statistics_kept(part)


@contextmanager
def _statistics_kept(part: nn.Module) -> Iterator[None]:
    """While a part is recomputed its buffers are copies: running statistics count a batch once."""
    kept = [
        (module, name, buffer)
        for module in part.modules()
        for name, buffer in module.named_buffers(recurse=False)
    ]
    for module, name, buffer in kept:
        setattr(module, name, buffer.clone())
    try:
        yield
    finally:
        for module, name, buffer in kept:
            setattr(module, name, buffer)
