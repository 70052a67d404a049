"""Command lines whose faults are told in a sentence. The standard library alone."""

from __future__ import annotations

import argparse
import re
from typing import NoReturn

from mvssl.words import near_names

__all__ = ["Parser", "number", "whole_number"]


class Parser(argparse.ArgumentParser):
    """Says what is wrong with a command line, and which option may be meant, without a page of
    usage.
    """

    def error(self, message: str) -> NoReturn:
        """Print one sentence and exit with status 2."""
        self.exit(2, f"error: {self._told(message)}\n")

    def _told(self, message: str) -> str:
        unknown = re.fullmatch(r"unrecognized arguments: (.*)", message, re.DOTALL)
        choice = re.match(
            r"argument (\S+): invalid choice: '?(.*?)'? \(choose from (.*)\)", message
        )
        if unknown:
            return self._unknown(unknown[1].split())
        if choice:
            known = [word.strip("' ") for word in choice[3].split(",")]
            near = near_names(choice[2].lower(), known)
            return f"{choice[1]} is one of {', '.join(known)}, got '{choice[2]}'{near}"
        if "required" in message:
            return f"{message} first, before the options; {self.prog} --help shows them all."
        return f"{message}; {self.prog} --help shows all options."

    def _unknown(self, words: list[str]) -> str:
        options = [word for word in words if word.startswith("-")]
        if not options:
            pair = next((word for word in words if "=" in word), None)
            if pair is not None:
                return f"'{pair}' stands alone: values of the config follow --cfg-options."
            return f"'{words[0]}' is too much: one CONFIG is given, and options begin with --."
        name = options[0].partition("=")[0]
        near = near_names(
            name, self._option_string_actions, f"; {self.prog} --help shows them all."
        )
        return f"there is no option {name}{near}"


def whole_number(text: str) -> int:
    """The ``type`` of an option that takes one."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"it is a whole number, got '{text}'") from None


def number(text: str) -> float:
    """The ``type`` of an option that takes any number."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"it is a number, got '{text}'") from None
