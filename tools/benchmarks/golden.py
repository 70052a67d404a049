r"""Whether a change of structure left the numbers as they were, to the last bit.

    python tools/benchmarks/golden.py --against HEAD~3 --check

Runs the commit and the present files on this machine, in this environment, one thread each, and
compares every scalar of every step and all parameters and buffers at the end. Bits differ between
processors and versions, so no values are kept in the repository; those of a commit are kept in
``work_dirs/golden`` for the next comparison with it.

A case is a config of the digits, natively or with ER, for three epochs of five steps, seed 0:

- ``drawn``: as it is;
- ``fixed``: on views made by a formula, which a change of the random draws leaves alone;
- ``ranks``: three of them on two processes;
- ``resumed``: one that stopped after its first epoch and went on.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "work_dirs" / "golden"
LAYERS = ("drawn", "fixed", "ranks", "resumed")
RANKED = ("byol-er", "swav-native", "deepclusterv2-native")
RESUMED = ("byol-er",)
UNCHECKED = ("images_per_second",)  # of the clock
OPTIONS = (
    "train_dataloader.batch_size=256",
    "train_cfg.max_epochs=3",
    "default_hooks.checkpoint.interval=1",
    "default_hooks.checkpoint.max_keep_ckpts=-1",
    "default_hooks.scalars.interval=1",
    "default_hooks.information.interval=1",
)
FORMULA = """
_base_ = [{base!r}]
custom_imports = dict(imports=['golden_views'])
model = dict(data_preprocessor=dict(type='FormulaViews'))
"""


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--against", metavar="COMMIT", default="HEAD", help="default: HEAD")
    parser.add_argument("--check", action="store_true", help="exit status 1 where numbers differ")
    parser.add_argument("--methods", nargs="+", metavar="NAME", help="default: all of the digits")
    parser.add_argument("--layers", nargs="+", choices=LAYERS, default=LAYERS)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="cases at a time")
    parser.add_argument("--worker", nargs=3, metavar=("TREE", "CASES", "OUT"), help="internal use")
    return parser.parse_args()


def case_names(args: argparse.Namespace) -> list[str]:
    """``<method>-<objective>-<layer>`` of all that is asked for."""
    found = sorted(path.stem.removesuffix("_vit") for path in (ROOT / "configs").glob("*_vit.py"))
    methods = [name for name in found if not name.endswith("_er")]
    unknown = set(args.methods or []) - set(methods)
    if unknown:
        sys.exit(f"error: no config of {', '.join(sorted(unknown))}; there are {methods}.")
    runs = [f"{m}-{o}" for m in args.methods or methods for o in ("native", "er")]
    only = {"ranks": RANKED, "resumed": RESUMED}
    return [f"{r}-{layer}" for layer in args.layers for r in runs if r in only.get(layer, runs)]


# What a worker does, in the tree of a commit or in the present one: only the command line and the
# content of checkpoints are taken for granted.


def work(tree: Path, cases: Sequence[str], out: Path) -> None:
    """Run cases with the code of ``tree`` and write what they gave."""
    results = {}
    for case in cases:
        with tempfile.TemporaryDirectory() as folder:
            results[case] = read_checkpoint(_run(tree, case, Path(folder)))
        print(case, file=sys.stderr, flush=True)
        out.write_text(json.dumps(results))


def _run(tree: Path, case: str, folder: Path) -> Path:
    """The last checkpoint of a case."""
    method, objective, layer = case.split("-")
    config = tree / "configs" / f"{method}_vit.py"
    if layer == "fixed":
        config = folder / f"{method}.py"
        config.write_text(FORMULA.format(base=str(tree / "configs" / f"{method}_vit.py")))
    argv = [str(config), "--objective", objective, "--seed", "0"]
    argv += ["--work-dir", str(folder / "run")]
    if layer == "ranks":
        _torchrun(tree, [*argv, "--launcher", "pytorch", "--cfg-options", *OPTIONS])
        return folder / "run" / "epoch_3.pth"
    _train(tree, [*argv, "--cfg-options", *OPTIONS])
    if layer == "resumed":
        argv[-1] = str(folder / "resumed")
        argv += ["--resume", str(folder / "run" / "epoch_1.pth")]
        _train(tree, [*argv, "--cfg-options", *OPTIONS])
    return Path(argv[argv.index("--work-dir") + 1]) / "epoch_3.pth"


def _train(tree: Path, argv: Sequence[str]) -> None:
    spec = importlib.util.spec_from_file_location("train_tool", tree / "tools" / "train.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with contextlib.redirect_stdout(sys.stderr):
        status = module.main(list(argv))
    if status:
        sys.exit(f"error: {' '.join(argv)} ended with status {status}")


def _torchrun(tree: Path, argv: Sequence[str]) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", str(tree / "tools" / "train.py"), *argv]
    subprocess.run(command, check=True, stdout=sys.stderr)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Every scalar of every step in hexadecimal, and a hash of each tensor of the model."""
    import torch

    checkpoint = torch.load(path, weights_only=True)
    scalars = {
        name: _by_step(one)
        for name, one in checkpoint["history"]["series"].items()
        if name not in UNCHECKED
    }
    tensors = {}
    for name, tensor in checkpoint["state_dict"].items():
        content = tensor.detach().contiguous().numpy().tobytes()
        head = f"{tensor.dtype} {tuple(tensor.shape)}".encode()
        tensors[name] = hashlib.sha256(head + content).hexdigest()[:16]
    return {"scalars": scalars, "tensors": tensors}


def _by_step(series: Mapping[str, Any]) -> dict[str, str]:
    steps, numbers = map(str, series["steps"].tolist()), map(float.hex, series["values"].tolist())
    return dict(zip(steps, numbers, strict=True))


# The comparison.


def values(tree: Path, cases: Iterable[str], jobs: int) -> dict[str, Any]:
    """What the cases give with the code of ``tree``."""
    cases = list(cases)
    shares = [share for share in (cases[n::jobs] for n in range(jobs)) if share]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(len(shares) or 1) as pool:
        outs = [Path(folder) / f"{n}.json" for n in range(len(shares))]
        list(pool.map(lambda share, out: _worker(tree, share, out), shares, outs))
        found: dict[str, Any] = {}
        for out in outs:
            found |= json.loads(out.read_text())
        return found


def _worker(tree: Path, cases: Sequence[str], out: Path) -> None:
    paths = os.pathsep.join([str(tree), str(Path(__file__).parent)])
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--worker", str(tree), ",".join(cases), str(out)]
    done = subprocess.run(
        command,
        cwd=tree,
        env={**os.environ, **threads, "PYTHONPATH": paths},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"error: with the code in {tree}:\n{done.stderr[-4000:]}")


def values_of_commit(commit: str, cases: Sequence[str], jobs: int) -> dict[str, Any]:
    """As :func:`values`, kept for the next time."""
    import torch

    sha = _git("rev-parse", "--verify", f"{commit}^{{commit}}").strip()
    setting = f"{platform.processor()} {_cpu()} {torch.__version__}"
    file = KEPT / f"{sha[:12]}-{hashlib.sha256(setting.encode()).hexdigest()[:8]}.json"
    known: dict[str, Any] = json.loads(file.read_text()) if file.is_file() else {}
    missing = [case for case in cases if case not in known]
    if missing:
        tree = Path(tempfile.mkdtemp())
        try:
            archive = subprocess.run(
                ["git", "archive", sha], cwd=ROOT, check=True, stdout=subprocess.PIPE
            )
            subprocess.run(["tar", "-x", "-C", str(tree)], input=archive.stdout, check=True)
            known |= values(tree, missing, jobs)
        finally:
            shutil.rmtree(tree)
        KEPT.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(known))
    return {case: known[case] for case in cases}


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"error: git {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line for line in lines if line.startswith("model name")), "")


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Of one case: what differs, and which scalars are there on one side alone."""
    faults, notes = [], []
    old, new = before["scalars"], now["scalars"]
    for name in sorted(old.keys() & new.keys()):
        steps = [s for s in old[name].keys() | new[name] if old[name].get(s) != new[name].get(s)]
        if steps:
            first = min(steps, key=int)
            then, today = old[name].get(first), new[name].get(first)
            shown = " and ".join(
                "none" if x is None else repr(float.fromhex(x)) for x in (then, today)
            )
            faults.append(f"{name} differs in {len(steps)} steps, first at {first}: {shown}")
    there, here = before["tensors"], now["tensors"]
    changed = sorted(name for name in there.keys() & here if there[name] != here[name])
    # A tensor may have moved to another name: those of one side alone are held against each other.
    gone, come = there.keys() - here, here.keys() - there
    if sorted(there[name] for name in gone) != sorted(here[name] for name in come):
        changed += sorted(gone | come)
    if changed:
        faults.append(f"{len(changed)} tensors differ at the end: {', '.join(changed[:4])}")
    for what, names in (("no more", old.keys() - new), ("new", new.keys() - old)):
        if names:
            notes.append(f"{what}: {', '.join(sorted(names))}")
    return faults, notes


def main() -> int:
    args = parse()
    if args.worker:
        tree, cases, out = args.worker
        work(Path(tree), cases.split(","), Path(out))
        return 0
    names = case_names(args)
    before = values_of_commit(args.against, names, args.jobs)
    now = values(ROOT, names, args.jobs)
    different = 0
    for case in names:
        faults, notes = differences(before[case], now[case])
        different += bool(faults)
        steps = len(now[case]["scalars"]["loss"])
        verdict = "DIFFERS" if faults else "equal"
        print(f"{case:<32} {verdict}  {steps} steps, {len(now[case]['tensors'])} tensors")
        for line in [*faults, *notes]:
            print(f"    {line}")
    print(f"{len(names) - different} of {len(names)} cases equal, bit for bit")
    return 1 if different and args.check else 0


if __name__ == "__main__":
    sys.exit(main())
