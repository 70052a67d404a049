from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mvssl.apis import lock
from mvssl.apis.lock import Lock
from mvssl.errors import UserError
from mvssl.process.running import started_at
from tests.mini import ROOT

HOLD = """
import os, sys, time, types
from pathlib import Path
for name in ("mvssl", "mvssl.apis"):  # without what the packages import, which takes seconds
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [str(Path(os.environ["ROOT"], *name.split(".")))]
from mvssl.apis.lock import Lock
from mvssl.errors import UserError
while not Path(sys.argv[2]).exists(): time.sleep(0.001)
try:
    Lock(Path(sys.argv[1]))
except UserError as error:
    print("refused", error, flush=True)
    sys.exit(2)
if len(sys.argv) > 3 and os.fork() == 0: time.sleep(60)
print("held", flush=True)
time.sleep(60)
"""


def holder(folder: Path, go: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLD, str(folder), str(go), *more]
    environment = os.environ | {"ROOT": str(ROOT)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


@pytest.fixture
def go(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return tmp_path / "go"


def test_of_several_that_begin_at_once_one_holds_the_folder(tmp_path: Path, go: Path) -> None:
    processes = [holder(tmp_path / "run", go) for _ in range(4)]
    try:
        time.sleep(0.5)
        go.touch()
        lines = [first_line(process) for process in processes]
        assert sum(line.startswith("held") for line in lines) == 1
        (won,) = [p for p, line in zip(processes, lines, strict=True) if line.startswith("held")]
        for line in lines:
            if not line.startswith("held"):
                assert f"being written by process {won.pid} on host {socket.gethostname()}" in line
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def test_the_lock_of_a_killed_process_is_taken_over_though_its_workers_live(
    tmp_path: Path, go: Path
) -> None:
    go.touch()
    process = holder(tmp_path / "run", go, "fork")
    assert first_line(process) == "held\n"
    child = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text())
    try:
        with pytest.raises(UserError, match=f"by process {process.pid} on host .*, since 20"):
            Lock(tmp_path / "run")
        process.kill()
        process.wait()
        os.kill(child, 0)  # the worker is there still
        taken = Lock(tmp_path / "run")
        assert json.loads((tmp_path / "run" / ".lock").read_text())["pid"] == os.getpid()
        taken.release()
        assert list((tmp_path / "run").iterdir()) == []
    finally:
        os.kill(child, signal.SIGKILL)
        process.communicate()


def test_a_process_refuses_itself_and_keeps_its_lock(tmp_path: Path, go: Path) -> None:
    held = Lock(tmp_path / "run")
    for _ in range(2):
        with pytest.raises(UserError, match=f"by process {os.getpid()} on"):
            Lock(tmp_path / "run")
    (tmp_path / "run" / ".lock").read_bytes()  # by which the system's lock is lost
    go.touch()
    other = holder(tmp_path / "run", go)
    assert first_line(other).startswith("refused")
    other.communicate()
    held.release()
    held.release()
    Lock(tmp_path / "run").release()


def write_lock(folder: Path, **holder: object) -> None:
    (folder / ".lock").write_text(json.dumps(holder))


def test_another_machine_that_gives_signs_of_life_is_respected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lock, "BEAT", 0.1)
    write_lock(tmp_path, pid=7, host="elsewhere", started=1.0, since="2026-01-01")
    touch = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import os,sys,time\nfor _ in range(999):\n os.utime(sys.argv[1]); time.sleep(.02)",
            str(tmp_path / ".lock"),
        ]
    )
    try:
        before = (tmp_path / ".lock").stat().st_mtime_ns
        while (tmp_path / ".lock").stat().st_mtime_ns == before:
            time.sleep(0.01)
        with pytest.raises(UserError, match="process 7 on host elsewhere"):
            Lock(tmp_path)
    finally:
        touch.kill()
        touch.wait()
    assert "note: " in capsys.readouterr().out
    Lock(tmp_path).release()  # no sign any more


@pytest.mark.parametrize("living", [True, False])
def test_where_files_cannot_be_locked_the_process_that_is_named_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, living: bool
) -> None:
    monkeypatch.setattr(lock, "fcntl", None)
    parent = os.getppid()
    began = started_at(parent)
    assert began is not None
    # Of a number that has come up again, the start is another.
    started = began if living else began - 1000
    write_lock(tmp_path, pid=parent, host=socket.gethostname(), started=started)
    if living:
        with pytest.raises(UserError, match=f"process {parent}"):
            Lock(tmp_path)
    else:
        Lock(tmp_path).release()


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[1]", b"{"])
def test_a_lock_that_says_nothing_of_use_is_taken_over(tmp_path: Path, content: bytes) -> None:
    (tmp_path / ".lock").write_bytes(content)
    own = Lock(tmp_path)
    assert json.loads((tmp_path / ".lock").read_text())["pid"] == os.getpid()
    own.release()


@pytest.mark.parametrize("pid", [-1, 0, 10**30])
def test_a_lock_of_a_process_that_cannot_be_is_taken_over(
    tmp_path: Path, pid: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "fcntl", None)
    write_lock(tmp_path, pid=pid, host=socket.gethostname(), started=1.0)
    own = Lock(tmp_path)
    assert json.loads((tmp_path / ".lock").read_text())["pid"] == os.getpid()
    own.release()


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    (tmp_path / ".lock").symlink_to(tmp_path / "precious")
    with pytest.raises(UserError, match="Cannot write into the work dir"):
        Lock(tmp_path)
    assert (tmp_path / "precious").read_text() == "mine"


def test_the_lock_of_a_folder_that_was_made_anew_is_left_to_its_owner(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    held = Lock(folder)
    (folder / ".lock").unlink()
    write_lock(folder, pid=1)
    held.release()
    assert (folder / ".lock").is_file()
