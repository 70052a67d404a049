"""Values of the wrong kind, everywhere in a config: a sentence that names the place, or a run.

Everything in a config is replaced by values of other kinds in turn. What shows without building is
looked at for all of them; a sample of the rest is built.
"""

from __future__ import annotations

import copy
import re
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from mmengine.config import Config

from mvssl.apis.prepare import prepare
from mvssl.config.checks import check_config
from mvssl.config.read import load_config
from mvssl.errors import UserError
from tests.mini import ROOT

LARS = {"_delete_": True, "type": "LARS", "lr": 0.3, "momentum": 0.9, "weight_decay": 1e-6}
OWN = {"_delete_": True, "type": "Digits", "size": 96}
CONFIGS: dict[str, dict[str, Any]] = {
    "byol_er_vit": {},
    "dino_vit": {},
    "simclr_vit": {"optim_wrapper.optimizer": LARS},
    "photos/byol_er_vit_96": {
        "train_dataloader.dataset": OWN,
        "train_dataloader.num_workers": 0,
        "evaluation": None,
    },
}
SMALL = {"train_dataloader.batch_size": 8, "model.backbone.model_args.depth": 1}
VALUES: list[Any] = ["fast", "0.1", None, -1, [], {}, 10**30, float("nan"), True, 0.5, ["a"]]
SETTINGS = (
    "activation_checkpointing",
    "auto_scale_lr",
    "compile",
    "custom_hooks",
    "default_scope",
    "env_cfg",
    "find_unused_parameters",
    "log_level",
)
# Python's own words for a wrong kind, which say nothing to a user.
INTERNAL = re.compile(
    r"not supported between|object is not|has no attribute|unexpected keyword|positional arg"
    r"|indices must be|unsupported operand|argument of type|not iterable|not subscriptable"
    r"|not callable|(Type|Key|Attribute|Index|Runtime|Overflow)Error"
)
# One in so many of what has to be built is tried.
SAMPLE = 29


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of everything in a config, dicts and lists included."""
    if path:
        yield path
    if isinstance(node, dict | list):
        items = node.items() if isinstance(node, dict) else enumerate(node)
        for key, inner in items:
            yield from places(inner, (*path, key))


def mutations(name: str) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """Path, value and the config with it in its place."""
    path = ROOT / "configs" / f"{name}.py"
    whole = load_config(path, options={**SMALL, **CONFIGS[name]}).to_dict()
    for setting in SETTINGS:
        whole.setdefault(setting, None)
    for place in places(whole):
        if place[0] == "er_head":
            continue
        for value in VALUES:
            cfg = copy.deepcopy(whole)
            node: Any = cfg
            for key in place[:-1]:
                node = node[key]
            node[place[-1]] = copy.deepcopy(value)
            yield ".".join(map(str, place)), value, cfg


def check(text: str, path: str, value: Any) -> None:
    """That a sentence names the place and is in the project's own words."""
    assert not INTERNAL.search(text), f"{path}={value!r}: {text}"
    # The type of a component is told with the component, a schedule's fault with what it sets.
    words = [word for word in path.split(".") if not word.isdigit()][-2:]
    words += ["ScheduleHook of"] if path.startswith("schedules") else []
    assert any(word in text for word in words), f"{path}={value!r}: {text}"


@pytest.mark.parametrize("name", CONFIGS)
def test_wrong_kinds_are_told_by_name(name: str) -> None:
    seen = 0
    for path, value, cfg in mutations(name):
        for problem in check_config(cfg):
            check(problem.text, path, value)
            seen += 1
    assert seen > 400


@pytest.mark.parametrize("name", CONFIGS)
def test_what_shows_in_building_alone_is_a_sentence_too(name: str) -> None:
    built = 0
    for path, value, cfg in mutations(name):
        # A fixed choice, another one in each config.
        chosen = zlib.crc32(f"{name} {path} {value!r}".encode()) % SAMPLE == 0
        # A size of 10**30 would be built until no memory is left.
        if value == 10**30 or not chosen or check_config(cfg):
            continue
        built += 1
        try:
            prepare(Config(cfg), "config.py", 0)
        except UserError as error:
            check(str(error), path, value)
    assert built
