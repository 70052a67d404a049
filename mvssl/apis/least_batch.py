"""The fewest images that a model can be trained on at once: of its head, and of its BatchNorm."""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mvssl.distributed import world_size
from mvssl.errors import UserError
from mvssl.evaluation.network import evaluation_mode
from mvssl.models import MultiView
from mvssl.words import count

__all__ = ["check_enough", "check_least_batch"]

MOST = 2**16


def check_least_batch(model: MultiView, batch_size: int, micro_batch_size: int | None) -> None:
    """Whether batches, and the pieces in which they pass through the network, are large enough.

    Args:
        batch_size: over all processes.
        micro_batch_size: images of a process that pass at once; None: all of its share.

    Raises:
        UserError: a part needs more; the sentence says which, how many, and what to set.
    """
    own = batch_size // world_size()
    if micro_batch_size is not None and micro_batch_size > own:
        raise UserError(
            f"train_cfg.micro_batch_size is {micro_batch_size}, more than the {own} images of a "
            f"batch that a process has: give less than {own}, or leave it out."
        )
    model.head.check_batch(batch_size)
    piece, told = _smallest_piece(batch_size, own, micro_batch_size)
    if piece * world_size() == 1:  # statistics are those of all processes
        for name in _alone(model):
            raise UserError(
                f"model.{name}: BatchNorm normalises by statistics over images and needs at least "
                f"2 at once, and {told}"
            )
    _check_shuffling(model, piece, told)


def check_enough(
    model: MultiView, num_samples: int, batch_size: int, micro_batch_size: int | None
) -> None:
    """Whether the data set holds a batch, and enough images for any batch of the model.

    Raises:
        UserError: it does not; the sentence says how many images are needed, or which batch the
            data set and the model allow.
    """
    sizes = [world_size() << power for power in range(MOST.bit_length())]
    possible = [size for size in sizes if _takes(model, size, micro_batch_size)]
    within = [size for size in possible if size <= num_samples]
    held = f"the data set holds {count(num_samples, 'image')}"
    if possible and not within:
        raise UserError(
            f"train_dataloader.batch_size is {batch_size}, but {held}, too few to train this model "
            f"on: give at least {possible[0]}."
        )
    if batch_size > num_samples:
        within = within or [size for size in sizes if size <= num_samples]
        two_steps = [size for size in within if 2 * size <= num_samples]
        best = max(two_steps, default=min(within, default=world_size()))
        raise UserError(
            f"train_dataloader.batch_size is {batch_size}, but {held}: lower it with --batch-size "
            f"{best}."
        )


def _takes(model: MultiView, batch_size: int, micro_batch_size: int | None) -> bool:
    own = batch_size // world_size()
    micro = None if micro_batch_size is None else min(micro_batch_size, own)
    try:
        check_least_batch(model, batch_size, micro)
    except UserError:
        return False
    return True


def _smallest_piece(batch_size: int, own: int, micro: int | None) -> tuple[int, str]:
    """Images of the smallest piece of a process's batch, and the end of a sentence about it."""
    if micro is None:
        each = f" to each of {world_size()} processes" if world_size() > 1 else ""
        return own, f"train_dataloader.batch_size={batch_size} gives {own}{each}: raise it."
    rest = own % micro
    if rest == 0:
        return micro, f"train_cfg.micro_batch_size={micro} lets {micro} through: raise it."
    return rest, (
        f"train_cfg.micro_batch_size={micro} leaves a last piece of {rest} of the {own} images of "
        f"a batch: choose one that divides {own}."
    )


def _alone(model: MultiView) -> list[str]:
    """BatchNorm layers that are given a single value of an image, such as an element of a vector
    or a map of one pixel, of the smallest view, so that one image has no statistics.
    """
    parts = {"backbone": model.backbone, "neck": model.neck, "predictor": model.predictor}
    found = []
    values: dict[str, int] = {}
    handles = []
    for where, part in parts.items():
        for name, layer in () if part is None else part.named_modules(prefix=where):
            if isinstance(layer, nn.BatchNorm1d):
                found.append(name)
            elif isinstance(layer, _BatchNorm):
                handles.append(layer.register_forward_pre_hook(partial(_count, values, name)))
    try:
        if handles:
            with evaluation_mode(model), torch.no_grad(), torch.random.fork_rng(devices=[]):
                for channels, side in dict.fromkeys(model.data_preprocessor.shapes()):
                    model.backbone(torch.zeros(2, channels, side, side))
    finally:
        for handle in handles:
            handle.remove()
    return [name for name, least in values.items() if least == 1] + found


def _count(values: dict[str, int], name: str, _: nn.Module, inputs: tuple[Any, ...]) -> None:
    values[name] = min(values.get(name, sys.maxsize), inputs[0][0, 0].numel())


def _check_shuffling(model: MultiView, piece: int, told: str) -> None:
    """Whether the groups that the teacher shuffles are large enough for its BatchNorm."""
    teacher = model.teacher
    if teacher is None or teacher.shuffle_groups == 1:
        return
    groups = teacher.shuffle_groups
    if not any(isinstance(part, _BatchNorm) for part in teacher.modules()):
        return
    smallest = min(len(group) for group in torch.empty(piece).chunk(groups))
    if len(torch.empty(piece).chunk(groups)) < groups or smallest * world_size() < 2:
        raise UserError(
            f"model.teacher: shuffle_groups={groups} needs at least {2 * groups} images at once, "
            f"2 in each group, and {told} Or set model.teacher.shuffle_groups=1."
        )
