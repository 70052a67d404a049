"""Optimiser parts: parameter groups, bfloat16 autocast, the learning-rate schedule."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.optim import OptimWrapper, _ParamScheduler  # the base of all schedulers, exported
from timm.optim import Lars, param_groups_layer_decay
from torch import nn
from torch.optim import Optimizer

from mvssl.arguments import (
    check_count,
    check_fraction,
    check_not_negative,
    check_positive,
    is_number,
)
from mvssl.engine.optim_options import check_optim_wrapper, check_scheduler
from mvssl.errors import UserError
from mvssl.models.backbones import TimmBackbone
from mvssl.registry import (
    OPTIM_WRAPPER_CONSTRUCTORS,
    OPTIM_WRAPPERS,
    OPTIMIZERS,
    PARAM_SCHEDULERS,
)
from mvssl.schedules import warmup_cosine
from mvssl.words import either

__all__ = [
    "AutocastOptimWrapper",
    "DecayGroups",
    "WarmupCosineLR",
    "build_optim_wrapper",
    "build_schedulers",
]

FUSED = ("cpu", "cuda")
"""Devices on which torch has had fused kernels since the oldest version that is served."""

# You et al. 2017; under the name that OpenMMLab's users know.
OPTIMIZERS.register_module(name="LARS", module=Lars)


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class DecayGroups:
    """Two parameter groups: biases and norm parameters (``ndim <= 1``) take no weight decay.

    With LARS they are not adapted either, and all other parameters are, whatever their weight
    decay (You et al. 2017, with the exclusions of SimCLR and BYOL); ``always_adapt`` in the
    config has it otherwise. Parameters without gradient (the teacher's) are left out. Two groups
    and not one for each parameter, so that the optimiser's multi-tensor path is used; Adam and
    AdamW take torch's fused kernel unless the config says ``fused`` or ``foreach`` itself.

    With ``paramwise_cfg=dict(layer_decay=d)`` each layer of a timm backbone learns at d times the
    rate of the layer above it (Bao et al. 2022, BEiT; the layers are timm's), two groups a layer;
    the rest of the model keeps the whole rate. For a network that is trained already.
    """

    def __init__(
        self,
        optim_wrapper_cfg: dict[str, Any],
        paramwise_cfg: dict[str, Any] | None = None,
    ) -> None:
        others = dict(paramwise_cfg or {})
        self.layer_decay = others.pop("layer_decay", None)
        if others:
            raise UserError(
                f"optim_wrapper.paramwise_cfg: DecayGroups takes layer_decay, and {either(others)} "
                f"is for mmengine's constructor: set "
                f"optim_wrapper.constructor='DefaultOptimWrapperConstructor' to use it."
            )
        if self.layer_decay is not None:
            check_positive("optim_wrapper.paramwise_cfg", 1e-3, 1.0, layer_decay=self.layer_decay)
        self.cfg = dict(optim_wrapper_cfg)

    def __call__(self, model: nn.Module) -> OptimWrapper:
        cfg = dict(self.cfg)
        optimizer_cfg = dict(cfg.pop("optimizer"))
        weight_decay = float(optimizer_cfg.get("weight_decay", 0.0))
        layers = self._layers(model, optimizer_cfg, weight_decay)
        taken = {id(p) for group in layers for p in group["params"]}
        trained = [p for p in model.parameters() if p.requires_grad and id(p) not in taken]
        groups: list[dict[str, Any]] = [
            {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
            {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        ]
        if "always_adapt" not in optimizer_cfg and _is_lars(optimizer_cfg["type"]):
            for group, adapt in zip(groups, (False, True), strict=True):
                group["always_adapt"] = adapt
            for group in layers:
                group["always_adapt"] = group["params"][0].ndim > 1
        if _can_be_fused(optimizer_cfg):
            optimizer_cfg["fused"] = True
        # The rest first, whose rate is the one that is shown.
        optimizer_cfg["params"] = [group for group in (*groups, *layers) if group["params"]]
        optimizer = OPTIMIZERS.build(optimizer_cfg)
        cfg.setdefault("type", "OptimWrapper")
        return OPTIM_WRAPPERS.build(cfg, default_args={"optimizer": optimizer})

    def _layers(
        self, model: nn.Module, optimizer_cfg: dict[str, Any], weight_decay: float
    ) -> list[dict[str, Any]]:
        """Two groups for each layer of the backbone; none without ``layer_decay``."""
        if self.layer_decay is None:
            return []
        rate = optimizer_cfg.get("lr")
        backbone = getattr(model, "backbone", None)
        parts = [one for one in (backbone or model).modules() if isinstance(one, TimmBackbone)]
        if not is_number(rate) or not parts:
            raise UserError(
                "optim_wrapper.paramwise_cfg: layer_decay needs optimizer.lr, which it lowers, and "
                "a TimmBackbone, whose layers are known: leave it out."
            )
        return [
            {
                "params": group["params"],
                "weight_decay": group["weight_decay"],
                "lr": rate * group["lr_scale"],
            }
            for part in parts
            for group in param_groups_layer_decay(
                part.model, weight_decay, layer_decay=self.layer_decay
            )
        ]


def _can_be_fused(cfg: Mapping[str, Any]) -> bool:
    """Whether torch has one kernel for the whole step, and the config has not chosen another."""
    kind = OPTIMIZERS.find(cfg["type"])
    chosen = {"fused", "foreach", "capturable", "differentiable"} & cfg.keys()
    return kind in (torch.optim.Adam, torch.optim.AdamW) and not chosen and get_device() in FUSED


def _is_lars(kind: str | type[Optimizer]) -> bool:
    found = OPTIMIZERS.find(kind)
    return isinstance(found, type) and issubclass(found, Lars)


@OPTIM_WRAPPERS.register_module()
class AutocastOptimWrapper(OptimWrapper):
    """Forward in bfloat16 autocast on CPU or GPU; weights and optimiser stay in float32.

    bfloat16 has float32's range, so no loss scaling is needed; mmengine's ``AmpOptimWrapper``
    insists on a GPU.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device, dtype=torch.bfloat16):
            yield


@PARAM_SCHEDULERS.register_module()
class WarmupCosineLR(_ParamScheduler):
    """Linear warm-up, then one cosine, over the whole run, stepped every iteration.

    The Runner fills in ``total_iters`` and ``iters_per_epoch``, so that a change of
    ``train_cfg.max_epochs`` needs no second one. They are no part of the saved state: a run that is
    resumed with more epochs goes on along the longer cosine.

    Args:
        optimizer: the optimiser, or mmengine's wrapper of it.
        total_iters: iterations of the run.
        iters_per_epoch: iterations of an epoch.
        warmup_epochs: length of the warm-up; may be a fraction of an epoch.
        end_factor: the last learning rate as a fraction of the base rate.
        last_step: where a resumed run goes on.
    """

    def __init__(
        self,
        optimizer: Optimizer | OptimWrapper,
        total_iters: int,
        iters_per_epoch: int,
        warmup_epochs: float = 10.0,
        end_factor: float = 0.0,
        last_step: int = -1,
    ) -> None:
        check_count("WarmupCosineLR", total_iters=total_iters, iters_per_epoch=iters_per_epoch)
        check_not_negative("WarmupCosineLR", warmup_epochs=warmup_epochs)
        check_fraction("WarmupCosineLR", end_factor=end_factor)
        self.warmup_epochs = warmup_epochs
        self.total_iters = total_iters
        # A short run (a test, a trial) keeps at least half of its steps for the cosine.
        self.warmup_iters = min(round(warmup_epochs * iters_per_epoch), total_iters // 2)
        self.end_factor = end_factor
        super().__init__(optimizer, param_name="lr", last_step=last_step, by_epoch=False)

    def _get_value(self) -> list[float]:
        factor = warmup_cosine(self.last_step, self.total_iters, self.warmup_iters, self.end_factor)
        return [group["initial_lr"] * factor for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """How far the schedule is, and not how long."""
        return {name: getattr(self, name) for name in ("last_step", "_global_step")}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on at the saved step; call it after the optimiser's, whose rate it sets."""
        self.last_step = state_dict["last_step"]
        self._global_step = state_dict["_global_step"]
        # The saved rate is that of the length which the run had then.
        self._last_value = self._get_value()
        for group, rate in zip(self.optimizer.param_groups, self._last_value, strict=True):
            group["lr"] = rate


def build_optim_wrapper(cfg: Mapping[str, Any], model: nn.Module) -> OptimWrapper:
    """The optimiser of a model's parameters in mmengine's wrapper (precision, accumulation)."""
    wrapper = dict(cfg)
    check_optim_wrapper(wrapper)
    named = wrapper.pop("constructor", None) or "DefaultOptimWrapperConstructor"
    if not isinstance(named, str):
        raise UserError(f"optim_wrapper.constructor is a name, got {named!r}.")
    OPTIM_WRAPPER_CONSTRUCTORS.find(named)
    constructor = {
        "type": named,
        "paramwise_cfg": wrapper.pop("paramwise_cfg", None),
        "optim_wrapper_cfg": wrapper,
    }
    built: OptimWrapper = OPTIM_WRAPPER_CONSTRUCTORS.build(constructor)(model)
    if type(built).update_params is not OptimWrapper.update_params:
        raise UserError(
            f"optim_wrapper: {type(built).__name__} has an update_params of its own, which the "
            f"train loop does not call: override backward, step or zero_grad instead."
        )
    return built


def build_schedulers(
    cfg: Any, optim_wrapper: Optimizer | OptimWrapper, total_iters: int, iters_per_epoch: int
) -> list[_ParamScheduler]:
    """The schedules of one optimiser.

    Each gets what its constructor takes of ``total_iters``, ``iters_per_epoch`` and ``end`` (the
    last epoch, or the last iteration with ``by_epoch=False``) where the config does not give it.

    Args:
        cfg: a config or a schedule, a list of them, or None.
        optim_wrapper: the optimiser, or mmengine's wrapper of it.
        total_iters: iterations of the run.
        iters_per_epoch: iterations of an epoch.

    Raises:
        UserError: a number is out of its range, or one waits for validation.
    """
    members = cfg if isinstance(cfg, Sequence) else [] if cfg is None else [cfg]
    for member in members:
        if isinstance(member, Mapping):
            check_scheduler(member)
    return [
        member
        if isinstance(member, _ParamScheduler)
        else PARAM_SCHEDULERS.build(
            {**_lengths(member, total_iters, iters_per_epoch), **member},
            default_args={"optimizer": optim_wrapper, "epoch_length": iters_per_epoch},
        )
        for member in members
    ]


def _lengths(cfg: Mapping[str, Any], total_iters: int, iters_per_epoch: int) -> dict[str, int]:
    parameters = inspect.signature(PARAM_SCHEDULERS.find(cfg["type"])).parameters
    end = total_iters // iters_per_epoch if cfg.get("by_epoch", True) else total_iters
    known = {"total_iters": total_iters, "iters_per_epoch": iters_per_epoch, "end": end}
    # mmengine's constructors show ``**kwargs`` and take ``end``.
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    return {
        name: value
        for name, value in known.items()
        if name in parameters or (name == "end" and open_ended)
    }
