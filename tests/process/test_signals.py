"""What signals do in a program that calls training itself."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mvssl.engine.hooks import StopHook
from mvssl.errors import Interrupted
from mvssl.process import signals
from mvssl.process.command import COMMAND, resume_command
from mvssl.process.signals import Phase
from tests.mini import ROOT
from tests.runs import StubRun, optimizer_of, small_model


@pytest.fixture(autouse=True)
def _interruptible() -> Iterator[None]:
    """A shell starts what runs in the background with SIGINT ignored, which would be respected."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def run(tmp_path: Path) -> StubRun:
    model = small_model({"type": "PairHead", "loss": {"type": "CosineSimilarityLoss"}})
    return StubRun(model, optimizer_of(model), work_dir=str(tmp_path))


def test_before_training_a_signal_ends_it_at_once() -> None:
    with signals.watching(), pytest.raises(Interrupted, match=r"SIGINT; nothing was trained yet"):
        signal.raise_signal(signal.SIGINT)


def test_a_signal_is_heeded_after_the_step(run: StubRun, tmp_path: Path) -> None:
    hook = StopHook()
    with signals.watching():
        hook.before_train_epoch(run)
        hook.after_train_iter(run, 0)
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Interrupted) as caught:
            hook.after_train_iter(run, 1)
    assert caught.value.number == signal.SIGTERM
    told = f"saved as {tmp_path}/iter_1.pth. Go on with:\ntrain(TrainOptions(..., resume=True, "
    assert told in str(caught.value)
    assert isinstance(caught.value, KeyboardInterrupt)


def test_a_second_signal_ends_it_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "SAME_S", 0.0)
    with signals.watching() as watch:
        watch.phase = Phase.TRAINING
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(Interrupted, match="stopped at once by SIGINT, without saving"):
            signal.raise_signal(signal.SIGINT)


def test_a_run_whose_remains_cannot_be_read_ends_all_the_same() -> None:
    def remains() -> str:
        raise OSError(5, "Input/output error")

    with signals.watching() as watch:
        watch.remains = remains
        with pytest.raises(Interrupted, match=r"SIGTERM; what is left cannot be told \(OSError\)"):
            signal.raise_signal(signal.SIGTERM)


WATCHED = """
import signal, sys
from mvssl.process.signals import Phase, start_command
watch = start_command(sys.argv)
signal.signal(signal.SIGCHLD, lambda *_: None)  # as torch's loaders do
watch.phase = Phase[sys.argv[1]]
print("ready", flush=True)
sys.stdin.read()
"""


def watched(phase: str) -> subprocess.Popen[str]:
    """A process in a phase of a run, which ends when its standard input does."""
    process = subprocess.Popen(
        [sys.executable, "-c", WATCHED, phase],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("gap", [0.0, 0.05, 0.15])
@pytest.mark.parametrize("phase", ["TRAINING", "FINISHING"])
def test_signals_at_nearly_one_time_are_one(phase: str, gap: float) -> None:
    process = watched(phase)
    process.send_signal(signal.SIGTERM)
    time.sleep(gap)
    process.send_signal(signal.SIGTERM)
    time.sleep(2 * signals.SAME_S)
    process.send_signal(signal.SIGCHLD)  # the end of a worker is no signal to the run
    time.sleep(2 * signals.SAME_S)
    told = process.communicate()[1]
    assert process.returncode == 0
    assert told.count("SIGTERM: finishing") == (phase == "TRAINING")
    assert "stopped at once" not in told


def test_a_signal_after_what_the_first_one_told_ends_it_at_once() -> None:
    process = watched("TRAINING")
    assert process.stderr is not None
    process.send_signal(signal.SIGTERM)
    assert process.stderr.readline().startswith("SIGTERM: finishing")
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 128 + signal.SIGTERM  # its standard input is still open
    told = process.communicate()[1]
    assert told == "stopped at once by SIGTERM, without saving; nothing was trained yet\n"


def test_handlers_come_back_and_those_of_a_program_stay() -> None:
    taken: list[int] = []

    def own(number: int, frame: Any) -> None:
        taken.append(number)

    before = signal.getsignal(signal.SIGINT)
    default = signal.signal(signal.SIGUSR1, own)
    try:
        with signals.watching():
            assert signal.getsignal(signal.SIGINT) is not before
            signal.raise_signal(signal.SIGUSR1)
        assert signal.getsignal(signal.SIGINT) is before
        assert taken == [signal.SIGUSR1]
    finally:
        signal.signal(signal.SIGUSR1, default)


def test_another_thread_leaves_handlers_as_they_are() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen: list[Any] = []

    def work() -> None:
        with signals.watching():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["a.py", "--seed", "3"], ["a.py", "--seed", "3"]),
        (["a.py", "--work-dir", "old", "--amp"], ["a.py", "--amp"]),
        (["a.py", "--resume", "--amp"], ["a.py", "--amp"]),
        (["a.py", "--resume", "old/epoch_1.pth"], ["a.py"]),
        (["a.py", "--resume=old/epoch_1.pth", "--work-dir=old"], ["a.py"]),
        (["a b.py"], ["'a b.py'"]),
    ],
)
def test_the_command_that_goes_on_is_the_one_that_was_typed(
    monkeypatch: pytest.MonkeyPatch, words: list[str], expected: list[str]
) -> None:
    for name in (COMMAND, "TORCHELASTIC_RUN_ID", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    told = resume_command(["python", "tools/train.py", *words], "new")
    assert told == " ".join(
        ["python", "tools/train.py", *expected, "--resume", "--work-dir", "new"]
    )


@pytest.mark.parametrize(
    ("words", "starter"),
    [
        (["slurm.py", "--launcher", "slurm"], ["srun", "python"]),
        (["a.py", "--launcher=slurm"], ["srun", "python"]),
        (["slurm", "--launcher", "none"], ["python"]),
    ],
)
def test_under_slurm_srun_starts_it(
    monkeypatch: pytest.MonkeyPatch, words: list[str], starter: list[str]
) -> None:
    for name in (COMMAND, "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SLURM_PROCID", "0")
    told = resume_command(["python", *words], "new").split()
    assert told == [*starter, *words, "--resume", "--work-dir", "new"]


def test_under_torchrun_it_starts_as_many_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(COMMAND, raising=False)
    for name, value in {"RUN_ID": "none"}.items():
        monkeypatch.setenv(f"TORCHELASTIC_{name}", value)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    words = ["/bin/python", "-u", "tools/train.py", "a.py", "--launcher", "pytorch"]
    assert resume_command(words, "new") == (
        "torchrun --nproc-per-node 2 tools/train.py a.py --launcher pytorch --resume --work-dir new"
    )
