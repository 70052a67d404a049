"""Put trained backbones beside each other: ``tools/evaluate.py SOURCE ... --data FOLDER``."""

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
from mvssl.process.places import check_source, new_folder
from mvssl.process.signals import end_command
from mvssl.process.telling import status_of

RESULTS = ("metrics.json", "checkpoints.json")


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(
        description="Evaluate what backbones make of labelled images, and compare them.",
        allow_abbrev=False,
        epilog="Example: python tools/evaluate.py work_dirs/photos/byol_er_vit_96/RUN "
        "timm:resnet18 pixels --data ~/flowers --evaluators knn linear",
    )
    parser.add_argument(
        "sources",
        metavar="SOURCE",
        nargs="+",
        help=f"{SOURCES}; or pixels, to compare with",
    )
    add_backbone_options(parser, data=False)
    parser.add_argument("--test", metavar="FOLDER", help="held-out images [a part of --data]")
    parser.add_argument(
        "--evaluators",
        nargs="+",
        metavar="NAME",
        default=[],
        help="clustering, information, knn, linearprobe, lowshot, retrieval, sgdprobe, or the "
        "beginning of a name [knn linear]",
    )
    parser.add_argument(
        "--options",
        nargs="+",
        metavar="K=V",
        default=[],
        help="arguments of evaluators, e.g. knn.k=50",
    )
    parser.add_argument("--out", metavar="DIR", help="folder of table and pictures")
    parser.add_argument(
        "--checkpoints",
        action="store_true",
        help="every epoch_*.pth of the run SOURCE, and how measures without labels go with kNN "
        "[knn information]; without --data, from the run's own curves",
    )
    parser.add_argument("--overwrite", action="store_true", help="DIR may hold such results")
    args = parser.parse_args(argv)
    if args.data is None and not args.checkpoints:
        parser.error("the following arguments are required: --data")
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status."""
    given = vars(parse(argv))

    def run() -> None:
        overwrite = given.pop("overwrite")
        for source in given["sources"]:
            if source != "pixels":
                check_source(source)
        if given["out"] is not None:
            new_folder(given["out"], RESULTS, overwrite)
        from mvssl.apis.checkpoints import evaluate_checkpoints
        from mvssl.apis.evaluate import EvaluateOptions, evaluate_backbones
        from mvssl.config.read import parse_options
        from mvssl.models.backbones import import_modules

        import_modules(given.pop("custom_imports"))
        options = parse_options(given["options"], "--options")
        action = evaluate_checkpoints if given.pop("checkpoints") else evaluate_backbones
        action(EvaluateOptions(**given | {"options": options}))

    return status_of(run, "nothing was written, since results are when all is measured")


if __name__ == "__main__":
    end_command(main())
