"""What is known of a run, finished or not: from its folder, or while it goes on."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from mvssl.checkpoint import checkpoints_in, load_run, number_of, read_summary
from mvssl.engine.history import History
from mvssl.errors import DamageError, UserError
from mvssl.evaluation import Shown
from mvssl.intake import check_file
from mvssl.measured import MEASURED
from mvssl.models.health import Diagnosis
from mvssl.report.results import results_shown
from mvssl.run_files import CONFIG, SUMMARY
from mvssl.words import count

__all__ = [
    "Recorded",
    "State",
    "fingerprint",
    "read_run",
    "told_progress",
]

State = Literal["finished", "unfinished", "running", "stopped"]
"""``unfinished`` is said of a folder, which does not tell whether its run goes on."""

MOST_CONFIG = 2**22


@dataclass(frozen=True)
class Recorded:
    """A run as far as it has come.

    Attributes:
        folder: of the run.
        state: how it stands.
        summary: what ``summary.json`` holds, or as much of that as is known so far.
        history: its curves, empty where no checkpoint is left.
        epochs: that are over, with the part of the one under way.
        iterations: that were taken.
        max_epochs: that it is to have; None: not known.
        options: what was said on the command line, as ``meta`` of a checkpoint holds it.
        values: of its config, plain; None: not known.
        config_text: the whole config, empty where it is not known.
        results: how results are shown, by name.
        images: stands for the names of all images, see :func:`fingerprint`; empty where they are
            not known.
        notes: sentences about what is missing.
        written: when this was so, in seconds since 1970.
    """

    folder: Path
    state: State
    summary: Mapping[str, Any]
    history: History
    epochs: float = 0.0
    iterations: int = 0
    max_epochs: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    values: Mapping[str, Any] | None = None
    config_text: str = ""
    results: Mapping[str, Shown] = field(default_factory=dict)
    images: str = ""
    notes: tuple[str, ...] = ()
    written: float = field(default_factory=time.time)

    @property
    def steps_per_epoch(self) -> float:
        """Iterations in an epoch; the mean, where the batch was another one before a resume."""
        return self.iterations / self.epochs if self.epochs and self.iterations else 1.0

    @property
    def config(self) -> str:
        """Path of its config as it was given."""
        return str(self.summary.get("config") or self.options.get("config") or "")

    @property
    def name(self) -> str:
        """Of its config, without the folder of configs: ``photos/byol_small``."""
        parts = self.config.removesuffix(".py").split("/")
        if "configs" in parts:
            parts = parts[len(parts) - parts[::-1].index("configs") :]
        else:
            parts = parts[-1:]
        return "/".join(parts) or self.folder.name

    @property
    def objective(self) -> str:
        """``native`` or ``er``: from the command line, or by the head that it led to."""
        said = self.options.get("objective")
        head = str(self.summary.get("head") or "")
        return "er" if said == "er" or head in ("ERHead", "DiscreteERHead") else "native"

    @property
    def data(self) -> str:
        """What it was trained on, in a word: a folder, or the kind of its data set."""
        if self.options.get("data"):
            return str(self.options["data"])
        node: Any = self.values or {}
        for name in ("train_dataloader", "dataset"):
            node = node.get(name) if isinstance(node, Mapping) else None
        node = node if isinstance(node, Mapping) else {}
        found = node.get("root") or node.get("path") or node.get("type")
        return str(found or "") or str(self.summary.get("data") or "").partition(": ")[0]


def read_run(folder: Path) -> Recorded:
    """A run from its folder.

    Raises:
        UserError: there is neither a summary nor a checkpoint that can be read.
    """
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "is not there"
        raise UserError(f"{folder} {what}: give the folder of a run.")
    summary = read_summary(folder)
    content, notes = _newest(folder)
    if summary is None and content is None:
        why = f" ({'; '.join(notes)})" if notes else ""
        raise UserError(
            f"{folder} holds no run, neither {SUMMARY} nor a checkpoint{why}: give the folder that "
            f"training wrote into."
        )
    if content is None:
        assert summary is not None
        return _of_summary(folder, summary, notes)
    return _of_checkpoint(folder, summary, content, notes)


def _newest(folder: Path) -> tuple[dict[str, Any] | None, list[str]]:
    """The newest checkpoint that can be read, and a note on each that cannot."""
    notes: list[str] = []
    for path in checkpoints_in(folder):
        try:
            return {**load_run(path).content, "file": path.name}, notes
        except DamageError as error:
            notes.append(f"{path.name} is damaged ({error.why})")
        except UserError as error:
            notes.append(f"{path.name}: {error}")
    return None, notes


def _of_summary(folder: Path, summary: Mapping[str, Any], notes: list[str]) -> Recorded:
    """A run whose checkpoints are gone."""
    return Recorded(
        folder,
        "finished",
        summary,
        History(),
        number_of(summary, "epochs") or 0.0,
        options=_mapping(summary.get("options")),
        config_text=_config_text(folder),
        results=results_shown(summary),
        images=str(summary.get("fingerprint") or ""),
        notes=tuple(notes or ["No checkpoint is left, and curves are kept there."]),
    )


def _config_text(folder: Path) -> str:
    """Of its config, which is read and never run; empty where it cannot be."""
    path = folder / CONFIG
    try:
        whole = path.is_file() and check_file(path, "config") <= MOST_CONFIG
        return path.read_text(encoding="utf-8") if whole else ""
    except (OSError, ValueError, UserError):
        return ""


def _of_checkpoint(
    folder: Path, summary: Mapping[str, Any] | None, content: Mapping[str, Any], notes: list[str]
) -> Recorded:
    meta = content["meta"]
    history = History()
    history.load_state_dict(content["history"])
    # One that was finished once may go on for more epochs.
    begun = meta["epoch"] + (meta["epoch_images"] > 0)
    finished = summary is not None and (number_of(summary, "epochs") or 0) >= begun
    images = len(meta["names"])
    if summary is None or not finished:
        summary = _so_far(meta, history, content["hooks"])
        notes = [f"--resume goes on from {content['file']}.", *notes]
    return Recorded(
        folder,
        "finished" if finished else "unfinished",
        summary,
        history,
        meta["epoch"] + meta["epoch_images"] / max(images, 1),
        meta["iter"],
        meta["max_epochs"],
        meta["options"],
        meta["values"],
        str(meta.get("config", "")),
        results_shown(summary, history.names()),
        fingerprint(meta["names"]),
        tuple(notes),
    )


def fingerprint(names: Tensor) -> str:
    """Stands for a set of images, in whatever order; of a number for each name (N,)."""
    return hashlib.blake2b(names.sort().values.numpy().tobytes(), digest_size=8).hexdigest()


def _so_far(meta: Mapping[str, Any], history: History, hooks: Mapping[str, Any]) -> dict[str, Any]:
    """What a summary would say now."""
    kept = {name: meta.get(name) for name in ("results", "evaluation")}
    known = results_shown(kept, history.names())
    summary: dict[str, Any] = {}
    for name in history.names():
        steps, values = history.series(name)
        if f"{name}_pixels" in history.latest or name in known:
            # What was measured before training alone is no result of it.
            summary[name] = float(values[-1]) if steps[-1] > 0 else None
            summary[f"{name}_init"] = float(values[0]) if steps[0] == 0 else None
            if f"{name}_pixels" in history.latest:
                summary[f"{name}_pixels"] = history.latest[f"{name}_pixels"]
    means = {**history.latest, **meta["epoch_means"]}
    diagnosis = _mapping(hooks.get("DoctorHook")).get("diagnosis")
    try:
        health = vars(Diagnosis.of(diagnosis)) if diagnosis else None
    except (KeyError, TypeError):
        health = None
    return {
        **summary,
        **kept,
        **{name: means.get(name) for name, one in MEASURED.items() if one.summary},
        "health": health,
        "seconds": meta["seconds"],
        "epochs": meta["epoch"],
        "images": len(meta["names"]),
        "processes": meta["world_size"],
        "batch_size": _mapping(meta["values"].get("train_dataloader")).get("batch_size"),
        "config": meta["options"]["config"],
        "head": _mapping(_mapping(meta["values"].get("model")).get("head")).get("type"),
        "seed": meta["seed"],
    }


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def told_progress(run: Recorded) -> str:
    """``12 of 30 epochs``."""
    whole = math.floor(run.epochs + 1e-9)
    part = run.epochs - whole
    over = f"{run.epochs:.1f}" if part > 0.05 else str(whole)
    return f"{over} of {count(run.max_epochs, 'epoch')}" if run.max_epochs else f"{over} epochs"
