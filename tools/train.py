"""Pretrain from a config: ``python tools/train.py configs/byol_er_vit.py``."""

from __future__ import annotations

import sys

if __name__ == "__main__":  # before what takes time to import
    from mvssl.process.console import make_streams_last
    from mvssl.process.signals import start_command

    make_streams_last()
    start_command(sys.orig_argv)

import importlib
from collections.abc import Sequence

from mvssl.process.signals import end_command
from mvssl.process.telling import status_of
from mvssl.process.train_parser import parse_train


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line: 0 success, 1 a failure, 2 bad input, 3 a collapse, 128 + N a signal."""
    args = parse_train(argv)

    def run() -> None:
        # Imported here so that --help and typing mistakes answer at once; OpenCV first, which says
        # what it lacks.
        importlib.import_module("mvssl.opencv")
        from mvssl.apis.train import TrainOptions, train
        from mvssl.config.read import parse_options

        given = vars(args) | {"cfg_options": parse_options(args.cfg_options)}
        train(TrainOptions(**given))

    return status_of(run)


if __name__ == "__main__":
    end_command(main())
