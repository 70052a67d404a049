"""Putting an optimiser and its schedules where a run was."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.optim import OptimWrapper, _ParamScheduler  # the base of all schedulers, exported

from mvssl.arguments import is_number
from mvssl.errors import UserError

__all__ = ["load_optimizer", "replay"]


def replay(
    schedulers: Sequence[_ParamScheduler], position: int, epochs: int, steps_per_epoch: int
) -> None:
    """Move new schedules to where they are after ``position`` iterations of a run.

    After an epoch's last iteration the epoch may be over or not: ``epochs`` are.

    Their saved state would be that of a run of the length and with the rates which it had then.
    """
    with warnings.catch_warnings():
        # They miss the optimiser's steps, which were taken before.
        warnings.filterwarnings("ignore", "Detected call of `scheduler.step", UserWarning)
        for step in range(1, position + 1):
            for scheduler in schedulers:
                if not scheduler.by_epoch:
                    scheduler.step()
            if step % steps_per_epoch == 0 and step <= epochs * steps_per_epoch:
                for scheduler in schedulers:
                    if scheduler.by_epoch:
                        scheduler.step()


def load_optimizer(
    wrapper: OptimWrapper, state: Mapping[str, Any], where: str, keep_options: bool
) -> None:
    """Load the state of an optimiser.

    Args:
        wrapper: of the optimiser.
        state: of its ``state_dict``.
        where: it comes from.
        keep_options: whether rates and other numbers of the parameter groups stay what they are;
            what is no number does in any case.

    Raises:
        UserError: it is of other parameter groups.
    """
    options = [
        {name: value for name, value in group.items() if name != "params"}
        for group in wrapper.param_groups
    ]
    try:
        wrapper.load_state_dict(dict(state))
    except (ValueError, KeyError) as error:
        raise UserError(
            f"The optimiser's state in {where} is of other parameters than those that are trained "
            f"now ({error}): resume with the config that wrote it, or start a new run."
        ) from error
    for group, own in zip(wrapper.param_groups, options, strict=True):
        for name, value in own.items():
            if keep_options or not (is_number(value) and is_number(group.get(name))):
                group[name] = value
