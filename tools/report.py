"""Write the page of a run: ``tools/report.py RUN``."""

from __future__ import annotations

import sys

if __name__ == "__main__":  # before what takes time to import
    from mvssl.process.console import make_streams_last
    from mvssl.process.signals import start_command

    make_streams_last()
    start_command(sys.orig_argv)

import argparse
from collections.abc import Sequence

from mvssl.process.backbone_parser import add_import_option
from mvssl.process.parser import Parser, whole_number
from mvssl.process.places import PAGES, new_file
from mvssl.process.signals import end_command
from mvssl.process.telling import status_of


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(
        description="Write one HTML file that says how a run went: verdict, numbers, curves, "
        "views, nearest neighbours and a map of images.",
        allow_abbrev=False,
        epilog="Example: python tools/report.py work_dirs/photos/byol_er_vit_96/RUN "
        "--data ~/flowers",
    )
    parser.add_argument("run", metavar="RUN", help="folder of a run, finished or not")
    parser.add_argument("--out", metavar="FILE", help="the page [report.html in RUN]")
    parser.add_argument(
        "--data", metavar="FOLDER", help="images to show [those that it was trained on]"
    )
    parser.add_argument(
        "--images",
        type=whole_number,
        metavar="N",
        default=1000,
        help="most of them; 0: none [1000]",
    )
    parser.add_argument("--map", choices=("pca", "tsne", "umap"), default="pca", help="[pca]")
    parser.add_argument(
        "--workers",
        type=whole_number,
        metavar="N",
        default=2,
        dest="num_workers",
        help="processes that read images [2]",
    )
    parser.add_argument("--overwrite", action="store_true", help="FILE may be there")
    add_import_option(parser)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status."""
    given = vars(parse(argv))

    def run() -> None:
        if given["out"] is not None:
            new_file(given["out"], PAGES, given["overwrite"])
        from mvssl.apis.report import ReportOptions, report_run
        from mvssl.models.backbones import import_modules

        import_modules(given.pop("custom_imports"))
        print(f"written {report_run(ReportOptions(**given))}")

    return status_of(run, "no page was written")


if __name__ == "__main__":
    end_command(main())
