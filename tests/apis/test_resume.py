"""A resumed run is the run that was: what is adopted, refused, takes effect; by real runs."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from mmengine.hooks import Hook
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from timm.layers import DropPath
from torch import nn

from mvssl.apis import TrainOptions
from mvssl.apis.compared import draws_in_training
from mvssl.apis.train import train
from mvssl.checkpoint import save_checkpoint
from mvssl.errors import UserError
from mvssl.registry import HOOKS
from tests.gloo_pool import GlooPool
from tests.mini import ROOT, assert_same_curves, curves, tree

pytestmark = pytest.mark.usefixtures("_quick_runs")

CONFIG = """
_base_ = ['{base}methods/{method}.py', '{base}datasets/folder.py',
          '{base}schedules/adamw.py', '{base}runtime.py']
model = dict(
    backbone=dict(
        type='TimmBackbone',
        name='vit_tiny_patch16_224',
        model_args=dict(img_size=16, patch_size=8, embed_dim=16, depth=1, num_heads=2)),
    neck=dict(hidden_channels=16, out_channels=8),
    data_preprocessor=dict(size=16))
train_dataloader = dict(batch_size=8, num_workers=0)
param_scheduler = dict(warmup_epochs=1)
train_cfg = dict(max_epochs=2)
default_hooks = dict(checkpoint=dict(interval=1, max_keep_ckpts=-1), scalars=dict(interval=1))
{more}
"""
LR, WD = "optim_wrapper.optimizer.lr", "optim_wrapper.optimizer.weight_decay"
EPOCHS, BATCH = "train_cfg.max_epochs", "train_dataloader.batch_size"
STEPS = 3  # of an epoch of 24 images in batches of 8


@HOOKS.register_module(force=True)
class StopAfterHook(Hook):
    """Ctrl-C after the checkpoint of an epoch."""

    priority = "LOWEST"

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def after_train_epoch(self, runner: Any) -> None:
        if runner.epoch + 1 == self.epoch:
            raise KeyboardInterrupt


@HOOKS.register_module(force=True)
class StopWithinHook(Hook):
    """Saves after a step, and then Ctrl-C."""

    priority = "LOWEST"

    def __init__(self, step: int) -> None:
        self.step = step

    def after_train_iter(self, runner: Any, *_: Any, **__: Any) -> None:
        if runner.iter + 1 == self.step:
            runner.save_mid_epoch()
            raise KeyboardInterrupt


@HOOKS.register_module(force=True)
class HalveOnceHook(Hook):
    """Halves the learning rate after a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def after_train_iter(self, runner: Any, *_: Any, **__: Any) -> None:
        if runner.iter + 1 == self.step:
            for group in runner.optim_wrapper.param_groups:
                group["lr"] *= 0.5


def write(folder: Path, more: str = "", method: str = "byol") -> str:
    folder.mkdir(parents=True, exist_ok=True)
    base = str(ROOT / "configs" / "_base_") + "/"
    (folder / "small.py").write_text(CONFIG.format(base=base, method=method, more=more))
    return str(folder / "small.py")


def pictures(folder: Path, numbers: range) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        rng = np.random.default_rng(number)
        pixels = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((20, 20)).save(folder / f"{number:03d}.png")
    return str(folder)


def run(config: str, work_dir: Path, resume: bool | str = False, **options: Any) -> dict[str, Any]:
    """Train; the summary."""
    values = options.pop("values", {})
    options = {"work_dir": str(work_dir), "resume": resume, "cfg_options": values, **options}
    summary = train(TrainOptions(config, **options))
    assert summary is not None
    return summary


def refused(config: str, work_dir: Path, values: Mapping[str, Any] = {}, **options: Any) -> str:
    """The sentence; nothing has been written."""
    before = tree(work_dir)
    with pytest.raises(UserError) as error:
        run(config, work_dir, True, values=values, **options)
    assert tree(work_dir) == before
    return str(error.value)


def rates(folder: Path, number: int, name: str = "lr") -> list[float]:
    values: list[float] = curves(folder / f"epoch_{number}.pth")[name][1].tolist()
    return values


def notes(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [x for x in capsys.readouterr().out.splitlines() if x.startswith("note: ")]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 24 images and a config."""
    folder = tmp_path_factory.mktemp("place")
    pictures(folder / "a", range(24))
    write(folder)
    return folder


@pytest.fixture(scope="module")
def begun(place: Path) -> Path:
    """A finished run of two epochs, by ``--objective native``."""
    run(str(place / "small.py"), place / "begun", data=str(place / "a"))
    return place / "begun"


@pytest.fixture
def copy(begun: Path, tmp_path: Path) -> Path:
    """The run, to go on with."""
    shutil.copytree(begun, tmp_path / "run")
    return tmp_path / "run"


def test_what_was_said_at_the_start_is_said_for_the_whole_run(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said: dict[str, Any] = {
        "objective": "er",
        "data": str(place / "a"),
        "amp": True,
        "values": {LR: 0.01, EPOCHS: 3, "model.head.kappa": 5.0},
    }
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    summary = run(str(place / "small.py"), whole, **said)
    config = write(tmp_path, "custom_hooks = [dict(type='StopAfterHook', epoch=2)]")
    with pytest.raises(KeyboardInterrupt):
        run(config, cut, **said)
    write(tmp_path)
    capsys.readouterr()
    again = run(config, cut, resume=True)
    assert again["head"] == summary["head"] == "ERHead"
    assert_same_curves(whole / "epoch_3.pth", cut / "epoch_3.pth")
    told = "\n".join(notes(capsys))
    for words in ("--objective er", f"--data {place / 'a'}", "--amp", f"{LR}=0.01", "kappa=5.0"):
        assert words in told
    weights = [torch.load(f / "epoch_3.pth", weights_only=True)["state_dict"] for f in (whole, cut)]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_a_relative_data_folder_is_found_from_elsewhere(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    run("small.py", tmp_path / "run", data="a", values={EPOCHS: 1})
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert run(str(place / "small.py"), tmp_path / "run", True, values={EPOCHS: 2})["epochs"] == 2


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"model.head.loss_weight": 2.0}, "model.head.loss_weight"),
        ({"model.predictor": None}, "model.predictor was {'type': 'MLP'"),
        ({"model.teacher": None, "schedules": {}}, "model.teacher was {'momentum'"),
        ({"model.data_preprocessor.views": "simclr"}, "views was 'byol' and is 'simclr'"),
        ({"model.backbone.model_args.depth": 2}, "depth was 1 and is 2"),
        (
            {"optim_wrapper.optimizer": {"_delete_": True, "type": "SGD", "lr": 0.1}},
            "optim_wrapper.optimizer.type was 'AdamW' and is 'SGD'",
        ),
        ({"optim_wrapper.constructor": "DefaultOptimWrapperConstructor"}, "was 'DecayGroups'"),
        ({"train_dataloader.dataset.size": 8}, "dataset.size"),
    ],
)
def test_what_must_agree_is_refused_with_the_difference_named(
    place: Path, copy: Path, values: dict[str, Any], words: str
) -> None:
    told = refused(str(place / "small.py"), copy, values)
    assert words in told
    assert "epoch_2.pth is of another run" in told
    assert "leave out --cfg-options " + next(iter(values)) in told


def test_an_edited_config_is_refused_where_it_must_agree(copy: Path, tmp_path: Path) -> None:
    config = write(tmp_path, "model['neck']['norm'] = 'layer'")
    told = refused(config, copy)
    assert "model.neck.norm" in told
    assert "small.py, the config that it was begun with" in told


def test_another_methods_config_is_refused_with_the_name_of_the_right_one(
    place: Path, copy: Path, tmp_path: Path
) -> None:
    told = refused(write(tmp_path, method="simclr"), copy)
    assert "model.head.type was 'PairHead' and is 'JointHead'" in told
    assert f"give {place / 'small.py'}, the config that it was begun with" in told


def test_what_was_said_of_one_config_is_not_put_onto_another(place: Path, tmp_path: Path) -> None:
    config, folder = str(place / "small.py"), tmp_path / "run"
    values = {EPOCHS: 1, "model.predictor.hidden_channels": 16}
    run(config, folder, data=str(place / "a"), values=values)
    told = refused(write(tmp_path, "model['predictor'] = 'none'", method="simclr"), folder)
    assert "what was said then does not fit this one" in told
    assert f"give {config}, or start a new run" in told


def test_an_argument_spelled_out_at_its_default_is_no_difference(
    place: Path, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = {"model.neck.num_layers": 2, "model.backbone.stem": "default", "model.num_targets": 2}
    run(str(place / "small.py"), copy, True, values=values)
    assert not any("model." in line for line in notes(capsys) if " was " in line)
    told = refused(str(place / "small.py"), copy, {"model.backbone.stem": "cifar"})
    assert "model.backbone.stem was not there and is 'cifar'" in told


def test_a_run_goes_on_without_the_file_that_its_weights_began_from(
    place: Path, begun: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, folder = tmp_path / "first.pth", tmp_path / "run"
    shutil.copy(begun / "epoch_2.pth", file)
    values = {"model.backbone.checkpoint": str(file), EPOCHS: 1}
    run(str(place / "small.py"), folder, data=str(place / "a"), values=values)
    file.unlink()
    run(str(place / "small.py"), folder, True, values={EPOCHS: 2})
    meta = torch.load(folder / "epoch_2.pth", weights_only=True)["meta"]
    assert meta["values"]["model"]["backbone"]["checkpoint"] == str(file)
    fetched: list[bool] = []
    create = timm.create_model

    def watched(*arguments: Any, pretrained: bool = False, **more: Any) -> nn.Module:
        fetched.append(pretrained)
        return create(*arguments, **more)

    monkeypatch.setattr(timm, "create_model", watched)
    run(str(place / "small.py"), folder, True, values={"model.backbone.pretrained": True})
    assert fetched
    assert not any(fetched)


def test_another_objective_is_refused(place: Path, copy: Path) -> None:
    told = refused(str(place / "small.py"), copy, objective="er")
    assert "model.head.type was 'PairHead' and is 'ERHead'" in told
    assert "leave out --objective er" in told


def test_rates_that_are_given_take_effect_and_stay(
    place: Path, copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, data = str(place / "small.py"), str(place / "a")
    run(config, copy, True, values={LR: 0.02, WD: 0.3, EPOCHS: 4})
    told = notes(capsys)
    assert any(f"{LR} was 0.001 and is 0.02" in line for line in told)
    run(config, tmp_path / "whole", data=data, values={LR: 0.02, EPOCHS: 4})
    assert rates(copy, 4)[6:] == rates(tmp_path / "whole", 4)[6:]
    assert rates(copy, 4)[:6] != rates(tmp_path / "whole", 4)[:6]
    run(config, copy, True, values={EPOCHS: 5})  # what is not given stays
    run(config, tmp_path / "longer", data=data, values={LR: 0.02, EPOCHS: 5})
    assert rates(copy, 5)[12:] == rates(tmp_path / "longer", 5)[12:]
    groups = torch.load(copy / "epoch_5.pth", weights_only=True)["optimizer"]["param_groups"]
    assert [group["weight_decay"] for group in groups] == [0.0, 0.3]
    assert [group["initial_lr"] for group in groups] == [0.02, 0.02]


def test_an_edited_rate_in_the_config_takes_effect(
    place: Path, copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write(tmp_path, "optim_wrapper = dict(optimizer=dict(lr=0.02))")
    run(config, copy, True, values={EPOCHS: 4})
    assert any(f"{LR} was 0.001 and is 0.02" in line for line in notes(capsys))
    assert rates(copy, 4)[6] == pytest.approx(0.02 * (1 + np.cos(np.pi * 3 / 8)) / 2)


DECAY = f"schedules = dict(decay=dict(type='ScheduleHook', path='{WD}', end=0.4))"


def test_where_a_schedule_goes_the_config_s_value_comes_back(place: Path, tmp_path: Path) -> None:
    run(write(tmp_path, DECAY), tmp_path / "run", data=str(place / "a"))
    run(write(tmp_path), tmp_path / "run", True, values={EPOCHS: 3})
    last = torch.load(tmp_path / "run" / "epoch_3.pth", weights_only=True)
    decays = [group["weight_decay"] for group in last["optimizer"]["param_groups"]]
    assert decays == [0.0, 0.05]


def test_a_rate_that_a_hook_set_stays_where_nothing_changes(place: Path, tmp_path: Path) -> None:
    config = write(tmp_path, "custom_hooks = [dict(type='HalveOnceHook', step=2)]")
    run(config, tmp_path / "whole", data=str(place / "a"))
    file = str(tmp_path / "whole" / "epoch_1.pth")
    run(config, tmp_path / "rest", file)
    assert rates(tmp_path / "rest", 2) == rates(tmp_path / "whole", 2)


@pytest.mark.parametrize("states", [None, [], [{}, {}], [{"last_step": "x", "step": 3}]])
def test_the_state_of_schedules_is_not_what_a_run_goes_on_with(
    place: Path, begun: Path, tmp_path: Path, states: Any
) -> None:
    content = torch.load(begun / "epoch_1.pth", weights_only=True)
    content["param_schedulers"] = states
    if states is None:
        del content["param_schedulers"]
    save_checkpoint(content, tmp_path / "epoch_1.pth")
    run(str(place / "small.py"), tmp_path / "run", str(tmp_path / "epoch_1.pth"))
    assert_same_curves(begun / "epoch_2.pth", tmp_path / "run" / "epoch_2.pth")


CHAIN = """param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=3),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=3)]"""
EPOCHWISE = """param_scheduler = [
    dict(type='ExponentialLR', gamma=0.9), dict(type='MultiStepLR', milestones=[3], gamma=0.1)]"""


@pytest.mark.parametrize("more", ["", CHAIN])
def test_with_another_batch_schedules_go_on_at_the_same_fraction(
    place: Path, tmp_path: Path, more: str
) -> None:
    config, data = write(tmp_path, more), str(place / "a")
    folder, whole = tmp_path / "run", tmp_path / "whole"
    run(config, folder, data=data, values={EPOCHS: 2})
    run(config, folder, True, values={EPOCHS: 4, BATCH: 12})
    run(config, whole, data=data, values={EPOCHS: 4, BATCH: 12})
    for name in ("lr", "teacher_momentum"):
        assert rates(folder, 4, name)[2 * STEPS :] == rates(whole, 4, name)[2 * 2 :]
    steps = curves(folder / "epoch_4.pth")["loss"][0].tolist()
    assert steps == list(range(1, 2 * STEPS + 2 * 2 + 1))
    boards = [EventAccumulator(str(f)).Reload() for f in folder.rglob("events.out.tfevents*")]
    assert sorted(event.step for board in boards for event in board.Scalars("optim/loss")) == steps
    meta = torch.load(folder / "epoch_4.pth", weights_only=True)["meta"]
    assert (meta["epoch"], meta["iter"]) == (4, 10)
    run(config, folder, True, values={EPOCHS: 5})  # goes on with the batch of 12, at position 8
    run(config, tmp_path / "longer", data=data, values={EPOCHS: 5, BATCH: 12})
    assert rates(folder, 5)[10:] == rates(tmp_path / "longer", 5)[8:]


@pytest.mark.parametrize(("batch", "before", "left"), [(4, 8, 4), (24, 2, 0)])
def test_within_an_epoch_the_images_that_were_seen_are_left_out_of_other_batches(
    place: Path, tmp_path: Path, batch: int, before: int, left: int
) -> None:
    """One step of the second epoch, with a batch of 8, is over."""
    folder, whole = tmp_path / "run", tmp_path / "whole"
    config = write(tmp_path, "custom_hooks = [dict(type='StopWithinHook', step=4)]")
    with pytest.raises(KeyboardInterrupt):
        run(config, folder, data=str(place / "a"), values={EPOCHS: 3})
    write(tmp_path)
    run(config, folder, True, values={BATCH: batch})
    run(config, whole, data=str(place / "a"), values={BATCH: batch, EPOCHS: 3})
    per_epoch = 24 // batch
    ours, theirs = rates(folder, 3), rates(whole, 3)
    assert len(ours) == 4 + left + per_epoch
    assert ours[4 : 4 + left] == theirs[before : before + left]
    assert ours[4 + left :] == theirs[2 * per_epoch :]


def test_mmengines_schedules_resumed_unchanged_are_those_of_a_run_that_never_stopped(
    place: Path, tmp_path: Path
) -> None:
    config, data = write(tmp_path, EPOCHWISE), str(place / "a")
    values = {EPOCHS: 3}
    run(config, tmp_path / "whole", data=data, values=values)
    file = str(tmp_path / "whole" / "epoch_1.pth")
    run(config, tmp_path / "rest", file, values=values)
    assert_same_curves(tmp_path / "whole" / "epoch_3.pth", tmp_path / "rest" / "epoch_3.pth")


def test_images_may_be_added_and_removed(
    place: Path, copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, more = str(place / "small.py"), pictures(tmp_path / "more", range(2, 34))
    summary = run(config, copy, True, data=more, values={EPOCHS: 4})
    assert summary["images"] == 32
    told = notes(capsys)
    assert any(
        "2 of 24 are gone and 10 are new (such as 024.png)" in line
        and "trained on the 32 there are" in line
        for line in told
    )
    # A whole run of four epochs of four steps.
    assert rates(copy, 4)[6:] == pytest.approx(
        [1e-3 * (1 + np.cos(np.pi * (k - 4) / 11)) / 2 for k in range(8, 16)]
    )
    other = pictures(tmp_path / "other", range(50, 74))
    assert "None of the 32 images that" in refused(config, copy, {EPOCHS: 5}, data=other)


def test_a_moved_folder_holds_the_same_images(
    place: Path, copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(place / "a", tmp_path / "moved")
    run(str(place / "small.py"), copy, True, data=str(tmp_path / "moved"), values={EPOCHS: 3})
    assert not any("images" in line for line in notes(capsys))


@pytest.mark.parametrize(
    ("method", "more", "numbers"),
    [
        ("ir", "", range(1, 24)),
        ("deepcluster", "model['head'] = dict(num_clusters=4)", range(25)),
        ("deepclusterv2", "model['head'] = dict(num_clusters=4)", range(1, 24)),
    ],
)
def test_what_is_kept_for_each_image_needs_the_images(
    place: Path, tmp_path: Path, method: str, more: str, numbers: range
) -> None:
    config, folder = write(tmp_path, more, method), tmp_path / "run"
    run(config, folder, data=str(place / "a"), values={EPOCHS: 1})
    told = refused(config, folder, {EPOCHS: 2}, data=pictures(tmp_path / "b", numbers))
    assert "keeps something for each of them by its number" in told
    assert "1 of 24 are gone" in told or "1 are new (such as 024.png)" in told


def test_fewer_epochs_than_are_done_are_refused(place: Path, copy: Path) -> None:
    told = refused(str(place / "small.py"), copy, {EPOCHS: 1})
    assert "epoch_2.pth stands after 2 epochs, and train_cfg.max_epochs=1: give at least 2" in told


def test_a_run_that_ended_before_its_outputs_gets_them(
    place: Path, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (copy / "backbone.safetensors").read_bytes()
    for name in ("summary.json", "backbone.safetensors"):
        (copy / name).unlink()
    summary = run(str(place / "small.py"), copy, True)
    assert summary["epochs"] == 2
    assert (copy / "summary.json").exists()
    assert len((copy / "backbone.safetensors").read_bytes()) == len(before)
    assert any("nothing is left to train" in line for line in notes(capsys))


def test_a_dry_run_says_how_it_would_go_on(
    place: Path, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree(copy)
    config, values = str(place / "small.py"), {EPOCHS: 4}
    train(TrainOptions(config, str(copy), resume=True, dry_run=True, cfg_options=values))
    told = "\n".join(notes(capsys))
    assert "epoch_2.pth, after 2 epochs; the run has 4" in told
    assert f"{EPOCHS} was 2 and is 4" in told
    assert tree(copy) == before


def go_on(config: str, folder: str, launcher: str = "none") -> dict[str, Any] | None:
    """On each rank."""
    values = {EPOCHS: 3}
    return train(TrainOptions(config, folder, resume=True, launcher=launcher, cfg_options=values))


def test_another_number_of_processes_goes_on(
    place: Path, begun: Path, copy: Path, tmp_path: Path, run_distributed: GlooPool
) -> None:
    one = tmp_path / "one"
    shutil.copytree(begun, one)
    go_on(str(place / "small.py"), str(one))
    summary = run_distributed(go_on, 2, str(place / "small.py"), str(copy), "pytorch")[0]
    assert summary is not None
    assert summary["processes"] == 2
    for name, series in curves(one / "epoch_3.pth").items():
        np.testing.assert_allclose(
            series, curves(copy / "epoch_3.pth")[name], rtol=1e-4, atol=1e-5, err_msg=name
        )


@pytest.mark.parametrize(
    ("part", "draws"),
    [
        (nn.Dropout(0.1), True),
        (nn.Dropout(0.0), False),
        (DropPath(0.2), True),
        (DropPath(0.0), False),
        (nn.Linear(2, 2), False),
    ],
)
def test_what_draws_on_each_process_is_known(part: nn.Module, draws: bool) -> None:
    assert draws_in_training(nn.Sequential(nn.Identity(), part)) is draws
