"""Tables and figures of ``docs/claims.md``, from the rows of ``claims.py`` and nothing else."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rows as store  # lies beside the benchmarks
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import stats

from mvssl.files import write_bytes_atomically

BASE_BATCH = 256
SMALL_BATCH = 32
BLUE, ORANGE, GREY = "#2f6fbf", "#d9822b", "#8a8a8a"

Row = dict[str, Any]


NAMES = {
    "simclr": "SimCLR",
    "mocov3": "MoCo v3",
    "byol": "BYOL",
    "simsiam": "SimSiam",
    "dino": "DINO",
    "swav": "SwAV",
    "deepclusterv2": "DeepCluster v2",
    "vicreg": "VICReg",
}
MAIN = ("simclr", "byol", "dino")
"""Methods of the arms that change batch and EMA coefficient."""
WITH_TEACHER = ("byol", "dino")
MOMENTA = (0.8, 0.5, 0.0)
FROZEN = 1.0
ALL_MOMENTA = (0.0, 0.5, 0.8, 0.99, FROZEN)


def write(page: Path, rows: Sequence[Row]) -> None:
    """Write the page's tables and its figures anew.

    Args:
        page: holds ``<!-- table: NAME -->`` ... ``<!-- end -->`` for each table.
        rows: all that were stored.
    """
    text = page.read_text()
    for name, (table, data) in TABLES.items():
        shown = [row for row in rows if data in (None, row["asked"]["data"])]
        before, after = store.split_page(text, name)
        text = f"{before}\n{table(shown) if shown else 'Not run yet.'}\n{after}"
    cifar = [row for row in rows if row["asked"]["data"] == "cifar10"]
    figures = page.parent / "figures"
    plot_curves(figures / "claims_curves.png", cifar, MAIN)
    plot_curves(figures / "claims_byol.png", cifar, ("byol",))
    plot_drops(figures / "claims_drops.png", cifar)
    plot_clustering(figures / "claims_clustering.png", cifar)
    write_bytes_atomically(page, text.encode())


# Rows that differ in their seed alone.


class Cell:
    """What the seeds of one setting reached.

    Attributes:
        rows: by seed.
    """

    def __init__(self, rows: Iterable[Row], name: str = "knn_top1") -> None:
        self.rows = {row["asked"]["seed"]: row for row in rows}
        self.name = name

    def __bool__(self) -> bool:
        return bool(self.rows)

    @property
    def values(self) -> dict[int, float]:
        return {seed: value_of(row, self.name) for seed, row in self.rows.items()}

    def text(self) -> str:
        """Mean and deviation over the seeds."""
        if not self.rows:
            return "not run"
        values = [*self.values.values()]
        spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
        return f"{statistics.fmean(values):.3f}{spread} ({len(values)})"

    def minus(self, other: Cell) -> list[float]:
        """Differences of the seeds that both have."""
        both = sorted(self.values.keys() & other.values.keys())
        return [self.values[seed] - other.values[seed] for seed in both]


def value_of(row: Row, name: str) -> float:
    """A number of a row, or the last of a curve."""
    if row.get(name) is not None:
        return float(row[name])
    return float(row["curves"][name][1][-1])


def with_interval(differences: Sequence[float]) -> str:
    """Mean of paired differences with its 95% interval (Student's t)."""
    if not differences:
        return "–"
    mean = statistics.fmean(differences)
    if len(differences) < 2:
        return f"{mean:+.3f}"
    half = float(stats.t.ppf(0.975, len(differences) - 1))
    half *= statistics.stdev(differences) / math.sqrt(len(differences))
    return f"{mean:+.3f} [{mean - half:+.3f}, {mean + half:+.3f}]"


def cell(rows: Sequence[Row], method: str, objective: str, **asked: Any) -> Cell:
    """Rows of the test images with these settings and otherwise the plain ones."""
    wanted = {
        "method": method,
        "objective": objective,
        "variant": "",
        "batch": BASE_BATCH,
        "group": None,
        "momentum": None,
        "length": "epochs",
        "part": "test",
        **asked,
    }
    return Cell(row for row in rows if wanted.items() <= row["asked"].items())


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rule = "|---" * len(head) + "|"
    body = [_line(line) for line in lines]
    return "\n".join([_line(head), rule, *body])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _nats(found: Cell, name: str) -> str:
    """Mean over the seeds of the last value of a curve."""
    kept = [row for row in found.rows.values() if name in row["curves"]]
    values = [value_of({"curves": row["curves"]}, name) for row in kept]
    return f"{statistics.fmean(values):.2f}" if values else "–"


def tuning(rows: Sequence[Row]) -> str:
    """kNN on validation images for every cell of the grids, the chosen one in bold."""
    lines = []
    for method, name in NAMES.items():
        for objective in ("native", "er"):
            grid = [
                row
                for row in rows
                if row["asked"]["part"] == "validation"
                and (row["asked"]["method"], row["asked"]["objective"]) == (method, objective)
            ]
            best = max((row["knn_top1"] for row in grid), default=None)
            for row in grid:
                asked, reached = row["asked"], f"{row['knn_top1']:.3f}"
                momentum = "–" if asked["momentum"] is None else f"{asked['momentum']:g}"
                lines.append(
                    [
                        f"{name}{' + ER' if objective == 'er' else ''}",
                        _told_sharpness(asked["sharpness"]),
                        f"{asked['rate']:g}",
                        momentum,
                        f"**{reached}**" if row["knn_top1"] == best else reached,
                    ]
                )
    return _table(["", "sharpness", "learning rate", "EMA", "kNN, validation"], lines)


def _told_sharpness(overrides: str | None) -> str:
    """``kappa=10, estimator=loo``, of the words of a command; of a number's dots none divides."""
    pairs = [word.partition("=") for word in (overrides or "").split()]
    return ", ".join(f"{key.rpartition('.')[2]}={value}" for key, _, value in pairs) or "–"


def competitive(rows: Sequence[Row]) -> str:
    lines = []
    for method in NAMES:
        if method == "deepclusterv2":  # is in the arm of clustering alone
            continue
        native, er = cell(rows, method, "native"), cell(rows, method, "er")
        probes = [Cell(one.rows.values(), "online_top1") for one in (native, er)]
        lines.append(
            [
                NAMES[method],
                native.text(),
                er.text(),
                with_interval(er.minus(native)),
                with_interval(probes[1].minus(probes[0])),
            ]
        )
    head = ["method", "kNN, native", "kNN, ER", "ER - native, kNN", "ER - native, online probe"]
    return _table(head, lines)


def _drops(
    rows: Sequence[Row], method: str, small: dict[str, Any], base: dict[str, Any]
) -> list[str]:
    """Cells of a line: natively, with ER, and how much more falls natively. A variant is one of ER
    for small batches.
    """
    natively = {**small, "variant": "", "batch": SMALL_BATCH} if "variant" in small else small
    texts, drops = [], {}
    for objective in ("native", "er"):
        mine = objective == "er"
        start = cell(rows, method, objective, **(base if mine else {}))
        end = cell(rows, method, objective, **(small if mine else natively))
        drops[objective] = {
            seed: start.values[seed] - end.values[seed]
            for seed in start.values.keys() & end.values.keys()
        }
        texts += [start.text(), end.text(), with_interval([*drops[objective].values()])]
    both = sorted(drops["native"].keys() & drops["er"].keys())
    return [*texts, with_interval([drops["native"][s] - drops["er"][s] for s in both])]


DROP_HEAD = [
    "native, base",
    "native, small",
    "native falls by",
    "ER, base",
    "ER, small",
    "ER falls by",
    "native falls by more",
]
REMEDIES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "batch, own kernel counted (`joe`)": (
        {"variant": "joe"},
        {"batch": SMALL_BATCH, "variant": "joe"},
    ),
    "batch and a queue, 256 in all": ({}, {"batch": SMALL_BATCH, "variant": "queue"}),
    f"256, in micro-batches of {SMALL_BATCH}": ({}, {"variant": "micro-batches"}),
}
"""Of SimCLR with ER, whose tuned estimator leaves an embedding's own kernel out: base and small."""


def batch(rows: Sequence[Row]) -> str:
    lines = []
    for method in MAIN:
        for length in ("epochs", "steps"):
            small = {"batch": SMALL_BATCH, "length": length}
            for k, base in (("batch", {}), (str(SMALL_BATCH), {"group": SMALL_BATCH})):
                lines.append([NAMES[method], length, k, *_drops(rows, method, small, base)])
    for k, (base, small) in REMEDIES.items():
        lines.append(["SimCLR", "epochs", k, *_drops(rows, "simclr", small, base)])
    return _table(["method", "equal", "ER's k", *DROP_HEAD], lines)


def ema(rows: Sequence[Row]) -> str:
    lines = [
        [NAMES[method], f"{momentum:g}", *_drops(rows, method, {"momentum": momentum}, {})]
        for method in WITH_TEACHER
        for momentum in MOMENTA
    ]
    return _table(["method", "EMA", *DROP_HEAD], lines)


def distillation(rows: Sequence[Row]) -> str:
    """The terms of the bound of held-out images against the EMA coefficient, natively."""
    lines = []
    for method in WITH_TEACHER:
        start = "heldout_assigned_" if method == "dino" else "heldout_"
        for momentum in ALL_MOMENTA:
            found = cell(rows, method, "native", momentum=momentum)
            names = ("entropy_floor", "entropy", "student_entropy", "entropy_cap")
            lines.append(
                [
                    NAMES[method],
                    f"{momentum:g}" + (" (frozen)" if momentum == FROZEN else ""),
                    found.text(),
                    *(_nats(found, f"{start}{name}") for name in (*names, "reconstruction")),
                    _nats(found, f"{start}mi_bound"),
                    _nats(found, f"{start}infonce"),
                ]
            )
    head = ["floor", "H, target", "H, student", "cap", "reconstruction", "ER estimate", "InfoNCE"]
    return _table(["method", "EMA", "kNN", *head], lines)


def centre(rows: Sequence[Row]) -> str:
    lines = []
    for name, objective, variant in (
        ("DINO", "native", ""),
        ("DINO without its centre", "native", "no centre"),
        ("DINO with Sinkhorn in its place", "native", "Sinkhorn"),
        ("DINO + ER (no centre)", "er", ""),
    ):
        found = cell(rows, "dino", objective, variant=variant)
        terms = ("entropy", "conditional_entropy", "reconstruction")
        lines.append([name, found.text(), *(_nats(found, f"heldout_assigned_{x}") for x in terms)])
    return _table(["", "kNN", "H(W), nats", "H(W given X), nats", "reconstruction, nats"], lines)


DISCRETE = {
    "dino": ("", "half beta", "one softmax"),
    "swav": ("", "half beta", "one softmax", "one softmax, both sides"),
}
"""A teacher's targets cannot be trained."""
DISCRETE_NAMES = {
    "": "of a softmax as sharp as the target's",
    "half beta": "the same, beta = 0.5",
    "one softmax": "of the student's own softmax",
    "one softmax, both sides": "one softmax for both terms, both sides trained (the paper's code)",
}


def discrete(rows: Sequence[Row]) -> str:
    """Which entropy DINO and SwAV with ER are best trained with."""
    lines = []
    for method, variants in DISCRETE.items():
        plain = cell(rows, method, "er")
        for variant in variants:
            found = cell(rows, method, "er", variant=variant)
            terms = ("entropy", "conditional_entropy", "reconstruction")
            lines.append(
                [
                    f"{NAMES[method]} + ER",
                    DISCRETE_NAMES[variant],
                    found.text(),
                    with_interval(found.minus(plain)) if variant else "–",
                    *(_nats(found, f"heldout_assigned_{x}") for x in terms),
                ]
            )
    head = ["", "entropy", "kNN", "against the first"]
    return _table([*head, "H(W), nats", "H(W given X), nats", "reconstruction, nats"], lines)


def runs(rows: Sequence[Row]) -> str:
    """What made the rows: processors, versions, times."""
    processors = sorted({row["processor"] for row in rows})
    versions = sorted({f"torch {row['versions']['torch']}" for row in rows})
    seconds = sorted(float(row["seconds"]) for row in rows)
    middle = f"{statistics.median(seconds) / 60:.1f}" if seconds else "–"
    return _table(
        ["runs", "processor", "versions", "median minutes of a run"],
        [[str(len(rows)), ", ".join(processors), ", ".join(versions), middle]],
    )


TABLES: dict[str, tuple[Callable[[Sequence[Row]], str], str | None]] = {
    "tuning": (tuning, "cifar10"),
    "competitive": (competitive, "cifar10"),
    "batch": (batch, "cifar10"),
    "ema": (ema, "cifar10"),
    "distillation": (distillation, "cifar10"),
    "centre": (centre, "cifar10"),
    "discrete": (discrete, "cifar10"),
    "fashion": (competitive, "fashion"),
    "runs": (runs, None),
}
"""Each with the data set of which it shows the rows; None: all."""


# Figures.


COLORS = {"native": BLUE, "er": ORANGE}
SETTINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "base": ("-", {}),
    f"batch {SMALL_BATCH}": ("--", {"batch": SMALL_BATCH}),
    "EMA 0": (":", {"momentum": 0.0}),
}


def plot_curves(path: Path, rows: Sequence[Row], of: Sequence[str]) -> None:
    """kNN, entropy and reconstruction over epochs: natively and with ER, at the base, with a small
    batch and with a small EMA coefficient; a line of panels for each method.
    """
    methods = [m for m in of if cell(rows, m, "native") and cell(rows, m, "er")]
    if not methods:
        return
    figure = Figure(figsize=(10.5, 2.35 * len(methods) + 0.5), layout="constrained")
    axes = figure.subplots(len(methods), 3, squeeze=False, sharex=True)
    handles: dict[str, Any] = {}
    for method, line in zip(methods, axes, strict=True):
        kind = "heldout_assigned_" if method == "dino" else "heldout_"
        panels = (
            ("knn_top1", f"{NAMES[method]}: kNN, test images", ""),
            (f"{kind}entropy", "entropy above its floor, nats", f"{kind}entropy_floor"),
            (f"{kind}reconstruction", "reconstruction, nats", ""),
        )
        for axis, (name, title, floor) in zip(line, panels, strict=True):
            for setting, (style, asked) in SETTINGS.items():
                for objective, color in COLORS.items():
                    found = cell(rows, method, objective, **asked)
                    drawn = _draw(axis, found, name, floor, color, style)
                    if drawn is not None:
                        kept = "native" if objective == "native" else "with ER"
                        handles.setdefault(f"{kept}, {setting}", drawn)
            axis.set_title(title, fontsize=9, loc="left")
            axis.spines[["top", "right"]].set_visible(False)
            axis.tick_params(labelsize=8)
    for axis in axes[-1]:
        axis.set_xlabel("epoch", fontsize=8)
    figure.legend(
        handles.values(),
        handles.keys(),
        loc="outside upper center",
        ncols=max(len(handles) // 2, 1) if len(handles) > 4 else len(handles),
        frameon=False,
        fontsize=8,
    )
    figure.savefig(path, dpi=130)


def _draw(axis: Axes, found: Cell, name: str, floor: str, color: str, style: str) -> Any:
    """The mean over seeds, and a band from the least to the most of them."""
    rows = [row for row in found.rows.values() if name in row["curves"]]
    if not rows:
        return None
    curves = [_above(row["curves"], name, floor) for row in rows]
    steps = np.array(rows[0]["curves"][name][0])
    epochs = steps * float(rows[0]["epochs"]) / float(rows[0]["steps"])
    values = np.array([curve for curve in curves if len(curve) == len(epochs)])
    (line,) = axis.plot(epochs, values.mean(axis=0), style, color=color, linewidth=1.6)
    axis.fill_between(
        epochs, values.min(axis=0), values.max(axis=0), color=color, alpha=0.15, linewidth=0
    )
    return line


def _above(curves: dict[str, Any], name: str, floor: str) -> NDArray[np.float64]:
    values = np.array(curves[name][1], dtype=np.float64)
    return values - np.array(curves[floor][1]) if floor in curves else values


def plot_drops(path: Path, rows: Sequence[Row]) -> None:
    """kNN at the base, with a small batch, and with small EMA coefficients."""
    settings: list[tuple[str, dict[str, Any]]] = [
        ("base", {}),
        (f"batch {SMALL_BATCH},\nepochs", {"batch": SMALL_BATCH}),
        (f"batch {SMALL_BATCH},\nsteps", {"batch": SMALL_BATCH, "length": "steps"}),
        *((f"EMA {momentum:g}", {"momentum": momentum}) for momentum in MOMENTA),
    ]
    methods = [m for m in MAIN if cell(rows, m, "native")]
    if not methods:
        return
    figure = Figure(figsize=(3.6 * len(methods), 3.0), layout="constrained")
    for axis, method in zip(
        np.atleast_1d(figure.subplots(1, len(methods), sharey=True)), methods, strict=True
    ):
        shown = [
            (name, asked)
            for name, asked in settings
            if cell(rows, method, "native", **asked) and cell(rows, method, "er", **asked)
        ]
        for shift, objective in ((-0.12, "native"), (0.12, "er")):
            for place, (_, asked) in enumerate(shown):
                values = [*cell(rows, method, objective, **asked).values.values()]
                x = [place + shift] * len(values)
                color = COLORS[objective]
                axis.plot(x, values, "o", color=color, markersize=3.5, alpha=0.7)
                axis.plot(place + shift, statistics.fmean(values), "_", color=color, markersize=16)
        axis.set_xticks(range(len(shown)), [name for name, _ in shown], fontsize=8)
        axis.set_xlim(-0.5, len(shown) - 0.5)
        axis.set_title(f"{NAMES[method]} (blue) and + ER (orange)", fontsize=9, loc="left")
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
    figure.supylabel("kNN, test images; a dot for each seed", fontsize=8)
    figure.savefig(path, dpi=130)


def plot_clustering(path: Path, rows: Sequence[Row]) -> None:
    """The terms of the bound while clustering methods train natively, over their batches."""
    methods = [m for m in ("swav", "deepclusterv2") if cell(rows, m, "native")]
    if not methods:
        return
    figure = Figure(figsize=(4.2 * len(methods), 3.0), layout="constrained")
    for axis, method in zip(np.atleast_1d(figure.subplots(1, len(methods))), methods, strict=True):
        for name, label, color in (
            ("entropy", "H(W)", BLUE),
            ("student_entropy", "H of the student's mean", "#4aa3a2"),
            ("information", "H(W) − H(W|X)", ORANGE),
            ("mi_bound", "ER estimate", "#b8457a"),
        ):
            line = _draw(axis, cell(rows, method, "native"), name, "", color, "-")
            if line is not None:
                line.set_label(label)
        axis.set_title(f"{NAMES[method]}, nats", fontsize=9, loc="left")
        axis.set_xlabel("epoch", fontsize=8)
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
        axis.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=130)
