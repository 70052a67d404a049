"""Groups of runs that differ in nothing but their seed, and what is to be known before their
numbers are compared.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mvssl.checkpoint import number_of
from mvssl.report.recorded import Recorded, told_progress
from mvssl.words import some

__all__ = ["DASH", "Group", "grouped", "remarks"]

DASH = "\N{EN DASH}"
OPTIONS = ("backbone", "init_from", "image_size", "batch_size", "amp")
"""What makes another run, beside the config, its data, its objective and its values."""


@dataclass(frozen=True)
class Group:
    """Runs of one config, with the same options, on the same data.

    Attributes:
        method: name of the config.
        objective: ``native`` or ``er``.
        data: what they were trained on.
        settings: what else their command line said, by path, but for what all groups have in
            common.
        runs: by their seeds.
    """

    method: str
    objective: str
    data: str
    settings: Mapping[str, str]
    runs: tuple[Recorded, ...]

    @property
    def finished(self) -> list[Recorded]:
        """The runs from which means are taken."""
        return [run for run in self.runs if run.state == "finished"]

    @property
    def told_settings(self) -> str:
        """In a line."""
        return ", ".join(f"{path}={value}" for path, value in self.settings.items())

    @property
    def short_settings(self) -> list[str]:
        """With the last parts of paths, where there is little room."""
        return [f"{path.split('.')[-1]}={value}" for path, value in self.settings.items()]


def grouped(runs: Sequence[Recorded]) -> list[Group]:
    """Groups in the order of their first runs."""
    found: dict[str, list[Recorded]] = {}
    for run in runs:
        found.setdefault(_key(run), []).append(run)
    said = [_settings(same[0].options) for same in found.values()]
    common = set.intersection(*({*one.items()} for one in said)) if len(said) > 1 else set()
    return [
        Group(
            same[0].name,
            same[0].objective,
            same[0].data or DASH,
            {path: value for path, value in one.items() if (path, value) not in common},
            tuple(sorted(same, key=lambda run: number_of(run.summary, "seed") or 0.0)),
        )
        for same, one in zip(found.values(), said, strict=True)
    ]


def _key(run: Recorded) -> str:
    """What runs must agree in to be told apart by their seed alone."""
    told: list[Any] = [run.name, run.images or number_of(run.summary, "images")]
    told += [run.options.get("amp"), run.options.get("init_from")]
    # A run of which no setting is known is like no other.
    told.append(run.config_text or run.values or str(run.folder.resolve()))
    return json.dumps(told, sort_keys=True, default=str)


def _settings(options: Mapping[str, Any]) -> dict[str, str]:
    given = options.get("cfg_options")
    said = dict(given) if isinstance(given, Mapping) else {}
    said |= {name: options[name] for name in OPTIONS if options.get(name)}
    return {str(path): str(value) for path, value in said.items()}


def remarks(groups: Sequence[Group]) -> list[str]:
    """What is to be known before numbers are compared."""
    runs = [run for group in groups for run in group.runs]
    told = [*_of_data(runs)]
    partly = [run for run in runs if run.state != "finished"]
    if partly:
        listed = "; ".join(f"{run.folder} after {told_progress(run)}" for run in partly)
        told.append(f"Not finished, marked by *, and in no mean: {listed}.")
    for group in groups:
        seeds = [run.summary.get("seed") for run in group.finished]
        if len(set(map(str, seeds))) < len(seeds):
            told.append(
                f"{group.method}: several runs are of the same seed, and count each for itself."
            )
    return told


def _of_data(runs: Sequence[Recorded]) -> list[str]:
    """Whether runs are of the same images, as far as their folders tell."""
    data: dict[Any, list[Recorded]] = {}
    for run in runs:
        known = run.images or (run.data, number_of(run.summary, "images"))
        data.setdefault(known, []).append(run)
    if len(data) < 2:
        return []
    listed = "; ".join(
        f"{same[0].data or 'unknown data'}, {same[0].summary.get('images', '?')} images: "
        f"{some(str(run.folder) for run in same)}"
        for same in data.values()
    )
    numbers = {number_of(run.summary, "images") for run in runs} - {None}
    if len({run.images for run in runs} - {""}) > 1 or len(numbers) > 1:
        return [
            f"The runs are of different data, and numbers can be compared within one alone "
            f"({listed})."
        ]
    return [
        f"Whether the runs are of the same data cannot be told from what is left of them, and "
        f"numbers can be compared only where they are ({listed})."
    ]
