"""Show what training will see: ``tools/browse_views.py CONFIG [--data FOLDER]``."""

from __future__ import annotations

import sys

if __name__ == "__main__":  # before what takes time to import
    from mvssl.process.console import make_streams_last
    from mvssl.process.signals import start_command

    make_streams_last()
    start_command(sys.orig_argv)

import argparse
import importlib
from collections.abc import Sequence
from pathlib import Path

from mvssl.process.parser import Parser, whole_number
from mvssl.process.places import new_file
from mvssl.process.signals import end_command
from mvssl.process.telling import status_of
from mvssl.process.train_parser import add_config_options


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(
        description="Show images beside the views that training will see of them, each with what "
        "was drawn for it.",
        allow_abbrev=False,
        epilog="Example: python tools/browse_views.py configs/photos/dino_small.py --data "
        "~/Pictures --epoch 3",
    )
    add_config_options(parser)
    parser.add_argument("--num", type=whole_number, default=8, help="images, 64 at most [8]")
    parser.add_argument("--epoch", type=whole_number, default=1, help="of the run, from 1 [1]")
    parser.add_argument(
        "--out", metavar="FILE", help="the picture, a PNG (default: <config>_views.png)"
    )
    parser.add_argument("--overwrite", action="store_true", help="the picture may be there")
    return parser.parse_args(argv)


def browse(args: argparse.Namespace) -> None:
    importlib.import_module("mvssl.opencv")  # which says what it lacks
    from mvssl.apis.browse_views import browse_views, draw
    from mvssl.apis.options import TrainOptions
    from mvssl.config.read import parse_options

    own = f"{Path(args.config).stem}_views.png"
    out = new_file(own if args.out is None else args.out, (".png",), args.overwrite)
    given = {name: value for name, value in vars(args).items() if name not in OWN}
    given["cfg_options"] = parse_options(args.cfg_options)
    browsed = browse_views(TrainOptions(**given), args.num, args.epoch)
    draw(browsed, out)
    print("\n".join([*browsed.lines(), f"written {out}"]))


OWN = ("num", "epoch", "out", "overwrite")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status."""
    args = parse(argv)
    return status_of(lambda: browse(args), "no picture was written")


if __name__ == "__main__":
    end_command(main())
