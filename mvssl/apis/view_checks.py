"""Whether a model's backbone can take the views that it is to be trained on."""

from __future__ import annotations

import torch
from torch import nn

from mvssl.errors import UserError
from mvssl.models import MultiView
from mvssl.models.backbones import TimmBackbone
from mvssl.registry import COMPONENT_ERRORS
from mvssl.views.view import NUM_CHANNELS

__all__ = ["check_views"]


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
        shapes.setdefault((NUM_CHANNELS, size), "whole images (for evaluation)")
    faults = []
    if isinstance(backbone, TimmBackbone):
        taken = backbone.in_channels
        others = {shape: what for shape, what in shapes.items() if shape[0] != taken}
        faults += [_wrong_channels(taken, others)] if others else []
        shapes = {shape: what for shape, what in shapes.items() if shape not in others}
    for (channels, side), what in shapes.items():
        told = _trial(backbone, channels, side)
        if told is not None:
            advice = "dynamic_img_size=True" if side != size else f"img_size={side}"
            faults.append(
                f"model.backbone cannot take {what} of {side} px ({told}): give a ViT {advice} in "
                f"its model_args, or choose views of another size."
            )
    if faults:
        raise UserError(" ".join(faults))


def _wrong_channels(taken: int, others: dict[tuple[int, int], str]) -> str:
    found = {f"{what} of {channels}": None for (channels, _), what in others.items()}
    return (
        f"model.backbone takes images of in_chans={taken}, and is given {' and '.join(found)} "
        f"channels: set in_chans in its model_args, leave channels out of "
        f"data_preprocessor.views, or give type='SplitBackbone' with a part for each kind of view."
    )


def _trial(backbone: nn.Module, channels: int, side: int) -> str | None:
    """What the backbone says to blank images; None where it takes them."""
    was_training = backbone.training
    backbone.eval()
    try:
        with torch.no_grad():
            backbone(torch.zeros(2, channels, side, side))
    except COMPONENT_ERRORS as error:
        return " ".join(str(error).split()).rstrip(".")[:200] or type(error).__name__
    finally:
        backbone.train(was_training)
    return None
