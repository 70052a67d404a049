"""A page as a reader of HTML sees it, and a run's folder to write one of."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import torch

from mvssl.checkpoint import save_checkpoint
from mvssl.engine.history import History
from mvssl.evaluation import KNN
from mvssl.report.recorded import fingerprint
from mvssl.report.results import told_results

VOID = {"meta", "img", "br", "hr", "col"}


EVALUATED = {
    "evaluation": {"knn": {"k": 20, "temperature": 0.07}},
    "results": told_results({"knn": KNN()}),
}
"""What a run keeps of the evaluators that it had."""


@dataclass
class Element:
    name: str
    attributes: dict[str, str | None]
    inside: list[Element | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        parts = (one if isinstance(one, str) else one.text for one in self.inside)
        return " ".join(" ".join(parts).split())

    def all(self, name: str, kind: str | None = None) -> list[Element]:
        """Elements of a name (and a class), this one's own insides first."""
        found = []
        for one in self.inside:
            if isinstance(one, Element):
                classes = (one.attributes.get("class") or "").split()
                if one.name == name and (kind is None or kind in classes):
                    found.append(one)
                found += one.all(name, kind)
        return found

    def of_id(self, name: str) -> Element:
        (found,) = [x for x in self.all("section") if x.attributes.get("id") == name]
        return found


class Page(HTMLParser):
    """Parses a page strictly: what is opened is closed, in order."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.root = Element("", {})
        self._open = [self.root]
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert self._open == [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        made = Element(tag, dict(attrs))
        self._open[-1].inside.append(made)
        if tag not in VOID:
            self._open.append(made)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop().name == tag

    def handle_data(self, data: str) -> None:
        self._open[-1].inside.append(data)


def write_run(
    folder: Path,
    *,
    seed: int = 0,
    finished: bool = True,
    epoch_images: int = 0,
    values: dict[str, Any] | None = None,
    options: dict[str, Any] | None = None,
    knn: float = 0.9,
    health: dict[str, Any] | None = None,
    images: int = 12,
    evaluated: dict[str, Any] = EVALUATED,
    found: dict[str, float] | None = None,
) -> Path:
    """The files of a small run of two epochs of three, which no training made."""
    folder.mkdir(parents=True)
    history = History()
    for step in range(1, 201):
        scalars = {"loss": 1 / step, "entropy": -2.0, "entropy_cap": -1.0, "entropy_floor": -3.0}
        scalars |= {"mi_bound": 1.5, "infonce": 1.2, "mi_ceiling": 2.0, "rankme": 7.0}
        history.add(step, {**scalars, "of my own": float(step)})
    history.add(0 + 200, {"knn_top1": knn, **(found or {})})
    said: dict[str, Any] = {
        "config": "configs/byol_vit.py",
        "objective": "native",
        "data": None,
        "labels": False,
    }
    said |= {"amp": False, "image_size": None, "backbone": None, "batch_size": None}
    said |= {"cfg_options": {}, "fitted": {}, "folder": str(Path.cwd()), **(options or {})}
    values = values or {"train_dataloader": {"dataset": {"type": "Digits"}}}
    text = "".join(f"{name} = {value!r}\n" for name, value in values.items())
    names = torch.arange(images)
    meta = {
        "epoch": 2,
        "iter": 200,
        "epoch_images": epoch_images,
        "world_size": 1,
        "max_epochs": 2 if finished else 3,
        "steps_per_epoch": 100,
        "seed": seed,
        "config": text,
        "epoch_means": {"entropy": -2.0, "mi_bound": 1.5, "mi_ceiling": 2.0},
        "seconds": 125.0,
        "stop_training": False,
        "values": values,
        "options": said,
        "names": names,
        **evaluated,
    }
    content = {"meta": meta, "history": history.state_dict(), "state_dict": {}, "hooks": {}}
    content["optimizer"] = {"state": {}, "param_groups": []}
    save_checkpoint(
        content | {"random": [], "scalars": [], "gradients": []}, folder / "epoch_2.pth"
    )
    if finished:
        told = summary(seed=seed, knn=knn, health=health, config=said["config"])
        told |= {
            "options": said,
            "fingerprint": fingerprint(names),
            "data": "digits: 12 images",
        } | evaluated
        (folder / "summary.json").write_text(json.dumps(told))
        (folder / "config.py").write_text(text)
    return folder


def summary(**changed: Any) -> dict[str, Any]:
    """What a run's ``summary.json`` may hold."""
    knn = changed.pop("knn", 0.9)
    healthy = {"kind": "healthy", "sentence": "rank 7 of 8: healthy", "causes": [], "remedies": []}
    health = changed.pop("health", None) or healthy
    return {
        "knn_top1_init": 0.25,
        "knn_top1": knn,
        "knn_top1_pixels": 0.5,
        **EVALUATED,
        "mi_bound": 1.5,
        "mi_ceiling": 2.0,
        "entropy": -2.0,
        "health": health,
        "seconds": 125.0,
        "epochs": 2,
        "images": 12,
        "batch_size": 4,
        "processes": 1,
        "head": "PairHead",
        "versions": {"mvssl": "0.1.0"},
        **changed,
    }
