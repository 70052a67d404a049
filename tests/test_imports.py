"""Who may import whom, and what has to be installed for it."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mini import ROOT

PACKAGE = ROOT / "mvssl"
FILES = sorted(PACKAGE.rglob("*.py"))

# Import names of what is called otherwise on the package index.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "cv2": "onedl-mmcv",  # brings opencv-python
    "mmcv": "onedl-mmcv",
    "mmengine": "onedl-mmengine",
    "sklearn": "scikit-learn",
}


def imported(file: Path) -> Iterator[str]:
    """Full names of all modules that a file imports, also those inside of functions."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports are absolute"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def top_levels(folder: Path) -> dict[str, set[str]]:
    """Packages from elsewhere that files below a folder import, and which files do."""
    found: dict[str, set[str]] = {}
    for file in sorted(folder.rglob("*.py")):
        for name in imported(file):
            top = name.split(".")[0]
            if top not in sys.stdlib_module_names and top != "mvssl":
                found.setdefault(top, set()).add(str(file.relative_to(ROOT)))
    return found


def test_everything_that_is_imported_is_required() -> None:
    text = (ROOT / "requirements" / "runtime.txt").read_text()
    lines = (line.split("#")[0].strip() for line in text.splitlines())
    required = {re.split(r"[<>=!~\[ ]", line)[0].lower() for line in lines if line}
    found = top_levels(PACKAGE)
    missing = {
        name: files
        for name, files in found.items()
        if DISTRIBUTIONS.get(name, name) not in required
    }
    assert not missing
    assert {"torch", "timm", "mmengine", "cv2"} <= set(found)  # the search finds something


def test_information_stands_on_torch_numpy_and_scipy_alone() -> None:
    assert set(top_levels(PACKAGE / "information")) <= {"torch", "numpy", "scipy"}
    for file in (PACKAGE / "information").rglob("*.py"):
        own = {name for name in imported(file) if name.split(".")[0] == "mvssl"}
        assert all(name.startswith("mvssl.information") for name in own), file


# From the bottom up: a folder may import what stands before it, and itself.
LAYERS = [
    {"version", "errors", "arguments", "files", "schedules"},
    {"registry", "distributed", "information", "opencv"},
    {"views"},
    {"datasets", "checkpoint", "launch"},
    {"models"},
    {"evaluation"},
    {"engine"},
    {"config"},
    {"report"},
    {"apis"},
]


def layer(part: str) -> int:
    return next(number for number, names in enumerate(LAYERS) if part in names)


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_imports_run_downward(file: Path) -> None:
    part = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if part == "__init__":
        return
    for name in imported(file):
        words = name.split(".")
        if words[0] != "mvssl" or len(words) == 1 or words[1].startswith("__"):
            continue
        other = words[1]
        assert layer(other) <= layer(part), f"{part} imports {name}"


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_nothing_below_the_engine_knows_the_runner(file: Path) -> None:
    part = file.relative_to(PACKAGE).parts[0]
    if part in ("engine", "config", "report", "apis"):
        return
    names = set(imported(file))
    assert not any(name.startswith("mmengine.runner") for name in names)


def test_information_is_imported_without_mmengine_and_timm() -> None:
    code = (
        "import sys, mvssl.information\n"
        "heavy = {'mmengine', 'mmcv', 'timm', 'cv2', 'sklearn', 'matplotlib', 'torchvision'}\n"
        "print(sorted(heavy & {name.split('.')[0] for name in sys.modules}))\n"
        "print(mvssl.__version__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    loaded, version = done.stdout.split("\n")[:2]
    assert loaded == "[]"
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", version)


def test_the_command_line_answers_without_importing_torch() -> None:
    code = (
        "import runpy, sys\n"
        "sys.argv = ['train.py', '--help']\n"
        "try:\n"
        "    runpy.run_path('tools/train.py', run_name='__main__')\n"
        "finally:\n"
        "    print('torch' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0
    assert "--cfg-options" in done.stdout
    assert done.stdout.splitlines()[-1] == "False"


def test_an_unknown_name_of_the_package_is_an_attribute_error() -> None:
    import mvssl

    with pytest.raises(AttributeError, match="module 'mvssl' has no attribute 'laod_backbone'"):
        _ = mvssl.laod_backbone
