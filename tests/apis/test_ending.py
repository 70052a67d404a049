"""What nobody foresaw ends a run in one sentence; the traceback is in a file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.hooks import Hook

from mvssl.apis import TrainOptions
from mvssl.apis.train import train
from mvssl.errors import RunError, UserError
from mvssl.registry import HOOKS
from tests.mini import train_cli, write_config

OPTIONS: dict[str, Any] = {"evaluation": None, "train_cfg.max_epochs": 1}


class Faulty(Hook):
    """Raises something in a method of its own choice."""

    raised: Exception = KeyError("nothing of that name")

    def __init__(self, where: str) -> None:
        setattr(self, where, self._fail)

    def _fail(self, *_: Any, **__: Any) -> None:
        raise self.raised


@pytest.fixture(autouse=True)
def _registered() -> Any:
    HOOKS.register_module(module=Faulty)
    yield
    HOOKS.module_dict.pop("Faulty")


def ended(tmp_path: Path, where: str, raised: Exception, monkeypatch: Any) -> UserError:
    monkeypatch.setattr(Faulty, "raised", raised)
    hooks = [{"type": "Faulty", "where": where}]
    config = write_config(tmp_path)
    with pytest.raises(UserError) as caught:
        train(
            TrainOptions(
                str(config), str(tmp_path / "run"), cfg_options={**OPTIONS, "custom_hooks": hooks}
            )
        )
    return caught.value


@pytest.mark.parametrize("where", ["before_run", "after_train_iter", "after_run"])
def test_a_hook_that_fails(tmp_path: Path, monkeypatch: Any, where: str) -> None:
    error = ended(tmp_path, where, KeyError("nothing of that name"), monkeypatch)
    log = tmp_path / "run" / "train.log"
    assert isinstance(error, RunError)
    assert isinstance(error.__cause__, KeyError)
    assert f", in Faulty.{where}: KeyError: 'nothing of that name'." in str(error)
    assert f"The traceback is in {log}; " in str(error)
    assert "\n" not in str(error)
    text = log.read_text()
    assert "Traceback (most recent call last):" in text
    assert "raise self.raised" in text


def test_where_a_run_can_go_on(tmp_path: Path, monkeypatch: Any) -> None:
    error = ended(tmp_path, "after_run", RuntimeError("at the end"), monkeypatch)
    assert f"--resume goes on from the last checkpoint, {tmp_path}" in str(error)


@pytest.mark.parametrize(
    "raised",
    [
        MemoryError("no room"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
    ],
    ids=["numpy", "GPU", "CPU"],
)
def test_want_of_memory(tmp_path: Path, monkeypatch: Any, raised: Exception) -> None:
    error = ended(tmp_path, "before_train_iter", raised, monkeypatch)
    assert "There is not enough memory" in str(error)
    assert "train_cfg.micro_batch_size" in str(error)
    assert "in epoch 1, iteration 1" in str(error)


def test_a_compiler_that_is_not_there(tmp_path: Path, monkeypatch: Any) -> None:
    from torch._inductor.exc import InvalidCxxCompiler

    error = ended(tmp_path, "before_train_iter", InvalidCxxCompiler(), monkeypatch)
    assert "compile: torch.compile cannot compile this model" in str(error)
    assert "install a C++ compiler" in str(error)
    assert "leave compile out" in str(error)


def test_a_fault_of_the_preparation(
    tmp_path: Path, monkeypatch: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError("an oversight")

    monkeypatch.setattr(sys.modules[train.__module__], "prepare", fail)
    assert train_cli(write_config(tmp_path), "--work-dir", tmp_path / "run") == 1
    told = capsys.readouterr().err
    assert told.startswith("error: The run cannot begin: ZeroDivisionError: an oversight. ")
    log = Path(told.split(" is in ")[1].strip().rstrip("."))
    assert "in fail" in log.read_text()
    log.unlink()
    assert not (tmp_path / "run").exists()
