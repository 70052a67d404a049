"""Weights of one network as many programs write them, under the names of timm.

Official repositories (MoCo, DINO, DINOv2, SwAV, VICReg ...), solo-learn, lightly, mmselfsup,
torchvision, Lightning and DDP differ in where a file holds the backbone and in what goes before
each name. What is wanted is known, so it is looked for: every dict of tensors in a file and every
beginning of its names is tried, and the one that fits most of the network is taken.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from timm.models import adapt_input_conv
from torch import Tensor, nn

from mvssl.checkpoint import check_numbers, check_weights, read_content
from mvssl.errors import UserError
from mvssl.words import some

__all__ = ["load_foreign"]

_MOST_DEPTH = 3  # of dicts within dicts
_MOST_WORDS = 5  # before a name
# Of two copies of a network that fit alike, the one whose place says none of these; of whole dicts
# a teacher comes before its student, as DINO's authors evaluate it.
_SECOND = re.compile(r"momentum|encoder_k|key_|target|teacher|ema|student")
_COUNTER = "num_batches_tracked"
_Names = Callable[[str], str]


class _Found(NamedTuple):
    """Weights under the names of the network, and where in the file they were."""

    place: str
    weights: dict[str, Tensor]
    fitting: list[str]
    """Names of those that have the shapes of the network's."""
    fitted: list[str]
    """Of these, those that were resized."""

    def rank(self, own: Mapping[str, Tensor]) -> tuple[int, int, bool, bool, int]:
        named = len(self.weights.keys() & own.keys())
        whole = self.place.startswith("teacher: ")
        second = bool(_SECOND.search(self.place)) and not whole
        return len(self.fitting) - len(self.fitted), named, whole, not second, -len(self.place)


def load_foreign(model: nn.Module, path: str) -> str:
    """Load what a file holds of a timm model without a classifier.

    Position embeddings and patches of another size are resized by timm's own filter, and a first
    convolution for another number of channels is adapted by timm's rule.

    Args:
        model: of timm; it is changed.
        path: a safetensors file, or one of torch that holds tensors and plain containers.

    Returns:
        A line that says what was found, and what was not.

    Raises:
        UserError: the file cannot be opened safely; nothing in it fits; less than half of the
            network is in it; or tensors of the same names have other shapes. The model is left as
            it was.
    """
    own = model.state_dict()
    best = max(_all_found(model, read_content(path), own), key=lambda x: x.rank(own), default=None)
    if best is None:
        raise UserError(
            f"{path} holds no weights of this network, of whose {len(own)} tensors less than half "
            f"can be in it: they are those of another architecture (give its name by --backbone), "
            f"or it is no checkpoint."
        )
    others = [key for key in own if key in best.weights and key not in best.fitting]
    if others or 2 * len(best.fitting) < len(own):
        check_weights(model, best.weights, path)
    learned = {name for name, _ in model.named_parameters()}
    check_numbers({key: best.weights[key] for key in best.fitting if key in learned}, path)
    model.load_state_dict({key: best.weights[key] for key in best.fitting}, strict=False)
    return _told(path, best, own)


def _all_found(
    model: nn.Module, content: Mapping[Any, Any], own: Mapping[str, Tensor]
) -> Iterator[_Found]:
    for place, tensors in _groups(content, ""):
        for prefix in _prefixes(tensors):
            length = len(prefix)
            inner = {key[length:]: x for key, x in tensors.items() if key.startswith(prefix)}
            if 2 * len(inner) < len(own):
                continue
            for rename in NAMES:
                named = {rename(key): x for key, x in inner.items()}
                if rename is NAMES[0] or named.keys() != inner.keys():
                    yield _fit(model, f"{place}{prefix}", named, own)


def _groups(node: Mapping[Any, Any], place: str, depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Dicts of tensors, and where they are."""
    tensors = {key: x for key, x in node.items() if isinstance(key, str) and _is_weight(x)}
    if tensors:
        yield place, tensors
    for key, inner in node.items():
        if isinstance(inner, Mapping) and depth < _MOST_DEPTH:
            yield from _groups(inner, f"{place}{key}: ", depth + 1)


def _is_weight(value: Any) -> bool:
    return isinstance(value, Tensor) and not value.is_complex() and not value.is_sparse


def _prefixes(tensors: Mapping[str, Tensor]) -> list[str]:
    """Every beginning that names have up to a dot, the empty one included."""
    found = {"": None}
    for key in tensors:
        words = key.split(".")[:-1][:_MOST_WORDS]
        for number in range(1, len(words) + 1):
            found[".".join(words[:number]) + "."] = None
    return list(found)


def _fit(
    model: nn.Module, place: str, weights: dict[str, Tensor], own: Mapping[str, Tensor]
) -> _Found:
    """What fits of weights, after timm's filter and its rule for the first convolution."""
    shapes = {key: x.shape for key, x in weights.items()}
    weights = _filtered(model, weights)
    if "fc_norm.weight" in own and "norm.weight" not in own:  # the norm after average pooling
        weights = {re.sub(r"^norm\.", "fc_norm.", key): x for key, x in weights.items()}
    first = (getattr(model, "pretrained_cfg", None) or {}).get("first_conv") or ()
    for name in (first,) if isinstance(first, str) else first:
        key = f"{name}.weight"
        if key in own and key in weights and weights[key].ndim == own[key].ndim == 4:
            weights[key] = _for_channels(weights[key], own[key].shape[1])
    fitting = [key for key in own if key in weights and weights[key].shape == own[key].shape]
    fitted = [key for key in fitting if key in shapes and shapes[key] != own[key].shape]
    return _Found(place, weights, fitting, fitted)


def _filtered(model: nn.Module, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """By the filter of the model's own file in timm, which knows its authors' names."""
    make = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    if make is None:
        return weights
    try:
        made = make(dict(weights), model)
    except Exception:  # of weights of another network a filter may make nothing
        return weights
    return {key: x for key, x in made.items() if isinstance(x, Tensor)}


def _for_channels(weight: Tensor, channels: int) -> Tensor:
    if weight.shape[1] == channels:
        return weight
    try:
        adapted: Tensor = adapt_input_conv(channels, weight)
    except (NotImplementedError, RuntimeError):  # of other than three channels
        return weight
    return adapted


def _told(path: str, found: _Found, own: Mapping[str, Tensor]) -> str:
    counted = [key for key in own if not key.endswith(_COUNTER)]
    matched = [key for key in found.fitting if not key.endswith(_COUNTER)]
    place = f" ('{found.place}')" if found.place else ""
    text = f"{path}{place} gives {len(matched)} of {len(counted)} tensors of the backbone"
    if found.fitted:
        text += f"; resized: {some(found.fitted)}"
    missing = [key for key in counted if key not in found.fitting]
    if missing:
        text += f"; not in it, so drawn anew: {some(missing)}"
    unused = [key for key in found.weights if key not in own]
    if unused:
        text += f"; of no use here: {some(unused)}"
    return text


def _renamed(*rules: tuple[str, str]) -> _Names:
    patterns = [(re.compile(pattern), new) for pattern, new in rules]

    def rename(name: str) -> str:
        for pattern, new in patterns:
            name = pattern.sub(new, name)
        return name

    return rename


NAMES: tuple[_Names, ...] = (
    lambda name: name,
    # lightly's examples: nn.Sequential of the children of a torchvision ResNet.
    _renamed(
        (r"^0\.", "conv1."),
        (r"^1\.", "bn1."),
        (r"^4\.", "layer1."),
        (r"^5\.", "layer2."),
        (r"^6\.", "layer3."),
        (r"^7\.", "layer4."),
    ),
    # torchvision's ViTs.
    _renamed(
        (r"^class_token$", "cls_token"),
        (r"^conv_proj\.", "patch_embed.proj."),
        (r"^encoder\.pos_embedding$", "pos_embed"),
        (r"^encoder\.ln\.", "norm."),
        (r"^encoder\.layers\.encoder_layer_(\d+)\.", r"blocks.\1."),
        (r"^(blocks\.\d+)\.ln_([12])\.", r"\1.norm\2."),
        (r"^(blocks\.\d+)\.self_attention\.in_proj_", r"\1.attn.qkv."),
        (r"^(blocks\.\d+)\.self_attention\.out_proj\.", r"\1.attn.proj."),
        (r"^(blocks\.\d+)\.mlp\.(?:0|linear_1)\.", r"\1.mlp.fc1."),
        (r"^(blocks\.\d+)\.mlp\.(?:3|linear_2)\.", r"\1.mlp.fc2."),
    ),
    # mmselfsup's and mmpretrain's ViTs.
    _renamed(
        (r"^patch_embed\.projection\.", "patch_embed.proj."),
        (r"^layers\.(\d+)\.", r"blocks.\1."),
        (r"^(blocks\.\d+)\.ln([12])\.", r"\1.norm\2."),
        (r"^(blocks\.\d+)\.ffn\.layers\.0\.0\.", r"\1.mlp.fc1."),
        (r"^(blocks\.\d+)\.ffn\.layers\.1\.", r"\1.mlp.fc2."),
        (r"^ln1\.", "norm."),
    ),
    # DINOv2 while it trains: blocks in chunks, numbered throughout.
    _renamed((r"^blocks\.\d+\.(\d+)\.", r"blocks.\1.")),
)
