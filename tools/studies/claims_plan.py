"""What the study runs: settings, arms, and the command of each run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mvssl.config.read import load_config

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "configs" / "studies"
TUNING_SEED = 100
BASE_BATCH = 256
SMALL_BATCH = 32
OTHER_BATCHES = (16, 64, 1024)
LONG = 5
"""Times as long is a long run."""

NAMES = {
    "simclr": "SimCLR",
    "mocov3": "MoCo v3",
    "byol": "BYOL",
    "simsiam": "SimSiam",
    "dino": "DINO",
    "swav": "SwAV",
    "deepcluster": "DeepCluster",
    "deepclusterv2": "DeepCluster v2",
    "vicreg": "VICReg",
}
MAIN = ("simclr", "byol", "dino")
"""Methods of the arms that change the batch."""
CLUSTERING = ("swav", "deepcluster", "deepclusterv2")
DISTILLATION = ("byol", "dino")
"""Methods of the arms that change the EMA coefficient."""
SMALL_MOMENTA = (0.8, 0.5, 0.0)
FROZEN = 1.0
ALL_MOMENTA = (0.0, 0.5, 0.8, 0.9, 0.99, FROZEN)

COMPETING = tuple(name for name in NAMES if not name.startswith("deepcluster"))
"""DeepCluster and its v2 are in the arm of clustering alone."""

Numbers = dict[str, Any]


@dataclass(frozen=True)
class Row:
    """What tells a run from all others.

    Attributes:
        data: folder under ``data/studies``.
        method: a config of ``configs/studies``.
        objective: ``native`` or ``er``.
        variant: what else is changed: a name in ``VARIANTS``, or empty.
        batch: images of a step.
        group: embeddings over which ER's entropy is taken; None: the batch.
        momentum: EMA coefficient of the teacher; None: as tuned, or there is none.
        length: what is as long as that of the base batch: ``epochs``, or ``steps``, with
            ``SMALL_BATCH``; ``long``: ``LONG`` times the epochs.
        seed: of the run.
        rate: learning rate at the base batch; None: as tuned.
        sharpness: one of ``SHARPNESS``; None: as tuned, or there is none.
        part: ``test``, or ``validation`` while tuning.
    """

    data: str
    method: str
    objective: str
    variant: str = ""
    batch: int = BASE_BATCH
    group: int | None = None
    momentum: float | None = None
    length: str = "epochs"
    seed: int = 0
    rate: float | None = None
    sharpness: str | None = None
    part: str = "test"


VARIANTS: dict[str, tuple[str, ...]] = {
    "no centre": ("model.head.assigner.momentum=1.0",),
    "Sinkhorn": ("model.head.assigner={'type': 'Sinkhorn', 'epsilon': 0.03, '_delete_': True}",),
    "joe": ("model.head.estimator=joe",),
    "queue": ("model.head.queue_size=224",),
    "micro-batches": (f"train_cfg.micro_batch_size={SMALL_BATCH}",),
    "half beta": ("model.head.entropy_weight=0.5",),
    "one softmax": ("model.head.entropy_temp=0.1",),
    "one softmax, both sides": (
        "model.head.entropy_temp=0.1",
        "model.head.assigner.teacher_temp=0.1",
        "model.head.target={'type': 'ViewTargets', 'stop_gradient': False}",
    ),
}
"""Overrides of what a row changes beside its numbers. A centre that is never moved from zero is
none; ``joe`` counts an embedding's own kernel where tuning chose to leave it out; a queue of 224
makes 256 embeddings of a batch of 32; one softmax is that of the student, whose temperature is 0.1,
and with a gradient in both sides the objective of the paper's code."""

Asked = dict[str, Any]
"""Fields of a row that are not plain."""

MORE_IMAGES: dict[str, tuple[Asked, Asked]] = {
    "batch and a queue, 256 in all": ({}, {"batch": SMALL_BATCH, "variant": "queue"}),
    f"256, in micro-batches of {SMALL_BATCH}": ({}, {"variant": "micro-batches"}),
}
REMEDIES: dict[str, dict[str, tuple[Asked, Asked]]] = {
    "simclr": {
        "batch, own kernel counted (`joe`)": (
            {"variant": "joe"},
            {"batch": SMALL_BATCH, "variant": "joe"},
        ),
        **MORE_IMAGES,
    },
    "byol": MORE_IMAGES,
}
"""With ER, by methods: base and small. SimCLR's tuned estimator leaves an embedding's own kernel
out, BYOL's does not."""


DISCRETE = {
    "dino": ("", "half beta", "one softmax"),
    "swav": ("", "half beta", "one softmax", "one softmax, both sides"),
}
"""A teacher's targets cannot be trained."""


def arm_competitive(data: str, seed: int) -> Iterator[Row]:
    """Natively and with ER at the base batch."""
    for method in COMPETING:
        for objective in ("native", "er"):
            yield Row(data, method, objective, seed=seed)


def arm_batch(data: str, seed: int) -> Iterator[Row]:
    """A small batch at equal epochs and equal steps; ER's k as the batch, and fixed."""
    for method in MAIN:
        for length in ("epochs", "steps"):
            for objective in ("native", "er"):
                yield Row(data, method, objective, batch=SMALL_BATCH, length=length, seed=seed)
        yield Row(data, method, "er", group=SMALL_BATCH, seed=seed)
    for method, remedies in REMEDIES.items():
        for base, small in remedies.values():
            for asked in (base, small):
                yield replace(Row(data, method, "er", seed=seed), **asked)


def arm_batches(data: str, seed: int) -> Iterator[Row]:
    """Other batches at equal epochs, the entropy over the whole batch."""
    for method in MAIN:
        for batch in OTHER_BATCHES:
            for objective in ("native", "er"):
                yield Row(data, method, objective, batch=batch, seed=seed)


def arm_ema(data: str, seed: int) -> Iterator[Row]:
    """Small EMA coefficients."""
    for method in DISTILLATION:
        for momentum in SMALL_MOMENTA:
            for objective in ("native", "er"):
                yield Row(data, method, objective, momentum=momentum, seed=seed)


def arm_centre(data: str, seed: int) -> Iterator[Row]:
    """DINO without its centre, and with Sinkhorn's assignments in its place."""
    for variant in ("no centre", "Sinkhorn"):
        yield Row(data, "dino", "native", variant, seed=seed)


def arm_clustering(data: str, seed: int) -> Iterator[Row]:
    """The terms of the bound while clustering methods train natively."""
    for method in CLUSTERING:
        yield Row(data, method, "native", seed=seed)


def arm_distillation(data: str, seed: int) -> Iterator[Row]:
    """Entropy and reconstruction against the EMA coefficient; 1 is a frozen random teacher."""
    for method in DISTILLATION:
        for momentum in ALL_MOMENTA:
            yield Row(data, method, "native", momentum=momentum, seed=seed)


def arm_discrete(data: str, seed: int) -> Iterator[Row]:
    """Which entropy of prototypes, and whether targets are trained; and what chooses the default,
    as the tuning does.
    """
    for method, variants in DISCRETE.items():
        for variant in variants:
            yield Row(data, method, "er", variant, seed=seed)
        yield Row(data, method, "er", "half beta", seed=TUNING_SEED, part="validation")


def arm_long(data: str, seed: int) -> Iterator[Row]:
    """What a longer run reaches."""
    for method in MAIN:
        for objective in ("native", "er"):
            yield Row(data, method, objective, length="long", seed=seed)


ARMS = {
    "competitive": arm_competitive,
    "batch": arm_batch,
    "batches": arm_batches,
    "ema": arm_ema,
    "centre": arm_centre,
    "clustering": arm_clustering,
    "distillation": arm_distillation,
    "discrete": arm_discrete,
    "long": arm_long,
}


def numbers_of(row: Row, chosen: Numbers) -> Numbers:
    """What a run is run with: as chosen, but for an EMA coefficient that the row gives."""
    given = {} if row.momentum is None else {"momentum": row.momentum}
    return {**chosen, **given}


def command(row: Row, chosen: Numbers) -> list[str]:
    """The words of a run's command line, its folder left out.

    Args:
        row: the run.
        chosen: ``rate``, ``momentum`` and ``sharpness``, and the ``kappa`` that is measured with.
    """
    config = load_config(CONFIGS / f"{row.method}.py")
    epochs, part = config.train_cfg.max_epochs, "train"
    spans = {"param_scheduler.warmup_epochs": config.param_scheduler.warmup_epochs}
    for name, schedule in config.get("schedules", {}).items():
        if schedule and "epochs" in schedule:
            spans[f"schedules.{name}.epochs"] = schedule.epochs
    if row.length == "steps":  # one epoch of fewer images
        spans = {key: round(span / epochs, 4) for key, span in spans.items()}
        epochs, part = 1, "short"
    elif row.length == "long":
        epochs *= LONG
    rate = chosen["rate"] * (row.batch / BASE_BATCH) ** 0.5
    kappa = chosen["kappa"]
    momentum = numbers_of(row, chosen)["momentum"]
    folder = f"data/studies/{row.data}"
    options = [
        f"train_dataloader.dataset.images={folder}/{part}.npy",
        f"train_dataloader.dataset.labels={folder}/{part}_labels.npy",
        f"evaluation.train.images={folder}/bank.npy",
        f"evaluation.train.labels={folder}/bank_labels.npy",
        f"evaluation.test.images={folder}/{row.part}.npy",
        f"evaluation.test.labels={folder}/{row.part}_labels.npy",
        f"train_dataloader.batch_size={row.batch}",
        f"train_cfg.max_epochs={epochs}",
        *(f"{key}={span:g}" for key, span in spans.items()),
        f"optim_wrapper.optimizer.lr={rate:.4g}",
        f"default_hooks.information.kappa={kappa:g}",
        f"evaluation.evaluators.information.kappa={kappa:g}",
        f"evaluation.interval={epochs if row.part == 'validation' else max(epochs // 3, 1)}",
        *(chosen["sharpness"] or "").split(),
        *VARIANTS.get(row.variant, ()),
    ]
    if momentum is not None:
        options.append(f"model.teacher.momentum={momentum}")
    if row.group is not None:
        options.append(f"model.head.entropy_group={row.group}")
    words = ["tools/train.py", f"configs/studies/{row.method}.py", "--amp", "--seed", str(row.seed)]
    if row.objective == "er":
        words += ["--objective", "er"]
    return [*words, "--cfg-options", *options]
