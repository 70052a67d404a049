"""Sizes and rates among the arguments of timm's models, which timm takes as they come."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from torch import nn

from mvssl.arguments import check_count, check_number, is_number
from mvssl.errors import UserError

__all__ = ["NO_SHAPE", "check_model_args", "check_patches"]

# Of which a network has at least one; their values may be lists, one number a stage.
COUNTS = (
    "base_width",
    "cardinality",
    "channels",
    "depth",
    "depths",
    "dims",
    "embed_dim",
    "embed_dims",
    "img_size",
    "in_chans",
    "layers",
    "mlp_ratio",
    "num_heads",
    "patch_size",
    "stem_width",
    "widths",
    "window_size",
)
NO_SHAPE: Final = frozenset(
    (
        "attn_drop_rate",
        "drop_path_rate",
        "drop_rate",
        "dynamic_img_pad",
        "dynamic_img_size",
        "img_size",
        "in_chans",
        "pos_drop_rate",
        "proj_drop_rate",
    )
)
"""Arguments that say nothing of how wide and deep a network is; others make it another one."""

RATES = ("_rate", "_drop")
MOST = 2**20


def check_model_args(owner: str, arguments: Mapping[str, Any]) -> None:
    """Raises a UserError that names the argument where a number among ``model_args`` is none that
    a network can have: not finite, a size below 1, a rate outside [0, 1).
    """
    for name, value in arguments.items():
        if isinstance(value, bool) and (name in COUNTS or name.endswith(RATES)):
            check_number(owner, **{f"model_args.{name}": value})
        for number in _numbers(value):
            where = {f"model_args.{name}": number}
            if name in COUNTS and isinstance(number, int):
                check_count(owner, 1, MOST, **where)
            elif name in COUNTS:
                check_number(owner, 1e-3, 1e3, **where)
            elif name.endswith(RATES):
                check_number(owner, 0.0, 1.0, **where)
                if number == 1:
                    raise UserError(
                        f"{owner}: model_args.{name} is the share that is dropped, and of "
                        f"{number} nothing would be left: give less than 1."
                    )
            else:
                check_number(owner, -MOST, MOST, **where)


def _numbers(value: Any) -> Iterator[Any]:
    if is_number(value):
        yield value
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _numbers(inner)


def check_patches(owner: str, model: nn.Module) -> None:
    """Raises a UserError where a model cuts its images into no patch at all."""
    patches: Any = getattr(model, "patch_embed", None)
    if getattr(patches, "num_patches", None) == 0:
        raise UserError(
            f"{owner}: a patch of {patches.patch_size} is larger than an image of "
            f"{patches.img_size}: set patch_size or img_size in model_args."
        )
