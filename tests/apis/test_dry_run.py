from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from mvssl.apis import TrainOptions, dry_run
from mvssl.engine import Runner, memory
from mvssl.engine.memory import Estimate, estimate
from mvssl.report.plan import opening
from tests.mini import prepared, train_cli, write_config

SMALL = ("--cfg-options", "train_dataloader.batch_size=64")


def test_the_plan_comes_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train_cli(write_config(tmp_path), "--dry-run", *SMALL) == 0
    told = capsys.readouterr().out
    places = [
        told.index(f"\n{word} ") for word in ("backbone", "learning rate", "memory", "one batch")
    ]
    assert places == sorted(places)
    assert "nothing was written" in told


@pytest.mark.parametrize(
    ("free", "advice"),
    [
        (3 * 2**20, r"train_cfg\.micro_batch_size=\d+ \(the same batch, in pieces\), or --batch-s"),
        (0, r"choose a smaller --image-size or --backbone\."),
    ],
)
def test_a_batch_that_does_not_fit_is_not_tried(
    free: int,
    advice: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(dry_run, "free_memory", lambda: free)
    monkeypatch.setattr(dry_run, "_one_step", lambda *_: pytest.fail("it was tried"))
    assert train_cli(write_config(tmp_path), "--dry-run", *SMALL) == 2
    out, err = capsys.readouterr()
    assert "learning rate" in out
    assert "A step with 64 images at once takes about" in err
    assert re.search(advice, err)


def test_memory_that_ends_all_the_same_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def ends(*_: Any) -> tuple[float, float]:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(dry_run, "_one_step", ends)
    assert train_cli(write_config(tmp_path), "--dry-run", *SMALL) == 2
    assert "train_cfg.micro_batch_size=32 (the same batch, in pieces)" in capsys.readouterr().err


def test_what_is_proposed_fits() -> None:
    found = Estimate(fixed=1000, each=100)
    assert found.of(10) == int(1.2 * 2000)
    assert found.most(found.of(10)) == 10
    assert found.most(1000) == 0
    told = dry_run._advice(found, share=48, images=48, free=found.of(20))
    assert "micro_batch_size=16" in told  # the largest divisor of 48 up to 20
    assert "--batch-size 16" in told


def test_the_memory_of_an_image_is_that_of_its_activations(tmp_path: Path) -> None:
    options = {"train_dataloader.batch_size": 8}
    job = prepared(TrainOptions(config=str(write_config(tmp_path)), cfg_options=options))
    runner = Runner(job, tmp_path / "out")
    runner.make_ready()
    runner.model.train()
    batch = next(iter(runner.train_dataloader))
    found = estimate(runner, batch)
    trained = sum(p.numel() for p in runner.model.parameters() if p.requires_grad)
    assert found.fixed == 12 * trained  # a gradient and two moments, of 4 bytes each
    # Two views of 3 x 32 x 32; of the one block's 17 tokens of 16 channels at the least its
    # inputs to two norms, qkv, both layers of the MLP (4 times as wide).
    views, tokens = 2 * 4 * 3 * 32 * 32, 2 * 4 * 17 * 16
    assert views + tokens * (2 + 3 + 4 + 4) < found.each < views + tokens * 60


def test_a_containers_limit_counts(tmp_path: Path) -> None:
    for name, text in {
        "memory.max": "1000\n",
        "memory.current": "700\n",
        "memory.stat": "anon 1\ninactive_file 50\n",
    }.items():
        (tmp_path / name).write_text(text)
    assert memory._of_group(tmp_path) == 350
    (tmp_path / "memory.max").write_text("max\n")
    assert memory._of_group(tmp_path) is None
    assert memory._of_group(tmp_path / "none") is None
    assert (memory.free_memory() or 0) > 2**20


@pytest.mark.parametrize(
    ("batch", "told"),
    [
        (500, "2 steps, 500 images each; each epoch leaves out 437 of 1,437 images, others each"),
        (1400, "1 step, 1,400 images each; each epoch leaves out 37 of 1,437 images"),
        (479, "3 steps, 479 images each\n"),
    ],
)
def test_images_that_an_epoch_leaves_out_are_told(batch: int, told: str, tmp_path: Path) -> None:
    options = TrainOptions(
        str(write_config(tmp_path)), cfg_options={"train_dataloader.batch_size": batch}
    )
    assert told in opening(prepared(options), "nowhere")


def test_a_model_that_is_not_timm_s_of_its_name_says_so(tmp_path: Path) -> None:
    def model_line(**more: Any) -> str:
        told = opening(prepared(TrainOptions(config, **more)), "nowhere")
        return next(line for line in told.split("\n") if line.startswith("model "))

    config = str(write_config(tmp_path))
    cut_down = "vit_tiny_patch16_224 (patch_size=8, embed_dim=16, depth=1, num_heads=2), "
    assert cut_down in model_line()
    assert "resnet10t, " in model_line(backbone="resnet10t")
    assert "vit_tiny_patch16_224, " in model_line(backbone="vit_tiny_patch16_224")
