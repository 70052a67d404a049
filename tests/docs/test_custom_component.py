"""docs/custom_component.md does what it says, block by block."""

from __future__ import annotations

import csv
import json
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.metrics import balanced_accuracy_score

from mvssl import registry
from mvssl.apis import TrainOptions
from mvssl.datasets import Digits
from mvssl.evaluation import Features, Inputs
from mvssl.models import MultiView
from mvssl.views import DeviceViews, HostViews, build_views
from tests.docs.blocks import marked
from tests.mini import ROOT, curves, prepared, train_cli

PAGE = (ROOT / "docs" / "custom_component.md").read_text(encoding="utf-8")
PLACE = "/path/to/mvssl"
FILES = {block.remark: block.text for block in marked("file")}
CONFIGS = [Path(name).stem for name in FILES if name.startswith("configs/")]
REGISTRIES = [one for one in vars(registry).values() if isinstance(one, registry.Registry)]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The page's files in a folder, as a user would have them."""
    before = [dict(one.module_dict) for one in REGISTRIES]
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text.replace(PLACE, str(ROOT)))
    (tmp_path / "my_project" / "__init__.py").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for one, members in zip(REGISTRIES, before, strict=True):
        one.module_dict.clear()
        one.module_dict.update(members)
    for name in [name for name in sys.modules if name.split(".")[0] == "my_project"]:
        del sys.modules[name]


def commands() -> list[list[str]]:
    lines = [block.text.replace(PLACE, str(ROOT)) for block in marked("command")]
    return [shlex.split(line) for line in lines]


def run(project: Path, name: str, *more: str, status: int = 0) -> dict[str, Any]:
    """Train a config of the page for one epoch on large batches; the summary."""
    options = ["train_cfg.max_epochs=1", "train_dataloader.batch_size=256", *more]
    assert train_cli(f"configs/{name}.py", "--cfg-options", *options) == status
    if status:
        return {}
    summary: dict[str, Any] = json.loads((work_dir(project, name) / "summary.json").read_text())
    return summary


def work_dir(project: Path, name: str) -> Path:
    (found,) = (project / "work_dirs" / name).iterdir()
    return found


def job_model(name: str) -> MultiView:
    return prepared(TrainOptions(config=f"configs/{name}.py")).model


SMALL = "model.backbone.model_args.depth=1"


def test_every_config_of_the_page_is_run_below() -> None:
    here = Path(__file__).read_text(encoding="utf-8")
    assert len(CONFIGS) == 8
    for name in CONFIGS:
        # The head is run by the page's own command.
        assert name == "margin" or f'run(project, "{name}"' in here, name


def test_every_example_is_short() -> None:
    for name, text in FILES.items():
        assert len(text.splitlines()) <= 75, name
        assert max(map(len, text.splitlines())) <= 100, name


def test_the_command_of_the_page_trains_the_head(project: Path) -> None:
    words = commands()[0]
    assert words[:3] == ["PYTHONPATH=.", "python", str(ROOT / "tools" / "train.py")]
    assert train_cli(*words[3:], "model.head.margin=0.4", SMALL) == 0
    summary = json.loads((work_dir(project, "margin") / "summary.json").read_text())
    assert summary["epochs"] == 1
    assert np.isfinite(summary["mi_bound"])
    recorded = curves(work_dir(project, "margin") / "epoch_1.pth")
    assert ((recorded["right_pairs"][1] >= 0) & (recorded["right_pairs"][1] <= 1)).all()
    assert (recorded["loss"][1] >= 0).all()


def test_a_mistake_in_it_is_told_as_in_mvssls_own(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = commands()[0][3:4]
    assert train_cli(*argv, "--cfg-options", "model.head.margn=0.4") == 2
    assert "did you mean 'margin'?" in capsys.readouterr().err
    assert train_cli(*argv, "--cfg-options", "model.head.margin=3.0") == 2
    assert "MarginHead: margin lies in (0, 2], got 3.0." in capsys.readouterr().err


def test_the_pages_own_tests_pass(project: Path) -> None:
    assert commands()[1][1:] == ["python", "-m", "pytest", "test_margin_head.py"]
    scope: dict[str, object] = {}
    exec((project / "test_margin_head.py").read_text(), scope)
    tests = [value for name, value in scope.items() if name.startswith("test_")]
    assert len(tests) == 2
    for test in tests:
        assert callable(test)
        test()


def test_the_loss_is_the_papers(project: Path) -> None:
    run(project, "align_uniform", SMALL)
    loss = job_model("align_uniform").head.loss
    x, y = F.normalize(torch.randn(2, 5, 3, dtype=torch.float64), dim=2)
    align = ((x - y) ** 2).sum(dim=1).mean()
    apart = [
        torch.stack([(-2 * ((z[i] - z[j]) ** 2).sum()).exp() for i in range(5) for j in range(i)])
        for z in (x, y)
    ]
    uniform = torch.stack([one.mean().log() for one in apart]).mean()
    torch.testing.assert_close(loss(3 * x, 2 * y), align + 0.5 * uniform)


def test_the_backbone_is_exported_and_loaded(project: Path) -> None:
    summary = run(project, "shufflenet")
    assert summary["backbone"]["create_model"] is None
    (block,) = marked("load")
    scope: dict[str, Any] = {}
    exec(block.text.replace("RUN", work_dir(project, "shufflenet").name), scope)
    assert scope["backbone"](torch.zeros(2, 3, 32, 32)).shape == (2, 1024)
    weights = torch.load(work_dir(project, "shufflenet") / "epoch_1.pth", weights_only=True)
    trained = weights["state_dict"]["backbone.model.conv1.0.weight"]
    torch.testing.assert_close(scope["backbone"].model.conv1[0].weight.detach(), trained)


def test_the_operation_blanks_a_square_alike_in_both_forms(project: Path) -> None:
    run(project, "cutout", SMALL)
    views = job_model("cutout").data_preprocessor.views
    assert [view.describe().count("cutout of 0.4 p 0.8") for view in views] == [0, 1]
    whole = dict(crop_scale=(1, 1), crop_ratio=(1, 1), flip=0, cutout=0.5)
    (view,) = build_views([whole], 20)
    images = np.zeros((40, 20, 20, 3), np.uint8)
    host = [HostViews([view], seed=1)(image, n, 0)[0] for n, image in enumerate(images)]
    batch = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
    index = torch.arange(40)
    (device,) = DeviceViews([view], seed=1)(batch, index, torch.zeros_like(index))
    blanked = torch.stack(host) == 128
    torch.testing.assert_close(device, blanked.float() / 2)
    squares = blanked.flatten(1).sum(dim=1)
    assert set(squares.tolist()) == {0, 3 * 6 * 6}  # 0.3 of 20 pixels, all channels
    assert 8 <= (squares > 0).sum() <= 32


def test_the_data_set_reads_arrays(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "data").mkdir()
    for split in ("train", "test"):
        digits = Digits(split)
        images = np.stack([digits.read(number) for number in range(len(digits))])
        np.save(project / "data" / f"{split}.npy", images)
        assert digits.labels is not None
        np.save(project / "data" / f"{split}_labels.npy", digits.labels)
    arrays = run(project, "arrays", SMALL)
    (project / "configs" / "digits.py").write_text(f"_base_ = ['{ROOT}/configs/byol_vit.py']\n")
    # The digits again, so the run is that on the digits.
    digits_run = run(project, "digits", SMALL)
    for name in ("knn_top1", "loss", "mi_bound"):
        assert arrays[name] == digits_run[name]
    np.save(project / "data" / "train.npy", load_digits().images)
    run(project, "arrays", status=2)
    assert "holds float64 (1797, 8, 8), not uint8 (N, s, s, 3)." in capsys.readouterr().err


def test_the_evaluator_counts_classes_alike(project: Path) -> None:
    summary = run(project, "nearest_mean", SMALL)
    assert 0 < summary["nearest_mean"] < 1
    assert 0 < summary["knn_top1"] < 1
    x, labels = load_digits(return_X_y=True)
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    sets = [
        Features(torch.from_numpy(x[s]).float(), torch.from_numpy(labels[s]))
        for s in (slice(0, 1000), slice(1000, None))
    ]
    digits = Digits("all")
    features = iter(sets)
    inputs = Inputs(digits, digits, lambda _: next(features))
    found = registry.EVALUATORS.build({"type": "NearestMean"}).run(inputs)
    centres = np.stack([x[:1000][labels[:1000] == one].mean(axis=0) for one in range(10)])
    cosine = x[1000:] @ (centres / np.linalg.norm(centres, axis=1, keepdims=True)).T
    wanted = balanced_accuracy_score(labels[1000:], cosine.argmax(axis=1))
    assert found == {"nearest_mean": pytest.approx(wanted)}


def test_the_hook_ends_a_collapsed_run(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    summary = run(project, "collapse", SMALL)  # an epoch is less than its patience
    assert summary["epochs"] == 1
    high = ["custom_hooks.0.rank=1000", "train_cfg.max_epochs=5", SMALL]
    run(project, "collapse", *high, status=2)
    told = capsys.readouterr().err
    assert re.search(r"collapsed: their effective rank is [\d.]+ after epoch 2\.", told)


def test_the_logger_writes_the_curves(project: Path) -> None:
    run(project, "csv_logger", SMALL)
    folder = work_dir(project, "csv_logger")
    with (folder / "vis_data" / "curves.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    for name, series in curves(folder / "epoch_1.pth").items():
        own = [row for row in rows if row[1].partition("/")[2] == name]  # behind its group
        written = np.array([[float(row[0]), float(row[2])] for row in own]).T
        # What is measured after the last checkpoint is there too.
        np.testing.assert_allclose(written[:, : series.shape[1]], series)
    assert any(folder.glob("**/events.out.tfevents*"))


def test_every_base_class_and_registry_of_the_page_is_there() -> None:
    table = PAGE.partition("## Other parts")[2]
    for name in re.findall(r"`([A-Z_]{4,})`", table):
        assert isinstance(getattr(registry, name), registry.Registry)
    for path in re.findall(r"`(mvssl(?:\.\w+)+)`", table):
        module, _, name = path.rpartition(".")
        __import__(module)
        assert hasattr(sys.modules[module], name), path
