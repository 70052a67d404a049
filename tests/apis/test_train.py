"""Training on several processes, as ranks of the pool; what is told beside."""

from __future__ import annotations

import importlib
import json
import os
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mvssl.apis import TrainOptions
from mvssl.errors import UserError
from mvssl.registry import VIEW_SETS
from tests.gloo_pool import GlooPool
from tests.mini import ROOT, curves, write_config

CONFIGS = ROOT / "configs"

# The package's name for it is the function.
api = importlib.import_module("mvssl.apis.train")


def _train(arguments: dict[str, Any]) -> dict[str, Any] | str | None:
    """The summary (rank 0), None (others), or what a ``UserError`` said."""
    rank, world = torch.distributed.get_rank(), torch.distributed.get_world_size()
    environment = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world}
    before = dict(os.environ)
    os.environ.update({name: str(value) for name, value in environment.items()})
    try:
        summary: dict[str, Any] | None = api.train(TrainOptions(**arguments, launcher="pytorch"))
        return summary
    except UserError as error:
        return str(error)
    finally:
        assert torch.distributed.is_initialized()  # the group is the pool's, which ends it
        os.environ.clear()
        os.environ.update(before)


@pytest.mark.parametrize("base", ["byol_er_vit.py", "byol_vit.py"])
def test_two_processes_train_as_one(run_distributed: GlooPool, tmp_path: Path, base: str) -> None:
    config = str(write_config(tmp_path, base))
    alone = api.train(TrainOptions(config, work_dir=str(tmp_path / "one")))
    arguments = {"config": config, "work_dir": str(tmp_path / "two")}
    first, second = run_distributed(_train, 2, arguments)
    assert alone is not None
    assert isinstance(first, dict)
    assert second is None
    assert json.loads((tmp_path / "two" / "summary.json").read_text())["processes"] == 2
    assert len(list((tmp_path / "two").rglob("events.out.tfevents*"))) == 1
    ours, theirs = (curves(tmp_path / name / "epoch_2.pth") for name in ("one", "two"))
    assert set(ours) == set(theirs)
    for name in ("lr", "teacher_momentum"):
        np.testing.assert_allclose(theirs[name], ours[name], rtol=1e-6, err_msg=name)
    # The steps themselves are compared in float64, in tests/engine: float32's rounding grows in an
    # untrained network, whose features hardly differ before BatchNorm scales them up.
    for name in ("loss", "entropy", "reconstruction", "infonce"):
        np.testing.assert_allclose(
            theirs[name][:, :2], ours[name][:, :2], rtol=1e-4, atol=1e-3, err_msg=name
        )
    for name in ("knn_top1_init", "knn_top1_pixels"):
        assert first[name] == alone[name]
    assert first["knn_top1"] == pytest.approx(alone["knn_top1"], abs=0.05)


def test_a_batch_that_does_not_divide_is_refused_on_all(
    run_distributed: GlooPool, tmp_path: Path
) -> None:
    arguments = {
        "config": str(write_config(tmp_path)),
        "work_dir": str(tmp_path / "run"),
        "cfg_options": {"train_dataloader.batch_size": 65},
    }
    answers = run_distributed(_train, 2, arguments)
    assert answers[0] == answers[1]
    assert "65 does not divide among 2" in str(answers[0])
    assert not (tmp_path / "run").exists()


def test_a_launcher_without_its_environment_says_how_to_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    config = str(write_config(tmp_path))
    with pytest.raises(UserError, match=r"RANK, WORLD_SIZE, LOCAL_RANK not set .* torchrun"):
        api.train(TrainOptions(config, launcher="pytorch"))
    with pytest.raises(UserError, match="start with srun"):
        api.train(TrainOptions(config, launcher="slurm"))
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "0")
    with pytest.raises(UserError, match="add --launcher pytorch"):
        api.train(TrainOptions(config))


def test_a_process_group_that_training_started_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {"RANK": 0, "LOCAL_RANK": 0, "WORLD_SIZE": 1, "MASTER_PORT": port}
    for name, value in {**environment, "MASTER_ADDR": "127.0.0.1"}.items():
        monkeypatch.setenv(name, str(value))
    seen: list[bool] = []

    def prepare(*_: object) -> None:
        seen.append(torch.distributed.is_initialized())
        raise UserError("enough")

    monkeypatch.setattr(api, "prepare", prepare)
    with pytest.raises(UserError, match="enough"):
        api.train(TrainOptions(str(write_config(tmp_path)), launcher="pytorch"))
    assert seen == [True]
    assert not torch.distributed.is_initialized()


@pytest.mark.parametrize(
    "file", [*sorted(CONFIGS.glob("*.py")), *sorted(CONFIGS.glob("photos/*_small.py"))], ids=str
)
def test_views_made_for_digits_are_told_where_the_data_are_others(
    file: Path, tmp_path: Path
) -> None:
    own, given = TrainOptions(str(file)), TrainOptions(str(file), data=str(tmp_path))
    cfg = own.read()
    on_digits = cfg.train_dataloader.dataset.type == "Digits"
    assert on_digits == (file.parent == CONFIGS)
    told = [note for note in api.remarks(given, cfg)[0] if "made for digits" in note]
    assert len(told) == on_digits
    assert not any("made for digits" in note for note in api.remarks(own, cfg)[0])


@pytest.mark.parametrize(
    ("views", "told"),
    [
        ("mvssl.gentle_one", True),
        ({"type": "gentle_multicrop", "local_size": 8}, True),
        ("gentle_of_ones_own", False),
        ([{"flip": 0}], False),
        (None, False),
    ],
)
def test_a_view_set_is_known_by_whatever_name(
    views: object, told: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(VIEW_SETS.module_dict, "gentle_of_ones_own", lambda size: [])
    options = TrainOptions(str(CONFIGS / "byol_vit.py"), data=str(tmp_path))
    cfg = options.read()
    cfg.model.data_preprocessor.views = views
    assert any("made for digits" in note for note in api.remarks(options, cfg)[0]) == told
