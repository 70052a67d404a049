from __future__ import annotations

import fcntl
import io
import logging
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from mvssl.engine.hooks.progress import ProgressHook, StatusLine
from mvssl.registry import HOOKS
from tests.mini import ROOT
from tests.runs import StubRun, loader_of, optimizer_of, small_model

WIDTHS = (40, 60, 80, 120)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def make_runner(epochs: int = 2, steps: int = 10, start: int = 0) -> StubRun:
    model = small_model({"type": "ERHead"})
    run = StubRun(model, optimizer_of(model), loader_of(steps), epochs)
    run.iter, run.epoch, run.logger = start, start // steps, logging.Logger("test")
    values = {"loss": -1.93, "entropy": -123.4, "reconstruction": 125.33, "lr": 1e-3}
    run.history.add(start, {**values, "images_per_second": 1234.4})
    return run


def train(
    hook: ProgressHook,
    runner: StubRun,
    clock: Clock,
    step_s: float = 1.0,
    pause_s: float = 0.0,
    until: int | None = None,
) -> None:
    """The calls that mmengine's epoch-based loop makes, each iteration taking ``step_s``."""
    hook.before_train(runner)
    while runner.epoch < runner.max_epochs:
        hook.before_train_epoch(runner)
        for batch_idx in range(
            runner.iter % len(runner.train_dataloader), len(runner.train_dataloader)
        ):
            if runner.iter == until:
                raise KeyboardInterrupt
            clock.now += step_s
            hook.after_train_iter(runner, batch_idx)
            runner.iter += 1
        hook.after_train_epoch(runner)
        runner.epoch += 1
        clock.now += pause_s
    hook.after_train(runner)
    hook.after_run(runner)


def test_plain_lines_keep_the_interval(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    train(ProgressHook(interval_s=6.0, clock=clock), make_runner(), clock)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "training for 2 epochs, 20 iterations"
    assert [line.split("  ")[1] for line in lines[1:]] == [
        "iter 6/20",
        "iter 12/20",
        "iter 18/20",
        "iter 20/20",
    ]
    assert lines[2] == (
        "epoch 2/2  iter 12/20  eta 0:00:08  1234 images/s"
        "  loss -1.93  entropy -123.4  reconstruction 125.3"
    )


def test_the_last_line_is_not_said_twice(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    train(ProgressHook(interval_s=10.0, clock=clock), make_runner(), clock)
    assert capsys.readouterr().out.count("iter 20/20") == 1


def test_the_last_line_comes_before_what_follows_the_last_iteration(
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock = Clock()
    hook, runner = ProgressHook(interval_s=100.0, clock=clock), make_runner()
    hook.before_train(runner)
    for runner.iter in (18, 19):
        runner.epoch = 1
        hook.after_train_iter(runner, runner.iter - 10)
    assert "iter 20/20" in capsys.readouterr().out  # an evaluation has not begun yet


def test_missing_scalars_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    runner = make_runner(epochs=12, steps=1)
    runner.history.latest = {"loss": float("nan")}
    train(ProgressHook(interval_s=5.0, clock=clock), runner, clock)
    assert capsys.readouterr().out.splitlines()[1] == (
        "epoch  5/12  iter 5/12  eta 0:00:07  loss nan"
    )


def test_resume_starts_there_and_counts_new_iterations_only(
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock = Clock()
    runner = make_runner(epochs=4, start=15)
    train(ProgressHook(interval_s=10.0, clock=clock), runner, clock, step_s=5.0)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "resuming at epoch 2/4  iter 15/40"
    assert lines[1].startswith("epoch 2/4  iter 17/40  eta 0:01:55")


def test_message_is_a_plain_line(capsys: pytest.CaptureFixture[str]) -> None:
    ProgressHook().message("epoch 10   kNN top-1 0.871 (k=20, t=0.07) [bold]")
    assert capsys.readouterr().out == "epoch 10   kNN top-1 0.871 (k=20, t=0.07) [bold]\n"


def test_other_ranks_say_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mvssl.engine.hooks.progress.is_main_process", lambda: False)
    clock = Clock()
    hook = ProgressHook(interval_s=1.0, clock=clock)
    train(hook, make_runner(), clock)
    hook.message("text")
    assert capsys.readouterr().out == ""


def test_hook_is_registered() -> None:
    assert isinstance(HOOKS.build(dict(type="ProgressHook", interval_s=3.0)), ProgressHook)


def seconds(text: str) -> int:
    hours, minutes, second = map(int, re.findall(r"eta (\d+):(\d+):(\d+)", text)[0])
    return 3600 * hours + 60 * minutes + second


def test_the_slow_first_iteration_is_not_taken_for_the_pace(
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock = Clock()
    hook, runner = ProgressHook(interval_s=0.0, clock=clock), make_runner(epochs=1)
    hook.before_train(runner)
    for step, step_s in enumerate([600.0, 2.0, 2.0]):
        clock.now += step_s
        hook.after_train_iter(runner, step)
        runner.iter += 1
    lines = capsys.readouterr().out.splitlines()[1:]
    assert "eta -  " in lines[0]
    assert [seconds(line) for line in lines[1:]] == [16, 14]


def test_a_long_evaluation_has_its_share_of_the_time_left(
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock = Clock()
    hook, runner = ProgressHook(interval_s=0.0, clock=clock), make_runner(epochs=20)
    train(hook, runner, clock, pause_s=100.0)
    lines = capsys.readouterr().out.splitlines()[1:]
    for done, line in enumerate(lines[:200], start=1):
        left = (200 - done) * 1.0 + (20 - (done - 1) // 10) * 100.0  # evaluations included
        if done > 10:
            assert seconds(line) < 1.05 * left
        if done > 10 and done % 10 == 1:  # after each of them
            assert seconds(line) > 0.9 * left - 100.0


def test_hooks_called_before_training_draw_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    hook, runner = ProgressHook(), make_runner()
    hook.stop()
    hook.after_train_iter(runner, 0)
    hook.after_train_epoch(runner)
    hook.after_train(runner)
    assert capsys.readouterr().out == ""


TEXTS: dict[str, Any] = {
    "epoch": "epoch 12/40",
    "percent": "30%",
    "elapsed": "0:00:31",
    "eta": "eta 0:01:12",
    "speed": "1234 images/s",
    "loss": "loss -1.93",
    "entropy": "entropy -123.4",
    "reconstruction": "reconstruction 125.3",
}


def drawn(width: int, texts: dict[str, Any]) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    line = StatusLine(console)
    line.add_task("", total=880, completed=264, **texts)
    with console.capture() as capture:
        console.print(line)
    return capture.get()


def test_live_line_never_wraps_and_shows_everything_where_it_fits() -> None:
    shown = []
    for width in range(12, 200):
        text = drawn(width, TEXTS)
        assert text.count("\n") == 1
        assert cell_len(text.rstrip("\n")) < width
        assert text.startswith("epoch 12/40")
        assert "…" not in text
        shown.append(sum(value in text for value in TEXTS.values()))
    assert shown[0] == 1
    assert shown == sorted(shown)
    assert shown[-1] == len(TEXTS)


@pytest.mark.parametrize("width", range(1, 12))
def test_a_terminal_without_room_shows_nothing(width: int) -> None:
    assert drawn(width, TEXTS).strip() == ""


@pytest.mark.parametrize(
    ("width", "names"),
    [
        (40, "epoch percent loss"),
        (60, "epoch bar percent eta loss"),
        (80, "epoch bar percent elapsed eta speed loss"),
        (120, "epoch bar percent elapsed eta speed loss entropy reconstruction"),
    ],
)
def test_narrow_terminals_show_what_matters_most(width: int, names: str) -> None:
    text = drawn(width, TEXTS)
    shown = [name for name in StatusLine.ORDER if TEXTS.get(name, "━") in text]
    assert shown == names.split()
    places = [text.index(TEXTS.get(name, "━")) for name in shown]
    assert places == sorted(places)


def test_words_in_brackets_are_no_markup() -> None:
    assert "loss [red]" in drawn(80, {**TEXTS, "loss": "loss [red]"})


def train_on_this_terminal() -> None:
    """What `test_a_real_terminal` runs in a process of its own."""
    for width in WIDTHS:
        fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
        clock = Clock()
        train(ProgressHook(clock=clock), make_runner(), clock)
        print("|", flush=True)


def test_a_real_terminal() -> None:
    """Each step is drawn over the last in one row, at any width of a real pseudo-terminal."""
    parent, child = pty.openpty()
    kept = ("COLUMNS", "LINES", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "FORCE_COLOR")
    env = {name: value for name, value in os.environ.items() if name not in kept}
    code = "from tests.engine.test_progress import train_on_this_terminal as t; t()"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**env, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT)},
        stdin=child,
        stdout=child,
        stderr=child,
    )
    os.close(child)
    written = b""
    while True:
        try:
            written += os.read(parent, 65536)
        except OSError:  # the other side is closed
            break
    os.close(parent)
    assert process.wait() == 0, written.decode()
    parts = written.decode().split("|\r\n")[:-1]
    assert len(parts) == len(WIDTHS)
    for width, part in zip(WIDTHS, parts, strict=True):
        plain = re.sub(r"\x1b\[[?0-9;]*[a-zA-Z]", "", part)
        rows = [row for row in re.split(r"[\r\n]+", plain) if row]
        assert len(rows) > 20
        assert all(cell_len(row) < width for row in rows)
        assert "\x1b[1A" not in part  # no way back up: it never took two rows
        assert plain.count("\n") == 1
        assert [row.startswith("epoch ") for row in rows] == [True] * len(rows)
        assert "100%" in rows[-1]


def test_live_display_gives_the_terminal_back_after_an_interrupt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    for name in ("NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    clock, runner = Clock(), make_runner()
    handler = logging.StreamHandler(terminal)
    runner.logger.addHandler(handler)
    hook = ProgressHook(clock=clock)
    with pytest.raises(KeyboardInterrupt):
        train(hook, runner, clock, until=7)
    assert sys.stdout is not terminal
    hook.message("epoch 1   kNN top-1 0.871 [k=20]")
    runner.logger.warning("careful")
    hook.stop()
    hook.stop()
    assert sys.stdout is terminal
    assert handler.stream is terminal
    written = terminal.getvalue()
    assert "\x1b[?25l" in written  # the cursor, hidden ...
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l")  # ... and shown again
    assert "kNN top-1 0.871 [k=20]\n" in written
    assert "careful\n" in written
    assert "35%" in written
    assert "training for" not in written
