"""Put runs beside each other: ``tools/compare.py RUN RUN ...``."""

from __future__ import annotations

import sys

if __name__ == "__main__":  # before what takes time to import
    from mvssl.process.console import make_streams_last
    from mvssl.process.signals import start_command

    make_streams_last()
    start_command(sys.orig_argv)

import argparse
from collections.abc import Sequence

from mvssl.errors import UserError
from mvssl.process.parser import Parser
from mvssl.process.places import PAGES, new_file
from mvssl.process.signals import end_command
from mvssl.process.telling import status_of


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(
        description="Compare runs: a table of their final numbers, with mean and standard "
        "deviation over seeds, and a page with their curves over each other.",
        allow_abbrev=False,
        epilog="Example: python tools/compare.py work_dirs/byol_vit work_dirs/byol_er_vit "
        "--out compared.html",
    )
    parser.add_argument(
        "runs", metavar="RUN", nargs="+", help="folders of runs, or folders that hold such"
    )
    parser.add_argument("--out", metavar="FILE.html", help="a page with table and curves")
    parser.add_argument("--json", metavar="FILE", help="the numbers as a file")
    parser.add_argument("--overwrite", action="store_true", help="these files may be there")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status."""
    given = vars(parse(argv))

    def run() -> None:
        if given["out"] is not None:
            page = new_file(given["out"], PAGES, given["overwrite"])
        if given["json"] is not None:
            file = new_file(given["json"], (), given["overwrite"], "--json")
            if given["out"] is not None and file.resolve() == page.resolve():
                raise UserError(f"--out and --json are one file, {file}: give two names.")
        print("reading runs", flush=True)
        from mvssl.apis.compare import CompareOptions, compare_runs

        compare_runs(CompareOptions(**given))

    return status_of(run, "nothing was written")


if __name__ == "__main__":
    end_command(main())
