"""Ranges of an optimiser's numbers, of clipping and of accumulation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from mvssl.arguments import (
    check_choice,
    check_count,
    check_fraction,
    check_not_negative,
    check_number,
    check_positive,
    is_number,
)
from mvssl.errors import UserError

__all__ = ["check_optim_wrapper", "check_option", "check_scheduler"]

OPTIMIZER = "optim_wrapper.optimizer"


def _below_one(owner: str, **values: float) -> None:
    check_fraction(owner, **values)
    for name, value in values.items():
        if value == 1:
            raise UserError(
                f"{owner}: {name} is the fraction that is kept; at {value} nothing new would ever "
                f"be taken in: give less than 1."
            )


# 0 freezes, which a schedule may want for a while.
RATE = partial(check_not_negative, at_most=1e4)
# What torch's optimisers (and timm's LARS) call their numbers.
OPTIONS: dict[str, Callable[..., None]] = {
    "alpha": _below_one,
    "beta2_decay": partial(check_number, low=-1.0, high=0.0),
    "betas": _below_one,
    "dampening": check_fraction,
    "eps": partial(check_positive, at_least=1e-38, at_most=1.0),
    "lr": RATE,
    "lr_decay": RATE,
    "momentum": _below_one,
    "momentum_decay": _below_one,
    "rho": _below_one,
    "trust_coeff": partial(check_positive, at_least=1e-8, at_most=1e3),
    "weight_decay": RATE,
}


# What mmengine's schedules call theirs; a rate is never negative.
SCHEDULES: dict[str, Callable[..., None]] = {
    "T_max": check_count,
    "eta_max": RATE,
    "eta_min": RATE,
    "eta_min_ratio": check_fraction,
    "gamma": partial(check_positive, at_most=1e3),
    "power": partial(check_not_negative, at_most=1e3),
    "step_size": check_count,
}


def check_scheduler(cfg: Mapping[str, Any]) -> None:
    """Raises a UserError where a schedule has a number out of its range or waits for validation."""
    if str(cfg.get("type")).startswith("ReduceOnPlateau"):
        raise UserError(
            f"param_scheduler: {cfg['type']} waits for a validation loop, which a run has not: "
            f"give a schedule of the run's length, such as dict(type='WarmupCosineLR')."
        )
    for name, check in SCHEDULES.items():
        if cfg.get(name) is not None:
            check("param_scheduler", **{name: cfg[name]})


def check_option(name: str, value: Any) -> None:
    """Raises a UserError that names the option of the optimiser unless ``value`` is in its range;
    of an option that is not known here, unless it is finite.
    """
    check = OPTIONS.get(name, check_number)
    if isinstance(value, list | tuple):
        for number, one in enumerate(value):
            if is_number(one):
                check(OPTIMIZER, **{f"{name}[{number}]": one})
    elif is_number(value):
        check(OPTIMIZER, **{name: value})


def check_optim_wrapper(cfg: Mapping[str, Any]) -> None:
    """Raises a UserError that names the number of ``optim_wrapper`` which is out of its range."""
    for name, value in (cfg.get("optimizer") or {}).items():
        # timm's LARS has None for what it derives, and groups are no numbers.
        if name == "eps" and isinstance(value, list | tuple):
            continue
        check_option(name, value)
    _check_clipping(cfg.get("clip_grad"))
    if "accumulative_counts" in cfg:
        check_count("optim_wrapper", accumulative_counts=cfg["accumulative_counts"])
    scale: Any = cfg.get("loss_scale")
    if is_number(scale):
        check_positive("optim_wrapper", at_most=2.0**32, loss_scale=scale)
    for name, value in (cfg.get("paramwise_cfg") or {}).items():
        if is_number(value):
            RATE("optim_wrapper.paramwise_cfg", **{name: value})


def _check_clipping(clip: Any) -> None:
    if clip is None:
        return
    if not isinstance(clip, Mapping):
        raise UserError(f"optim_wrapper: clip_grad is dict(max_norm=1.0) or None, got {clip!r}.")
    owner = "optim_wrapper.clip_grad"
    check_choice(owner, "type", clip.get("type", "norm"), ("norm", "value"))
    limit = "clip_value" if clip.get("type") == "value" else "max_norm"
    if limit not in clip:
        raise UserError(f"{owner} needs {limit}, beyond which gradients are cut: {limit}=1.0, say.")
    check_positive(owner, **{limit: clip[limit]})
    kind = clip.get("norm_type", 2.0)
    if kind != float("inf"):  # that of the largest entry
        check_positive(owner, at_least=1.0, at_most=1e3, norm_type=kind)
