"""The training loop: a step against one written out, and the order of an epoch."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.hooks import Hook
from torch import Tensor, nn

from mvssl.datasets import Digits
from mvssl.engine.loaders import build_loader
from mvssl.engine.loop import TrainLoop, lay_channels_last, total_loss
from mvssl.engine.run import Run
from mvssl.errors import UserError
from tests.mini import train_cli, write_config
from tests.runs import StubRun, optimizer_of, small_model

BYOL: dict[str, Any] = {
    "head": {"type": "PairHead", "loss": {"type": "CosineSimilarityLoss"}},
    "predictor": {"type": "MLP", "hidden_channels": 12},
    "teacher": {"momentum": 0.9},
    "data_preprocessor": {"type": "MultiViewPreprocessor", "views": "byol", "size": 16},
}


def some_batch() -> dict[str, Any]:
    loader = build_loader(Digits("test", 16), 12, seed=0)
    batch: dict[str, Any] = next(iter(loader))
    return batch


def test_a_step_is_embed_loss_backward_step() -> None:
    model = small_model(**BYOL)
    reference = copy.deepcopy(model)
    batch = some_batch()
    outputs = StubRun(model, optimizer_of(model, lr=0.3)).train_loop.step(batch)
    # By torch alone.
    views = reference.data_preprocessor(batch, True)["inputs"]
    z = reference.neck(reference.backbone(torch.cat(views))).chunk(2)
    assert reference.predictor is not None
    assert reference.teacher is not None
    p = reference.predictor(torch.cat(z)).chunk(2)
    with torch.no_grad():
        t = torch.cat(views)
        for part in reference.teacher.parts.values():
            t = part(t)
        targets = t.chunk(2)
    cosines = [
        nn.functional.cosine_similarity(p[v], targets[g]).mean() for g, v in ((0, 1), (1, 0))
    ]
    loss = 2 - 2 * torch.stack(cosines).mean()
    loss.backward()
    torch.testing.assert_close(outputs["loss"], loss.detach())
    for name, parameter in reference.named_parameters():
        if parameter.requires_grad:
            expected = parameter - 0.3 * parameter.grad  # type: ignore[operator]
            torch.testing.assert_close(model.get_parameter(name), expected)
    assert all(not isinstance(x, Tensor) or not x.requires_grad for x in outputs.values())


def test_convolutions_lie_channels_last_and_give_the_same() -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 2, stride=2)
    )
    laid: Any = copy.deepcopy(plain)
    lay_channels_last(laid)
    images = torch.randn(5, 3, 8, 8)
    torch.testing.assert_close(laid(images), plain(images))
    convolved = laid[0](images)
    assert convolved.is_contiguous(memory_format=torch.channels_last)
    # Patches that do not overlap are a matrix product.
    assert laid[3].weight.is_contiguous()
    assert not laid[0].weight.is_contiguous()


class Diary(Hook):
    """Writes down what is called, and when."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def before_train_epoch(self, runner: Run) -> None:
        self.lines.append(f"epoch {runner.train_loop.epoch} begins")  # type: ignore[attr-defined]

    def after_train_iter(self, runner: Run, batch_idx: int, *_: Any, **__: Any) -> None:
        loop = runner.train_loop
        self.lines.append(f"batch {batch_idx}, iteration {loop.iter}")  # type: ignore[attr-defined]
        if len(self.lines) == 6:
            loop.stop_training = True

    def after_train_epoch(self, runner: Run) -> None:
        self.lines.append(f"epoch {runner.train_loop.epoch} ends")  # type: ignore[attr-defined]


def test_epochs_and_iterations_are_counted_after_their_hooks_and_a_hook_may_end_the_run() -> None:
    model = small_model(**BYOL)
    diary = Diary()
    loader = build_loader(Digits("test", 16), 150, seed=0)
    run = StubRun(model, optimizer_of(model), loader, max_epochs=5, hooks=[diary])
    assert run.train_loop.run() is model
    assert diary.lines == [
        "epoch 0 begins",
        "batch 0, iteration 0",
        "batch 1, iteration 1",
        "epoch 0 ends",
        "epoch 1 begins",
        "batch 0, iteration 2",
        "batch 1, iteration 3",
        "epoch 1 ends",
    ]
    assert (run.train_loop.epoch, run.train_loop.iter, run.train_loop.max_iters) == (2, 4, 10)


def test_every_scalar_that_is_named_loss_is_trained() -> None:
    outputs = {"loss_a": torch.tensor(1.5), "b_loss": torch.tensor(2.0), "entropy": 7.0}
    assert total_loss(outputs, "AHead").item() == 3.5


@pytest.mark.parametrize(
    ("outputs", "told"),
    [
        ({"entropy": torch.tensor(1.0)}, "AHead returns nothing that is named loss"),
        ({"loss": torch.ones(3)}, r"AHead returns 'loss', which is no scalar tensor but \(3,\)"),
        ({"loss": 1.0}, "AHead returns 'loss', which is no scalar tensor but float"),
    ],
)
def test_a_head_that_returns_no_scalar_to_train_is_told(outputs: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        total_loss(outputs, "AHead")


@pytest.mark.parametrize("wrong", [{"max_epochs": 0}, {"micro_batch_size": 0}])
def test_numbers_of_the_loop_are_positive(wrong: dict[str, Any]) -> None:
    model = small_model(**BYOL)
    with pytest.raises(UserError, match=f"train_cfg: {next(iter(wrong))} is an integer and at"):
        StubRun(model, optimizer_of(model), **wrong)


def test_compile_compiles_what_embeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[Any] = []

    def compile_(function: Any, **arguments: Any) -> Any:
        compiled.append((function.__name__, arguments))

        def called(*words: Any) -> Any:
            compiled.append("called")
            return function(*words)

        return called

    monkeypatch.setattr(torch, "compile", compile_)
    config = write_config(tmp_path, "byol_vit.py", "\ncompile = dict(backend='eager')\n")
    options = ["--cfg-options", "train_cfg.max_epochs=1"]
    assert train_cli(config, "--work-dir", tmp_path / "run", *options) == 0
    assert compiled == [("embed", {"backend": "eager"}), *["called"] * 5]


def test_the_loop_is_the_one_that_configs_name() -> None:
    from mvssl.registry import LOOPS

    assert LOOPS.get("TrainLoop") is TrainLoop
