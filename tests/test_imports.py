"""Who may import whom, and what has to be installed for it."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import lil_array
from scipy.sparse.csgraph import connected_components

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
    {"version", "words", "run_files", "shipped", "measured"},
    {"errors", "arguments", "kinds"},
    {"process"},
    {"files", "intake"},
    {"schedules", "registry", "distributed", "information", "opencv"},
    {"views"},
    {"datasets", "checkpoint"},
    {"models"},
    {"evaluation"},
    {"engine"},
    {"config"},
    {"report"},
    {"apis"},
    {"cli", "__main__"},
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


def imports_of(files: Iterable[Path], root: Path) -> dict[str, set[str]]:
    """Modules below ``root`` and what each imports: anywhere, in functions and for types too."""
    names = {file: ".".join(file.relative_to(root).with_suffix("").parts) for file in files}
    modules = {name.removesuffix(".__init__"): file for file, name in names.items()}

    def found(file: Path) -> Iterator[str]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                # `from package import module` is of the module, not of what the package says.
                whole = {alias.name: f"{node.module}.{alias.name}" for alias in node.names}
                yield from (x if x in modules else str(node.module) for x in whole.values())

    return {
        name: {other for other in found(file) if other in modules and other != name}
        for name, file in modules.items()
    }


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Groups of modules that import each other in a circle."""
    rows, columns = {name: row for row, name in enumerate(graph)}, list(graph)
    links = lil_array((len(rows), len(rows)), dtype=bool)
    for name, others in graph.items():
        for other in others:
            links[rows[name], rows[other]] = True
    count, labels = connected_components(links.tocsr(), directed=True, connection="strong")
    groups = [[columns[i] for i in np.flatnonzero(labels == label)] for label in range(count)]
    return [group for group in groups if len(group) > 1]


def test_there_is_no_circle_of_imports() -> None:
    graph = imports_of(FILES, ROOT)
    assert len(graph) == len(FILES)
    assert sum(map(len, graph.values())) > len(FILES)  # the search finds something
    assert circles(graph) == []


@pytest.mark.parametrize(
    "back",
    [
        "import pack.a",
        "def late():\n    from pack import a",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from pack.a import f",
    ],
)
def test_a_circle_is_seen_wherever_it_is_hidden(tmp_path: Path, back: str) -> None:
    (tmp_path / "pack").mkdir()
    files = {"__init__": "", "a": "from pack.b import g", "b": back, "c": "import pack.a"}
    for name, text in files.items():
        (tmp_path / "pack" / f"{name}.py").write_text(text)
    graph = imports_of(sorted(tmp_path.rglob("*.py")), tmp_path)
    assert [set(circle) for circle in circles(graph)] == [{"pack.a", "pack.b"}]


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
