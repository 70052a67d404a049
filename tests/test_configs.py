"""Every config of the project: what it holds, and two training steps of it on a few digits."""

from __future__ import annotations

import functools
import json
import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config

from mvssl.apis import TrainOptions
from mvssl.config.checks import check_config
from mvssl.config.read import load_config
from mvssl.config.slots import SLOTS, slot_of
from mvssl.engine import Runner
from mvssl.registry import BACKBONES
from mvssl.views.flat import flat_names
from tests.mini import ROOT, prepared

FOLDER = ROOT / "configs"
METHODS = {
    "barlowtwins",
    "byol",
    "cmc",
    "dcl",
    "deepcluster",
    "deepclusterv2",
    "dino",
    "empssl",
    "fastsiam",
    "frossl",
    "ir",
    "lejepa",
    "mmcr",
    "mocov2",
    "mocov3",
    "nnclr",
    "ressl",
    "simclr",
    "simsiam",
    "swav",
    "vicreg",
    "visreg",
}
LEAVES = {
    str(path.relative_to(FOLDER)): path
    for path in sorted(FOLDER.rglob("*.py"))
    if "_base_" not in path.parts
}
# Written with ER at once; all others become ER by --objective.
ER_LEAVES = {"byol_er_vit.py", "photos/byol_er_vit.py", "photos/byol_er_vit_96.py"}
RUNS = [(name, "native") for name in LEAVES] + [(name, "er") for name in LEAVES.keys() - ER_LEAVES]
# Of those on photographs the small ones are trained; the others differ in size, and are built.
LARGE = {f"photos/{method}_{size}.py" for method in METHODS for size in ("vits16", "resnet50")}
BUILT = sorted(run for run in RUNS if run[0] in LARGE)
RUNS = sorted(set(RUNS) - set(BUILT))
# What the files of a folder of _base_ may set, beside helpers that start with _.
PARTS = {
    "backbones": set(),
    "datasets": {"train_dataloader", "evaluation"},
    "methods": {"model", "er_head", "schedules"},
    "schedules": {"auto_scale_lr", "optim_wrapper", "param_scheduler", "train_cfg"},
}
BASES = [
    (folder, path.name)
    for folder in (*PARTS, "settings")
    for path in sorted((FOLDER / "_base_" / folder).glob("*.py"))
]

# What makes a model large, by the names of its arguments, and what it is made here.
SMALL = {
    "hidden_channels": 16,
    "out_channels": 8,
    "num_prototypes": 6,
    "num_clusters": 4,
    "queue_size": 8,
    "num_negatives": 8,
    "num_slices": 16,
    "shuffle_groups": 2,
    "num_local": 1,
    "num_views": 4,
}
SIZE = 32


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@functools.cache
def resolved(name: str, objective: str) -> dict[str, Any]:
    """The content of a config as a run takes it; not to be changed."""
    content: dict[str, Any] = load_config(LEAVES[name], objective).to_dict()
    return content


def test_every_method_has_a_base_and_configs_for_digits_cifar10_and_photographs() -> None:
    assert {path.stem for path in (FOLDER / "_base_" / "methods").glob("*.py")} == METHODS
    for method in METHODS:
        assert {f"{method}_vit.py", f"cifar10/{method}_resnet18.py"} <= set(LEAVES)
        assert {f"photos/{method}_{x}.py" for x in ("vits16", "resnet50", "small")} <= set(LEAVES)


@pytest.mark.parametrize(("folder", "file"), BASES)
def test_a_base_holds_its_part_alone(folder: str, file: str) -> None:
    base = Config.fromfile(str(FOLDER / "_base_" / folder / file)).to_dict()
    named = {name for name in base if not name.startswith("_")}
    if folder == "settings":
        assert not named & PARTS["methods"]
        return
    assert named <= PARTS[folder]
    dicts = dict(components({"base": {name.lstrip("_"): one for name, one in base.items()}}))
    backbones = {path for path, one in dicts.items() if one.get("type") in BACKBONES.known_names()}
    assert bool(backbones) == (folder == "backbones")
    if folder == "backbones":
        assert set(base) == {"_backbone"}
    if folder != "methods":
        assert not {"views", "view_options", *flat_names()} & {
            key for one in dicts.values() for key in one
        }


def test_no_config_says_what_another_says_natively_or_with_er() -> None:
    def told(name: str, objective: str) -> str:
        content = {k: v for k, v in resolved(name, objective).items() if k != "er_head"}
        return json.dumps(content, sort_keys=True)

    written: defaultdict[str, list[str]] = defaultdict(list)
    for name in LEAVES:
        written[told(name, "native")].append(name)
    assert all(len(names) == 1 for names in written.values())
    swapped = {
        (other, name)
        for name in LEAVES.keys() - ER_LEAVES
        for other in written.get(told(name, "er"), [])
    }
    # The first runs have names of their own.
    assert swapped == {
        ("byol_er_vit.py", "byol_vit.py"),
        ("photos/byol_er_vit.py", "photos/byol_vits16.py"),
        ("photos/byol_er_vit_96.py", "photos/byol_small.py"),
    }


def test_the_digits_are_measured_more_often() -> None:
    for name in LEAVES:
        interval = resolved(name, "native")["default_hooks"]["information"]["interval"]
        assert interval == (50 if "/" in name else 5), name


def test_every_config_opens_with_its_commands() -> None:
    for name, path in LEAVES.items():
        opening = path.read_text().partition("_base_")[0]
        assert all(line.startswith("#") for line in opening.splitlines())
        tool = (
            rf"#     (python tools/train\.py|bash tools/dist_train\.sh) configs/{re.escape(name)}"
        )
        commands = [line for line in opening.splitlines() if re.match(rf"{tool}( |$)", line)]
        swapped = [" --objective er" in line for line in commands]
        assert swapped == ([False] if name in ER_LEAVES else [False, True]), name


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_carries_a_complete_er_head(method: str) -> None:
    head = resolved(f"{method}_vit.py", "native")["er_head"]
    assert head["type"] in ("ERHead", "DiscreteERHead")
    assert head["_delete_"] is True  # so that a leaf config can put it in the head's place
    assert resolved(f"{method}_vit.py", "er")["model"]["head"]["type"] == head["type"]


@pytest.mark.parametrize("method", sorted(METHODS))
def test_an_own_kernel_is_left_out_where_the_entropy_alone_keeps_images_apart(method: str) -> None:
    config = load_config(FOLDER / "_base_" / "methods" / f"{method}.py")
    head, model = config.er_head, config.model
    if head.type != "ERHead":
        assert "estimator" not in head  # of prototypes
        return
    alone = not model.get("predictor") and not model.get("teacher")
    left_out = alone and method != "lejepa"  # whose base says why
    assert head.get("estimator", "joe") == ("loo" if left_out else "joe")


@pytest.mark.parametrize("name", sorted(LEAVES))
def test_every_slot_holds_a_member_of_its_registry(name: str) -> None:
    cfg = resolved(name, "native")
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
    options = small(resolved(name, objective))
    job = prepared(TrainOptions(config=str(LEAVES[name]), objective=objective, cfg_options=options))
    before = {key: p.detach().clone() for key, p in job.model.named_parameters()}
    runner = Runner(job, tmp_path)
    runner.train()
    assert runner.iter == 2
    assert math.isfinite(runner.epoch_means["loss"])
    trained = [key for key, p in job.model.named_parameters() if not torch.equal(p, before[key])]
    for part in ("backbone", "neck"):
        assert any(key.startswith(f"{part}.") for key in trained), f"{part} was not trained"


@pytest.mark.parametrize(("name", "objective"), BUILT)
def test_a_large_config_on_photographs_is_built(name: str, objective: str) -> None:
    options = small(resolved(name, objective))
    job = prepared(TrainOptions(config=str(LEAVES[name]), objective=objective, cfg_options=options))
    assert job.model.data_preprocessor.engine == "host"
    assert resolved(name, objective)["model"]["data_preprocessor"]["size"] == 224


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


def small(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """Overrides that leave a config's structure and make it cheap: 11 digits, a batch of 4."""
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
