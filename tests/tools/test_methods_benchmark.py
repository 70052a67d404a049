from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from scipy import stats

from mvssl.errors import UserError
from tests.mini import ROOT, load_tool

PAGE = "# Methods\n\n<!-- table: digits -->\nold\n<!-- end -->\n\nAfter it.\n"


@pytest.fixture
def methods(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The benchmark, with runs that train nothing."""
    monkeypatch.syspath_prepend(ROOT / "tools" / "benchmarks")
    monkeypatch.chdir(tmp_path)  # it works from any folder
    module = load_tool("benchmarks/methods")
    monkeypatch.setattr(module, "runs", [], raising=False)

    def run(options: Any, threads: int) -> dict[str, Any]:
        module.runs.append(options)
        reached = 0.5 + options.seed / 10
        return {"knn_top1_init": 0.4, "knn_top1": reached, "entropy": -1.5, "infonce": None}

    monkeypatch.setattr(module.store, "run", run)
    return module


def call(
    methods: ModuleType, monkeypatch: pytest.MonkeyPatch, folder: Path, *argv: str
) -> list[dict[str, Any]]:
    words = ["methods.py", "--json", str(folder / "rows.json"), *argv]
    monkeypatch.setattr("sys.argv", words)
    methods.main()
    rows: list[dict[str, Any]] = json.loads((folder / "rows.json").read_text())
    return rows


def test_rows_are_run_once_with_the_epochs_of_their_config(
    methods: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rows = call(methods, monkeypatch, tmp_path, "--methods", "byol")
    assert [(r["method"], r["objective"], r["epochs"], r["seed"]) for r in rows] == [
        ("byol", "native", 30, 0),
        ("byol", "er", 30, 0),
    ]
    assert [one.config for one in methods.runs] == [str(ROOT / "configs/byol_vit.py")] * 2
    assert [row["config"] for row in rows] == ["configs/byol_vit.py"] * 2
    rows = call(methods, monkeypatch, tmp_path, "--methods", "byol", "simclr", "--epochs", "30")
    assert len(methods.runs) == len(rows) == 4  # BYOL's two are not run again
    rows = call(methods, monkeypatch, tmp_path, "--methods", "byol", "--epochs", "2")
    assert len(methods.runs) == len(rows) == 6
    assert methods.runs[-1].cfg_options["train_cfg.max_epochs"] == 2


def test_runs_with_other_overrides_or_another_config_are_runs_of_their_own(
    methods: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    one = ("--methods", "byol", "--epochs", "5", "--objectives", "er")
    rows = call(methods, monkeypatch, tmp_path, *one)
    # A row that tells no overrides is of a run without.
    assert rows[0].pop("cfg_options") == []
    rows[0]["knn_top1"] = 0.1
    methods.runs.clear()
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    assert call(methods, monkeypatch, tmp_path, *one) == rows
    assert methods.runs == []
    for _ in range(2):
        rows = call(methods, monkeypatch, tmp_path, *one, "--cfg-options", "model.head.kappa=5")
        assert (len(rows), len(methods.runs)) == (2, 1)
    assert rows[-1]["cfg_options"] == ["model.head.kappa=5"]
    assert methods.runs[-1].cfg_options["model.head.kappa"] == 5
    other = "configs/cifar10/{method}_resnet18.py"
    rows = call(methods, monkeypatch, tmp_path, *one, "--configs", other)
    assert rows[-1]["config"] == other.format(method="byol")
    lines = methods.table(rows).split("\n")[2:]  # no mean is taken over different runs
    assert [line.split(" |")[:3] for line in lines] == [
        ["| byol", " er", " 5"],
        ["| byol", " er", " 5"],
        ["| byol model.head.kappa=5", " er", " 5"],
    ]
    assert "0.100" in lines[0]


def test_er_is_compared_with_the_native_objective_seed_by_seed(
    methods: ModuleType,
) -> None:
    def row(objective: str, seed: int, reached: float, *overrides: str) -> dict[str, Any]:
        told = {"method": "byol", "objective": objective, "epochs": 5, "config": "c.py"}
        return told | {"seed": seed, "knn_top1": reached, "cfg_options": [*overrides]}

    native, er = [0.5, 0.7, 0.55, 0.9], [0.62, 0.71, 0.8]
    rows = [row("native", seed, x) for seed, x in enumerate(native)]
    rows += [row("er", seed, x) for seed, x in enumerate(er)]
    rows.append(row("er", 0, 0.3, "model.head.kappa=5"))
    lines = methods.table(rows).split("\n")
    cells = [line.removesuffix(" |").rpartition("| ")[2].strip() for line in lines]
    low, high = stats.ttest_rel(er, native[:3]).confidence_interval(0.95)
    mean = statistics.fmean(er) - statistics.fmean(native[:3])
    assert cells[0] == "ER - native, kNN"
    assert cells[2:] == ["", f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]", "–"]


def test_options_of_er_are_of_its_own_head(
    methods: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    option = ("--cfg-options", "model.head.estimator=loo")
    one = ("--methods", "byol", *option)
    (row,) = call(methods, monkeypatch, tmp_path, *one, "--objectives", "er")
    assert row["epochs"] == 30
    with pytest.raises(UserError, match=r"model\.head has no 'estimator'"):
        call(methods, monkeypatch, tmp_path, *one, "--objectives", "native")


def test_a_row_of_what_a_config_was_before_is_run_anew_and_replaced(
    methods: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    base = ROOT / "configs"
    changed = tmp_path / "byol_changed.py"
    pattern = str(tmp_path / "{method}_changed.py")
    one = ("--methods", "byol", "--objectives", "native", "--configs", pattern)
    text = f"_base_ = ['{base}/byol_vit.py']\n"
    changed.write_text(text)
    (old,) = call(methods, monkeypatch, tmp_path, *one)
    changed.write_text(f"# A remark changes nothing.\n{text}er_head = dict(kappa=5.0)\n")
    assert call(methods, monkeypatch, tmp_path, *one) == [old]
    changed.write_text(f"{text}model = dict(teacher=dict(momentum=0.5))\n")
    (new,) = call(methods, monkeypatch, tmp_path, *one)
    assert new["digest"] != old["digest"]
    assert len(methods.runs) == 2


def test_a_row_that_another_process_adds_meanwhile_is_kept(
    methods: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    trains = methods.store.run

    def run(options: Any, threads: int) -> dict[str, Any]:
        methods.store.append(tmp_path / "rows.json", {"method": "theirs", "seed": options.seed})
        return trains(options, threads)

    monkeypatch.setattr(methods.store, "run", run)
    monkeypatch.setattr(methods, "table", str)
    one = ("--methods", "byol", "--objectives", "er", "--seeds", "0", "1", "--jobs", "2")
    rows = call(methods, monkeypatch, tmp_path, *one)
    assert sorted((row["method"], row["seed"]) for row in rows) == [
        *(("byol", seed) for seed in range(2)),
        *(("theirs", seed) for seed in range(2)),
    ]


def test_the_page_gets_means_over_seeds_and_a_dash_for_what_is_missing(
    methods: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    page = tmp_path / "methods.md"
    page.write_text(PAGE)
    argv = ("--methods", "swav", "byol", "--epochs", "5", "--objectives", "er", "--seeds")
    call(methods, monkeypatch, tmp_path, *argv, "0", "1", "4", "--docs", str(page))
    table = page.read_text().split("-->\n\n")[1].split("\n\n<!-- end")[0].split("\n")
    assert table[0].startswith("| method | objective | epochs | n | kNN before | after | ± | H |")
    # In the families' order; of 0.5, 0.6 and 0.9.
    assert table[2].startswith("| swav | er | 5 | 3 | 0.400 | 0.667 | 0.208 | -1.50 | – |")
    assert table[3].startswith("| byol | er | 5 | 3 |")
    assert page.read_text().endswith("<!-- end -->\n\nAfter it.\n")
    assert "old" not in page.read_text()


def test_a_page_without_the_table_is_told_before_any_run(
    methods: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    page = tmp_path / "methods.md"
    page.write_text(PAGE)
    with pytest.raises(UserError, match="table: cifar10"):
        call(methods, monkeypatch, tmp_path, "--docs", str(page), "--table", "cifar10")
    assert methods.runs == []


def test_what_is_edited_in_the_page_during_the_runs_is_kept(
    methods: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    page, trains = tmp_path / "methods.md", methods.store.run
    page.write_text(PAGE)

    def run(options: Any, threads: int) -> dict[str, Any]:
        page.write_text(PAGE.replace("After it.", "Written meanwhile."))
        found: dict[str, Any] = trains(options, threads)
        return found

    monkeypatch.setattr(methods.store, "run", run)
    monkeypatch.setattr(methods, "table", lambda rows: f"{len(rows)} rows")
    call(methods, monkeypatch, tmp_path, "--methods", "byol", "--docs", str(page))
    assert page.read_text() == PAGE.replace("old", "\n2 rows\n").replace(
        "After it.", "Written meanwhile."
    )


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--jobs", "0"], r"jobs is an integer and at least 1, got 0"),
        (["--configs", "configs/{methd}_vit.py"], r"configs/\{methd\}_vit\.py"),
        (["--docs", "nowhere.md"], r"nowhere\.md cannot be read: No such file"),
        (["--docs", "."], r"cannot be read: Is a directory"),
        (["--json", "."], r"cannot be (read: Is a directory|written)"),
        (["--json", "broken.json"], r"broken\.json is not JSON .*: give a file of rows"),
        (["--json", "other.json"], r"other\.json is not a list of rows: give"),
        (
            ["--json", "else.json"],
            r"else\.json holds rows of something else \(row 1 has no method\)",
        ),
        (
            ["--json", "/proc/rows.json"],
            r"/proc/rows\.json cannot be written \(No such file.*\): give another",
        ),
    ],
)
def test_bad_input_is_told_before_any_run(
    methods: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    words: list[str],
    told: str,
) -> None:
    (tmp_path / "broken.json").write_text('[{"method": ')
    (tmp_path / "other.json").write_text('{"method": "byol"}')
    (tmp_path / "else.json").write_text('[{"task": "x"}]')
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UserError, match=told):
        call(methods, monkeypatch, tmp_path, "--methods", "byol", *words)
    assert methods.runs == []
    assert sorted(tmp_path.iterdir()) == before


def test_a_sentence_and_status_2_from_the_command_line(tmp_path: Path) -> None:
    for words in (["--jobs", "0"], ["--methods", "byoll"], ["--docs", f"{tmp_path}/page.md"]):
        script = ROOT / "tools/benchmarks/methods.py"
        done = subprocess.run(
            [sys.executable, script, "--json", tmp_path / "rows.json", *words],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
        assert words[1].split("/")[-1] in done.stderr
    assert list(tmp_path.iterdir()) == []


COMMAND = re.compile(
    r"^#     python tools/train\.py (\S+\.py)( --objective er)? +# \d+ min, kNN (\S+) to (\S+)$",
    re.M,
)


@pytest.mark.parametrize("name", ["methods", "methods_cifar10"])
def test_a_config_says_what_its_rows_reached(name: str) -> None:
    runs = defaultdict(list)
    for row in json.loads((ROOT / f"docs/results/{name}.json").read_text()):
        if not row.get("cfg_options"):
            runs[row["config"], row["objective"]].append(row)
    reached = {
        key: tuple(
            f"{statistics.fmean(row[value] for row in rows):.2f}"
            for value in ("knn_top1_init", "knn_top1")
        )
        for key, rows in runs.items()
    }
    said = {}
    for config in {config for config, _ in runs}:
        for path, er, *numbers in COMMAND.findall((ROOT / config).read_text()):
            said[path, "er" if er else "native"] = tuple(numbers)
    assert said == reached
