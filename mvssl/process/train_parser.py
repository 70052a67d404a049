"""The command line of ``tools/train.py``. The standard library alone."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from mvssl.process.parser import Parser, whole_number

__all__ = ["add_config_options", "parse_train"]


def add_config_options(parser: Parser) -> None:
    """A config, its data and its values: what every command line about a run takes."""
    parser.add_argument("config", metavar="CONFIG", help="path of a config file")
    parser.add_argument("--data", metavar="FOLDER", help="train on the images in this folder")
    parser.add_argument(
        "--labels",
        action="store_true",
        help="sub-folders of FOLDER are classes (for evaluation alone)",
    )
    parser.add_argument(
        "--image-size", type=positive_number, metavar="N", help="side of the views in pixels"
    )
    parser.add_argument(
        "--seed",
        type=whole_number,
        metavar="N",
        help="default: 0, or that of the run which is resumed",
    )
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        default=[],
        metavar="K=V",
        help="config values by path, e.g. train_cfg.max_epochs=10",
    )


def parse_train(argv: Sequence[str] | None) -> argparse.Namespace:
    """The options of ``tools/train.py``, by the names that TrainOptions gives them."""
    parser = Parser(
        description="Pretrain a backbone without labels, from a config.",
        allow_abbrev=False,  # half a name may be another option's
        epilog="Example: python tools/train.py configs/photos/byol_er_vit.py --data ~/Pictures",
    )
    add_config_options(parser)
    parser.add_argument(
        "--work-dir",
        metavar="DIR",
        help="outputs (default: work_dirs/<config>/<time>[_er][_<images>])",
    )
    parser.add_argument("--backbone", metavar="NAME", help="any model of timm")
    parser.add_argument(
        "--batch-size",
        type=positive_number,
        metavar="N",
        help="images of a step, over all processes; the learning rate follows",
    )
    parser.add_argument(
        "--init-from",
        metavar="X",
        help="weights to begin with: a file in any usual layout, or a model of timm",
    )
    parser.add_argument(
        "--objective",
        choices=("native", "er"),
        help="er: put the config's er_head in the place of its head",
    )
    parser.add_argument(
        "--resume",
        nargs="?",
        const=True,
        default=False,
        metavar="CHECKPOINT",
        help="go on with the newest run of this config (or of --work-dir), or from a file",
    )
    parser.add_argument("--amp", action="store_true", help="mixed precision (bfloat16)")
    parser.add_argument(
        "--dry-run", action="store_true", help="show what would run, try one batch, write nothing"
    )
    parser.add_argument("--launcher", choices=("none", "pytorch", "slurm"), default="none")
    return parser.parse_args(argv)


def positive_number(text: str) -> int:
    """As ``whole_number``, from 1 on."""
    number = whole_number(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"it is a whole number of at least 1, got '{text}'")
    return number
