"""Write a backbone for another library: ``tools/export.py SOURCE --format timm --out DIR``."""

from __future__ import annotations

import sys

if __name__ == "__main__":  # before what takes time to import
    from mvssl.process.console import make_streams_last
    from mvssl.process.signals import start_command

    make_streams_last()
    start_command(sys.orig_argv)

import argparse
from collections.abc import Sequence

from mvssl.process.backbone_parser import FORMATS, SOURCES, add_opening_options
from mvssl.process.parser import Parser
from mvssl.process.places import check_source, new_folder
from mvssl.process.signals import end_command
from mvssl.process.telling import status_of


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(
        description="Write a trained backbone for another library, and compare it there.",
        allow_abbrev=False,
        epilog="Example: python tools/export.py work_dirs/photos/byol_er_vit_96/RUN --format timm "
        "--out exports/byol_timm",
    )
    parser.add_argument("source", metavar="SOURCE", help=SOURCES)
    parser.add_argument("--format", choices=FORMATS, required=True, help=", ".join(FORMATS))
    parser.add_argument("--out", metavar="DIR", required=True, help="a new or an empty folder")
    parser.add_argument(
        "--data", metavar="FOLDER", help="images to compare on [photographs of scikit-learn]"
    )
    add_opening_options(parser)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status."""
    given = vars(parse(argv))

    def run() -> None:
        check_source(given["source"])
        new_folder(given["out"])
        from mvssl.apis.export import export
        from mvssl.models.backbones import import_modules

        import_modules(given.pop("custom_imports"))
        export(**given)

    return status_of(run, "nothing was exported")


if __name__ == "__main__":
    end_command(main())
