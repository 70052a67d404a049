"""The program on a model card, which makes features of a photograph by the library of the files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import Template
from typing import Any, Final

__all__ = ["model_code"]


@dataclass(frozen=True)
class Program:
    """Lines of Python, in which ``$name`` stands for the architecture.

    Attributes:
        use: makes features of ``images`` beside the files; ``$images`` stands for what prepares
            them: an array, or what the library's own lines make of a photograph.
        images: those lines, of a library that can prepare RGB images.
    """

    use: str
    images: str = ""


def model_code(format: str, name: str, shape: Sequence[int], expected: Mapping[str, Any]) -> str:
    """A program that lies beside the files.

    Args:
        format: that the files have.
        name: of the architecture.
        shape: of one image (c, s, s).
        expected: of images: color_space, mean, std.
    """
    program = PROGRAMS[format]
    channels, size = shape[0], shape[-1]
    plain = channels == 3 and expected.get("color_space", "rgb") == "rgb"
    images = (program.images or PHOTOGRAPH) if plain else OTHERS
    if not (plain and program.images) and "features = model(images)" in program.use:
        images += "images = torch.from_numpy(images)\n"
    words = {"name": name, "channels": channels, "size": size, "bleed": ""}
    shown = expected.get("crop_pct") or 1.0
    if shown < 1:
        words["bleed"] = f", {(1 - shown) / 2:g}"  # left out on each side
    # Of float32, whose noise nobody needs to copy.
    words |= {k: [float(f"{v:.7g}") for v in expected.get(k) or ()] for k in ("mean", "std")}
    text = Template(program.use).substitute(words, images=Template(images).substitute(words))
    lines = [line for line in text.splitlines() if line]
    imports = [line for line in lines if line.startswith(("import ", "from "))]
    others = [line for line in lines if line not in imports]
    return "\n".join([*sorted(imports, key=_sorted_by), "", *others])


def _sorted_by(line: str) -> tuple[bool, str]:
    """As ruff sorts imports."""
    return line.startswith("from "), line.split()[1].lower()


PHOTOGRAPH: Final = """
import numpy as np
from PIL import Image, ImageOps
photo = Image.open("photo.jpg").convert("RGB")
square = ImageOps.fit(photo, ($size, $size), Image.Resampling.BICUBIC$bleed)
mean, std = $mean, $std
images = ((np.asarray(square) / 255 - mean) / std).transpose(2, 0, 1)[None].astype(np.float32)
"""
OTHERS: Final = """
import numpy as np
images = np.zeros((1, $channels, $size, $size), np.float32)  # yours, prepared as is said below
"""
PROGRAMS: Final[Mapping[str, Program]] = {
    "timm": Program(
        """
import timm
import torch
model = timm.create_model("local-dir:.", pretrained=True).eval()  # on the Hub: hf-hub:YOU/NAME
$images
with torch.no_grad():
    features = model(images)
""",
        """
from PIL import Image
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
images = transform(Image.open("photo.jpg").convert("RGB"))[None]
""",
    ),
    "torchvision": Program("""
import torch
import torchvision
model = torchvision.models.$name(weights=None)
model.fc = torch.nn.Identity()
model.load_state_dict(torch.load("model.pth", weights_only=True))
model.eval()
$images
with torch.no_grad():
    features = model(images)
"""),
    "onnx": Program("""
import onnxruntime
session = onnxruntime.InferenceSession("model.onnx")
$images
(features,) = session.run(None, {"images": images})
"""),
    "torch_export": Program("""
import torch
model = torch.export.load("model.pt2").module()
$images
with torch.no_grad():
    features = model(images)
"""),
    "huggingface": Program(
        """
import torch
from transformers import AutoImageProcessor, AutoModel
model = AutoModel.from_pretrained(".").eval()
$images
with torch.no_grad():
    features = model(images).pooler_output
""",
        """
from PIL import Image
processor = AutoImageProcessor.from_pretrained(".")
images = processor(Image.open("photo.jpg").convert("RGB"))["pixel_values"]
""",
    ),
}
