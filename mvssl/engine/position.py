"""What a run needs to go on within an epoch as if it had never stopped, beside its weights."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol, runtime_checkable

import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from mvssl.distributed import all_gather_object, rank, world_size
from mvssl.engine.generators import generator_states
from mvssl.engine.scalars import RunScalars

__all__ = ["StatefulHook", "hook_states", "load_hook_states", "load_shares", "shares"]


@runtime_checkable
class StatefulHook(Protocol):
    """A hook that remembers something from one step to the next; checkpoints hold it."""

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain containers; called on every process, the first one's is saved."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what ``state_dict`` gave, before ``before_train``."""


def _stateful(hooks: Iterable[Hook]) -> dict[str, StatefulHook]:
    named: dict[str, StatefulHook] = {}
    for hook in hooks:
        if isinstance(hook, StatefulHook):
            kind = type(hook).__name__
            same = sum(name.split(":")[0] == kind for name in named)
            named[f"{kind}:{same}" if same else kind] = hook
    return named


def hook_states(hooks: Iterable[Hook]) -> dict[str, dict[str, Any]]:
    """States of hooks that have one, by the hooks' names; every process calls this."""
    return {name: hook.state_dict() for name, hook in _stateful(hooks).items()}


def load_hook_states(hooks: Iterable[Hook], states: dict[str, dict[str, Any]]) -> None:
    """Give hooks that are still there their states back."""
    for name, hook in _stateful(hooks).items():
        if name in states:
            hook.load_state_dict(states[name])


def shares(model: nn.Module, wrapper: OptimWrapper, scalars: RunScalars) -> dict[str, list[Any]]:
    """What every process has of its own, lists by rank; every process calls this.

    Returns:
        ``random`` generators, ``scalars`` that were added up, and ``gradients`` that wait for the
        rest of an accumulated step (by the names of parameters).
    """
    waiting = {} if wrapper.should_update() else _gradients(model)
    own = (generator_states(), scalars.state_dict(), waiting)
    random, added, gradients = zip(*all_gather_object(own), strict=True)
    return {"random": list(random), "scalars": list(added), "gradients": list(gradients)}


def load_shares(
    content: dict[str, list[Any]], model: nn.Module, scalars: RunScalars
) -> dict[str, Any] | None:
    """Take back this process's share of what :func:`shares` gave.

    Of a run that had another number of processes every process takes the mean of the sums and of
    the gradients; generators are then those of nobody.

    Returns:
        The states of the process's generators, which are set when the epoch goes on.
    """
    same = len(content["random"]) == world_size()
    added = content["scalars"][rank()] if same else _mean(content["scalars"])
    gradients = content["gradients"][rank()] if same else _mean(content["gradients"])
    scalars.load_state_dict(added)
    for name, parameter in model.named_parameters():
        if name in gradients:
            parameter.grad = gradients[name].to(parameter.device)
    return content["random"][rank()] if same else None


def _gradients(model: nn.Module) -> dict[str, Tensor]:
    # On the host, since processes exchange them as objects.
    return {n: p.grad.cpu() for n, p in model.named_parameters() if p.grad is not None}


def _mean(ranks: list[Any]) -> Any:
    """Means of tensors in dicts that all ranks have alike; of other values the first rank's."""
    first = ranks[0]
    if isinstance(first, dict):
        return {key: _mean([one[key] for one in ranks]) for key in first}
    return torch.stack(ranks).mean(dim=0) if isinstance(first, Tensor) else first
