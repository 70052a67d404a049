"""What command lines about a trained backbone take. The standard library alone."""

from __future__ import annotations

from mvssl.process.parser import Parser, whole_number

__all__ = [
    "FORMATS",
    "SOURCES",
    "add_backbone_options",
    "add_import_option",
    "add_opening_options",
]

SOURCES = (
    "folder of a run, its backbone.safetensors, a checkpoint, or timm:NAME (published weights)"
)
FORMATS = ("timm", "torchvision", "onnx", "torch_export", "huggingface")
"""In which a backbone is written for other libraries."""


def add_backbone_options(parser: Parser, batch_size: int = 256, data: bool = True) -> None:
    """Images, and how they pass through a backbone.

    Args:
        batch_size: by default.
        data: whether images must be given.
    """
    parser.add_argument("--data", metavar="FOLDER", required=data, help="a folder of images")
    add_opening_options(parser)
    parser.add_argument("--amp", action="store_true", help="compute in bfloat16")
    parser.add_argument(
        "--batch-size",
        type=whole_number,
        metavar="N",
        default=batch_size,
        help=f"images at once [{batch_size}]",
    )
    parser.add_argument(
        "--workers",
        type=whole_number,
        metavar="N",
        default=2,
        dest="num_workers",
        help="processes that read images [2]",
    )
    parser.add_argument(
        "--launcher",
        choices=("none", "pytorch", "slurm"),
        default="none",
        help="pytorch under torchrun, slurm under srun",
    )


def add_opening_options(parser: Parser) -> None:
    """Which backbone a source gives, and of which size its images are."""
    parser.add_argument(
        "--which",
        choices=("student", "teacher"),
        default="student",
        help="backbone of a run or a checkpoint [student]",
    )
    parser.add_argument(
        "--image-size", type=whole_number, metavar="N", help="side in pixels [that of training]"
    )
    add_import_option(parser)


def add_import_option(parser: Parser) -> None:
    """Modules of the user's own, which are imported before a source is opened."""
    parser.add_argument(
        "--custom-imports",
        nargs="+",
        metavar="MODULE",
        default=[],
        help="modules that register a backbone of your own [those of RUN/config.py]",
    )
