"""Pretrain from a config: ``python tools/train.py configs/byol_er_vit.py``."""

from __future__ import annotations

import sys

if __name__ == "__main__":  # before what takes time to import
    from mvssl.process.console import make_streams_last
    from mvssl.process.signals import start_command

    make_streams_last()
    start_command(sys.orig_argv)

import argparse
import re
from collections.abc import Sequence

from mvssl.process.parser import Parser, whole_number
from mvssl.process.signals import end_command
from mvssl.process.telling import status_of


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(
        description="Pretrain a backbone without labels, from a config.",
        allow_abbrev=False,  # half a name may be another option's
        epilog="Example: python tools/train.py configs/photos/byol_er_vit.py --data ~/Pictures",
    )
    parser.add_argument("config", metavar="CONFIG", help="path of a config file")
    parser.add_argument(
        "--work-dir", metavar="DIR", help="outputs (default: work_dirs/<config>/<timestamp>)"
    )
    parser.add_argument("--data", metavar="FOLDER", help="train on the images in this folder")
    parser.add_argument(
        "--labels",
        action="store_true",
        help="sub-folders of FOLDER are classes (for evaluation alone)",
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
    parser.add_argument(
        "--seed",
        type=whole_number,
        metavar="N",
        help="default: 0, or that of the run which is resumed",
    )
    parser.add_argument("--amp", action="store_true", help="mixed precision (bfloat16)")
    parser.add_argument(
        "--dry-run", action="store_true", help="show what would run, try one batch, write nothing"
    )
    parser.add_argument("--launcher", choices=("none", "pytorch", "slurm"), default="none")
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        default=[],
        metavar="K=V",
        help="config values by path, e.g. train_cfg.max_epochs=10",
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line: 0 success, 1 a failure, 2 bad input, 3 a collapse, 128 + N a signal."""
    args = parse(argv)
    try:
        # Imported here so that --help and typing mistakes answer at once.
        from mvssl.apis.train import TrainOptions, train
    except ImportError as error:
        if not re.search("cv2|libGL|libglib|libgthread", str(error)):
            raise
        print(
            f"error: OpenCV cannot be imported ({error}): install its system libraries "
            "(Debian, Ubuntu: apt-get install -y libgl1 libglib2.0-0).",
            file=sys.stderr,
        )
        return 2
    from mvssl.config.read import parse_options

    def run() -> None:
        given = vars(args) | {"cfg_options": parse_options(args.cfg_options)}
        train(TrainOptions(**given))

    return status_of(run)


if __name__ == "__main__":
    end_command(main())
