"""Any transform of torchvision as an operation."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torchvision.transforms import v2

from mvssl.errors import UserError
from mvssl.registry import VIEW_OPS
from mvssl.views.ops.base import Image
from mvssl.views.ops.foreign import ForeignOperation
from mvssl.words import near_names


@VIEW_OPS.register_module()
@dataclass(frozen=True, kw_only=True)
class TorchvisionOp(ForeignOperation):
    """A transform of ``torchvision.transforms.v2``, such as ``dict(type='ElasticTransform')``.

    Transforms inside of its arguments (``RandomApply``) are given in the same way.
    """

    def build(self) -> Any:
        return _build(type(self).__name__, self.transform)

    def apply(self, image: Image) -> object:
        made = self.built(torch.from_numpy(image).permute(2, 0, 1).contiguous())
        if not isinstance(made, torch.Tensor):
            return made
        return np.moveaxis(made.numpy(), 0, -1) if made.dim() == 3 else made.numpy()


def _build(owner: str, node: Any) -> Any:
    """The node of a config with every ``dict(type=...)`` in it built."""
    if isinstance(node, list | tuple):
        return [_build(owner, one) for one in node] if any(map(_is_transform, node)) else node
    if not _is_transform(node):
        return node
    arguments = {key: _build(owner, value) for key, value in node.items() if key != "type"}
    try:
        return _find(owner, node["type"])(**arguments)
    except (TypeError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{owner}: transform {node['type']}: {error}") from error


def _is_transform(node: Any) -> bool:
    return isinstance(node, Mapping) and isinstance(node.get("type"), str)


def _find(owner: str, name: str) -> type[v2.Transform]:
    known = {
        one: kind
        for one, kind in vars(v2).items()
        if inspect.isclass(kind) and issubclass(kind, v2.Transform) and not inspect.isabstract(kind)
    }
    if name not in known:
        hint = near_names(name, known, "; its documentation lists them.")
        raise UserError(f"{owner}: torchvision.transforms.v2 has no transform {name!r}{hint}")
    return known[name]
