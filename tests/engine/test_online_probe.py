"""A classifier beside the training: the run stays the same, and it is the same however it runs."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from mvssl.apis import TrainOptions, train
from mvssl.engine.tags import tag_of
from mvssl.errors import UserError
from mvssl.evaluation import Features, OnlineProbe
from tests.apis.test_resume import StopWithinHook  # noqa: F401  # registers it
from tests.evaluation.small import Labelled, inputs_of
from tests.gloo_pool import GlooPool
from tests.mini import curves, write_config

PROBE = "evaluation = dict(evaluators=dict(online=dict(type='OnlineProbe')), interval=1)\n"
OWN = ("online_top1", "online_balanced", "online_train_top1", "online_train_loss")


def run(config: Path, folder: Path, **options: Any) -> dict[str, Any]:
    values = options.pop("values", {})
    summary = train(TrainOptions(str(config), work_dir=str(folder), cfg_options=values, **options))
    assert summary is not None
    return summary


def content(folder: Path, name: str = "epoch_2.pth") -> dict[str, Any]:
    found: dict[str, Any] = torch.load(folder / name, weights_only=True)
    return found


def assert_equal(first: Any, second: Any, where: str = "") -> None:
    """Bit for bit, at every depth."""
    assert type(first) is type(second), where
    if isinstance(first, Tensor):
        assert torch.equal(first, second), where
    elif isinstance(first, dict):
        assert list(first) == list(second), where
        for key, value in first.items():
            assert_equal(value, second[key], f"{where}.{key}")
    elif isinstance(first, list | tuple):
        assert len(first) == len(second), where
        for number, value in enumerate(first):
            assert_equal(value, second[number], f"{where}.{number}")
    else:
        assert first == second, where


@pytest.mark.parametrize(
    ("base", "options"),
    [
        ("byol_vit.py", {}),  # a teacher and a predictor
        ("byol_er_vit.py", {"amp": True, "values": {"train_cfg.micro_batch_size": 64}}),
        ("byol_vit.py", {"values": {"model.backbone.model_args.proj_drop_rate": 0.2}}),
    ],
    ids=["plain", "amp and micro-batches", "dropout"],
)
def test_a_run_is_the_same_without_it(
    tmp_path: Path, base: str, options: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    interval = "evaluation = dict(interval=1)\n"
    run(
        write_config(tmp_path / "a", base, interval), tmp_path / "without", **copy.deepcopy(options)
    )
    capsys.readouterr()
    summary = run(write_config(tmp_path / "b", base, PROBE), tmp_path / "with", **options)
    told = capsys.readouterr().out
    plain, probed = content(tmp_path / "without"), content(tmp_path / "with")
    for part in ("state_dict", "optimizer", "random", "gradients", "param_schedulers"):
        assert_equal(plain[part], probed[part], part)
    ours, theirs = curves(tmp_path / "with/epoch_2.pth"), curves(tmp_path / "without/epoch_2.pth")
    assert set(ours) - set(theirs) == set(OWN)
    for name, series in theirs.items():
        np.testing.assert_array_equal(series, ours[name], err_msg=name)
    # It is measured after the first epoch and the second, and has learned something.
    assert ours["online_top1"][0].tolist() == [5, 10]
    assert ours["online_train_loss"][0].tolist() == list(range(1, 11))
    assert ours["online_train_loss"][1][0] == pytest.approx(np.log(10))  # of weights 0
    assert ours["online_train_loss"][1][-1] < np.log(10)
    assert summary["online_top1"] == ours["online_top1"][1][-1]
    assert summary["online_top1_init"] is None
    assert "before training  online" not in told
    assert f"epoch 2          online top-1 {summary['online_top1']:.3f}  (lr=0.1)" in told
    assert "Online probe, held out" in (tmp_path / "with/report.html").read_text()


def test_it_is_told_under_eval() -> None:
    probe = OnlineProbe()
    assert set(probe.curves) == set(OWN)
    assert {tag_of(name, probe.curves) for name in OWN} == {f"eval/{name}" for name in OWN}


def test_a_resumed_run_equals_one_that_never_stopped(tmp_path: Path) -> None:
    config = write_config(tmp_path / "a", more=PROBE)
    run(config, tmp_path / "whole")
    stop = PROBE + "custom_hooks = [dict(type='StopWithinHook', step=7)]\n"
    with pytest.raises(KeyboardInterrupt):
        run(write_config(tmp_path / "b", more=stop), tmp_path / "run")
    assert "learned" in content(tmp_path / "run", "iter_7.pth")["hooks"]["EvaluationHook"]
    run(config, tmp_path / "run", resume=str(tmp_path / "run" / "iter_7.pth"))
    whole, resumed = content(tmp_path / "whole"), content(tmp_path / "run")
    for part in ("state_dict", "optimizer"):
        assert_equal(whole[part], resumed[part], part)
    hook = "EvaluationHook"
    assert whole["hooks"][hook]["learned"]["online"]["steps"] == 10
    assert_equal(whole["hooks"][hook], resumed["hooks"][hook])
    first, second = curves(tmp_path / "whole/epoch_2.pth"), curves(tmp_path / "run/epoch_2.pth")
    for name in OWN:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


def test_it_may_be_added_to_a_run_that_goes_on(tmp_path: Path) -> None:
    run(write_config(tmp_path / "a", more="evaluation = dict(interval=1)\n"), tmp_path / "run")
    longer = write_config(tmp_path / "b", more=PROBE + "train_cfg = dict(max_epochs=3)\n")
    shutil.copytree(tmp_path / "run", tmp_path / "longer")
    run(longer, tmp_path / "longer", resume=str(tmp_path / "longer" / "epoch_2.pth"))
    assert curves(tmp_path / "longer/epoch_3.pth")["online_top1"][0].tolist() == [15]


def begun(labels: list[int], features: int = 6, lr: float = 0.1) -> OnlineProbe:
    probe = OnlineProbe(lr)
    probe.begin(Labelled(labels), features, torch.device("cpu"))
    return probe


def batches(steps: int = 12, images: int = 8) -> list[tuple[list[Tensor], Tensor]]:
    generator = torch.Generator().manual_seed(4)
    made = []
    for _ in range(steps):
        labels = torch.randint(3, (images,), generator=generator)
        views = [torch.randn(images, 6, generator=generator) * 5 + 40 for _ in range(2)]
        for view in views:
            view[range(images), labels] += 9
        made.append((views, labels))
    return made


def test_it_is_adam_on_the_cross_entropy_of_standardised_features() -> None:
    probe = begun([0, 1, 2])
    linear = torch.nn.Linear(6, 3)
    torch.nn.init.zeros_(linear.weight)
    torch.nn.init.zeros_(linear.bias)
    optimizer = torch.optim.Adam(linear.parameters(), lr=0.1)
    seen: list[Tensor] = []
    for step, (views, labels) in enumerate(batches()):
        told = probe.learn(views, labels)
        x, y = torch.cat(views), torch.cat([labels, labels])
        seen.append(x.double())
        # Moments of all batches, the older the less they count.
        weights = torch.tensor([0.99 ** (step - age) for age in range(step + 1)]).double()
        weights /= weights.sum()
        mean = sum(w * one.mean(dim=0) for w, one in zip(weights, seen, strict=True))
        square = sum(w * one.square().mean(dim=0) for w, one in zip(weights, seen, strict=True))
        logits = linear(((x - mean) / (square - mean**2).sqrt() / 6**0.5).float())
        loss = F.cross_entropy(logits, y)
        torch.testing.assert_close(told["online_train_loss"], loss.detach(), rtol=1e-4, atol=1e-5)
        right = (logits.argmax(dim=1) == y).float().mean()
        torch.testing.assert_close(told["online_train_top1"], right)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torch.testing.assert_close(
        probe.state_dict()["layer"][0], linear.weight.detach(), atol=1e-4, rtol=1e-3
    )
    views, labels = batches(1, 200)[0]
    found = probe.run(inputs_of(Features(views[0], labels), Features(views[1], labels)))
    assert found["online_top1"] > 0.5


def test_no_gradient_reaches_the_features_and_no_generator_is_used() -> None:
    probe = begun([0, 1, 2])
    (views, labels) = batches(1)[0]
    trained = [view.requires_grad_() for view in views]
    before = torch.get_rng_state()
    probe.learn(trained, labels)
    assert all(view.grad is None for view in trained)
    assert torch.equal(torch.get_rng_state(), before)


def test_images_without_a_label_are_left_out() -> None:
    apart, beside = begun([0, 1, 2, -1]), begun([0, 1, 2, -1])
    for views, labels in batches():
        known = apart.learn([view[:5] for view in views], labels[:5])
        mixed = labels.clone()
        mixed[5:] = -1
        beside_told = beside.learn(views, mixed)
        torch.testing.assert_close(known, beside_told)
    torch.testing.assert_close(apart.state_dict()["layer"], beside.state_dict()["layer"])
    before = copy.deepcopy(beside.state_dict())
    views, labels = batches(1)[0]
    assert beside.learn(views, torch.full_like(labels, -1)) == {}
    assert_equal(beside.state_dict(), before)


def test_numbers_that_are_none_are_left_out() -> None:
    probe = begun([0, 1, 2])
    views, labels = batches(1)[0]
    views[0][2, 1] = float("inf")
    probe.learn(views, labels)
    assert all(part.isfinite().all() for part in probe.state_dict()["layer"])


def _learned() -> dict[str, Any]:
    probe = begun([0, 1, 2, -1])
    rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    told = []
    for number, (views, labels) in enumerate(batches()):
        labels[: number % 9] = -1  # of a rank now and then all
        own = [view.chunk(world)[rank] for view in views]
        told.append(probe.learn(own, labels.chunk(world)[rank]))
    return {"told": told, "state": probe.state_dict()}


def test_two_processes_learn_what_one_does(run_distributed: GlooPool) -> None:
    alone = _learned()
    first, second = run_distributed(_learned, 2)
    assert_equal(first, second)
    assert [len(one) for one in first["told"]] == [len(one) for one in alone["told"]]
    assert {} in alone["told"]
    torch.testing.assert_close(
        first["state"]["layer"], alone["state"]["layer"], rtol=1e-3, atol=1e-4
    )
    torch.testing.assert_close(first["told"], alone["told"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("dict(_delete_=True, type='Plain')", "OnlineProbe learns from the labels of the images"),
        ("dict(_delete_=True, type='OneClass')", "of one alone"),
        ("dict(_delete_=True, type='OtherClasses')", "have others"),
    ],
)
def test_labels_that_do_not_serve_are_told_before_training(
    tmp_path: Path, data: str, said: str
) -> None:
    from mvssl.datasets import Digits
    from mvssl.registry import DATASETS

    class Plain(Digits):
        def __init__(self) -> None:
            super().__init__("train", 32)
            self._labels = self._classes = None

    class OneClass(Digits):
        def __init__(self) -> None:
            super().__init__("train", 32)
            assert self._labels is not None
            self._labels = np.zeros_like(self._labels)

    class OtherClasses(Digits):
        def __init__(self) -> None:
            super().__init__("train", 32)
            self._classes = [f"class {n}" for n in range(10)]

    for kind in (Plain, OneClass, OtherClasses):
        DATASETS.register_module(module=kind)
    try:
        more = PROBE + f"train_dataloader = dict(dataset={data}, batch_size=256)\n"
        with pytest.raises(UserError, match=said) as told:
            run(write_config(tmp_path, more=more), tmp_path / "run")
        assert "\n" not in str(told.value)
        assert not (tmp_path / "run").exists()
    finally:
        for kind in (Plain, OneClass, OtherClasses):
            DATASETS.module_dict.pop(kind.__name__)
