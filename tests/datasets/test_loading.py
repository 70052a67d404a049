"""Workers that fail, hang or die."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from multiprocessing.process import BaseProcess
from typing import Any

import numpy as np
import pytest
import torch

from mvssl.datasets import ImageDataset
from mvssl.datasets.loading import watched_workers
from mvssl.engine.loaders import build_loader
from mvssl.errors import UserError
from mvssl.evaluation.features import pixel_features


class _Odd(ImageDataset):
    """Images of one's own, of which one is odd."""

    def __init__(self, kind: str, size: int = 8) -> None:
        super().__init__(labels=None, classes=None, size=size)
        self.kind = kind

    def __len__(self) -> int:
        return 8

    def path(self, index: int) -> str:
        return f"picture {index}\n"

    def describe(self) -> str:
        return "odd"

    def read(self, index: int) -> Any:
        image = np.zeros((8, 8, 3), np.uint8)
        return ODD[self.kind](image) if index == 5 else image


def _raise(error: BaseException) -> Any:
    raise error


class WordyError(Exception):
    """Torch cannot make it again from a text."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one}\n{two}")


ODD: dict[str, Any] = {
    "KeyError": lambda _: _raise(KeyError("x")),
    "OSError": lambda _: _raise(OSError(5, "Input/output error")),
    "MemoryError": lambda _: _raise(MemoryError()),
    "WordyError": lambda _: _raise(WordyError(1, 2)),
    "own": lambda _: _raise(UserError("the drive is asleep: wake it.")),
    "as it is": lambda x: x,
    "list": lambda x: x.tolist(),
    "tensor": lambda x: torch.from_numpy(x),
    "grey": lambda x: x[..., 0],
    "one channel": lambda x: x[..., :1],
    "RGBA": lambda x: x[..., [0, 1, 2, 0]],
    "float": lambda x: x / 255,
    "uint16": lambda x: x.astype(np.uint16),
    "object": lambda x: x.astype(object),
    "empty": lambda x: x[:0],
    "channels first": lambda x: x.transpose(2, 0, 1),
    "another size": lambda x: x[:7],
    "SIGKILL": lambda _: os.kill(os.getpid(), signal.SIGKILL),
    "SIGBUS": lambda _: os.kill(os.getpid(), signal.SIGBUS),
    "SIGSTOP": lambda _: os.kill(os.getpid(), signal.SIGSTOP),
    "shared memory": lambda _: _raise(RuntimeError("unable to write to file </torch_7_1>")),
}


def _wait_for_end(before: set[BaseProcess]) -> None:
    """None of the workers is left that nothing can wake."""
    end = time.monotonic() + 20
    while set(multiprocessing.active_children()) - before:
        assert time.monotonic() < end
        time.sleep(0.02)


DIES = ("SIGKILL", "SIGBUS", "SIGSTOP")


@pytest.mark.parametrize(
    ("kind", "num_workers"),
    [(kind, 0) for kind in ODD if kind not in (*DIES, "as it is")]
    + [(kind, 1) for kind in ("KeyError", "WordyError", "own", "grey", "shared memory")],
)
def test_what_is_wrong_with_an_image_is_one_sentence(kind: str, num_workers: int) -> None:
    dataset = _Odd(kind)
    for run in (
        lambda: list(build_loader(dataset, 4, 0, num_workers)),
        lambda: pixel_features(dataset, 4, num_workers),
    ):
        with pytest.raises(UserError) as caught:
            run()
        told = str(caught.value)
        assert "\n" not in told
        assert "Traceback" not in told
        if kind == "own":
            assert told == "the drive is asleep: wake it."
        elif kind in ("KeyError", "OSError", "MemoryError", "WordyError"):
            assert f"_Odd.read fails on picture 5\\n: {kind}" in told
        elif kind == "shared memory" and num_workers:
            assert "_Odd.read fails" in told
        elif kind != "shared memory":
            assert "_Odd.read gives" in told


@pytest.mark.parametrize("kind", ["SIGKILL", "SIGBUS"])
def test_a_worker_that_was_killed_is_told_with_what_helps(kind: str) -> None:
    loader = build_loader(_Odd(kind), 4, 0, 2)
    with pytest.raises(UserError, match="worker of the loader") as caught, watched_workers():
        list(loader)
    told = str(caught.value)
    assert "/dev/shm" in told
    assert "train_dataloader.num_workers=2, or 0" in told
    assert "\n" not in told


@pytest.mark.parametrize("where", ["training", "evaluation"])
def test_a_worker_that_was_stopped_ends_the_run(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mvssl.evaluation.features.TIMEOUT", 1)
    dataset, before = _Odd("SIGSTOP"), multiprocessing.active_children()

    def run() -> None:
        if where == "training":
            list(build_loader(dataset, 4, 0, 1, timeout=1))
        pixel_features(dataset, 4, 1)

    with pytest.raises(UserError, match=r"for 1 s.*train_dataloader\.timeout=2"):
        run()
    _wait_for_end(set(before))


@pytest.mark.parametrize("idle", [True, False])
def test_a_worker_that_was_stopped_in_a_later_epoch_ends_the_run(
    idle: bool, request: pytest.FixtureRequest
) -> None:
    """Between epochs, while it waits for the next one, or within one; other processes live on."""
    other = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,), daemon=True)
    other.start()
    request.addfinalizer(other.kill)
    before = set(multiprocessing.active_children())
    loader = build_loader(_Odd("as it is"), 1, 0, 1, timeout=1)
    list(loader)

    def stop() -> None:
        for one in set(multiprocessing.active_children()) - before:
            os.kill(one.pid or 0, signal.SIGSTOP)

    def run() -> None:
        if idle:
            stop()
        for _ in loader:
            stop()

    with pytest.raises(UserError, match=r"for 1 s.*train_dataloader\.timeout=2"):
        run()
    assert other.is_alive()
    _wait_for_end(before)


ENDS = """
import multiprocessing, os, signal
from mvssl.datasets.loading import WatchedLoader

loader = WatchedLoader([1, 2], num_workers=1, persistent_workers=True, timeout=60)
list(loader)
for one in multiprocessing.active_children():
    os.kill(one.pid, signal.SIGSTOP)
print("over", flush=True)
"""


def test_a_worker_that_was_stopped_does_not_keep_a_run_from_its_end() -> None:
    ended = subprocess.run([sys.executable, "-c", ENDS], capture_output=True, timeout=100)
    assert (ended.returncode, ended.stdout) == (0, b"over\n"), ended.stderr


def test_a_worker_that_was_stopped_behind_a_batch_that_it_made_ends_the_run() -> None:
    """Its batch lies in shared memory, of which the worker has the key."""
    before = set(multiprocessing.active_children())

    def run() -> None:
        loader = build_loader(_Odd("as it is"), 2, 0, 1, timeout=1)
        for _ in loader:
            for one in set(multiprocessing.active_children()) - before:
                time.sleep(0.5)  # it makes the next ones meanwhile
                os.kill(one.pid or 0, signal.SIGSTOP)

    with pytest.raises(UserError, match=r"for 1 s.*train_dataloader\.timeout=2"):
        run()
    _wait_for_end(before)


def test_a_worker_that_dies_in_the_middle_of_a_step_is_told() -> None:
    """Torch raises from a signal's handler, wherever the main process is."""
    before = multiprocessing.active_children()

    def step() -> None:
        with watched_workers():
            loader = build_loader(_Odd("as it is"), 4, 0, 1)
            next(iter(loader))
            own = set(multiprocessing.active_children()) - set(before)
            own.pop().kill()
            time.sleep(20)

    with pytest.raises(UserError, match="worker of the loader was killed"):
        step()


def test_other_faults_of_a_step_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="shapes differ") as caught, watched_workers():
        raise RuntimeError("shapes differ")
    assert not isinstance(caught.value, UserError)


@pytest.mark.parametrize("timeout", [-1, float("inf"), "5", None])
def test_a_timeout_is_a_number(timeout: Any) -> None:
    with pytest.raises(UserError, match="train_dataloader: timeout is a number"):
        build_loader(_Odd("list"), 4, 0, timeout=timeout)
