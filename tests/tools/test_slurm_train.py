"""tools/slurm_train.sh with stand-ins for SLURM's programs that start real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.commands import Command, with_waiting_hook
from tests.forking import python
from tests.mini import ROOT, write_config

SRUN = """#!{python}
import os, signal, subprocess, sys
words = [word for word in sys.argv[1:] if not word.startswith("--kill-on")]
tasks = []
def forward(number, frame):
    for task in tasks:
        task.send_signal(number)
for number in (signal.SIGUSR1, signal.SIGTERM):
    signal.signal(number, forward)
for task in range(2):
    environment = {{**os.environ, "SLURM_PROCID": str(task), "SLURM_LOCALID": str(task)}}
    tasks.append(subprocess.Popen(words, env={{**environment, "SLURM_NTASKS": "2"}}))
statuses = [task.wait() for task in tasks]
sys.exit(max(status if status >= 0 else 128 - status for status in statuses))
"""

SCONTROL = """#!/bin/sh
echo "$@" >> "$(dirname "$0")/requeued"
"""


def start(folder: Path, config: Path, *more: object) -> Command:
    """A job of two tasks."""
    bin_ = folder / "bin"
    bin_.mkdir(exist_ok=True)
    for name, text in (("srun", SRUN.format(python=sys.executable)), ("scontrol", SCONTROL)):
        (bin_ / name).write_text(text)
        (bin_ / name).chmod(0o755)
    path = os.pathsep.join([str(bin_), str(Path(python()).parent), os.environ["PATH"]])
    environment = {"PATH": path, "SLURM_JOB_ID": str(os.getpid()), "MVSSL_TIMEOUT": "60"}
    words = ["bash", "tools/slurm_train.sh", config, folder / "run", *more]
    return Command(words, path=[folder], environment=environment)


def test_a_warned_job_saves_is_queued_again_and_goes_on(tmp_path: Path) -> None:
    more = "train_cfg = dict(max_epochs=2)\nevaluation = None\n"
    config = write_config(tmp_path, more=more + with_waiting_hook(tmp_path))
    job = start(tmp_path, config)
    job.wait_for("waiting")
    job.wait_for("waiting")  # both tasks listen to signals now
    job.send(signal.SIGUSR1)
    job.wait_for("SIGUSR1: finishing", "err")
    (tmp_path / "go").touch()
    assert job.end() == 0
    requeued = tmp_path / "bin" / "requeued"
    assert requeued.read_text() == f"requeue {os.getpid()}\n"
    assert (tmp_path / "run" / "last_checkpoint").exists()
    assert len(job.told()) == 3  # the command that goes on has a line of its own
    again = start(tmp_path, config)
    again.wait_for("resuming at epoch 1/2  iter 2/10")
    assert again.end() == 0
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["processes"] == 2
    assert requeued.read_text().count("\n") == 1


def test_a_job_goes_on_in_a_folder_whose_name_is_like_a_pattern(tmp_path: Path) -> None:
    folder = tmp_path / "lr[0.1]*"
    folder.mkdir()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/srun").write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / "bin/srun").chmod(0o755)
    words = ["bash", "tools/slurm_train.sh", "config.py", str(folder)]
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    for saved in (False, True):
        if saved:
            (folder / "epoch_3.pth").touch()
        done = subprocess.run(
            words, cwd=ROOT, env={"PATH": path}, capture_output=True, text=True, check=True
        )
        assert ("--resume" in done.stdout) == saved
