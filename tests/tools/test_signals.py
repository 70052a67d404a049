"""Signals to tools/train.py, and streams whose reader goes."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import Command, train, with_waiting_hook
from tests.mini import ROOT, write_config

SHORT = "train_cfg = dict(max_epochs=1)\nevaluation = None\n"
LONG = "train_cfg = dict(max_epochs=40)\nevaluation = None\n"


def remaining(folder: Path) -> set[str]:
    """Checkpoints, and what should not be there."""
    return {p.name for p in folder.iterdir() if p.suffix in (".pth", ".tmp")}


def test_a_signal_ends_a_run_after_its_step_with_a_checkpoint(tmp_path: Path) -> None:
    number = signal.SIGINT
    config = write_config(tmp_path, more=LONG + with_waiting_hook(tmp_path))
    folder, workers = tmp_path / "run", "train_dataloader.num_workers=2"
    run = Command(
        [*train(), config, "--work-dir", folder, "--cfg-options", workers], path=[tmp_path]
    )
    run.wait_for("waiting")
    run.send_to_all(number)  # loaders' workers are in the group
    run.send_to_all(number)  # GNU timeout sends it twice
    name = signal.Signals(number).name
    assert run.wait_for(name, "err").startswith(f"{name}: finishing what is under way")
    (tmp_path / "go").touch()
    assert run.end() == 128 + number
    assert len(run.told()) == 3  # the command stands on a line of its own, to be copied
    told = "\n".join(run.told()[1:])
    assert told.startswith(f"stopped by {name} after iteration 1 of 200, saved as {folder}/iter_1")
    assert remaining(folder) == {"iter_1.pth"}
    log = (folder / "train.log").read_text()
    assert "ended: " + told.replace("\n", "\n    ") in log
    assert "steps      40 epochs of 5 steps" in log
    command = shlex.split(told.split("Go on with:\n")[1])
    assert command == [
        *(*train(), str(config), "--cfg-options", workers),
        *("--resume", "--work-dir", str(folder)),
    ]
    again = Command([*command, "--cfg-options", "train_cfg.max_epochs=1"], path=[tmp_path])
    again.wait_for("resuming at epoch 1/1  iter 1/5")
    assert again.end() == 0
    assert "note: goes on from" in (folder / "train.log").read_text()
    assert (folder / "summary.json").exists()


def test_a_second_signal_ends_a_run_at_once(tmp_path: Path) -> None:
    config = write_config(tmp_path, more=LONG + with_waiting_hook(tmp_path))
    run = Command([*train(), config, "--work-dir", tmp_path / "run"], path=[tmp_path])
    run.wait_for("waiting")
    last = tmp_path / "run" / "epoch_3.pth"
    last.write_bytes(b"There is no time to read it.")
    run.send(signal.SIGHUP)
    run.wait_for("SIGHUP: finishing", "err")
    run.send(signal.SIGINT)
    assert run.end() == 130
    assert run.told()[1:] == [
        "stopped at once by SIGINT, without saving; --resume goes on from the last checkpoint, "
        f"{last}"
    ]
    assert remaining(tmp_path / "run") == {last.name}


@pytest.mark.parametrize("module", ["argparse", "numpy", "torch.nn"])
def test_a_signal_during_imports_is_one_line(tmp_path: Path, module: str) -> None:
    config = write_config(tmp_path)
    python = [sys.executable, "-X", "importtime", "tools/train.py"]
    run = Command([*python, config, "--work-dir", tmp_path / "run"])
    run.wait_for(f" {module}", "err")
    run.send(signal.SIGINT)
    assert run.end() == 130
    told = [line for line in run.told() if not line.startswith("import time:")]
    assert told == ["interrupted by SIGINT; nothing was trained yet"]
    assert not (tmp_path / "run").exists()


def test_a_signal_while_the_outputs_are_written_lets_them_be_written(tmp_path: Path) -> None:
    hook = with_waiting_hook(tmp_path, where="after_run")
    config = write_config(tmp_path, more=SHORT + hook)
    run = Command([*train(), config, "--work-dir", tmp_path / "run"], path=[tmp_path])
    run.wait_for("waiting")
    run.send(signal.SIGTERM)
    (tmp_path / "go").touch()
    assert run.end() == 0
    assert run.told() == []
    assert (tmp_path / "run" / "summary.json").exists()


SLOW_END = """
import time

class SlowEnd:
    def __del__(self, print=print, sleep=time.sleep):  # modules are being torn down
        print("ending", flush=True)
        sleep(1)

kept = SlowEnd()
"""


def test_a_signal_when_all_is_done_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "slow_end.py").write_text(SLOW_END)
    imports = "custom_imports = dict(imports=['slow_end'])\n"
    config = write_config(tmp_path, more=SHORT + imports)
    run = Command([*train(), config, "--work-dir", tmp_path / "run"], path=[tmp_path])
    run.wait_for("ending")
    run.send(signal.SIGTERM)
    assert run.end() == 0
    assert run.told() == []


def test_a_run_outlives_its_reader(tmp_path: Path) -> None:
    config = write_config(tmp_path, more=SHORT)
    run = subprocess.Popen(
        [*train(), config, "--work-dir", tmp_path / "run"], stdout=subprocess.PIPE, cwd=ROOT
    )
    assert run.stdout is not None
    run.stdout.readline()
    run.stdout.close()
    assert run.wait() == 0
    assert (tmp_path / "run" / "summary.json").exists()


def test_a_run_goes_without_streams(tmp_path: Path) -> None:
    config = write_config(tmp_path, more=SHORT)
    words = shlex.join([sys.executable, train()[1], str(config), "--work-dir", f"{tmp_path}/run"])
    run = subprocess.run(["bash", "-c", f"{words} > /dev/full 2>&-"], cwd=ROOT)
    assert run.returncode == 0
    assert (tmp_path / "run" / "summary.json").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["evaluate", "RUN", "--data", "."], "nothing was written"),
        (["extract", "RUN", "--data", ".", "--out", "OUT.npz"], "no features were written"),
        (["finetune", "RUN", "--data", ".", "--out", "OUT"], "nothing was written"),
        (["export", "RUN", "--format", "onnx", "--out", "OUT"], "nothing was exported"),
        (["report", "RUN"], "no page was written"),
    ],
)
def test_a_signal_to_another_command_says_what_it_leaves(
    tmp_path: Path, words: list[str], told: str
) -> None:
    waits = "import time\nprint('waiting', flush=True)\ntime.sleep(60)\n"
    (tmp_path / "waits.py").write_text(waits)
    (tmp_path / "run").mkdir()
    places = {"OUT": str(tmp_path / "out"), "RUN": str(tmp_path / "run")}
    tool, *given = (re.sub("OUT|RUN", lambda found: places[found[0]], word) for word in words)
    more = ["--custom-imports", "waits"]
    run = Command([sys.executable, f"tools/{tool}.py", *given, *more], path=[tmp_path])
    run.wait_for("waiting")
    run.send(signal.SIGTERM)
    assert run.end() == 143
    (said,) = run.told()
    assert said.startswith(f"interrupted by SIGTERM; {told}")
