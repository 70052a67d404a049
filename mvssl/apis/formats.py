"""The forms that other libraries open: how each is written, and opened again."""

from __future__ import annotations

import inspect
import io
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NamedTuple

import timm
import torch
import torchvision
from torch import Tensor, nn

from mvssl.checkpoint import write_safetensors
from mvssl.errors import UserError
from mvssl.files import write_atomically, write_bytes_atomically
from mvssl.models.backbones import TimmBackbone

__all__ = ["FORMS", "Exportable", "Features", "Form", "architecture_of"]

Features = Callable[[Tensor], Tensor]
"""Normalised images (N, c, s, s) to features (N, C), as another library computes them."""

BY_DYNAMO: Final = tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 6)
"""Whether torch.export can be what ONNX files are made of; the older way is on its way out."""
MOST_IN_ONE_FILE: Final = 1_500_000_000  # bytes; a file of ONNX ends at 2 GiB
RESNETS: Final = frozenset(
    name
    for name in torchvision.models.list_models()
    if torchvision.models.get_model_builder(name).__module__ == torchvision.models.resnet.__name__
)


class Exportable(NamedTuple):
    """What is written.

    Attributes:
        backbone: in eval mode, on the CPU.
        expected: of its images: size, color_space, mean, std.
        images: two or more, normalised, (N, c, s, s).
    """

    backbone: nn.Module
    expected: Mapping[str, Any]
    images: Tensor


@dataclass(frozen=True)
class Form:
    """A form in which a backbone is written.

    Attributes:
        library: that it is for, as model cards name it.
        write: writes a backbone into a folder, and opens it there again.
        packages: of which mvssl itself needs none.
    """

    library: str
    write: Callable[[Exportable, Path], Features]
    packages: tuple[str, ...] = ()


def architecture_of(backbone: nn.Module) -> str:
    """The name that timm knows its network by, without a tag; else that of its class."""
    if isinstance(backbone, TimmBackbone):
        return str(_published(backbone)["architecture"])
    return type(backbone).__name__


def _published(backbone: TimmBackbone) -> Mapping[str, Any]:
    """What timm says of the weights that were published of a network."""
    model: Any = backbone.model
    known: Mapping[str, Any] = model.pretrained_cfg
    return known


def write_timm(given: Exportable, folder: Path) -> Features:
    """``config.json`` and ``model.safetensors``, as timm stores models and the Hub shows them."""
    if "local-dir" not in getattr(timm.models._factory, "_MODEL_SOURCES", ()):
        raise UserError(
            f"timm {timm.__version__} opens no folders: pip install --upgrade timm (1.0.16)."
        )
    _write_hub(given, folder, {})
    model: nn.Module = timm.create_model(f"local-dir:{folder}", pretrained=True)
    return model.eval()


def write_huggingface(given: Exportable, folder: Path) -> Features:
    """The same, and which class of transformers opens it (TimmWrapperModel)."""
    more = {"model_type": "timm_wrapper", "architectures": ["TimmWrapperModel"]}
    _write_hub(given, folder, more)
    transformers = import_module("transformers")
    with _without_bars(transformers.utils.logging):
        model = transformers.AutoModel.from_pretrained(folder, local_files_only=True)
    if type(model).__name__ != "TimmWrapperModel":
        raise UserError(f"transformers opens it as {type(model).__name__}.")
    model.eval()
    return lambda images: model(images).pooler_output


def _write_hub(given: Exportable, folder: Path, more: Mapping[str, Any]) -> None:
    backbone = _of_timm(given.backbone)
    space = given.expected.get("color_space", "rgb")
    if space != "rgb":
        raise UserError(
            f"timm and huggingface cannot say that images are {space}: export to onnx or "
            f"torch_export, whose README.md says it."
        )
    config = {
        "architecture": architecture_of(backbone),
        "num_classes": 0,
        "num_features": backbone.num_features,
        "model_args": backbone.model_args,
        "pretrained_cfg": _pretrained_cfg(_published(backbone), given),
        **more,
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    # transformers opens none without a word on its format.
    write_safetensors(folder / "model.safetensors", _weights(backbone.model), {"format": "pt"})


def _pretrained_cfg(own: Mapping[str, Any], given: Exportable) -> dict[str, Any]:
    """What timm keeps of weights beside them: of those that were published of the same network
    (their licence, their labels) nothing holds any more but names of layers.
    """
    kept = ("fixed_input_size", "first_conv", "classifier", "pool_size")
    return {
        **{key: own[key] for key in kept if own.get(key) is not None},
        "input_size": list(given.images.shape[1:]),
        "mean": list(given.expected["mean"]),
        "std": list(given.expected["std"]),
        "interpolation": "bicubic",
        "crop_pct": given.expected.get("crop_pct") or 1.0,
        "crop_mode": "center",
        "num_classes": 0,
    }


def write_torchvision(given: Exportable, folder: Path) -> Features:
    """``model.pth``: the weights of one of torchvision's ResNets without its classifier."""
    backbone = _of_timm(given.backbone)
    name = architecture_of(backbone)
    if name not in RESNETS:
        known = ", ".join(sorted(RESNETS))
        raise UserError(f"torchvision has no network that is timm's {name}: it has {known}.")
    weights = _weights(backbone.model)
    own = _torchvision(name).state_dict()
    other = [key for key in own if key not in weights or weights[key].shape != own[key].shape]
    other += [key for key in weights if key not in own]
    if other:
        raise UserError(
            f"torchvision's {name} is another network than this one, whose model_args are "
            f"{backbone.model_args} ({other[0]} differs): export to timm, onnx or torch_export."
        )
    file = folder / "model.pth"
    write_atomically(file, lambda opened: torch.save(weights, opened))
    model = _torchvision(name)
    model.load_state_dict(torch.load(file, weights_only=True))
    return model.eval()


def _torchvision(name: str) -> nn.Module:
    model: Any = torchvision.models.get_model(name, weights=None)
    model.fc = nn.Identity()
    built: nn.Module = model
    return built


def write_torch_export(given: Exportable, folder: Path) -> Features:
    """``model.pt2``: the graph of the network, for batches of any length."""
    file, program = folder / "model.pt2", _program(given)
    # torch's own writer ends the process where a disk is full.
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    write_bytes_atomically(file, buffer.getvalue())
    model: nn.Module = torch.export.load(file).module()
    return model


def _program(given: Exportable) -> torch.export.ExportedProgram:
    batch = {0: torch.export.Dim("batch")}
    return torch.export.export(given.backbone, (given.images[:2],), dynamic_shapes=(batch,))


def write_onnx(given: Exportable, folder: Path) -> Features:
    """``model.onnx``, for batches of any length; of a large network with ``model.onnx.data``."""
    file = folder / "model.onnx"
    names: dict[str, Any] = {"input_names": ["images"], "output_names": ["features"]}
    if BY_DYNAMO:
        size = sum(x.numel() * x.element_size() for x in given.backbone.parameters())
        names |= {"external_data": size > MOST_IN_ONE_FILE, "verbose": False, "dynamo": True}
        torch.onnx.export(_program(given), (), file, **names)
    else:
        axes = {"images": {0: "batch"}, "features": {0: "batch"}}
        if "dynamo" in inspect.signature(torch.onnx.export).parameters:  # from torch 2.5 on
            names["dynamo"] = False
        torch.onnx.export(
            given.backbone, (given.images[:2],), str(file), dynamic_axes=axes, **names
        )
    onnxruntime = import_module("onnxruntime")
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(session.run(None, {"images": images.numpy()})[0])


def _of_timm(backbone: nn.Module) -> TimmBackbone:
    """A backbone that is wholly timm's."""
    if not isinstance(backbone, TimmBackbone):
        raise UserError(
            f"The format takes networks of timm alone, and the backbone is a "
            f"{type(backbone).__name__}: export to onnx or torch_export."
        )
    if backbone.stem != "default":
        raise UserError(
            f"The format has no {backbone.name} with stem='{backbone.stem}': export to onnx or "
            f"torch_export."
        )
    return backbone


def _weights(model: nn.Module) -> dict[str, Tensor]:
    """Copies, since safetensors refuses tensors that share memory."""
    return {key: x.detach().clone().contiguous() for key, x in model.state_dict().items()}


@contextmanager
def _without_bars(logging: Any) -> Iterator[None]:
    """transformers shows a bar for every folder that it opens."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


FORMS: Final[Mapping[str, Form]] = {
    "timm": Form("timm", write_timm),
    "torchvision": Form("torchvision", write_torchvision),
    "onnx": Form("onnx", write_onnx, ("onnx", "onnxscript", "onnxruntime")),
    "torch_export": Form("pytorch", write_torch_export),
    "huggingface": Form("transformers", write_huggingface, ("transformers",)),
}
"""By what ``--format`` says."""
