"""What our Runner adds to mmengine's, on a model of two layers."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from torch import nn

from mvssl.checkpoint import latest_checkpoint, load_run
from mvssl.engine import Runner
from mvssl.engine.hooks import CheckpointHook
from mvssl.engine.recompute import recompute
from mvssl.errors import UserError
from mvssl.models import MultiView
from mvssl.registry import MODELS
from tests.hostile import write_hostile
from tests.runs import SMALL_VIT, small_job, small_model

MODEL: dict[str, Any] = {
    "type": "MultiView",
    "backbone": SMALL_VIT,
    "neck": {"type": "MLP", "hidden_channels": 8, "out_channels": 4},
    "predictor": {"type": "MLP", "hidden_channels": 8},
    "teacher": {"momentum": 0.5},
    "head": {"type": "ERHead"},
    "data_preprocessor": {"type": "MultiViewPreprocessor", "views": "gentle", "size": 16},
}


COSINE: dict[str, Any] = {"type": "WarmupCosineLR", "warmup_epochs": 0.5}


def build(
    folder: Path,
    epochs: int = 1,
    checkpoint: Path | None = None,
    scheduler: Any = COSINE,
    top_level: Mapping[str, Any] = {},
    **sgd: Any,
) -> Runner:
    optim = {
        "type": "OptimWrapper",
        "constructor": "DecayGroups",
        "optimizer": {"type": "SGD", "lr": 0.5, "momentum": sgd.pop("momentum", 0.0)},
        **sgd,
    }
    momentum = {"path": "model.teacher.momentum", "end": 1.0}
    job = small_job(MODEL, epochs, 60, optim, scheduler, [momentum], **top_level)
    return Runner(job, folder, None if checkpoint is None else load_run(checkpoint))


def teacher_weight(model: MultiView) -> torch.Tensor:
    assert model.teacher is not None
    return next(model.teacher.parts["neck"].parameters()).detach().clone()


@pytest.mark.filterwarnings("ignore:Detected call of `scheduler.step")
def test_a_real_run_moves_the_teacher_once_for_each_accumulated_step(tmp_path: Path) -> None:
    runner = build(tmp_path / "run", accumulative_counts=2)
    trail = [teacher_weight(runner.model)]
    update, steps = runner.model.teacher.update, []  # type: ignore[union-attr]

    def watched(parts: Any) -> None:
        update(parts)
        steps.append(runner.iter)
        trail.append(teacher_weight(runner.model))

    runner.model.teacher.update = watched  # type: ignore[union-attr, method-assign]
    runner.train()
    assert steps == [1, 3, 5]
    assert not any(torch.equal(a, b) for a, b in itertools.pairwise(trail[:-1]))
    assert torch.equal(trail[-2], trail[-1])  # at the last step all is kept


def test_outputs_lie_directly_in_the_work_dir(tmp_path: Path) -> None:
    build(tmp_path / "run").train()
    names = {p.name for p in (tmp_path / "run").iterdir()}
    assert {"train.log", "epoch_1.pth", "last_checkpoint"} <= names


def test_the_model_gets_the_runs_seed_for_its_views(tmp_path: Path) -> None:
    runner = build(tmp_path / "run")
    assert runner.model.data_preprocessor.seed == 7


def test_epoch_means_are_over_the_last_whole_epoch(tmp_path: Path) -> None:
    runner = build(tmp_path / "run", epochs=2)
    runner.train()
    steps, losses = runner.history.series("loss")
    assert steps.tolist() == list(range(1, 13))
    assert runner.epoch_means["loss"] == pytest.approx(losses[6:].mean())
    assert runner.seconds > 0


def test_weights_of_a_run_are_loaded(tmp_path: Path) -> None:
    first = build(tmp_path / "first")
    first.train()
    second = build(tmp_path / "second")
    second.load_checkpoint(str(tmp_path / "first" / "epoch_1.pth"))
    for key, value in first.model.state_dict().items():
        assert torch.equal(value, second.model.state_dict()[key]), key
    assert second.iter == 0


@pytest.mark.parametrize("method", ["load_checkpoint", "resume"])
@pytest.mark.parametrize("kind", ["zip", "legacy", "pickle"])
def test_a_hostile_file_is_refused_by_all_ways_in(tmp_path: Path, kind: str, method: str) -> None:
    file, trap = tmp_path / "bad.pth", tmp_path / "trap"
    write_hostile(file, trap, kind)
    runner = build(tmp_path / "run")
    with pytest.raises(UserError, match=r"bad\.pth"):
        getattr(runner, method)(str(file))
    assert not trap.exists()


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    build(tmp_path / "first").train()
    file = tmp_path / "first" / "epoch_1.pth"
    content = torch.load(file, weights_only=True)
    content["state_dict"]["neck.layers.9.weight"] = content["state_dict"].pop(
        "neck.layers.0.weight"
    )
    torch.save(content, file)
    with pytest.raises(UserError, match=r"missing: neck\.layers\.0\.weight"):
        build(tmp_path / "second", checkpoint=file).train()
    with pytest.raises(UserError, match=r"missing: neck\.layers\.0\.weight"):
        build(tmp_path / "third").load_checkpoint(str(file))


def test_what_lacks_the_state_of_a_run_cannot_be_resumed(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    torch.save({"state_dict": MODELS.build(MODEL).state_dict()}, file)
    with pytest.raises(UserError, match="it lacks gradients, history, hooks, meta, optimizer"):
        build(tmp_path / "run", checkpoint=file)
    torch.save({"epoch": 3}, file)
    with pytest.raises(UserError, match="holds no model of a run"):
        build(tmp_path / "other").load_checkpoint(str(file))


def test_a_resumed_optimiser_keeps_its_momentum_and_rate(tmp_path: Path) -> None:
    whole = build(tmp_path / "whole", epochs=2, momentum=0.9)
    whole.train()
    file = tmp_path / "whole" / "epoch_1.pth"
    rest = build(tmp_path / "rest", epochs=2, checkpoint=file, momentum=0.9)
    rest.train()
    for name in ("loss", "lr", "teacher_momentum"):
        for a, b in zip(whole.history.series(name), rest.history.series(name), strict=True):
            np.testing.assert_array_equal(a, b, err_msg=name)
    for key, value in whole.model.state_dict().items():
        assert torch.equal(value, rest.model.state_dict()[key]), key


def test_a_work_dir_may_have_any_name(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    build(folder).train()
    assert (folder / "last_checkpoint").read_text() == "epoch_1.pth"
    last = latest_checkpoint(folder)
    assert last == folder / "epoch_1.pth"
    build(folder, epochs=2, checkpoint=last).train()
    assert latest_checkpoint(folder) == folder / "epoch_2.pth"


def test_curves_are_not_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run" / "vis_data").symlink_to(tmp_path / "elsewhere")
    board = {"type": "Visualizer", "vis_backends": [{"type": "TensorboardVisBackend"}]}
    build(tmp_path / "run", top_level={"visualizer": board}).train()
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert list((tmp_path / "run" / "vis_data").glob("events.*"))


def test_a_hook_that_saves_and_fails_is_the_one_that_failed(tmp_path: Path) -> None:
    class Fails(Hook):
        def after_train_iter(self, runner: Runner, *_: Any, **__: Any) -> None:
            runner.save_mid_epoch()
            raise RuntimeError

    runner = build(tmp_path / "run")
    runner.register_hook(Fails())
    with pytest.raises(RuntimeError):
        runner.train()
    assert runner.calling == "Fails.after_train_iter"


@pytest.mark.parametrize("as_list", [False, True])
def test_a_run_resumed_with_more_epochs_has_the_rates_of_the_longer_one(
    tmp_path: Path, as_list: bool
) -> None:
    scheduler = [COSINE] if as_list else COSINE
    whole = build(tmp_path / "whole", epochs=4, scheduler=scheduler)
    whole.train()
    build(tmp_path / "short", epochs=2, scheduler=scheduler).train()
    file = tmp_path / "short" / "epoch_2.pth"
    rest = build(tmp_path / "rest", epochs=4, checkpoint=file, scheduler=scheduler)
    rest.train()
    steps, rates = rest.history.series("lr")
    assert steps.tolist() == list(range(1, 25))
    np.testing.assert_array_equal(rates[12:], whole.history.series("lr")[1][12:])
    assert rates[11] < 1e-9 < rates[12]


def test_a_resumed_run_deletes_the_checkpoints_that_the_first_part_wrote(tmp_path: Path) -> None:
    def go(epochs: int, checkpoint: Path | None = None) -> list[str]:
        runner = build(tmp_path / "run", epochs, checkpoint)
        hook = next(hook for hook in runner.hooks if isinstance(hook, CheckpointHook))
        hook.max_keep_ckpts = 2
        runner.train()
        return sorted(path.name for path in (tmp_path / "run").glob("epoch_*.pth"))

    assert go(2) == ["epoch_1.pth", "epoch_2.pth"]
    last = tmp_path / "run" / "epoch_2.pth"
    assert go(4, last) == ["epoch_3.pth", "epoch_4.pth"]


def test_activation_checkpointing_changes_no_number(tmp_path: Path) -> None:
    plain = build(tmp_path / "plain")
    names = {"activation_checkpointing": ["backbone.model.blocks.0"]}
    saving = build(tmp_path / "saving", top_level=names)
    block = saving.model.get_submodule("backbone.model.blocks.0")
    calls: list[str] = []
    block.register_forward_pre_hook(lambda *_: calls.append("block"))
    inner = block.get_submodule("attn")
    inner_calls: list[str] = []
    inner.register_forward_pre_hook(lambda *_: inner_calls.append("attn"))
    for runner in (plain, saving):
        runner.train()
    assert len(inner_calls) == 2 * len(calls)  # each forward is done again in backward
    losses = [runner.history.series("loss")[1] for runner in (plain, saving)]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-6)


def test_recomputed_parts_show_batch_norm_each_batch_once() -> None:
    found = []
    for names in ([], ["neck"]):
        torch.manual_seed(0)
        model = small_model({"type": "ERHead"}).train()
        recompute(model, names)
        record = model.embed([torch.randn(8, 3, 16, 16) for _ in range(2)], torch.arange(8))
        torch.as_tensor(model.loss(record)["loss"]).backward()
        (norm, *_) = [one for one in model.neck.modules() if isinstance(one, nn.BatchNorm1d)]
        found.append((norm.running_mean, norm.running_var, norm.num_batches_tracked, norm.momentum))
    for once, again in zip(*found, strict=True):
        torch.testing.assert_close(again, once, rtol=0, atol=0)
