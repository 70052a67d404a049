from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.mini import ROOT

SCRIPT = f"""
import os
import sys
from pathlib import Path

sys.path.insert(0, {str(ROOT / "tools/benchmarks")!r})

import rows

from mvssl.apis import TrainOptions
from mvssl.process.telling import status_of

CONFIG = {str(ROOT / "configs/byol_er_vit.py")!r}


def measure(asked):
    if asked == "none":
        return {{}}
    if asked == "command":
        words = [sys.executable, {str(ROOT / "tools/train.py")!r}, CONFIG, "--work-dir", "out"]
        rows.command(words, Path.cwd(), os.environ)
    else:
        rows.run(TrainOptions(CONFIG), threads=1)
    return {{}}


def main():
    kinds = ["none", *sys.argv[1:]]
    rows.complete(Path("rows.json"), [({{"kind": kind}}, kind) for kind in kinds], measure)


if __name__ == "__main__":
    raise SystemExit(status_of(main))
"""


def session_of(leader: int) -> list[int]:
    """Running processes of a session, but for the one by which multiprocessing clears up."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
            words = (folder / "cmdline").read_text()
            if os.getsid(int(folder.name)) == leader and state != "Z":
                found += [int(folder.name)] if "resource_tracker" not in words else []
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("kind", ["command", "process"])
def test_a_signal_to_a_benchmark_ends_its_runs(
    tmp_path: Path, kind: str, number: signal.Signals
) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    with open(tmp_path / "stderr", "w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "script.py", kind, "command"],
            cwd=tmp_path,
            stderr=stderr,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            start_new_session=True,  # the signal reaches this process alone, no terminal's group
        )
    try:
        end = time.monotonic() + 60
        while len(session_of(process.pid)) < 2:
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.1)
        time.sleep(1.0)
        process.send_signal(number)
        assert process.wait(60) == 128 + number
        assert not session_of(process.pid)
    finally:
        for pid in session_of(process.pid):
            os.kill(pid, signal.SIGKILL)
    said = (tmp_path / "stderr").read_text()
    assert re.search(rf"interrupted by {number.name}; rows .* are in rows\.json: the same", said)
    assert "Traceback" not in said
    assert json.loads((tmp_path / "rows.json").read_text()) == [{"kind": "none"}]
