"""Command lines as processes of their own, to which signals can be sent."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.forking import python
from tests.mini import ROOT

WAITING_HOOK = """
import time
from pathlib import Path
from mmengine.hooks import Hook
from mvssl.registry import HOOKS

@HOOKS.register_module()
class WaitingHook(Hook):
    '''Says that a step, or what a method's name says, is under way; waits until a file is there.'''

    def __init__(self, file, where="before_train_iter", times=1):
        self.file, self.times = Path(file), times
        setattr(self, where, self.wait)

    def wait(self, runner, *_, **__):
        if self.times:
            self.times -= 1
            print("waiting", flush=True)
            while not self.file.exists():
                time.sleep(0.01)
"""


def with_waiting_hook(folder: Path, **arguments: object) -> str:
    """Text for a config whose run waits once for ``folder / "go"``, and for its ``PYTHONPATH``."""
    (folder / "waiting_hook.py").write_text(WAITING_HOOK)
    given = {"type": "WaitingHook", "file": str(folder / "go"), **arguments}
    return f"custom_imports = dict(imports=['waiting_hook'])\ncustom_hooks = [{given!r}]\n"


def train() -> tuple[str, str]:
    """The words that start ``tools/train.py``, quickly."""
    return python(), "tools/train.py"


class Command:
    """A process that runs; its output is read while it does.

    Args:
        words: the command.
        path: folders in front of ``PYTHONPATH``.
        environment: what else is set there.
        seconds: after which it is killed, so that a test that waits for it fails.
    """

    def __init__(
        self,
        words: Sequence[object],
        path: Sequence[Path] = (),
        environment: Mapping[str, str] | None = None,
        seconds: float = 120,
    ) -> None:
        paths = [*map(str, path), str(ROOT)]
        taken = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
        kept = {name: value for name, value in os.environ.items() if name not in taken}
        self.process = subprocess.Popen(
            [str(word) for word in words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            start_new_session=True,
            env={
                **kept,
                "OMP_NUM_THREADS": "1",
                "PYTHONPATH": os.pathsep.join(paths),
                **(environment or {}),
            },
        )
        self.out: list[str] = []
        self.err: list[str] = []
        self._seen = {"out": 0, "err": 0}
        self._more = threading.Condition()
        self._readers = [
            threading.Thread(target=self._read, args=(name,), daemon=True)
            for name in ("out", "err")
        ]
        for reader in self._readers:
            reader.start()
        self._timer = threading.Timer(seconds, self.send_to_all, (signal.SIGKILL,))
        self._timer.daemon = True
        self._timer.start()

    def _read(self, name: str) -> None:
        stream = self.process.stdout if name == "out" else self.process.stderr
        assert stream is not None
        with stream:
            for line in stream:
                with self._more:
                    getattr(self, name).append(line.rstrip("\n"))
                    self._more.notify_all()
        with self._more:
            getattr(self, name).append("<end>")
            self._more.notify_all()

    def wait_for(self, text: str, stream: str = "out") -> str:
        """The next line of a stream that has ``text`` in it."""
        lines = getattr(self, stream)
        with self._more:
            while True:
                while self._seen[stream] < len(lines):
                    line: str = lines[self._seen[stream]]
                    self._seen[stream] += 1
                    if text in line:
                        return line
                    assert line != "<end>", f"no {text!r} in {self.out} {self.err}"
                self._more.wait()

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def send_to_all(self, number: int) -> None:
        """To all processes of the group, as a terminal does."""
        os.killpg(self.process.pid, number)

    def end(self) -> int:
        """Its exit status, when it has ended and everything is read."""
        status = self.process.wait()
        for reader in self._readers:
            reader.join()
        self._timer.cancel()
        return status

    def told(self) -> list[str]:
        """The lines of standard error."""
        return [line for line in self.err if line != "<end>"]
