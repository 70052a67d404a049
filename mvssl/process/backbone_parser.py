"""What command lines about a trained backbone take. The standard library alone."""

from __future__ import annotations

from mvssl.process.parser import Parser, positive_number, whole_number

__all__ = ["SOURCES", "add_backbone_options"]

SOURCES = (
    "folder of a run, its backbone.safetensors, a checkpoint, or timm:NAME (published weights)"
)


def add_backbone_options(parser: Parser) -> None:
    """Images, and how they pass through a backbone."""
    parser.add_argument("--data", metavar="FOLDER", required=True, help="a folder of images")
    parser.add_argument(
        "--which",
        choices=("student", "teacher"),
        default="student",
        help="backbone of a run or a checkpoint [student]",
    )
    parser.add_argument(
        "--image-size", type=positive_number, metavar="N", help="side in pixels [that of training]"
    )
    parser.add_argument("--amp", action="store_true", help="compute in bfloat16")
    parser.add_argument(
        "--batch-size", type=positive_number, metavar="N", default=256, help="images at once [256]"
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
