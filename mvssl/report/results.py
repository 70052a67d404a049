"""How the results of evaluators are shown, and which evaluator gave them: as a run keeps it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from mvssl.evaluation import Evaluator, Shown, known_evaluators

__all__ = [
    "known_results",
    "plain",
    "protocol_of",
    "results_shown",
    "told_results",
]

MOST_DECIMALS = 12


def told_results(evaluators: Mapping[str, Evaluator]) -> dict[str, dict[str, Any]]:
    """What a summary and a checkpoint keep of every result, by its name: the evaluator that gives
    it (``evaluator``, by its name in the config) and what ``Shown`` says.
    """
    return {
        name: {"evaluator": key, **asdict(how)}
        for key, one in evaluators.items()
        for name, how in one.curves.items()
    }


def results_shown(summary: Mapping[str, Any], recorded: Iterable[str] = ()) -> dict[str, Shown]:
    """How each result of a run is shown: as the run keeps it; of a run that keeps nothing of it, as
    the evaluators say that need no arguments, or by its plain name.

    Args:
        summary: of the run.
        recorded: names of its curves, those of results among them.
    """
    told = summary.get("results")
    if isinstance(told, Mapping):
        return {str(name): _shown(one) or plain(str(name)) for name, one in told.items()}
    known = known_results()
    names = [name.removesuffix("_init") for name in summary if name.endswith("_init")]
    names += [name for name in recorded if name in known]
    return {name: known.get(name) or plain(name) for name in dict.fromkeys(names)}


def protocol_of(summary: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """With what the evaluator that gave a result gave it; empty where the run does not say."""
    result = _mapping(_mapping(summary.get("results")).get(name))
    protocols = _mapping(summary.get("evaluation"))
    return _mapping(protocols.get(str(result.get("evaluator"))))


def _shown(told: Any) -> Shown | None:
    """What a file says, where it is of the right kinds."""
    one = {name: value for name, value in _mapping(told).items() if name != "evaluator"}
    texts = [one.get(name) for name in ("label", "unit", "curve", "panel")]
    decimals = one.get("decimals")
    right = (
        one.keys() == asdict(Shown("")).keys()
        and all(isinstance(text, str) for text in texts[:3])
        and isinstance(texts[3], str | None)
        and type(decimals) is int
        and 0 <= decimals <= MOST_DECIMALS
        and all(isinstance(one[name], bool) for name in ("listed", "significant"))
    )
    return Shown(**one) if right else None


def plain(name: str) -> Shown:
    """How a result is shown of which nothing is known but its name."""
    label = name.replace("_", " ")
    return Shown(label, panel=label, curve="features")


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def known_results() -> dict[str, Shown]:
    """How results of the registered evaluators are shown, of those that need no arguments."""
    return {name: how for one in known_evaluators() for name, how in one.curves.items()}
