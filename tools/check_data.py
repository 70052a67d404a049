"""Read every image of a folder and tell what is there: ``tools/check_data.py FOLDER``."""

from __future__ import annotations

import sys

if __name__ == "__main__":  # before what takes time to import
    from mvssl.process.console import make_streams_last
    from mvssl.process.signals import start_command

    make_streams_last()
    start_command(sys.orig_argv)

import argparse
from collections.abc import Sequence

from mvssl.process.parser import Parser, whole_number
from mvssl.process.places import new_file
from mvssl.process.signals import end_command
from mvssl.process.telling import status_of

SHOWN = 20


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(
        description="Read every image of a folder once, and tell sizes, kinds, values, copies and "
        "what cannot be read.",
        allow_abbrev=False,
        epilog="Example: python tools/check_data.py ~/Pictures --good good.txt --picture sheet.png",
    )
    parser.add_argument("folder", metavar="FOLDER", help="a folder of images")
    parser.add_argument("--labels", action="store_true", help="its sub-folders are classes")
    parser.add_argument(
        "--good",
        metavar="FILE",
        help="write a list (.txt, or .jsonl with labels) of the images that can be read, of equal "
        "ones the first, for the data set ImageList",
    )
    parser.add_argument("--picture", metavar="FILE", help="write a PNG of images and sizes")
    parser.add_argument("--overwrite", action="store_true", help="these files may be there")
    parser.add_argument("--workers", type=whole_number, default=4, help="threads that read [4]")
    return parser.parse_args(argv)


def check(args: argparse.Namespace) -> None:
    from mvssl.apis.check_data import check_data, draw, of_list, write_list
    from mvssl.errors import UserError

    # Told before a folder is read that may take an hour.
    if args.good is not None:
        new_file(args.good, (".txt", ".jsonl"), args.overwrite, option="--good")
    if args.picture is not None:
        new_file(args.picture, (".png",), args.overwrite, option="--picture")
    report = check_data(args.folder, args.labels, args.workers)
    print("\n".join(report.lines()))
    for number, fault in list(report.faults.items())[:SHOWN]:
        print(f"{'unreadable':<12} {report.name(number)} {fault}")
    if len(report.faults) > SHOWN:
        print(f"{'':<12} and {len(report.faults) - SHOWN:,} more")
    if not report.readable:
        raise UserError(f"{args.folder}: no image can be read, of {len(report.dataset):,}.")
    if args.good is not None:
        left_out = write_list(report, args.good)
        print(f"{'list':<12} {args.good}: {len(report.good) - len(left_out):,} images")
        print(f"{'':<12} {of_list(report, args.good)}")
        for name in left_out[:SHOWN]:
            print(f"{'left out':<12} {name}: a list in .txt cannot name it; give one in .jsonl")
    if args.picture is not None:
        draw(report, args.picture)
        print(f"{'picture':<12} {args.picture}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status."""
    args = parse(argv)
    return status_of(lambda: check(args), "nothing was changed")


if __name__ == "__main__":
    end_command(main())
