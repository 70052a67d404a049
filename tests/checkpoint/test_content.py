"""Every part of a run's checkpoint of every wrong kind is one sentence that names the part."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from mvssl.apis import TrainOptions, train
from mvssl.checkpoint import load_run, save_checkpoint
from mvssl.errors import UserError
from tests.mini import tree, write_config

pytestmark = pytest.mark.usefixtures("_quick_runs")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("run")
    config = write_config(folder, "byol_er_vit.py", "evaluation = None\n")
    changes = {"train_cfg.max_epochs": 1, "train_dataloader.batch_size": 1024}
    train(TrainOptions(str(config), work_dir=str(folder / "first"), cfg_options=changes))
    return folder, torch.load(folder / "first" / "epoch_1.pth", weights_only=True)


PARTS = ["state_dict", "meta", "optimizer", "history", "message_hub", "param_schedulers", "random"]
PARTS += ["scalars", "gradients", "hooks"]
KINDS = [None, 3, "text", [1, 2], {"a": 1}, torch.ones(2)]


@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_another_kind_is_named(
    run: tuple[Path, dict[str, Any]], tmp_path: Path, part: str
) -> None:
    assert part in run[1]
    for kind in KINDS:
        save_checkpoint({**run[1], part: kind}, tmp_path / "a.pth")
        with pytest.raises(UserError, match=rf"a\.pth cannot be resumed, its {part} "):
            load_run(tmp_path / "a.pth")


CURVE = {"steps": torch.tensor([1, 2]), "values": torch.ones(2, dtype=torch.float64)}
WITHIN = [
    ("meta", ("epoch",), float("nan")),
    ("meta", ("epoch",), -1),
    ("meta", ("epoch",), True),
    ("meta", ("iter",), 2.0),
    ("meta", ("iter",), None),
    ("meta", ("steps_per_epoch",), 0),
    ("meta", ("seconds",), float("nan")),
    ("meta", ("seed",), "one"),
    ("meta", ("seed",), 2**70),
    ("meta", ("iter",), 10**30),
    ("meta", ("names",), torch.ones(2, 2)),
    ("meta", ("epoch_means",), {"loss": "low"}),
    ("meta", ("options", "amp"), None),
    ("meta", ("options",), []),
    ("meta", ("names",), [1]),
    ("meta", ("stop_training",), 1),
    ("meta", ("facts",), [1]),
    ("meta", ("facts",), {"channels": 10**9}),
    ("meta", ("facts",), {"mean": ["a"], "std": [1.0]}),
    ("meta", ("facts",), {"anything": 1}),
    ("state_dict", ("backbone.model.pos_embed",), [1.0]),
    ("optimizer", ("param_groups",), {}),
    ("optimizer", ("param_groups", 0), 7),
    ("optimizer", ("param_groups", 0, "lr"), None),
    ("optimizer", ("state",), None),
    ("optimizer", ("state", 0, "step"), "ten"),
    ("optimizer", ("state", 0), {"step": torch.tensor(1.0)}),
    ("history", ("series", "loss"), {"steps": [1], "values": [1.0]}),
    ("history", ("series", "loss"), {**CURVE, "values": torch.ones(3)}),
    ("history", ("series", "loss"), {**CURVE, "steps": torch.tensor([2, 1])}),
    ("history", ("series", "loss"), {**CURVE, "steps": torch.tensor([1.0, 2.0])}),
    ("history", ("series", "loss"), {**CURVE, "values": torch.ones(2) * 1j}),
    ("history", ("series", "loss"), {**CURVE, "steps": torch.tensor([10**6, 10**7])}),
    ("history", ("series",), None),
    ("message_hub", ("train/loss",), [torch.ones(2)]),
]


@pytest.mark.parametrize(("part", "path", "value"), WITHIN)
def test_a_fault_within_a_part_is_named(
    run: tuple[Path, dict[str, Any]], tmp_path: Path, part: str, path: tuple[Any, ...], value: Any
) -> None:
    content = copy.deepcopy(run[1])
    place = content[part]
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    save_checkpoint(content, tmp_path / "a.pth")
    with pytest.raises(UserError, match=rf"a\.pth cannot be resumed, its {part} "):
        load_run(tmp_path / "a.pth")


@pytest.mark.parametrize("part", ["hooks", "random", "scalars", "gradients"])
def test_a_part_that_is_missing_is_named(
    run: tuple[Path, dict[str, Any]], tmp_path: Path, part: str
) -> None:
    content = {name: value for name, value in run[1].items() if name != part}
    save_checkpoint(content, tmp_path / "a.pth")
    with pytest.raises(UserError, match=rf"a\.pth cannot be resumed, it lacks {part}: give"):
        load_run(tmp_path / "a.pth")


def test_what_a_hook_cannot_take_back_is_told(
    run: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    file = tmp_path / "second" / "epoch_1.pth"
    file.parent.mkdir()
    save_checkpoint({**run[1], "hooks": {"CheckpointHook": {}}}, file)
    config = str(next(run[0].glob("*.py")))
    with pytest.raises(UserError, match=r"epoch_1\.pth does not hold what a run goes on with"):
        train(TrainOptions(config, resume=str(file)))


@pytest.mark.parametrize(
    "fault", ["fewer groups", "fewer parameters", "another shape", "no decay", "one beta"]
)
def test_an_optimiser_of_other_parameters_is_refused_before_anything_is_written(
    run: tuple[Path, dict[str, Any]], tmp_path: Path, fault: str
) -> None:
    content = copy.deepcopy(run[1])
    state = content["optimizer"]
    if fault == "fewer groups":
        state["param_groups"].pop()
    elif fault == "fewer parameters":
        state["param_groups"][0]["params"].pop()
    elif fault == "no decay":
        del state["param_groups"][0]["weight_decay"]
    elif fault == "one beta":
        state["param_groups"][0]["betas"] = [0.9]
    else:
        state["state"][0]["exp_avg"] = torch.ones(3)
    (tmp_path / "second").mkdir()
    file = tmp_path / "second" / "epoch_1.pth"
    save_checkpoint(content, file)
    before = tree(tmp_path)
    config = next(run[0].glob("*.py"))
    with pytest.raises(UserError, match=r"epoch_1\.pth cannot be resumed, its optimizer "):
        train(TrainOptions(str(config), resume=str(file)))
    assert tree(tmp_path) == before
