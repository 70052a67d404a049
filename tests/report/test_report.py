from __future__ import annotations

import errno
import io
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from mvssl.datasets import ImageFolder
from mvssl.engine.history import History
from mvssl.errors import UserError
from mvssl.evaluation import KNN, Evaluator, Information, Inputs, Shown
from mvssl.report.curves import plot_curves
from mvssl.report.data_sheet import plot_data
from mvssl.report.figures import plot_views
from mvssl.report.outputs import write_views
from mvssl.report.tables import print_report, write_summary
from tests.runs import SMALL_MODEL, small_model

SUMMARY = {
    "knn_top1_init": 0.8528,
    "knn_top1": 0.9512,
    "knn_top1_pixels": 0.9716,
    "entropy": -119.44,
    "reconstruction": 122.51,
    "mi_bound": 1.931,
    "mi_ceiling": 4.159,
    "infonce": 1.8,
    "seconds": 72.3,
    "images_per_second": 1234.4,
}
EVALUATORS = {"knn": KNN(k=20, temperature=0.07)}
OUTPUTS = {"backbone": "runs/a/backbone.safetensors", "TensorBoard": "tensorboard --logdir runs"}
EMPTY = dict.fromkeys(SUMMARY)


def report(
    summary: Mapping[str, object],
    evaluators: Mapping[str, Evaluator],
    outputs: dict[str, str],
    terminal: bool = False,
    width: int = 200,
) -> list[str]:
    console = Console(
        file=io.StringIO(),
        width=width,
        force_terminal=terminal,
        color_system=None,
        legacy_windows=False,
    )
    with console.capture() as capture:
        print_report(summary, evaluators, outputs, console)
    return capture.get().splitlines()


def rows(lines: list[str]) -> dict[str, str]:
    """Label -> value of a plain report, whose columns are two or more blanks apart."""
    pairs = (line.strip().split("   ", 1) for line in lines if line.strip())
    return {label.strip(): value.strip() for label, value in pairs}


def test_plain_report_says_everything() -> None:
    lines = report(SUMMARY, EVALUATORS, OUTPUTS)
    assert rows(lines) == {
        "kNN top-1": "k = 20, temperature = 0.07",
        "before training": "0.853",
        "after training": "0.951  (+0.098)",
        "on raw pixels": "0.972",
        "entropy": "-119.4 nats",
        "reconstruction": "122.5 nats",
        "MI estimate": "1.93 nats of at most 4.16",
        "InfoNCE": "1.80 nats",
        "time": "0:01:12, evaluations and checkpoints included",
        "images/s": "1,234 in the steps of the last epoch",
        **OUTPUTS,
    }
    assert "\n".join(lines).isascii()


def test_undefined_values_are_dashes() -> None:
    summaries: list[Mapping[str, object]] = [EMPTY, {}, dict.fromkeys(SUMMARY, math.nan)]
    for summary in summaries:
        values = rows(report(summary, EVALUATORS, {}))
        assert values.pop("kNN top-1") == "k = 20, temperature = 0.07"
        assert len(values) == 9
        assert set(values.values()) == {"–"}


def test_without_evaluation_the_reason_is_given() -> None:
    lines = report({**EMPTY, "evaluation_note": "no labels [in this data]"}, {}, {})
    assert rows(lines)["evaluation"] == "no labels [in this data]"
    assert "before training" not in rows(lines)


class Recall(Evaluator):
    """Gives two results, of which the table shows one."""

    needs = ("backbone",)

    @property
    def results(self) -> dict[str, Shown]:
        return {
            "recall_1": Shown("recall@1", "recall", 1, panel="Retrieval"),
            "recall_9": Shown("recall@9", "recall", 1, listed=False),
        }

    def run(self, inputs: Inputs) -> dict[str, float]:
        raise NotImplementedError


def test_every_listed_result_has_its_rows() -> None:
    summary = {**SUMMARY, "recall_1_init": 10.04, "recall_1": 9.5, "recall_9": 1.0}
    lines = report(summary, {**EVALUATORS, "recall": Recall()}, {})
    assert "recall@9" not in "\n".join(lines)
    first = next(n for n, line in enumerate(lines) if "recall@1" in line)
    assert [line.strip().split("   ")[0] for line in lines[first : first + 3]] == [
        "recall@1",
        "before training",
        "after training",
    ]
    assert "10.0" in lines[first + 1]
    assert lines[first + 2].endswith("9.5  (-0.5)")
    assert not lines[first + 3]  # no row for raw pixels


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("width", [60, 100, 200])
def test_report_is_never_wider_than_100(terminal: bool, width: int) -> None:
    path = "/somewhere/" + "x" * 150
    lines = report(SUMMARY, EVALUATORS, {"log": path}, terminal=terminal, width=width)
    assert max(map(len, lines)) <= min(100, width if terminal else 100)
    assert sum(line.count("x") for line in lines) >= 150  # folded, not cut off


def test_report_survives_an_output_that_knows_ascii_alone() -> None:
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, "ascii", write_through=True) as file:
        print_report({}, {}, {}, Console(file=file))
        assert b"  evaluation       ?\n" in raw.getvalue()


def test_summary_file_is_json_with_nulls_and_keeps_order(tmp_path: Path) -> None:
    summary = {
        "z": math.nan,
        "a": [math.inf, 1.5, {"b": -math.inf}],
        "numpy": np.float32(0.5),
        "array": np.array([1.0, np.nan]),
        "tensor": torch.tensor(3),
        "path": Path("x") / "y",
        "none": None,
        "flag": True,
        "name": "é",
    }
    path = tmp_path / "summary.json"
    write_summary(path, summary)

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    loaded = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    assert list(loaded) == list(summary)
    assert loaded == {
        "z": None,
        "a": [None, 1.5, {"b": None}],
        "numpy": 0.5,
        "array": [1.0, None],
        "tensor": 3,
        "path": os.path.join("x", "y"),
        "none": None,
        "flag": True,
        "name": "é",
    }


def test_failing_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "summary.json"
    write_summary(path, {"a": 1})
    with pytest.raises(TypeError):
        write_summary(path, {"a": object()})

    def full(source: object, target: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(UserError, match=r"Cannot write .*summary\.json: No space left"):
        write_summary(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["summary.json"]


RESULTS = {
    **KNN().results,
    **Information().results,
    "linear_top1": Shown("linear top-1", "top-1 accuracy", panel="Linear probe", curve="features"),
}
PANELS = [
    "Training loss",
    "Entropy",
    "Reconstruction",
    "Mutual information between views",
    "kNN accuracy",
    "MI estimate, held-out images",
    "RankMe of features, held-out images",
    "Linear probe",
]


def make_history(*names: str, steps: int = 100, knn: bool = False) -> History:
    history = History()
    for step in range(steps):
        history.add(step, {name: i + math.exp(-step / 20) for i, name in enumerate(names)})
    if knn:
        history.add(0, {"knn_top1": 0.6})
        history.add(steps, {"knn_top1": 0.9})
    return history


CURVES = ("loss", "entropy", "entropy_trained", "reconstruction", "mi_bound", "infonce")
REFERENCES = ("entropy_floor", "entropy_cap", "mi_ceiling")


def make_results(panels: int) -> History:
    """Training's four panels, and so many more of evaluators."""
    history = make_history(*CURVES, *REFERENCES)
    named = [name for name, shown in RESULTS.items() if shown.panel in PANELS[:panels]]
    for step in (0, 50, 100):
        history.add(step, {name: 0.4 + step / 200 for name in named})
    return history


@pytest.mark.parametrize(
    ("history", "titles"),
    [
        (History(), []),
        (make_history("loss", *REFERENCES), ["Training loss"]),
        (make_history("loss", "lr", knn=True), ["Training loss", "kNN accuracy"]),
        (
            make_history("entropy_trained", "infonce", "reconstruction"),
            ["Entropy", "Reconstruction", "Mutual information between views"],
        ),
        (
            make_history(*CURVES, *REFERENCES),
            ["Training loss", "Entropy", "Reconstruction", "Mutual information between views"],
        ),
        (
            make_history(*CURVES, *REFERENCES, knn=True),
            [
                "Training loss",
                "Entropy",
                "Reconstruction",
                "Mutual information between views",
                "kNN accuracy",
            ],
        ),
        *((make_results(number), PANELS[:number]) for number in (6, 7, 8)),
    ],
    ids=lambda value: str(len(value)) if isinstance(value, list) else "",
)
def test_panels_without_data_are_left_out(
    tmp_path: Path, history: History, titles: list[str]
) -> None:
    figure = plot_curves(history, tmp_path / "curves.png", steps_per_epoch=10, results=RESULTS)
    assert [axes.get_title(loc="left") for axes in figure.axes] == titles
    with Image.open(tmp_path / "curves.png") as image:
        image.load()
        assert image.format == "PNG"
        heights = [528, 528, 528, 528, 840, 840, 840, 1260, 1260]  # of no panel to eight
        assert image.size == (1440, heights[len(titles)])
    tight = [axes.get_tightbbox() for axes in figure.axes]
    boxes = [box.get_points() for box in tight if box is not None]
    assert len(boxes) == len(titles)
    for number, ((x0, y0), (x1, y1)) in enumerate(boxes):
        assert 0 <= x0 < x1 <= 1440
        assert 0 <= y0 < y1 <= 1260
        for (u0, v0), (u1, v1) in boxes[:number]:  # no label runs into another panel
            assert x0 >= u1 or u0 >= x1 or y0 >= v1 or v0 >= y1


def test_floor_and_cap_are_in_sight(tmp_path: Path) -> None:
    history = History()
    for step in range(30):
        history.add(step, {"entropy": -120.0 + 0.01 * step})
    history.add(29, {"entropy_floor": -129.0, "entropy_cap": -119.0})
    figure = plot_curves(history, tmp_path / "curves.png", steps_per_epoch=3)
    (axes,) = figure.axes
    low, high = axes.get_ylim()
    assert low < -129.0
    assert high > -119.0
    assert axes.get_xlim() == (0.0, 10.0)
    assert axes.get_ylabel() == "nats"
    assert {text.get_text() for text in axes.texts} == {
        "target −119.7",
        "cap −119.0",
        "floor −129.0",
    }
    for line in axes.lines[1:]:  # references cross the whole panel
        x = np.asarray(line.get_xdata())
        assert (x[0], x[-1]) == (0.0, 10.0)


def test_knn_panel_shows_pixels_and_start(tmp_path: Path) -> None:
    history = make_history(knn=True)
    history.add(0, {"knn_top1_pixels": 0.75})
    figure = plot_curves(history, tmp_path / "a.png", steps_per_epoch=10, results=RESULTS)
    assert {text.get_text() for text in figure.axes[0].texts} == {
        "features 0.900",
        "raw pixels 0.750",
        "at the start 0.600",
    }


def test_values_that_are_not_finite_do_not_break_the_curves(tmp_path: Path) -> None:
    history = make_history("loss")
    history.add(100, {"loss": math.inf, "entropy": math.nan})
    figure = plot_curves(history, tmp_path / "curves.png", steps_per_epoch=10)
    (axes,) = figure.axes
    assert all(map(math.isfinite, axes.get_ylim()))


def test_long_series_are_thinned_without_moving_their_mean(tmp_path: Path) -> None:
    history = History()
    values = np.random.default_rng(0).normal(size=6000)
    for step, value in enumerate(values):
        history.add(step, {"loss": value})
    figure = plot_curves(history, tmp_path / "curves.png", steps_per_epoch=100)
    raw = np.asarray(figure.axes[0].lines[0].get_ydata())
    np.testing.assert_allclose(raw, values.reshape(1500, 4).mean(1), atol=1e-12)


def test_the_users_matplotlib_stays_as_it_is(tmp_path: Path) -> None:
    with mpl.rc_context({"axes.facecolor": "black", "savefig.dpi": 33}):
        before = dict(mpl.rcParams)
        figure = plot_curves(make_history("loss"), tmp_path / "curves.png", steps_per_epoch=10)
        assert dict(mpl.rcParams) == before
    assert figure.axes[0].get_facecolor() == (1.0, 1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("nats", "text"),
    [(9.2e-4, "0.0009"), (-3e-3, "-0.0030"), (-1e-9, "0.0000"), (0.5, "0.50"), (-132.9, "-132.9")],
)
def test_nats_are_told_without_powers_of_ten(nats: float, text: str) -> None:
    told = rows(report({**EMPTY, "infonce": nats}, {}, {}))
    note = " (below 0: one view tells nothing of the other yet)" if nats < -1e-4 else ""
    assert told["InfoNCE"] == f"{text} nats{note}"


def test_entropy_is_told_with_what_it_lies_between() -> None:
    told = rows(
        report({**EMPTY, "entropy": -132.6, "entropy_floor": -140.2, "entropy_cap": -98.0}, {}, {})
    )
    assert told["entropy"] == "-132.6 nats between -140.2 (all alike) and -98.00 (spread evenly)"


def test_a_difference_is_that_of_the_numbers_that_are_shown() -> None:
    assert Shown("kNN").gain(0.7994, 0.8716) == "+0.073"  # 0.0722 of the numbers behind them
    assert Shown("kNN").gain(0.872, 0.799) == "-0.073"
    assert Shown("l2", decimals=2, significant=True).text(1e-6) == "1e-06"


def test_views_grid_holds_the_pixels(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    originals = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8, generator=generator)
    view = torch.rand(3, 3, 16, 16, generator=generator)
    figure = plot_views(originals, [view, view * 2 - 0.5], tmp_path / "views.png")
    assert [text.get_text() for text in figure.texts] == [
        "original\n32 × 32",
        "view 1\n16 × 16",
        "view 2\n16 × 16",
    ]
    assert len(figure.axes) == 3 * 3
    with Image.open(tmp_path / "views.png") as image:
        pixels = np.asarray(image.convert("RGB"))
    # Each original's pixel is a square of 4 x 4 of the same colour: the cell is 128 pixels wide.
    top, left = 52, 14
    for row in range(3):
        cell = pixels[top + row * 136 :][:128, left : left + 128]
        expected = originals[row].permute(1, 2, 0).numpy().repeat(4, 0).repeat(4, 1)
        np.testing.assert_allclose(cell.astype(int), expected, atol=1)


@pytest.mark.parametrize(
    ("sides", "head"),
    [([(375, 500)] * 3, "375 × 500"), ([(375, 500), (9, 9), (375, 500)], "own sizes")],
)
def test_originals_are_headed_by_their_own_sizes(
    sides: list[tuple[int, int]], head: str, tmp_path: Path
) -> None:
    originals = torch.zeros(3, 3, 32, 32, dtype=torch.uint8)
    figure = plot_views(originals, [torch.rand(3, 3, 16, 16)], tmp_path / "views.png", sides)
    assert [text.get_text() for text in figure.texts] == [f"original\n{head}", "view 1\n16 × 16"]


def test_views_of_a_run_are_beside_images_with_their_sizes(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for number in range(2):
        Image.new("RGB", (50, 37)).save(tmp_path / f"images/{number}.png")
    views = {**SMALL_MODEL["data_preprocessor"], "engine": "host"}
    drawn = list[Any]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mvssl.report.outputs.plot_views", lambda *args: drawn.append(args))
        model = small_model({"type": "ERHead"}, data_preprocessor=views)
        write_views(model, ImageFolder(tmp_path / "images"), tmp_path / "views.png")
    originals, _, _, sides = drawn[0]
    assert originals.shape == (2, 3, 16, 16)
    assert sides == [(37, 50)] * 2


@pytest.mark.parametrize("number", [1, 12, 45])
@pytest.mark.parametrize(
    ("sides", "classes"),
    [
        ([[375, 500]], {}),
        ([[10, 20], [12000, 30000]], {f"a very long name {n}": 10**n for n in range(7)}),
        ([[40000, 40000]], {f"{n}": 10**6 for n in range(300)}),
        ([[30, 20], [700, 610]], {"a": 1, "b": 2}),
    ],
)
def test_nothing_of_a_picture_of_data_is_cut_off_at_its_edges(
    number: int, sides: list[list[int]], classes: dict[str, int], tmp_path: Path
) -> None:
    images = [np.full((30, 40, 3), 90, np.uint8)] * number
    plot_data(tmp_path / "data.png", images, np.array(sides), classes)
    with Image.open(tmp_path / "data.png") as image:
        pixels = np.asarray(image.convert("RGB"))
    for edge in (pixels[:3], pixels[-3:], pixels[:, :3], pixels[:, -3:]):
        assert (edge == 255).all()


def test_multi_crop_grid_has_eight_rows_at_most(tmp_path: Path) -> None:
    views = [torch.rand(10, 3, 96, 96)] * 2 + [torch.rand(10, 3, 36, 36)] * 6
    originals = torch.zeros(10, 3, 60, 90, dtype=torch.uint8)
    figure = plot_views(originals, views, tmp_path / "views.png")
    assert len(figure.axes) == 8 * 9
    with Image.open(tmp_path / "views.png") as image:
        assert image.size == (9 * 128 + 2 * 14 + 6 * 8 + 2 * 28, 52 + 8 * 136 - 8 + 14)


def test_views_of_other_images_are_refused(tmp_path: Path) -> None:
    originals = torch.zeros(4, 3, 8, 8, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"view 2 is .* there are 4 originals"):
        plot_views(originals, [torch.rand(4, 3, 8, 8), torch.rand(5, 3, 8, 8)], tmp_path / "a.png")
    with pytest.raises(ValueError, match="n >= 1"):
        plot_views(originals[:0], [], tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()
