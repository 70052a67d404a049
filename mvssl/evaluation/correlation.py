"""How measures go with accuracies over the checkpoints of a run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import spearmanr

__all__ = ["FEWEST", "Correlation", "correlations", "is_limit", "rank_correlation"]

FEWEST = 3
"""Points from which on a correlation of ranks is told."""

Values = Sequence[float | None]


@dataclass(frozen=True)
class Correlation:
    """Of two measures.

    Attributes:
        spearman: in [-1, 1]; None: there are too few points, or one measure is the same in all.
        points: in which both are finite numbers.
    """

    spearman: float | None
    points: int

    def text(self) -> str:
        """As people read it."""
        return "n/a" if self.spearman is None else f"{self.spearman:+.2f}"


def rank_correlation(first: Values, second: Values) -> Correlation:
    """Spearman's (1904) rank correlation, ties by their mean rank.

    Args:
        first, second: as many values of two measures; what is None or no finite number is left out
            with the value beside it.
    """
    pairs = [
        (x, y)
        for x, y in zip(first, second, strict=True)
        if x is not None and y is not None and math.isfinite(x) and math.isfinite(y)
    ]
    if len(pairs) < FEWEST or any(len(set(column)) == 1 for column in zip(*pairs, strict=True)):
        return Correlation(None, len(pairs))
    found = spearmanr(np.array(pairs)).statistic
    return Correlation(float(found), len(pairs))


def correlations(
    columns: Mapping[str, Values], measures: Sequence[str], accuracies: Sequence[str]
) -> dict[str, dict[str, Correlation]]:
    """Of every measure with every accuracy: by accuracy, then by measure.

    Args:
        columns: values by name, one for each checkpoint.
        measures, accuracies: names in ``columns``.
    """
    return {
        accuracy: {one: rank_correlation(columns[one], columns[accuracy]) for one in measures}
        for accuracy in accuracies
    }


def is_limit(name: str) -> bool:
    """Whether a result says how far another one can go, and nothing of a network itself."""
    return name.endswith(("_cap", "_floor", "_ceiling"))
