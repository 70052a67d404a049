"""Train a classifier from a pretrained backbone: ``tools/finetune.py SOURCE --data FOLDER``."""

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
from mvssl.process.parser import Parser, number, whole_number
from mvssl.process.places import check_source, new_folder
from mvssl.process.signals import end_command
from mvssl.process.telling import status_of

NUMBERS = {
    "lr": "of a batch of 256 [0.001]",
    "weight-decay": "of AdamW [0.05]",
    "layer-decay": "rate of a layer by that of the one above it [0.75]",
    "warmup-epochs": "of the rate [a tenth of the epochs, 5 at most]",
    "crop-scale": "least part of an image that a crop holds [0.3]",
    "mixup": "alpha; 0: no mixing [0]",
    "cutmix": "alpha; 0: no mixing [0]",
    "smoothing": "of the labels [0.1]",
    "label-fraction": "part of the training images of each class that is used [1]",
}


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(
        description="Train a whole network to tell classes apart, beginning with a backbone.",
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,  # defaults are those of FinetuneOptions
        epilog="Example: python tools/finetune.py work_dirs/photos/byol_er_vit_96/RUN "
        "--data ~/flowers --out finetuned --label-fraction 0.1 --baseline",
    )
    parser.add_argument("source", metavar="SOURCE", help=SOURCES)
    add_backbone_options(parser, batch_size=64)
    parser.add_argument("--test", metavar="FOLDER", help="held-out images [a part of --data]")
    parser.add_argument("--out", metavar="DIR", required=True, help="folder, new or empty")
    parser.add_argument("--epochs", type=whole_number, metavar="N", help="[50]")
    for name, text in NUMBERS.items():
        parser.add_argument(f"--{name}", type=number, metavar="X", help=text)
    parser.add_argument("--seed", type=whole_number, metavar="N", help="[0]")
    parser.add_argument(
        "--baseline", action="store_true", help="train the same network from random weights too"
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status."""
    given = vars(parse(argv))

    def run() -> None:
        check_source(given["source"])
        new_folder(given["out"])
        from mvssl.apis.finetune import FinetuneOptions, finetune
        from mvssl.models.backbones import import_modules

        import_modules(given.pop("custom_imports"))
        finetune(FinetuneOptions(**given))

    return status_of(run, "nothing was written, since the classifier is when it is trained")


if __name__ == "__main__":
    end_command(main())
