"""A run on a disk that takes no more, or that is gone."""

from __future__ import annotations

import json
import logging
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mvssl import checkpoint as checkpoints
from mvssl.apis import TrainOptions, train
from mvssl.engine.tags import tag_of
from mvssl.errors import UserError
from mvssl.files import write_bytes_atomically
from mvssl.models.backbones import TimmBackbone, save_backbone
from mvssl.report.tables import write_summary
from tests.mini import ROOT, curves, write_config

pytestmark = pytest.mark.usefixtures("_quick_runs")

MOST = 20_000


@pytest.fixture
def full_disk() -> Iterator[None]:
    """Files may hold no more than ``MOST`` bytes; what is written beyond is refused half-way."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MOST, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _checkpoint(folder: Path, size: int) -> None:
    checkpoints.save_checkpoint({"w": torch.randn(size // 4)}, folder / "a.pth")


def _backbone(folder: Path, size: int) -> None:
    names = {"img_size": 32, "embed_dim": 16, "depth": 1, "num_heads": 2}
    backbone = TimmBackbone("vit_tiny_patch16_224", names)
    backbone.register_buffer("filling", torch.zeros(size // 4))
    backbone.model.register_buffer("filling", torch.zeros(size // 4))
    save_backbone(backbone, folder / "b.safetensors", {"type": "TimmBackbone"})


WRITERS: list[Callable[[Path, int], None]] = [
    _checkpoint,
    _backbone,
    lambda folder, size: write_bytes_atomically(folder / "c.png", bytes(size)),
    lambda folder, size: write_summary(folder / "summary.json", {"a": "b" * size}),
]


@pytest.mark.parametrize("size", [MOST - 600, MOST + 1, MOST + 5000, 50 * MOST])
@pytest.mark.parametrize("write", WRITERS, ids=["checkpoint", "backbone", "figure", "summary"])
@pytest.mark.usefixtures("full_disk")
def test_a_write_that_fails_is_one_sentence_and_leaves_no_file(
    tmp_path: Path, write: Callable[[Path, int], None], size: int
) -> None:
    if size < MOST and write not in (_checkpoint, _backbone):  # which add to it
        write(tmp_path, size)
        assert len(list(tmp_path.iterdir())) == 1
        return
    with pytest.raises(UserError, match=r"File too large\. Make room"):
        write(tmp_path, size)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_called_so(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"there is no folder .*/nodir\. Make it, or choose another"
    ):
        write_bytes_atomically(tmp_path / "nodir" / "x.png", b"x")


def test_the_same_weights_make_the_same_file(tmp_path: Path) -> None:
    tensors = {"b": torch.arange(3.0), "a": torch.ones(2, 2, dtype=torch.bfloat16)}
    metadata = {name: name * 3 for name in ("x", "build", "y", "z", "é")}
    file = tmp_path / "a.safetensors"
    contents = set()
    for _ in range(20):  # the order of metadata is another one at each call
        checkpoints.write_safetensors(file, tensors, metadata)
        contents.add(file.read_bytes())
    assert len(contents) == 1
    found, told = checkpoints.open_safetensors(file)
    assert torch.equal(found["b"], tensors["b"])
    assert torch.equal(found["a"], tensors["a"])
    assert told == metadata


def options(folder: Path, epochs: int = 2, more: str = "", **others: Any) -> TrainOptions:
    config = write_config(folder, "byol_er_vit.py", "evaluation = None\n" + more)
    changes = {"train_cfg.max_epochs": epochs, "train_dataloader.batch_size": 512}
    return TrainOptions(str(config), work_dir=str(folder / "run"), cfg_options=changes, **others)


def at_epoch(monkeypatch: pytest.MonkeyPatch, number: int, act: Callable[[], object]) -> None:
    """Have something happen before checkpoint ``number`` is written."""
    save, seen = checkpoints.save_checkpoint, [0]

    def saved(*arguments: Any) -> None:
        seen[0] += 1
        if seen[0] == number:
            act()
        save(*arguments)

    monkeypatch.setattr(checkpoints, "save_checkpoint", saved)


def test_a_full_disk_ends_a_run_with_what_is_left_and_it_goes_on_with_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    fill = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (3000, before[1]))  # noqa: E731
    at_epoch(monkeypatch, 2, fill)
    try:
        with pytest.raises(UserError) as caught:
            train(options(tmp_path))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    run = tmp_path / "run"
    told = str(caught.value)
    assert f"Cannot write {run}/epoch_2.pth: File too large" in told
    assert f"the last checkpoint, {run}/epoch_1.pth" in told
    names = {path.name for path in run.iterdir()}
    assert "epoch_2.pth" not in names
    assert not any(name.endswith((".tmp", ".lock")) for name in names)
    out = capfd.readouterr()
    assert "Traceback" not in out.out + out.err
    monkeypatch.undo()
    summary = train(options(tmp_path, resume=True))
    assert summary is not None
    assert summary["epochs"] == 2


def test_log_and_tensorboard_alone_do_not_end_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    opened: list[Any] = []
    open_log = logging.FileHandler._open

    def kept(handler: logging.FileHandler) -> Any:
        opened.append(open_log(handler))
        return opened[-1]

    def full() -> None:
        nowhere = os.open("/dev/full", os.O_WRONLY)
        os.dup2(nowhere, opened[-1].fileno())
        os.close(nowhere)
        for file in (tmp_path / "run" / "vis_data").glob("events.*"):
            file.unlink()
            file.symlink_to("/dev/full")

    monkeypatch.setattr(logging.FileHandler, "_open", kept)
    at_epoch(monkeypatch, 1, full)
    summary = train(options(tmp_path))
    assert summary is not None
    assert summary["epochs"] == 2
    out = capfd.readouterr()
    assert out.out.count("note: train.log cannot be written") == 1
    assert out.out.count("note: TensorBoard's file cannot be written") == 1
    assert "No space left on device" in out.out
    assert "Traceback" not in out.out + out.err


def test_a_work_dir_that_is_removed_ends_the_run_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    at_epoch(monkeypatch, 1, lambda: shutil.rmtree(tmp_path / "run"))
    with pytest.raises(UserError, match="is gone"):
        train(options(tmp_path))
    out = capfd.readouterr()
    assert "Traceback" not in out.out + out.err
    assert not (tmp_path / "run").exists()


def test_tensorboard_shows_each_step_of_resumed_runs_once(tmp_path: Path) -> None:
    train(options(tmp_path, 3))
    run = tmp_path / "run"
    train(options(tmp_path, 3, resume=str(run / "epoch_1.pth")))
    train(options(tmp_path, 3, resume=str(run / "epoch_2.pth")))
    board = EventAccumulator(str(run / "vis_data"), size_guidance={"scalars": 0})
    board.Reload()
    recorded = curves(run / "epoch_3.pth")
    for name in ("loss", "lr", "entropy"):
        steps, values = recorded[name]
        shown = board.Scalars(tag_of(name))
        assert [event.step for event in shown] == steps.tolist()
        assert len(set(steps.tolist())) == len(steps)
        assert [event.value for event in shown] == pytest.approx(values.tolist(), rel=1e-5)


def test_a_run_that_lives_is_neither_begun_nor_resumed_a_second_time(tmp_path: Path) -> None:
    told = options(tmp_path, 2000)
    command = [sys.executable, str(ROOT / "tools/train.py"), told.config]
    more = [
        "--work-dir",
        str(told.work_dir),
        "--cfg-options",
        *(f"{name}={value}" for name, value in told.cfg_options.items()),
    ]
    process = subprocess.Popen(command + more, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    run = tmp_path / "run"
    try:
        while not list(run.glob("epoch_*.pth")):
            assert process.poll() is None
        holder = json.loads((run / ".lock").read_text())
        assert holder["pid"] == process.pid
        for resume in (False, True, str(run / "epoch_1.pth")):
            with pytest.raises(UserError, match=f"is being written by process {process.pid} on"):
                train(options(tmp_path, 2, resume=resume))
        process.send_signal(signal.SIGKILL)
        process.wait()
        left = run / f".epoch_9.pth.{process.pid}.tmp"
        left.write_bytes(b"half")
        last = max(int(p.stem[6:]) for p in run.glob("epoch_*.pth"))
        summary = train(options(tmp_path, last + 1, resume=True))
        assert summary is not None
        assert summary["epochs"] == last + 1
        assert not left.exists()
        assert not (run / ".lock").exists()
    finally:
        process.kill()
        process.communicate()
