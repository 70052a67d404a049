"""How the study tunes: one number after the other, each at the best of those before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from claims_plan import TUNING_SEED, Numbers, Row  # beside this file

from mvssl.errors import UserError

Rows = list[dict[str, Any]]

RATES = (2e-3, 1e-3, 4e-3)
MORE_RATES = (8e-3, 5e-4, 1.6e-2)
"""For objectives without a sharpness, so that all are tuned by as many runs."""
MOMENTA = (0.9, 0.97, 0.99)
WITH_TEACHER = ("byol", "dino", "mocov3")

KAPPA = (
    "model.head.kappa=10",
    "model.head.kappa=5",
    "model.head.kappa=2",
    "model.head.kappa=10 model.head.estimator=loo",
)
TARGETS = tuple(f"model.head.assigner.teacher_temp={value}" for value in (0.02, 0.04, 0.06))
TEMPERATURE = tuple(f"model.head.loss.temperature={value}" for value in (0.1, 0.2, 0.5, 0.05))
SHARPNESS = {
    ("simclr", "native"): TEMPERATURE,
    ("mocov3", "native"): TEMPERATURE,
    ("dino", "native"): TARGETS,
    ("dino", "er"): TARGETS,
    ("swav", "native"): tuple(
        f"model.head.assigner.epsilon={value}" for value in (0.03, 0.05, 0.1)
    ),
    ("swav", "er"): TARGETS,
    ("deepclusterv2", "native"): tuple(
        f"model.head.temperature={value}" for value in (0.1, 0.05, 0.2)
    ),
    ("deepcluster", "er"): TARGETS,
    ("deepclusterv2", "er"): TARGETS,
    **{(name, "er"): KAPPA for name in ("simclr", "mocov3", "byol", "simsiam", "vicreg")},
}
"""What says how sharp an objective is, as overrides; BYOL, SimSiam, VICReg and DeepCluster have
none natively. With kappa = 10, a sample's own kernel outweighs those of all 255 others:
leave-one-out leaves it out."""


def trials(rows: Rows, data: str, method: str, objective: str) -> list[Callable[[], list[Row]]]:
    """The runs of each stage; those of a later one can be told when the earlier ones are there."""
    plain = Row(data, method, objective, seed=TUNING_SEED, part="validation")

    def of(numbers: Callable[..., Iterator[Numbers]]) -> list[Row]:
        return [replace(plain, **one) for one in numbers(rows, data, method, objective)]

    return [partial(of, numbers) for numbers in STAGES]


TUNED = ("rate", "momentum", "sharpness")
"""By the names of ``Row``."""
DENSITY = 10.0
"""Concentration of the density that is measured with where ER has none of its own."""


def as_asked(row: Row) -> Numbers:
    """What a run of the tuning is run with."""
    return {**{name: getattr(row, name) for name in TUNED}, "kappa": DENSITY}


def as_tuned(row: Row, rows: Rows) -> tuple[Row, Numbers]:
    """A row and what it is run with: as tuned, and measured by ER's density natively too.

    Where its EMA coefficient is the tuned one, it is the plain row.

    Raises:
        UserError: a run of the tuning is missing.
    """
    known = [one["asked"] for one in rows]
    for stage in trials(rows, row.data, row.method, row.objective):
        if any(asdict(one) not in known for one in stage()):
            raise _not_tuned(row.data, row.method, row.objective)
    found = tuned(rows, row.data, row.method, row.objective)
    kappa = DENSITY
    if SHARPNESS.get((row.method, "er")) is KAPPA:
        words = tuned(rows, row.data, row.method, "er")["sharpness"].split()
        kappa = float(words[0].partition("=")[2])
    if row.momentum == found["momentum"]:
        row = replace(row, momentum=None)
    return row, {**found, "kappa": kappa}


def _start(method: str) -> Numbers:
    """At which the first number is tried."""
    return {"rate": RATES[0], "momentum": MOMENTA[0] if method in WITH_TEACHER else None}


def _sharpnesses(rows: Rows, data: str, method: str, objective: str) -> Iterator[Numbers]:
    values = SHARPNESS.get((method, objective), (None,))
    for value in values:
        yield {**_start(method), "sharpness": value}


# A best of earlier stages alone: a tuning that goes on, or runs again, asks for the same runs.


def _rates(rows: Rows, data: str, method: str, objective: str) -> Iterator[Numbers]:
    best = tuned(rows, data, method, objective, **_start(method))
    tried = SHARPNESS.get((method, objective)) or ()
    more = MORE_RATES[: len(SHARPNESS[method, "er"]) - max(len(tried), 1)]
    for rate in (*RATES[1:], *more):
        yield {**best, "rate": rate}


def _momenta(rows: Rows, data: str, method: str, objective: str) -> Iterator[Numbers]:
    if method in WITH_TEACHER:
        best = tuned(rows, data, method, objective, momentum=MOMENTA[0])
        for momentum in MOMENTA[1:]:
            yield {**best, "momentum": momentum}


STAGES = (_sharpnesses, _rates, _momenta)
"""What is tuned, in this order."""


def tuned(rows: Rows, data: str, method: str, objective: str, **fixed: Any) -> Numbers:
    """What had the best kNN on the validation images, among runs with the numbers ``fixed``."""
    asked = {"data": data, "method": method, "objective": objective}
    wanted = {**asked, "part": "validation", "variant": ""}
    found = [row for row in rows if (wanted | fixed).items() <= row["asked"].items()]
    if not found:
        raise _not_tuned(data, method, objective)
    best = max(found, key=lambda row: float(row["knn_top1"]))
    return {name: best["asked"][name] for name in TUNED}


def _not_tuned(data: str, method: str, objective: str) -> UserError:
    return UserError(f"{method} ({objective}) on {data} is not tuned to the end: run --tune.")
