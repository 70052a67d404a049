from __future__ import annotations

import importlib
import inspect
import json
import shlex
import statistics
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy import stats
from sklearn.datasets import load_digits

from mvssl.config.read import load_config
from mvssl.errors import UserError
from mvssl.registry import EVALUATORS, HEADS, LOOPS
from tests.mini import ROOT


@pytest.fixture
def trains(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A run that trains."""
    for folder in ("studies", "benchmarks"):
        monkeypatch.syspath_prepend(ROOT / "tools" / folder)
    return importlib.import_module("claims").run


@pytest.fixture
def claims(trains: Any, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The study, with runs that train nothing and whose kNN is told by what they are asked."""
    module = importlib.import_module("claims")

    def run(row: Any, chosen: dict[str, Any]) -> dict[str, Any]:
        sharpness = chosen["sharpness"] or ""
        reached = (
            0.3 + row.seed / 100 + (chosen["rate"] == 4e-3) / 10 + ("kappa=5" in sharpness) / 10
        )
        reached += (chosen["momentum"] == 0.97) / 10 - (row.batch < 256) / 20
        if row.objective == "native":
            reached += row.seed**2 / 100
        curve = [[0, 468], [0.2, reached]]
        names = ("knn_top1", "online_top1", "entropy", "reconstruction", "student_entropy")
        held_out = ("heldout_entropy", "heldout_reconstruction", "heldout_student_entropy")
        return {
            **module.plan.numbers_of(row, chosen),
            "knn_top1": reached,
            "seconds": 60.0,
            "epochs": 6,
            "steps": 468,
            "versions": {"torch": "2.0"},
            "processor": "a processor",
            "curves": dict.fromkeys([*names, *held_out, "loss"], curve),
        }

    monkeypatch.setattr(module, "run", run)
    return module


def call(
    claims: ModuleType, monkeypatch: pytest.MonkeyPatch, folder: Path, *argv: str
) -> list[dict[str, Any]]:
    path = folder / "rows.json"
    monkeypatch.setattr("sys.argv", ["claims.py", "--json", str(path), *argv])
    claims.main()
    rows: list[dict[str, Any]] = json.loads(path.read_text()) if path.is_file() else []
    return rows


def test_both_objectives_are_tuned_by_as_many_runs_each_number_at_the_best_of_the_others(
    claims: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rows = call(claims, monkeypatch, tmp_path, "--tune")
    asked = [row["asked"] for row in rows]
    counts = Counter((one["method"], one["objective"]) for one in asked)
    for method in claims.plan.NAMES:
        more = 4 if method in claims.claims_tuning.WITH_TEACHER else 2
        runs = len(claims.claims_tuning.SHARPNESS[method, "er"]) + more
        assert counts[method, "native"] == counts[method, "er"] == runs
    assert {one["part"] for one in asked} == {"validation"}
    assert {one["seed"] for one in asked}.isdisjoint({0, 1, 2, 3, 4})
    best = claims.claims_tuning.tuned(rows, "cifar10", "byol", "er")
    assert best == {"rate": 4e-3, "momentum": 0.97, "sharpness": "model.head.kappa=5"}
    momenta = [
        one["sharpness"] for one in asked if (one["method"], one["objective"]) == ("byol", "er")
    ]
    assert Counter(momenta) == {  # the others at the best of these
        **dict.fromkeys(claims.claims_tuning.KAPPA, 1),
        "model.head.kappa=5": 5,
    }
    assert len(call(claims, monkeypatch, tmp_path, "--tune")) == len(rows)  # none is run again


def test_an_arm_that_is_not_tuned_says_so(
    claims: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"simclr .native. on cifar10 is not tuned"):
        call(claims, monkeypatch, tmp_path, "--arms", "competitive")
    rows = call(claims, monkeypatch, tmp_path, "--tune", "--methods", "simclr")
    (tmp_path / "rows.json").write_text(json.dumps(rows[:-1]))  # interrupted before its last run
    with pytest.raises(UserError, match=r"simclr .* is not tuned to the end"):
        call(claims, monkeypatch, tmp_path, "--arms", "competitive", "--methods", "simclr")


@pytest.fixture
def digits(claims: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A root with the project and ``data/studies/cifar10`` of a few digits, made by arrays.py."""
    root, source = tmp_path / "root", tmp_path / "digits"
    found = load_digits()
    for label in range(4):
        for number, image in enumerate(found.images[found.target == label][:90]):
            folder = source / ("train" if number < 80 else "test") / str(label)
            folder.mkdir(parents=True, exist_ok=True)
            pixels = Image.fromarray((image * 255 / 16).astype(np.uint8)).convert("RGB")
            pixels.resize((32, 32)).save(folder / f"{number:02}.png")
    (root / "data").mkdir(parents=True)
    for name in ("mvssl", "configs", "tools"):
        (root / name).symlink_to(ROOT / name)
    arrays = importlib.import_module("arrays")
    for name, images in {"TRAIN": 70, "SHORT": 50, "BANK": 20, "VALIDATION": 10}.items():
        monkeypatch.setattr(arrays, name, images)
    words = ["arrays.py", "cifar10", str(source), "--out", str(root / "data/studies")]
    monkeypatch.setattr("sys.argv", words)
    arrays.main()
    return root


def test_parts_of_the_data_are_of_all_classes_and_tuning_sees_images_of_its_own(
    digits: Path,
) -> None:
    folder = digits / "data/studies/cifar10"
    parts = {}
    for name, count in {"train": 70, "short": 50, "bank": 20, "validation": 10, "test": 10}.items():
        images = np.load(folder / f"{name}.npy")
        labels = np.load(folder / f"{name}_labels.npy")
        assert np.bincount(labels).tolist() == [count] * 4
        assert images.shape == (4 * count, 32, 32, 3)
        parts[name] = {image.tobytes() for image in images}
    assert parts["bank"] <= parts["short"] <= parts["train"]
    for name in ("train", "test"):
        assert parts["validation"].isdisjoint(parts[name])


def test_a_row_is_what_its_command_reaches(
    claims: ModuleType, trains: Any, digits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims.plan, "ROOT", digits)
    row = claims.plan.Row("cifar10", "byol", "er", batch=64, seed=3)
    chosen = {"rate": 1e-3, "momentum": 0.5, "sharpness": "model.head.kappa=5", "kappa": 5.0}
    found = trains(row, chosen)
    assert found["digest"] == claims.digest(row, chosen)
    assert found["command"].startswith("python tools/train.py configs/studies/byol.py --amp")
    assert (found["steps"], found["epochs"]) == (24, 6)
    assert 0.2 < found["knn_top1"] <= 1  # of four classes
    curves = found["curves"]
    steps, values = curves["knn_top1"]
    assert steps[-1] == 24
    assert values[-1] == pytest.approx(found["knn_top1"], rel=1e-4)
    for name in ("entropy", "student_entropy", "reconstruction", "infonce", "heldout_entropy"):
        steps, values = curves[name]
        assert len(steps) == len(values) <= claims.POINTS
        assert np.isfinite(values).all()
    with pytest.raises(UserError, match=r"fashion has no train\.npy: make it by tools/studies"):
        trains(claims.plan.Row("fashion", "byol", "er"), chosen)


def test_a_dry_run_of_the_tuning_tells_its_next_stage_and_runs_nothing(
    claims: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any
) -> None:
    dry = ("--tune", "--methods", "byol", "--dry-run")
    assert call(claims, monkeypatch, tmp_path, *dry) == []
    told = capsys.readouterr().out.splitlines()
    kappas = len(claims.claims_tuning.KAPPA)
    assert len(told) == 1 + kappas  # natively one, it has no sharpness
    assert all(line.startswith("python tools/train.py configs/studies/byol.py") for line in told)
    rows = call(claims, monkeypatch, tmp_path, "--tune", "--methods", "byol")
    capsys.readouterr()
    assert call(claims, monkeypatch, tmp_path, *dry) == rows
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--methods", "simclrr"], "simclrr"),
        (["--seeds", "0", "100"], "100 is that of the tuning"),
    ],
)
def test_a_misspelt_option_is_told_with_status_2(
    claims: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: Any,
    words: list[str],
    told: str,
) -> None:
    with pytest.raises(SystemExit) as ended:
        call(claims, monkeypatch, tmp_path, "--arms", "competitive", *words)
    assert ended.value.code == 2
    assert told in capsys.readouterr().err


def test_a_page_is_not_emptied_for_want_of_rows(
    claims: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    page = tmp_path / "claims.md"
    text = (ROOT / "docs/claims.md").read_text()
    page.write_text(text)
    with pytest.raises(UserError, match=r"no rows to write .*claims\.md from"):
        call(claims, monkeypatch, tmp_path, "--write", str(page))
    assert page.read_text() == text
    page.write_text("# A page\n")
    with pytest.raises(UserError, match="no '<!-- table: tuning -->'"):
        call(claims, monkeypatch, tmp_path, "--tune", "--methods", "byol", "--write", str(page))
    assert not (tmp_path / "rows.json").exists()  # told before any run


def test_rows_of_an_earlier_tuning_are_refused(
    claims: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    arm = ("--arms", "competitive", "--methods", "byol", "--seeds", "0", "--jobs", "1")
    call(claims, monkeypatch, tmp_path, "--tune", "--methods", "byol")
    rows = call(claims, monkeypatch, tmp_path, *arm)
    assert call(claims, monkeypatch, tmp_path, *arm) == rows
    rows[-1]["rate"] /= 2
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    with pytest.raises(UserError, match=r"byol er .* other numbers than those"):
        call(claims, monkeypatch, tmp_path, *arm)


def test_rows_of_a_config_that_was_changed_are_refused(
    claims: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    arm = ("--arms", "competitive", "--methods", "byol", "--seeds", "0", "--jobs", "1")
    call(claims, monkeypatch, tmp_path, "--tune", "--methods", "byol")
    rows = call(claims, monkeypatch, tmp_path, *arm)
    row, chosen = claims.claims_tuning.as_tuned(claims.plan.Row(**rows[-1]["asked"]), rows)
    rows[-1]["digest"] = claims.digest(row, chosen)
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    assert call(claims, monkeypatch, tmp_path, *arm) == rows
    copy = tmp_path / "studies"
    copy.mkdir()
    base = f"_base_ = ['{ROOT}/configs/studies/byol.py']\n"
    (copy / "byol.py").write_text(f"{base}er_head = dict(loss_weight=2.0)\n")
    options = claims.TrainOptions
    monkeypatch.setattr(
        claims, "TrainOptions", lambda config, **more: options(str(copy / "byol.py"), **more)
    )
    with pytest.raises(UserError, match=r"byol er was run before configs/studies/byol\.py"):
        call(claims, monkeypatch, tmp_path, *arm)


def test_a_coefficient_that_is_the_tuned_one_is_not_run_again(
    claims: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    call(claims, monkeypatch, tmp_path, "--tune", "--methods", "byol")
    monkeypatch.setattr(claims.plan, "ALL_MOMENTA", (0.5, 0.97))
    rows = call(
        claims, monkeypatch, tmp_path, "--arms", "competitive", "distillation",
        "--methods", "byol", "--seeds", "0",
    )  # fmt: skip
    native = [x for x in rows if x["asked"]["part"] == "test" and x["asked"]["objective"] != "er"]
    assert [(x["asked"]["momentum"], x["momentum"]) for x in native] == [(None, 0.97), (0.5, 0.5)]
    page = importlib.import_module("claims_cells")
    assert page.cell(rows, "byol", "native", momentum=0.97).rows == {0: native[0]}


def test_after_a_failed_run_no_other_is_begun(
    claims: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    begun = []

    def fails(row: Any, chosen: dict[str, Any]) -> dict[str, Any]:
        begun.append(row)
        raise RuntimeError("a run failed")

    monkeypatch.setattr(claims, "run", fails)
    with pytest.raises(RuntimeError, match="a run failed"):
        call(claims, monkeypatch, tmp_path, "--tune", "--jobs", "1")
    assert len(begun) < 5


def test_a_fall_is_base_less_small_and_the_excess_native_less_er(
    claims: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    reached = {
        ("native", 256, None): 0.50, ("native", 32, None): 0.40,
        ("er", 256, None): 0.60, ("er", 256, 32): 0.58, ("er", 32, None): 0.57,
    }  # fmt: skip
    rows = [
        {
            "asked": asdict(
                claims.plan.Row("cifar10", "simclr", objective, batch=batch, group=group, seed=seed)
            ),
            "momentum": None,
            "knn_top1": value + seed / 100,
            "curves": {},
        }
        for (objective, batch, group), value in reached.items()
        for seed in range(2)
    ]
    table = claims.claims_page.batch(rows).splitlines()
    whole, fixed = (
        next(x for x in table if x.startswith(f"| SimCLR | epochs | {k} |")) for k in ("batch", 32)
    )
    assert "| 0.505 ± 0.007 (2) | 0.405 ± 0.007 (2) |" in whole
    for line, falls, excess in ((whole, "+0.030", "+0.070"), (fixed, "+0.010", "+0.090")):
        cells = [one.strip().split(" ")[0] for one in line.split("|")[4:-1]]
        assert cells[2] == "+0.100"
        assert cells[5:] == [falls, excess]


def test_every_command_is_of_keys_that_its_config_has(
    claims: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    call(claims, monkeypatch, tmp_path, "--tune")
    capsys.readouterr()
    call(
        claims, monkeypatch, tmp_path, "--dry-run", "--seeds", "0",
        "--arms", *claims.plan.ARMS,
    )  # fmt: skip
    commands = capsys.readouterr().out.splitlines()
    assert len(commands) == len(set(commands)) > 40
    for line in commands:
        words = shlex.split(line)
        config = load_config(ROOT / words[2])
        if "--objective" in words:
            config.model.head = config.er_head
        for option in words[words.index("--cfg-options") + 1 :]:
            *path, last = option.partition("=")[0].split(".")
            place: Any = config
            for name in path:
                place = place[name]
            kind = "TrainLoop" if path == ["train_cfg"] else place.get("type")
            takes = taken(kind)
            assert last in place or last in takes, option


def taken(kind: str | None) -> tuple[str, ...]:
    """Names of the arguments of a component."""
    for registry in (HEADS, EVALUATORS, LOOPS):
        found = registry.get(kind) if kind else None
        if found is not None:
            return tuple(inspect.signature(found).parameters)
    return ()


@pytest.mark.parametrize("method", ["simclr", "byol", "dino", "swav"])
def test_equal_steps_are_equal_steps(claims: ModuleType, method: str) -> None:
    plan, arrays = claims.plan, importlib.import_module("arrays")
    config = load_config(ROOT / f"configs/studies/{method}.py")
    epochs = config.train_cfg.max_epochs
    base, small = 10 * arrays.TRAIN // plan.BASE_BATCH, 10 * arrays.SHORT // plan.SMALL_BATCH
    assert small == epochs * base
    row = plan.Row("cifar10", method, "native", batch=plan.SMALL_BATCH, length="steps")
    chosen = {"rate": 1e-3, "momentum": None, "sharpness": None, "kappa": 10.0}
    words = plan.command(row, chosen)
    assert "train_dataloader.dataset.images=data/studies/cifar10/short.npy" in words
    assert "train_cfg.max_epochs=1" in words
    spans = {"param_scheduler.warmup_epochs": config.param_scheduler.warmup_epochs}
    for name, schedule in (config.get("schedules") or {}).items():
        if schedule and "epochs" in schedule:
            spans[f"schedules.{name}.epochs"] = schedule.epochs
    told = dict(word.partition("=")[::2] for word in words)
    for key, span in spans.items():
        assert round(float(told[key]) * small) == round(span * base), key
    assert len(spans) == {"simclr": 1, "byol": 1, "dino": 2, "swav": 3}[method]


def test_the_page_has_means_deviations_and_paired_intervals_of_the_rows(
    claims: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    page = tmp_path / "claims.md"
    names = claims.claims_page.TABLES
    page.write_text("\n".join(f"<!-- table: {x} -->\nold\n<!-- end -->" for x in names))
    (tmp_path / "figures").mkdir()
    call(claims, monkeypatch, tmp_path, "--tune", "--methods", "simclr", "byol")
    rows = call(
        claims, monkeypatch, tmp_path, "--methods", "simclr", "byol",
        "--arms", "competitive", "batch", "ema", "--write", str(page),
    )  # fmt: skip
    found = {
        objective: [
            row["knn_top1"]
            for row in rows
            if row["asked"]["part"] == "test"
            and row["asked"]["method"] == "simclr"
            and row["asked"]["objective"] == objective
            and row["asked"]["batch"] == 256
            and row["asked"]["group"] is None
            and not row["asked"]["variant"]
        ]
        for objective in ("native", "er")
    }
    table = page.read_text().partition("table: competitive")[2].partition("<!-- end")[0]
    (line,) = [x for x in table.splitlines() if x.startswith("| SimCLR |")]
    for values in found.values():
        assert len(values) == 3
        assert f"{np.mean(values):.3f} ± {statistics.stdev(values):.3f} (3)" in line
    paired = stats.ttest_rel(found["er"], found["native"])
    low, high = paired.confidence_interval(0.95)
    mean = np.mean(found["er"]) - np.mean(found["native"])
    assert f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]" in line
    assert "old" not in page.read_text()
    for name in ("claims_curves.png", "claims_drops.png"):
        assert (tmp_path / "figures" / name).stat().st_size > 10_000


def test_a_long_run_says_which_part_of_its_way_the_short_one_went(claims: ModuleType) -> None:
    def row(seed: int, knn: float, length: str) -> dict[str, Any]:
        asked = asdict(claims.plan.Row("cifar10", "byol", "er", seed=seed, length=length))
        told = {"knn_top1": knn, "knn_top1_init": 0.2, "momentum": 0.9, "curves": {}}
        return {"asked": asked, **told}

    rows = [row(0, 0.4, "epochs"), row(1, 0.5, "epochs"), row(0, 0.6, "long")]
    lines = claims.claims_page.long(rows).splitlines()
    assert "| BYOL + ER | 0.200 | 0.400 (1) | 0.600 (1) | 50% |" in lines
    assert "| BYOL | – | not run | not run | – |" in lines
    chosen = {"rate": 1e-3, "momentum": 0.9, "sharpness": None, "kappa": 10.0}
    words = claims.plan.command(claims.plan.Row("cifar10", "byol", "er", length="long"), chosen)
    epochs = load_config(ROOT / "configs/studies/byol.py").train_cfg.max_epochs
    assert f"train_cfg.max_epochs={claims.plan.LONG * epochs}" in words
    assert "param_scheduler.warmup_epochs=1" in words


def test_what_is_tried_on_validation_images_besides_does_not_tune(
    claims: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rows = call(claims, monkeypatch, tmp_path, "--tune", "--methods", "dino")
    before = claims.claims_tuning.tuned(rows, "cifar10", "dino", "er")
    best = max(row["knn_top1"] for row in rows if row["asked"]["objective"] == "er")
    page = claims.claims_page
    assert page.discrete(rows).splitlines()[2].count(f"| {best:.3f} |") == 1
    (half,) = (
        row for row in claims.plan.arm_discrete("cifar10", 0)
        if row.part == "validation" and row.method == "dino"
    )  # fmt: skip
    rows.append({**rows[-1], "asked": asdict(half), "knn_top1": 0.9})
    assert claims.claims_tuning.tuned(rows, "cifar10", "dino", "er") == before
    assert "0.900" not in page.tuning(rows)
    assert "| 0.900 |" in page.discrete(rows).splitlines()[3]


def test_means_of_a_line_differ_by_what_it_says_also_where_one_has_more_seeds(
    claims: ModuleType,
) -> None:
    def row(seed: int, knn: float, momentum: float | None) -> dict[str, Any]:
        asked = asdict(claims.plan.Row("cifar10", "byol", "native", seed=seed, momentum=momentum))
        return {"asked": asked, "momentum": momentum or 0.9, "knn_top1": knn, "curves": {}}

    rows = [row(seed, 0.5 - 0.1 * seed, None) for seed in range(5)]
    rows += [row(seed, 0.3 - 0.05 * seed, 0.5) for seed in (1, 2)]
    (line,) = [x for x in claims.claims_page.ema(rows).splitlines() if "| BYOL | 0.5 |" in x]
    base, small = statistics.fmean([0.4, 0.3]), statistics.fmean([0.25, 0.2])
    cells = [x.strip() for x in line.split("|")][3:6]
    assert cells[0].startswith(f"{base:.3f} ±")
    assert cells[0].endswith("(2)")
    assert cells[1].startswith(f"{small:.3f} ±")
    assert cells[1].endswith("(2)")
    assert cells[2].startswith(f"{base - small:+.3f} [")
    (line,) = [x for x in claims.claims_page.ema(rows).splitlines() if "| BYOL | 0.8 |" in x]
    assert "| 0.300 ± 0.158 (5) | not run | – |" in line


def test_the_page_that_is_shown_is_that_of_the_rows(claims: ModuleType, tmp_path: Path) -> None:
    page, figures = ROOT / "docs/claims.md", tmp_path / "figures"
    figures.mkdir()
    copy = tmp_path / "claims.md"
    copy.write_text(page.read_text())
    claims.claims_page.write(copy, json.loads((ROOT / "docs/results/claims.json").read_text()))
    assert copy.read_text() == page.read_text(), "run python tools/studies/claims.py --write"
    made = sorted(figures.iterdir())
    assert len(made) == 4
    for picture in made:
        shown = ROOT / "docs/figures" / picture.name
        assert _source(picture) == _source(shown), f"{shown.name} is not of these rows"


def _source(picture: Path) -> str:
    with Image.open(picture) as image:
        return str(image.info["Source"])


def test_figures_show_means_over_seeds_by_epoch(
    claims: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    figures = importlib.import_module("claims_figures")
    stored = json.loads((ROOT / "docs/results/claims.json").read_text())
    rows = [row for row in stored if row["asked"]["data"] == "cifar10"]
    drawn = []
    monkeypatch.setattr(figures.Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    figures.plot_curves(tmp_path / "curves.png", rows, ("byol",))
    figures.plot_drops(tmp_path / "drops.png", rows)
    curves, drops = drawn
    plain = {"data": "cifar10", "method": "byol", "batch": 256, "part": "test", "variant": ""}
    plain |= {"group": None, "length": "epochs", "momentum": None}
    for objective, color in figures.COLORS.items():
        mine = [r for r in rows if (plain | {"objective": objective}).items() <= r["asked"].items()]
        assert len(mine) >= 3
        for axis, name, floor in zip(
            curves.axes,
            ("knn_top1", "heldout_entropy", "heldout_reconstruction"),
            (None, "heldout_entropy_floor", None),
            strict=True,
        ):
            values = np.array([row["curves"][name][1] for row in mine])
            if floor:
                values -= np.array([row["curves"][floor][1] for row in mine])
            (line,) = (x for x in axis.lines if (x.get_color(), x.get_linestyle()) == (color, "-"))
            np.testing.assert_allclose(line.get_ydata(), values.mean(axis=0))
            assert [line.get_xdata()[i] for i in (0, -1)] == [0, mine[0]["epochs"]]
        axis = next(x for x in drops.axes if "BYOL" in x.get_title(loc="left"))
        dots = next(x for x in axis.lines if (x.get_color(), x.get_marker()) == (color, "o"))
        assert sorted(dots.get_ydata()) == sorted(row["knn_top1"] for row in mine)
