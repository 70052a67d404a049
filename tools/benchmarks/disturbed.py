"""Training runs that are disturbed, and what became of them."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parents[2]
UNCHECKED = ("images_per_second",)  # of the clock
LIMIT_S = 300
INTACT = "identical"
CONFIG = """
_base_ = [{base!r}]
model = dict(
    backbone=dict(model_args=dict(embed_dim=32, depth=2, num_heads=2, drop_path_rate=0.2)),
    neck=dict(hidden_channels=32, out_channels=16), predictor=dict(hidden_channels=32))
train_dataloader = dict(batch_size=64)
param_scheduler = dict(warmup_epochs=1)
train_cfg = dict(max_epochs=4)
default_hooks = dict(
    checkpoint=dict(interval=1, interval_minutes=0.01, max_keep_ckpts=3),
    scalars=dict(interval=1))
evaluation = None
"""


@dataclass(frozen=True)
class Setting:
    """How the runs of a row are started."""

    processes: int
    workers: int


@dataclass
class Place:
    """A folder for one trial: its config, its work dir, and how runs are started in it."""

    folder: Path
    setting: Setting

    @property
    def work_dir(self) -> Path:
        return self.folder / "run"

    def start(self, *more: str) -> subprocess.Popen[str]:
        """``tools/train.py`` on one process, ``tools/dist_train.sh`` on several."""
        config = self.folder / "faults.py"
        config.write_text(CONFIG.format(base=str(ROOT / "configs" / "byol_er_vit.py")))
        alone = self.setting.processes == 1
        tool = [sys.executable, str(ROOT / "tools" / "train.py"), str(config)]
        script = str(ROOT / "tools" / "dist_train.sh")
        several = ["bash", script, str(config), str(self.setting.processes)]
        argv = [*(tool if alone else several), "--work-dir", str(self.work_dir), *more]
        argv += ["--cfg-options", f"train_dataloader.num_workers={self.setting.workers}"]
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, "PORT": str(_free_port())}
        # A session of its own, so that a kill reaches all of the run's processes and no others.
        return subprocess.Popen(
            argv,
            env=env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def resume(self) -> subprocess.Popen[str]:
        """Goes on; from the start where nothing had been saved."""
        saved = list(self.work_dir.glob("*.pth"))
        return self.start(*(["--resume"] if saved else []))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit status and output; a run that hangs is killed, and has none."""
    try:
        out, _ = process.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return -1, process.communicate()[0] + "\nit hung"
    return process.returncode, out


def wait_for_training(process: subprocess.Popen[str]) -> str:
    """Read its output until it trains; what it said so far."""
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if line.startswith(("training for", "resuming at")):
            break
    return said


def state(work_dir: Path) -> dict[str, Any]:
    """All that a run leaves behind and that does not depend on the clock, by name."""
    found: dict[str, Any] = {"backbone": (work_dir / "backbone.safetensors").read_bytes()}
    last = work_dir / (work_dir / "last_checkpoint").read_text().strip().rsplit("/", 1)[-1]
    content = torch.load(last, weights_only=True)
    series = content["history"]["series"]
    parts = {
        "weights": content["state_dict"],
        "optimizer": content["optimizer"],
        "schedules": content["param_schedulers"],
        "curves": {name: one for name, one in series.items() if name not in UNCHECKED},
    }
    for name, part in parts.items():
        found |= _leaves(name, part)
    return found


def _leaves(path: str, value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        members: Iterator[tuple[Any, Any]] = iter(value.items())
    elif isinstance(value, list | tuple):
        members = iter(enumerate(value))
    else:
        return {path: value}
    return {k: v for key, one in members for k, v in _leaves(f"{path}.{key}", one).items()}


def compared(work_dir: Path, reference: Mapping[str, Any]) -> str:
    """``identical``, or the first part that differs."""
    found = state(work_dir)
    if found.keys() != reference.keys():
        return f"differs: {sorted(found.keys() ^ reference.keys())[0]} is in one alone"
    different = [name for name in reference if not _same(found[name], reference[name])]
    return f"differs: {different[0]} and {len(different) - 1} more" if different else INTACT


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    return bool(one == other)


def last_words(out: str) -> str:
    """The end of an output, on one line."""
    return " / ".join(out.strip().splitlines()[-3:])[-300:]


# Trials: each disturbs a run, lets it go on, and says how that ended.

Trial = Callable[[Place, Mapping[str, Any], float, random.Random], str]


def _completed(place: Place, reference: Mapping[str, Any]) -> str:
    status, out = finish(place.resume())
    if status:
        print(out, file=sys.stderr)
        return f"not resumed, status {status}: {last_words(out)}"
    return compared(place.work_dir, reference)


def _training(place: Place, seconds: float) -> subprocess.Popen[str]:
    """A run that has trained for so long."""
    process = place.start()
    wait_for_training(process)
    time.sleep(seconds)
    return process


def killed(place: Place, reference: Mapping[str, Any], seconds: float, draw: random.Random) -> str:
    """SIGKILL to all processes at a random moment of the training."""
    process = _training(place, draw.uniform(0.0, seconds))
    os.killpg(process.pid, signal.SIGKILL)
    finish(process)
    return _completed(place, reference)


def killed_while_saving(
    place: Place, reference: Mapping[str, Any], seconds: float, draw: random.Random
) -> str:
    """SIGKILL while a checkpoint is written."""
    process = place.start()
    wait_for_training(process)
    number = draw.randrange(4)  # so many are written in peace
    seen: set[str] = set()
    while process.poll() is None:
        now = {p.name for p in place.work_dir.glob(".*.pth.*.tmp")}
        seen |= now
        if now and len(seen) > number:
            os.killpg(process.pid, signal.SIGKILL)
            break
    finish(process)
    if process.returncode != -signal.SIGKILL and place.setting.processes == 1:
        return "ended before it was killed"
    return _completed(place, reference)


def rank_killed(
    place: Place, reference: Mapping[str, Any], seconds: float, draw: random.Random
) -> str:
    """SIGKILL to one process of several: the others end too, with a sentence."""
    process = _training(place, draw.uniform(0.0, seconds))
    ranks = sorted(_ranks(process.pid))
    if ranks:
        os.kill(draw.choice(ranks), signal.SIGKILL)
    status, out = finish(process)
    if "Traceback" in out or (ranks and not status):
        return f"status {status}: {last_words(out)}"
    return _completed(place, reference)


def _ranks(session: int) -> Iterator[int]:
    """Processes of a session that train: those that torchrun gave a rank."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text().rpartition(")")[2].split()
            environment = (folder / "environ").read_bytes().split(b"\0")
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        of_session = int(stat[3]) == session
        # Loader workers are children with the same environment: their parent is a rank.
        if of_session and any(e.startswith(b"LOCAL_RANK=") for e in environment):
            parent = Path(f"/proc/{stat[1]}/environ")
            inherited = b"LOCAL_RANK=" in parent.read_bytes() if parent.exists() else False
            if b"train.py" in command and not inherited:
                yield int(folder.name)


def signalled(number: signal.Signals, status: int) -> Trial:
    """A signal at a random moment of the training: saved, told, and gone on from."""

    def trial(
        place: Place, reference: Mapping[str, Any], seconds: float, draw: random.Random
    ) -> str:
        process = _training(place, draw.uniform(0.0, 0.9 * seconds))
        process.send_signal(number)
        found, out = finish(process)
        if found == 0:
            return compared(place.work_dir, reference)  # it had just ended
        if found != status or "Traceback" in out or "--resume" not in out:
            return f"status {found}: {last_words(out)}"
        return _completed(place, reference)

    trial.__doc__ = f"{number.name} at a random moment: exit status {status}."
    return trial


def damaged(place: Place, reference: Mapping[str, Any], seconds: float, draw: random.Random) -> str:
    """The newest checkpoint of a killed run has a wrong bit, or lost its end."""
    process = place.start()
    wait_for_training(process)
    while process.poll() is None and len(list(place.work_dir.glob("*.pth"))) < 3:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    finish(process)
    newest = max(place.work_dir.glob("*.pth"), key=lambda p: p.stat().st_mtime_ns)
    content = bytearray(newest.read_bytes())
    where = draw.randrange(len(content))
    if draw.random() < 0.5:
        content[where] ^= 1 << draw.randrange(8)
    else:
        del content[where:]
    newest.write_bytes(content)
    return _completed(place, reference)


def two_at_once(
    place: Place, reference: Mapping[str, Any], seconds: float, draw: random.Random
) -> str:
    """Two runs in one work dir: one trains, the other is refused."""
    both = [place.start(), place.start()]
    ends = sorted(((*finish(one),) for one in both), key=lambda end: end[0])
    (first, _), (second, out) = ends
    if (first, second) != (0, 2) or "error: " not in out or "Traceback" in out:
        return f"statuses {first} and {second}: {last_words(out)}"
    return compared(place.work_dir, reference)


def disk_full(
    place: Place, reference: Mapping[str, Any], seconds: float, draw: random.Random
) -> str:
    """The disk is full at a random moment: a sentence, nothing torn, and gone on with room."""
    place.work_dir.mkdir()
    size = draw.randrange(200, 1500)
    with _disk(place.work_dir, f"{size}k"):
        status, out = finish(place.start())
        if "Traceback" in out or status not in (0, 2):
            return f"status {status}: {last_words(out)}"
        torn = list(place.work_dir.glob(".*.tmp"))
        if status == 2 and torn:
            return f"left {torn[0].name}"
        _mount("-o", "remount,size=1g", str(place.work_dir))
        return _completed(place, reference) if status else compared(place.work_dir, reference)


@contextmanager
def _disk(folder: Path, size: str) -> Iterator[None]:
    _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder))
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def _mount(*argv: str) -> None:
    subprocess.run(["mount", *argv], check=True)


TRIALS: dict[str, Trial] = {
    "kill": killed,
    "kill while saving": killed_while_saving,
    "kill of one process": rank_killed,
    "SIGINT": signalled(signal.SIGINT, 130),
    "SIGTERM": signalled(signal.SIGTERM, 143),
    "SIGUSR1": signalled(signal.SIGUSR1, 138),
    "damaged checkpoint": damaged,
    "two at once": two_at_once,
    "full disk": disk_full,
}


def may_mount() -> bool:
    """Whether a tmpfs can be mounted here."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            with _disk(Path(folder), "1m"):
                return True
        except (OSError, subprocess.CalledProcessError):
            return False


def possible(name: str, setting: Setting) -> bool:
    """Whether a trial makes sense with a setting."""
    return setting.processes > 1 if name == "kill of one process" else True
