"""Transforms of mmcv, and those of one's own that follow its conventions, as operations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from mmcv.transforms import TRANSFORMS as MMCV_TRANSFORMS

from mvssl.errors import UserError
from mvssl.registry import TRANSFORMS, VIEW_OPS
from mvssl.views.ops.base import Image
from mvssl.views.ops.foreign import ForeignOperation
from mvssl.words import near_names


@VIEW_OPS.register_module()
@dataclass(frozen=True, kw_only=True)
class MMCVOp(ForeignOperation):
    """A transform of mmcv, or one that is registered in ``mvssl.registry.TRANSFORMS``.

    It is given ``dict(img=..., img_shape=..., ori_shape=...)``, the image in the order blue, green,
    red, as mmcv reads images, and changes ``img``.
    """

    def build(self) -> Any:
        arguments = dict(self.transform)
        name = arguments.pop("type")
        owner = type(self).__name__
        kind = MMCV_TRANSFORMS.get(name) or TRANSFORMS.get(name)
        if kind is None:
            hint = near_names(
                name,
                [*MMCV_TRANSFORMS.module_dict, *TRANSFORMS.module_dict],
                "; its documentation lists them.",
            )
            raise UserError(f"{owner}: mmcv has no transform {name!r}{hint}")
        try:
            return kind(**arguments)
        except (TypeError, ValueError, AssertionError) as error:
            raise UserError(f"{owner}: transform {name}: {error}") from error

    def apply(self, image: Image) -> object:
        shape = image.shape[:2]
        results = {
            "img": np.ascontiguousarray(image[..., ::-1]),
            "img_shape": shape,
            "ori_shape": shape,
        }
        changed = self.built(results)["img"]
        # Only the order of the channels: what is no image is refused by the caller.
        return changed[..., ::-1]
