"""tools/dist_train.sh and torchrun with two processes."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import sys
from pathlib import Path

import pytest

from tests.commands import Command, with_waiting_hook
from tests.forking import python
from tests.mini import write_config

LONG = "train_cfg = dict(max_epochs=40)\nevaluation = None\n"

PID_HOOK = """
import os
from pathlib import Path
from mmengine.hooks import Hook
from mvssl.registry import HOOKS

@HOOKS.register_module()
class PidHook(Hook):
    '''Leaves the process ids of all ranks in files.'''

    def __init__(self, folder):
        self.folder = Path(folder)

    def before_train(self, runner):
        (self.folder / f"pid_{runner.rank}").write_text(str(os.getpid()))
"""


def free_port() -> str:
    with socket.socket() as one:
        one.bind(("", 0))
        return str(one.getsockname()[1])


def dist_train(folder: Path, *words: object, **environment: str) -> Command:
    command = ["bash", "tools/dist_train.sh", *words]
    path = os.pathsep.join([str(Path(python()).parent), os.environ["PATH"]])
    return Command(command, [folder], {"PATH": path, "PORT": free_port(), **environment})


def waiting_config(folder: Path) -> Path:
    (folder / "pid_hook.py").write_text(PID_HOOK)
    waiting = with_waiting_hook(folder)
    pids = (
        f"custom_hooks.append(dict(type='PidHook', folder={str(folder)!r}))\n"
        "custom_imports['imports'].append('pid_hook')\n"
    )
    return write_config(folder, more=LONG + waiting + pids)


def pid(folder: Path, rank: int) -> int:
    return int((folder / f"pid_{rank}").read_text())


def test_a_signal_to_the_launcher_saves_and_is_its_status(tmp_path: Path) -> None:
    config, folder = waiting_config(tmp_path), tmp_path / "run"
    run = dist_train(tmp_path, config, 2, "--work-dir", folder)
    run.wait_for("waiting")
    run.wait_for("waiting")  # both processes listen to signals now
    run.send_to_all(signal.SIGUSR1)
    run.wait_for("SIGUSR1: finishing", "err")
    (tmp_path / "go").touch()
    assert run.end() == 138
    saved = [p.name for p in folder.glob("*.pth")]
    assert len(saved) == 1
    assert len(run.told()) == 3
    assert f"saved as {folder / saved[0]}" in run.told()[1]
    words = shlex.split(run.told()[2])
    assert words == [
        next(word for word in words if word.startswith("PORT=")),
        *("bash", "tools/dist_train.sh", str(config), "2"),
        *("--resume", "--work-dir", str(folder)),
    ]


def test_a_signal_to_one_process_stops_all_of_them(tmp_path: Path) -> None:
    config, folder = waiting_config(tmp_path), tmp_path / "run"
    torchrun = [python(), "-m", "torch.distributed.run", "--nproc-per-node", 2]
    options = ["--master-port", free_port()]
    words = [*torchrun, *options, "tools/train.py", config, "--launcher", "pytorch"]
    run = Command([*words, "--work-dir", folder], [tmp_path])
    run.wait_for("waiting")
    run.wait_for("waiting")
    os.kill(pid(tmp_path, 1), signal.SIGUSR1)
    (tmp_path / "go").touch()
    assert run.end() != 0
    saved = [p.name for p in folder.glob("*.pth")]
    assert len(saved) == 1
    told = [line for line in run.told() if "stopped by SIGUSR1 after iteration" in line]
    assert told[0].startswith("stopped by")
    assert "traceback : stopped by" in " ".join(told[1].split())
    assert not any("Traceback" in line and "mvssl" in line for line in run.told())


def test_a_process_that_is_killed_is_named(tmp_path: Path) -> None:
    config = waiting_config(tmp_path)
    run = dist_train(tmp_path, config, 2, "--work-dir", tmp_path / "run")
    run.wait_for("waiting")
    run.wait_for("waiting")
    os.kill(pid(tmp_path, 1), signal.SIGKILL)
    (tmp_path / "go").touch()
    assert run.end() == 137
    assert len(run.told()) == 1
    assert run.told()[0].startswith("error: the process of rank 1 was killed by SIGKILL")


def test_a_fault_is_one_sentence(tmp_path: Path) -> None:
    run = dist_train(tmp_path, tmp_path / "none.py", 2, "--work-dir", tmp_path / "run")
    assert run.end() == 2
    assert run.told() == [f"error: There is no config {tmp_path}/none.py; give the path of a file."]


def test_a_port_that_is_in_use_is_named(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    with socket.create_server(("", 0)) as other:
        port = str(other.getsockname()[1])
        run = dist_train(tmp_path, config, 2, "--work-dir", tmp_path / "run", PORT=port)
        assert run.end() == 2
    assert len(run.told()) == 1
    assert f"error: Rank 0 cannot listen on port {port} (Address already in use)" in run.told()[0]


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"NNODES": "2", "NODE_RANK": "2", "MASTER_ADDR": "127.0.0.1"}, "NODE_RANK is '2'"),
        ({"NNODES": "two"}, "NNODES is 'two'"),
        ({"NNODES": "2"}, "MASTER_ADDR is not set"),
        ({"PORT": "0"}, "PORT is '0'"),
    ],
)
def test_machines_that_cannot_be_are_refused(
    tmp_path: Path, environment: dict[str, str], told: str
) -> None:
    own = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    run = dist_train(tmp_path, "config.py", 2, **{"PATH": own, **environment})
    assert run.end() == 2
    assert len(run.told()) == 1
    assert told in run.told()[0]


def test_a_slip_of_the_finger_starts_no_processes(tmp_path: Path) -> None:
    number = "9" * 20
    run = dist_train(tmp_path, "config.py", number)
    assert run.end() == 2
    (said,) = run.told()
    assert f"NPROC is '{number}'; it has to be a whole number from 1 to " in said
