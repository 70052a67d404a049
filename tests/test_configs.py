"""Every config of the project: what it holds, and two training steps of it on a few digits."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config

from mvssl.apis import TrainOptions
from mvssl.config.checks import check_config
from mvssl.config.read import load_config, without_delete
from mvssl.config.slots import SLOTS, slot_of
from mvssl.engine import Runner
from tests.mini import ROOT, prepared

FOLDER = ROOT / "configs"
METHODS = {
    "barlowtwins",
    "byol",
    "cmc",
    "deepcluster",
    "deepclusterv2",
    "dino",
    "ir",
    "lejepa",
    "mocov2",
    "mocov3",
    "nnclr",
    "ressl",
    "simclr",
    "simsiam",
    "swav",
    "vicreg",
}
LEAVES = {
    str(path.relative_to(FOLDER)): path
    for path in sorted(FOLDER.rglob("*.py"))
    if "_base_" not in path.parts
}
TWINS = {
    name: LEAVES[name.replace("_er_", "_")]
    for name in LEAVES
    if "_er_" in name and name.replace("_er_", "_") in LEAVES
}
# A twin is its native config with the objective swapped, which is shown, so it is not run too.
RUNS = [(name, objective) for name in LEAVES if name not in TWINS for objective in ("native", "er")]

# What makes a model large, by the names of its arguments, and what it is made here.
SMALL = {
    "hidden_channels": 16,
    "out_channels": 8,
    "num_prototypes": 6,
    "num_clusters": 4,
    "queue_size": 8,
    "num_negatives": 8,
    "num_slices": 16,
}
SIZE = 32


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_every_method_has_a_base_a_config_on_the_digits_and_one_on_cifar10() -> None:
    assert {path.stem for path in (FOLDER / "_base_" / "methods").glob("*.py")} == METHODS
    for method in METHODS:
        for name in (f"{method}{{}}_vit.py", f"cifar10/{method}{{}}_resnet18.py"):
            assert {name.format(""), name.format("_er")} <= set(LEAVES)


def test_every_config_opens_with_its_command() -> None:
    for name, path in LEAVES.items():
        opening = path.read_text().partition("_base_")[0]
        assert all(line.startswith("#") for line in opening.splitlines())
        ways = (f"python tools/train.py configs/{name}", f"tools/dist_train.sh configs/{name} 8")
        assert any(way in opening for way in ways), name


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_carries_a_complete_er_head(method: str) -> None:
    cfg = load_config(FOLDER / f"{method}_vit.py")
    head = cfg.er_head
    assert head.type in ("ERHead", "DiscreteERHead")
    assert head["_delete_"] is True  # so that a leaf config can put it in the head's place
    assert load_config(FOLDER / f"{method}_vit.py", "er").model.head.type == head.type


@pytest.mark.parametrize("name", sorted(TWINS))
def test_an_er_twin_is_the_native_config_with_its_objective_swapped(name: str) -> None:
    twin, native = load_config(LEAVES[name]).to_dict(), load_config(TWINS[name], "er").to_dict()
    # What the twin took loses its merge mark.
    assert without_delete(twin.pop("er_head")) == without_delete(native.pop("er_head"))
    assert twin == native


@pytest.mark.parametrize("name", sorted(LEAVES))
def test_every_slot_holds_a_member_of_its_registry(name: str) -> None:
    cfg = load_config(LEAVES[name]).to_dict()
    assert check_config(cfg) == []
    found = set()
    for where, node in components(cfg):
        slot = slot_of(where)
        if slot is None or slot.registry is None:
            continue
        found.add(slot.pattern)
        kind = node.get("type", slot.default)
        if isinstance(kind, str):
            assert kind in slot.registry.known_names(), where
    required = {slot.pattern for slot in SLOTS if slot.pattern in ("model", r"model\.backbone")}
    assert required < found


@pytest.mark.parametrize(("name", "objective"), RUNS)
def test_two_steps(
    name: str, objective: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # mmengine lays the config out four times a run, which takes longer than the steps.
    monkeypatch.setattr(Config, "pretty_text", property(lambda cfg: repr(cfg.to_dict())))
    path = LEAVES[name]
    job = prepared(
        TrainOptions(config=str(path), objective=objective, cfg_options=small(path, objective))
    )
    before = {key: p.detach().clone() for key, p in job.model.named_parameters()}
    runner = Runner(job, tmp_path)
    runner.train()
    assert runner.iter == 2
    assert math.isfinite(runner.epoch_means["loss"])
    trained = [key for key, p in job.model.named_parameters() if not torch.equal(p, before[key])]
    for part in ("backbone", "neck"):
        assert any(key.startswith(f"{part}.") for key in trained), f"{part} was not trained"


def components(node: Any, where: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every dict of a config with its dotted path."""
    if isinstance(node, Mapping):
        if where:
            yield where, node
        for key, inner in node.items():
            if not str(key).startswith("_"):
                yield from components(inner, f"{where}.{key}" if where else str(key))
    elif isinstance(node, list | tuple):
        for number, inner in enumerate(node):
            yield from components(inner, f"{where}.{number}")


def small(path: Path, objective: str) -> dict[str, Any]:
    """Overrides that leave a config's structure and make it cheap: 11 digits, a batch of 4."""
    cfg = load_config(path, objective).to_dict()
    options: dict[str, Any] = {
        "train_dataloader.dataset": {
            "_delete_": True,
            "type": "Digits",
            "split": "test",
            "size": SIZE,
            "test_fraction": 0.006,
        },
        "train_dataloader.batch_size": 4,
        "train_dataloader.num_workers": 0,
        "model.data_preprocessor.size": SIZE,
        "train_cfg.max_epochs": 1,
        "visualizer": None,
        "evaluation": None,
        "default_hooks.checkpoint": None,
        "default_hooks.information.interval": 1,
    }
    for where, node in components({"model": cfg["model"]}):
        for key in SMALL.keys() & node.keys():
            value = node[key]
            options[f"{where}.{key}"] = (
                [SMALL[key]] * len(value) if isinstance(value, list | tuple) else SMALL[key]
            )
        if node.get("type") == "TimmBackbone":
            options |= small_backbone(where, node)
    return options


def small_backbone(where: str, node: Mapping[str, Any]) -> dict[str, Any]:
    """One block for each stage of a ResNet, and narrow ones; one block for a ViT."""
    if node["name"].startswith("resnet"):
        return {
            f"{where}.model_args.layers": (1, 1, 1, 1),
            f"{where}.model_args.channels": (8, 16, 16, 16),
        }
    return {f"{where}.model_args.depth": 1, f"{where}.model_args.img_size": SIZE}
