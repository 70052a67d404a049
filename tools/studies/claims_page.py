"""Tables of ``docs/claims.md``, from the rows of ``claims.py`` and nothing else."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import claims_figures  # lies beside this file
import rows as store  # lies beside the benchmarks
from claims_cells import Cell, Stored, cell, shared
from claims_plan import (
    ALL_MOMENTA,
    BASE_BATCH,
    CLUSTERING,
    COMPETING,
    DISCRETE,
    DISTILLATION,
    FROZEN,
    LONG,
    MAIN,
    NAMES,
    OTHER_BATCHES,
    REMEDIES,
    SMALL_BATCH,
    SMALL_MOMENTA,
)
from rows import BySeed, paired, with_interval

from mvssl.errors import UserError
from mvssl.files import make_folder


def write(page: Path, rows: Sequence[Stored]) -> None:
    """Write the page's tables and its figures anew.

    Args:
        page: holds ``<!-- table: NAME -->`` ... ``<!-- end -->`` for each table.
        rows: all that were stored.

    Raises:
        UserError: there are none, or the page lacks a table.
    """
    if not rows:
        raise UserError(
            f"There are no rows to write {page} from: run some, or give another --json."
        )
    tables = {}
    for name, (table, data) in TABLES.items():
        shown = [row for row in rows if data in (None, row["asked"]["data"])]
        tables[name] = table(shown) if shown else "Not run yet."
    cifar = [row for row in rows if row["asked"]["data"] == "cifar10"]
    figures = page.parent / "figures"
    make_folder(figures)
    claims_figures.plot_curves(figures / "claims_curves.png", cifar, MAIN)
    claims_figures.plot_curves(figures / "claims_byol.png", cifar, ("byol",))
    claims_figures.plot_drops(figures / "claims_drops.png", cifar)
    claims_figures.plot_clustering(figures / "claims_clustering.png", cifar)
    store.rewrite(page, tables)


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rule = "|---" * len(head) + "|"
    body = [_line(line) for line in lines]
    return "\n".join([_line(head), rule, *body])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def tuning(rows: Sequence[Stored]) -> str:
    """kNN on validation images for every cell of the grids, the chosen one in bold."""
    lines = []
    for method in NAMES:
        for objective in ("native", "er"):
            grid = [
                row
                for row in rows
                if (row["asked"]["part"], row["asked"]["variant"]) == ("validation", "")
                and (row["asked"]["method"], row["asked"]["objective"]) == (method, objective)
            ]
            best = max(grid, key=lambda row: float(row["knn_top1"]), default=None)
            for row in grid:
                asked, reached = row["asked"], f"{row['knn_top1']:.3f}"
                momentum = "–" if asked["momentum"] is None else f"{asked['momentum']:g}"
                lines.append(
                    [
                        _named(method, objective),
                        _told_sharpness(asked["sharpness"]),
                        f"{asked['rate']:g}",
                        momentum,
                        f"**{reached}**" if row is best else reached,
                    ]
                )
    return _table(["", "sharpness", "learning rate", "EMA", "kNN, validation"], lines)


def _named(method: str, objective: str) -> str:
    return f"{NAMES[method]}{' + ER' if objective == 'er' else ''}"


def _told_sharpness(overrides: str | None) -> str:
    """``kappa=10, estimator=loo``, of the words of a command; of a number's dots none divides."""
    pairs = [word.partition("=") for word in (overrides or "").split()]
    return ", ".join(f"{key.rpartition('.')[2]}={value}" for key, _, value in pairs) or "–"


def competitive(rows: Sequence[Stored]) -> str:
    lines = []
    for method in COMPETING:
        native, er = shared(cell(rows, method, "native"), cell(rows, method, "er"))
        probes = [one.at("online_top1", -1) for one in (native, er)]
        lines.append(
            [
                NAMES[method],
                native.text(),
                er.text(),
                with_interval(paired(er.knn, native.knn)),
                with_interval(paired(probes[1], probes[0])),
            ]
        )
    plain = Cell(row for row in rows if row["asked"]["part"] == "test")
    untrained = (plain.reached(name) for name in ("knn_top1_init", "knn_top1_pixels"))
    for what, found in zip(("an untrained network", "raw pixels"), untrained, strict=True):
        lines.append([what, found, "", "", ""])
    head = ["method", "kNN, native", "kNN, ER", "ER - native, kNN", "ER - native, online probe"]
    return _table(head, lines)


def long(rows: Sequence[Stored]) -> str:
    """What longer runs reach, and which part of it the study's own have."""
    lines = []
    for method in MAIN:
        for objective in ("native", "er"):
            base, more = shared(
                cell(rows, method, objective), cell(rows, method, objective, length="long")
            )
            start = base.reached("knn_top1_init")
            part = "–"
            if more:
                first, *ends = (
                    statistics.fmean(values)
                    for values in (
                        [float(row["knn_top1_init"]) for row in base.rows.values()],
                        base.knn.values(),
                        more.knn.values(),
                    )
                )
                part = f"{(ends[0] - first) / (ends[1] - first):.0%}"
            lines.append([_named(method, objective), start, base.text(), more.text(), part])
    head = [
        "",
        "kNN, untrained",
        "the study's",
        f"{LONG} times as long",
        "of that way already there",
    ]
    return _table(head, lines)


Change = tuple[dict[str, Any], dict[str, Any] | None]
"""What is asked of the base and of the small setting; None: there is none."""


def _drops(rows: Sequence[Stored], method: str, native: Change, er: Change) -> list[str]:
    """Cells of a line: natively, with ER, and how much more falls natively."""
    texts, drops = list[str](), list[BySeed]()
    for objective, (base, small) in (("native", native), ("er", er)):
        start = cell(rows, method, objective, **base)
        if small is None:
            drops.append({})
            texts += [start.text(), "–", "–"]
            continue
        start, end = shared(start, cell(rows, method, objective, **small))
        drops.append(paired(start.knn, end.knn))
        texts += [start.text(), end.text(), with_interval(drops[-1])]
    return [*texts, with_interval(paired(*drops))]


DROP_HEAD = [
    "native, base",
    "native, small",
    "native falls by",
    "ER, base",
    "ER, small",
    "ER falls by",
    "native falls by more",
]


def batch(rows: Sequence[Stored]) -> str:
    lines = []
    for method in MAIN:
        for length in ("epochs", "steps"):
            small = {"batch": SMALL_BATCH, "length": length}
            for k, base in (("batch", {}), (str(SMALL_BATCH), {"group": SMALL_BATCH})):
                falls = _drops(rows, method, ({}, small), (base, small))
                lines.append([NAMES[method], length, k, *falls])
    for method, remedies in REMEDIES.items():
        for k, (base, small) in remedies.items():
            # A remedy is one of ER; with micro-batches the batch is the base's.
            native = {"batch": small["batch"]} if "batch" in small else None
            falls = _drops(rows, method, ({}, native), (base, small))
            lines.append([NAMES[method], "epochs", k, *falls])
    return _table(["method", "equal", "ER's k", *DROP_HEAD], lines)


def batches(rows: Sequence[Stored]) -> str:
    """Each batch at equal epochs."""
    sizes = sorted((*OTHER_BATCHES, SMALL_BATCH, BASE_BATCH))
    lines = [
        [
            _named(method, objective),
            *(cell(rows, method, objective, batch=size).text() for size in sizes),
        ]
        for method in MAIN
        for objective in ("native", "er")
    ]
    return _table(["kNN, batch of", *map(str, sizes)], lines)


def ema(rows: Sequence[Stored]) -> str:
    changes: dict[float, Change] = {x: ({}, {"momentum": x}) for x in SMALL_MOMENTA}
    lines = [
        [NAMES[method], f"{momentum:g}", *_drops(rows, method, change, change)]
        for method in DISTILLATION
        for momentum, change in changes.items()
    ]
    return _table(["method", "EMA", *DROP_HEAD], lines)


def distillation(rows: Sequence[Stored]) -> str:
    """The terms of the bound of held-out images against the EMA coefficient, natively."""
    lines = []
    for method in DISTILLATION:
        kind = "heldout_assigned_" if method == "dino" else "heldout_"
        tuned = {row["momentum"] for row in cell(rows, method, "native").rows.values()}
        momenta = sorted({*ALL_MOMENTA, *tuned})
        ran = shared(*(cell(rows, method, "native", momentum=x) for x in momenta))
        plain = ran[momenta.index(min(tuned, default=momenta[0]))]
        at_start = [plain.reached("knn_top1_init"), *_terms(plain, kind, 0)]
        lines.append([NAMES[method], "before training", *at_start])
        for momentum, found in zip(momenta, ran, strict=True):
            told = f"{momentum:g}{_told_momentum(momentum, tuned)}"
            lines.append([NAMES[method], told, found.text(), *_terms(found, kind, -1)])
    head = ["floor", "H, target", "H, student", "cap", "reconstruction", "ER estimate", "InfoNCE"]
    return _table(["method", "EMA", "kNN", *head], lines)


def _terms(found: Cell, kind: str, place: int) -> list[str]:
    entropies = ("entropy_floor", "entropy", "student_entropy", "entropy_cap")
    names = (*entropies, "reconstruction", "mi_bound", "infonce")
    return [found.nats(f"{kind}{name}", place) for name in names]


def _told_momentum(momentum: float, tuned: set[float]) -> str:
    return " (frozen)" if momentum == FROZEN else " (tuned)" if momentum in tuned else ""


def clustering(rows: Sequence[Stored]) -> str:
    """The terms of the bound at the first batch and the last, natively."""
    lines = []
    for method in CLUSTERING:
        found = cell(rows, method, "native")
        for place, reached in {0: "–", -1: found.text()}.items():
            terms = ("entropy", "student_entropy", "information", "reconstruction", "mi_bound")
            steps = {row["curves"]["entropy"][0][place] for row in found.rows.values()}
            told = ", ".join(map(str, sorted(steps))) or "–"
            lines.append([NAMES[method], told, reached, *(found.nats(x, place) for x in terms)])
    head = ["H(W)", "H of the student's mean", "H(W) - H(W given X)", "reconstruction"]
    return _table(["method", "step", "kNN", *head, "ER estimate"], lines)


def centre(rows: Sequence[Stored]) -> str:
    lines = []
    asked = {
        "DINO": ("native", ""),
        "DINO without its centre": ("native", "no centre"),
        "DINO with Sinkhorn in its place": ("native", "Sinkhorn"),
        "DINO + ER (no centre)": ("er", ""),
    }
    ran = shared(*(cell(rows, "dino", x, variant=variant) for x, variant in asked.values()))
    for name, found in zip(asked, ran, strict=True):
        terms = ("entropy", "conditional_entropy", "reconstruction")
        lines.append([name, found.text(), *(found.nats(f"heldout_assigned_{x}") for x in terms)])
    return _table(["", "kNN", "H(W), nats", "H(W given X), nats", "reconstruction, nats"], lines)


DISCRETE_NAMES = {
    "": "of a softmax as sharp as the target's",
    "half beta": "the same, beta = 0.5",
    "one softmax": "of the student's own softmax",
    "one softmax, both sides": "one softmax for both terms, both sides trained (the paper's code)",
}


def discrete(rows: Sequence[Stored]) -> str:
    """Which entropy DINO and SwAV with ER are best trained with."""
    lines = []
    for method, variants in DISCRETE.items():
        ran = shared(*(cell(rows, method, "er", variant=variant) for variant in variants))
        for variant, found in zip(variants, ran, strict=True):
            terms = ("entropy", "conditional_entropy", "reconstruction")
            lines.append(
                [
                    f"{NAMES[method]} + ER",
                    DISCRETE_NAMES[variant],
                    found.text(),
                    with_interval(paired(found.knn, ran[0].knn)) if variant else "–",
                    _on_validation(rows, method, variant),
                    *(found.nats(f"heldout_assigned_{x}") for x in terms),
                ]
            )
    head = ["", "entropy", "kNN", "against the first", "kNN, validation"]
    return _table([*head, "H(W), nats", "H(W given X), nats", "reconstruction, nats"], lines)


def _on_validation(rows: Sequence[Stored], method: str, variant: str) -> str:
    """The best that is known on the validation images."""
    wanted = {"method": method, "objective": "er", "variant": variant, "part": "validation"}
    found = [float(row["knn_top1"]) for row in rows if wanted.items() <= row["asked"].items()]
    return f"{max(found):.3f}" if found else "–"


def runs(rows: Sequence[Stored]) -> str:
    """What made the rows: processors, versions, times."""
    processors = sorted({row["processor"] for row in rows})
    versions = sorted({f"torch {row['versions']['torch']}" for row in rows})
    seconds = sorted(float(row["seconds"]) for row in rows)
    middle = f"{statistics.median(seconds) / 60:.1f}" if seconds else "–"
    return _table(
        ["runs", "processor", "versions", "median minutes of a run"],
        [[str(len(rows)), ", ".join(processors), ", ".join(versions), middle]],
    )


TABLES: dict[str, tuple[Callable[[Sequence[Stored]], str], str | None]] = {
    "tuning": (tuning, "cifar10"),
    "long": (long, "cifar10"),
    "competitive": (competitive, "cifar10"),
    "batch": (batch, "cifar10"),
    "batches": (batches, "cifar10"),
    "ema": (ema, "cifar10"),
    "distillation": (distillation, "cifar10"),
    "clustering": (clustering, "cifar10"),
    "centre": (centre, "cifar10"),
    "discrete": (discrete, "cifar10"),
    "fashion": (competitive, "fashion"),
    "fashion tuning": (tuning, "fashion"),
    "runs": (runs, None),
}
"""Each with the data set of which it shows the rows; None: all."""
