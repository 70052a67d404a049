"""The learning rate that follows the batch, by a rule that a config states."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mmengine.config import Config

from mvssl.arguments import check_choice, check_count, is_integer, is_number

__all__ = ["BATCH", "AutoScaleLR", "scale_rate"]

RULES: dict[str, Callable[[float], float]] = {
    "linear": lambda ratio: ratio,  # Goyal et al. 2017
    "sqrt": math.sqrt,  # Krizhevsky 2014; for Adam Malladi et al. 2022
    "none": lambda ratio: 1.0,
}
RATE, BATCH = "optim_wrapper.optimizer.lr", "train_dataloader.batch_size"


@dataclass(frozen=True)
class AutoScaleLR:
    """``auto_scale_lr``: how ``optim_wrapper.optimizer.lr`` follows the batch.

    Attributes:
        base_batch_size: images of a step, over all processes, that the rate is meant for; by
            default the ``batch_size`` that stands in the config beside it.
        rule: ``linear``: in proportion to the batch; ``sqrt``: to its square root; ``none``.
    """

    base_batch_size: int | None = None
    rule: str = "linear"

    def __post_init__(self) -> None:
        if self.base_batch_size is not None:
            check_count("auto_scale_lr", base_batch_size=self.base_batch_size)
        check_choice("auto_scale_lr", "rule", self.rule, RULES)


def scale_rate(cfg: Config, own_batch: Any, given: Mapping[str, Any]) -> str | None:
    """Scale a config's learning rate to its batch; a sentence where that changes it.

    The rate is then that of ``auto_scale_lr.base_batch_size``, so that a config which a run saved
    is not scaled twice. What is not as it should be is left to the config's check.

    Args:
        cfg: as it will run.
        own_batch: the batch that the file states.
        given: what ``--cfg-options`` say, by path, which is taken as it stands: a rate among it
            stays, and a batch among it changes no rate.
    """
    rule, optimizer = cfg.get("auto_scale_lr"), _at(cfg.get("optim_wrapper"), "optimizer")
    batch, rate = _at(cfg.get("train_dataloader"), "batch_size"), _at(optimizer, "lr")
    if not isinstance(rule, Mapping) or not is_number(rate) or RATE in given:
        return None
    base, kind = rule.get("base_batch_size") or own_batch, rule.get("rule", "linear")
    if kind not in RULES or not all(is_integer(n) and n > 0 for n in (base, batch)):
        return None
    cfg.auto_scale_lr["base_batch_size"] = batch
    batch = own_batch if BATCH in given else batch
    if base == batch or not is_integer(batch):
        return None
    optimizer["lr"] = rate * RULES[kind](batch / base)
    if kind == "none":
        return (
            f"learning rate {rate:g} for batches of {batch} as of {base} (auto_scale_lr.rule='none'"
            f" leaves it)"
        )
    return (
        f"learning rate {optimizer['lr']:.4g} for batches of {batch}: {rate:g} is that of {base} "
        f"(auto_scale_lr.rule={kind!r}; {RATE}=... sets another)"
    )


def _at(node: Any, key: str) -> Any:
    return node.get(key) if isinstance(node, Mapping) else None
