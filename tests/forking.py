"""A stand-in for ``python`` whose processes begin with everything imported.

Importing torch, mmengine and timm takes four fifths of the time of a command line on small data.
So one process imports them, once in a test session, and forks for every command; the stand-in,
which is what a test or a launcher starts, hands on signals, streams and the exit status.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@cache
def python() -> str:
    """The stand-in: takes ``[-u] SCRIPT ...`` or ``-m MODULE ...``, as ``python`` does."""
    folder = Path(tempfile.mkdtemp(prefix="mvssl-python-"))
    program = folder / "python"
    client = [sys.executable, "-IS", __file__, "client", str(folder / "socket"), str(program)]
    program.write_text(f'#!/bin/sh\nexec {shlex.join(client)} "$@"\n')
    program.chmod(0o755)
    server = subprocess.Popen(
        [sys.executable, __file__, "server", str(folder / "socket"), str(program)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
    )

    def end() -> None:
        server.communicate()  # it ends when its standard input does
        shutil.rmtree(folder)

    atexit.register(end)
    assert server.stdout is not None
    assert server.stdout.readline() == b"ready\n"
    return str(program)


def client(path: str, words: list[str]) -> int:
    """Have ``words`` run, and end as they end."""
    pid = 0
    pending: list[int] = []

    def hand_on(number: int, frame: object) -> None:
        if pid:
            with suppress(ProcessLookupError):
                os.killpg(pid, number)
        else:
            pending.append(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP):
        signal.signal(number, hand_on)
    with socket.socket(socket.AF_UNIX) as server, server.makefile("r") as answers:
        server.connect(path)
        socket.send_fds(server, [b"."], [0, 1, 2])
        told = {"words": words, "environment": dict(os.environ), "folder": os.getcwd()}
        server.sendall(json.dumps(told).encode() + b"\n")
        pid = int(answers.readline())
        for early in pending:
            hand_on(early, None)
        status = int(answers.readline())
    if status < 0:
        if status != -signal.SIGKILL:
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    return status


def serve(path: str, program: str) -> None:
    """Fork for every command, until standard input ends; returns in the forked processes."""
    for module in ("torch.distributed.run", "mvssl.apis.train"):
        importlib.import_module(module)
    gc.freeze()  # none of it is garbage at a command's end
    sys.executable = program
    signal.signal(signal.SIGCHLD, _reap)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        print("ready", flush=True)
        while sys.stdin not in (ready := select.select([listener, sys.stdin], [], [])[0]):
            if listener not in ready:
                continue
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.detach()
                _watch(connection)
                return
            connection.close()
    os._exit(0)


def _reap(number: int, frame: object) -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _watch(connection: socket.socket) -> None:
    """Fork once more, and tell how that process ends; returns in it."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, streams, _, _ = socket.recv_fds(connection, 1, 3)
    told = json.loads(connection.makefile().readline())
    pid = os.fork()
    if pid == 0:
        connection.detach()
        _become(told["words"], told["environment"], told["folder"], streams)
        return
    for stream in (0, 1, 2, *streams):
        os.close(stream)
    with suppress(ProcessLookupError, PermissionError):
        os.setpgid(pid, pid)
    connection.sendall(f"{pid}\n".encode())

    def end_with_client() -> None:
        if not connection.recv(1):
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)

    threading.Thread(target=end_with_client, daemon=True).start()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with suppress(OSError):
        connection.sendall(f"{status}\n".encode())
    os._exit(0)


def _become(words: list[str], environment: dict[str, str], folder: str, streams: list[int]) -> None:
    """Be a process that was started with these."""
    with suppress(PermissionError):  # it leads a group already
        os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.closerange(3, 256)
    # Python's know what kind of file they were made for.
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", 1, errors="backslashreplace", closefd=False)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = environment.get("PYTHONPATH", "").split(os.pathsep)
    sys.orig_argv = words
    sys.argv = [word for word in words[1:] if word != "-u"]


def main() -> int:
    role, path, program, *words = sys.argv[1:]
    if role == "client":
        return client(path, [program, *words])
    serve(path, program)
    if sys.argv[0] == "-m":
        del sys.argv[0]
        sys.modules.pop(sys.argv[0], None)  # runpy warns of one that is there
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(sys.argv[0], run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main())
