"""Whether data set, preprocessor and parts of a model fit together, tried on two images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from timm.layers import PatchEmbed
from torch import Tensor, nn
from torch.utils.data import default_collate

from mvssl.datasets import ImageDataset
from mvssl.distributed import world_size
from mvssl.engine.loop import total_loss
from mvssl.errors import UserError
from mvssl.evaluation.network import evaluation_mode
from mvssl.models import MultiView
from mvssl.models.backbones import TimmBackbone
from mvssl.words import in_words, shown

__all__ = ["called", "check_views", "try_sample"]


def check_views(model: MultiView, evaluated: bool) -> None:
    """Run the backbone once on blank images of every shape that it will be given.

    Many a ViT takes images of one size alone, and most networks one number of channels alone.

    Args:
        evaluated: whether it is given whole images too, with all channels.

    Raises:
        UserError: it cannot take some of them; all are told.
    """
    preprocessor = model.data_preprocessor
    backbone, size = model.backbone, preprocessor.size
    shapes = dict.fromkeys(preprocessor.shapes(), "views")
    if evaluated:
        shapes.setdefault((preprocessor.in_channels, size), "whole images (for evaluation)")
    faults = []
    if isinstance(backbone, TimmBackbone):
        taken = backbone.in_channels
        others = {shape: what for shape, what in shapes.items() if shape[0] != taken}
        faults += [_wrong_channels(taken, others)] if others else []
        shapes = {shape: what for shape, what in shapes.items() if shape not in others}
    for (channels, side), what in shapes.items():
        told = _trial(backbone, channels, side)
        if told is not None:
            faults.append(
                f"model.backbone cannot take {what} of {side} px ({told}): "
                f"{_advice(backbone, side, size)}."
            )
    if faults:
        raise UserError(" ".join(faults))


def _advice(backbone: nn.Module, side: int, size: int) -> str:
    """What would let a backbone take images of ``side`` pixels, where others are of ``size``."""
    given = backbone.model_args if isinstance(backbone, TimmBackbone) else {}
    network = getattr(backbone, "model", None)
    patch = getattr(getattr(network, "patch_embed", None), "patch_size", None)
    patch = patch[0] if isinstance(patch, Sequence) else patch
    dynamic = bool(given.get("dynamic_img_size"))
    whole = isinstance(patch, int) and side % patch == 0
    if isinstance(patch, int) and not whole and not given.get("dynamic_img_pad"):
        below, above = side // patch * patch, -(-side // patch) * patch
        sizes = f"{below} or {above}" if below else f"{above}"
        sizes += " px (--image-size)" if side == size else " px"
        more = "" if dynamic or side == size else ", and give it dynamic_img_size=True"
        return (
            f"its patches of {patch} px do not divide that: choose views of {sizes}{more}, or "
            f"another patch_size, in its model_args"
        )
    if side == size and given.get("img_size") != side:
        return f"give a ViT img_size={side} in its model_args, or choose views of another size"
    if side != size and not dynamic:
        return "give a ViT dynamic_img_size=True in its model_args, or choose views of another size"
    if given:
        return f"look at its model_args ({shown(given)}), or choose views of another size"
    return "choose views of another size, or another backbone"


def _wrong_channels(taken: int, others: dict[tuple[int, int], str]) -> str:
    found = {f"{what} of {channels}": None for (channels, _), what in others.items()}
    return (
        f"model.backbone takes images of in_chans={taken}, and is given {' and '.join(found)} "
        f"channels: set in_chans in its model_args, leave channels out of "
        f"data_preprocessor.views, or give type='SplitBackbone' with a part for each kind of view."
    )


def _trial(backbone: nn.Module, channels: int, side: int) -> str | None:
    """What the backbone says to blank images, or what of them it would not look at; None where it
    takes them.
    """
    rests = list[int]()
    patches = [part for part in backbone.modules() if isinstance(part, PatchEmbed)]
    hooks = [part.register_forward_pre_hook(partial(_note_rest, rests)) for part in patches]
    try:
        with _undisturbed(backbone):
            backbone(torch.zeros(2, channels, side, side))
    except Exception as error:  # a component raises what it likes
        return " ".join(str(error).split()).rstrip(".")[:200] or type(error).__name__
    finally:
        for hook in hooks:
            hook.remove()
    return f"the last {max(rests)} px of each side would have no effect" if rests else None


def _note_rest(rests: list[int], part: PatchEmbed, inputs: tuple[Any, ...]) -> None:
    """timm's patches leave out what is less than one at the border, and say nothing."""
    rest = inputs[0].shape[-1] % part.patch_size[1]
    if rest and not part.dynamic_img_pad:
        rests.append(rest)


def try_sample(model: MultiView, dataset: ImageDataset, batch_size: int) -> None:
    """Pass two images through data set, preprocessor and all parts of a model.

    The head, which may want more than two, gets them over and over, ``batch_size`` in all. The
    random state and the statistics of the model stay as they are.

    Raises:
        UserError: the first part that fails, or whose output does not fit the next one.
    """
    with _undisturbed(model):
        kind = type(dataset).__name__
        samples = [
            called(f"train_dataloader.dataset: {kind}", dataset.__getitem__, (i, 0))
            for i in (0, min(1, len(dataset) - 1))
        ]
        preprocessor = model.data_preprocessor
        kind = f"model.data_preprocessor: {type(preprocessor).__name__}"
        made = called(kind, preprocessor, default_collate(samples), True)
        features = called(_named("backbone", model), model.backbone, made["inputs"][0])
        _check(_named("backbone", model), features, model.backbone.num_features, "num_features")
        z = called(_named("neck", model), model.neck, features)
        _check(_named("neck", model), z, model.neck.out_channels, "out_channels")
        if model.predictor is not None:
            p = called(_named("predictor", model), model.predictor, z)
            _check(_named("predictor", model), p, model.neck.out_channels, "in_channels")
        if world_size() == 1:  # heads gather over processes, which may not all come here
            record = model.embed(made["inputs"], made["index"])
            rows = torch.arange(batch_size) % 2
            repeated = record.map(lambda tensor: tensor[rows])
            outputs = called(_named("head", model), model.loss, repeated)
            total_loss(outputs, type(model.head).__name__)


def _named(part: str, model: MultiView) -> str:
    return f"model.{part}: {type(getattr(model, part)).__name__}"


def called(where: str, part: Any, *arguments: Any) -> Any:
    """What a part makes; what it raises as a sentence that says where."""
    try:
        return part(*arguments)
    except UserError:
        raise
    except Exception as error:  # a component raises what it likes
        raise UserError(f"{where} fails on images of the data set: {in_words(error)}") from error


def _check(where: str, output: Any, width: int, name: str) -> None:
    """That ``output`` is (2, width)."""
    if isinstance(output, Tensor) and output.shape == (2, width):
        return
    if not isinstance(output, Tensor):
        raise UserError(f"{where} gives a {type(output).__name__}, not a tensor (N, {width}).")
    advice = " Average feature maps over their last two dimensions." if output.dim() == 4 else ""
    raise UserError(
        f"{where} gives a tensor {tuple(output.shape)} of two images, not (2, {width}), where "
        f"{width} is its {name}.{advice}"
    )


@contextmanager
def _undisturbed(part: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; mode and random state come back afterwards."""
    with evaluation_mode(part), torch.no_grad(), torch.random.fork_rng(devices=[]):
        yield
