"""Write features of images: ``tools/extract.py SOURCE --data FOLDER --out FILE``."""

from __future__ import annotations

import sys

if __name__ == "__main__":  # before what takes time to import
    from mvssl.process.console import make_streams_last
    from mvssl.process.signals import start_command

    make_streams_last()
    start_command(sys.orig_argv)

import argparse
from collections.abc import Sequence

from mvssl.process.backbone_parser import SOURCES, add_backbone_options
from mvssl.process.parser import Parser
from mvssl.process.places import FEATURES, check_source, new_file
from mvssl.process.signals import end_command
from mvssl.process.telling import status_of


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(
        description="Write what a backbone makes of every image of a folder.",
        allow_abbrev=False,
        epilog="Example: python tools/extract.py work_dirs/photos/byol_er_vit_96/RUN "
        "--data ~/Pictures --out features.npz",
    )
    parser.add_argument("source", metavar="SOURCE", help=SOURCES)
    add_backbone_options(parser)
    parser.add_argument("--labels", action="store_true", help="sub-folders are classes")
    parser.add_argument(
        "--split", choices=("train", "test", "all"), default="all", help="of the folder [all]"
    )
    parser.add_argument(
        "--out", metavar="FILE", required=True, help=".npz, .npy (can be mapped) or .parquet"
    )
    parser.add_argument("--overwrite", action="store_true", help="FILE may be there")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status."""
    given = vars(parse(argv))

    def run() -> None:
        check_source(given["source"])
        new_file(given["out"], FEATURES, given["overwrite"])
        from mvssl.apis.extract import extract_to_file
        from mvssl.models.backbones import import_modules

        import_modules(given.pop("custom_imports"))
        extract_to_file(**given)

    return status_of(run, "no features were written")


if __name__ == "__main__":
    end_command(main())
