"""docs/custom_component.md does what it says, block by block."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import mvssl
from mvssl import registry
from mvssl.datasets import Digits
from mvssl.views import DeviceViews, HostViews, View
from tests.mini import ROOT, curves, train_cli, write_config

PAGE = (ROOT / "docs" / "custom_component.md").read_text(encoding="utf-8")
PLACE = "/path/to/mvssl"

# The modules of the page after the head's, in its order.
KINDS = ("losses", "backbones", "views", "datasets", "evaluators", "hooks")
REGISTERED = [
    (registry.HEADS, "MarginHead"),
    (registry.LOSSES, "SimilarityMatrixLoss"),
    (registry.BACKBONES, "ConvNet"),
    (registry.VIEW_OPS, "ChannelDrop"),
    (registry.VIEW_SETS, "sensors"),
    (registry.DATASETS, "ArrayImages"),
    (registry.EVALUATORS, "NearestMean"),
    (registry.HOOKS, "WeightNormHook"),
]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The page's files in a folder, as a user would have them."""
    files = re.findall(r"<!-- file: (\S+) -->\n```python\n(.*?)```", PAGE, re.DOTALL)
    assert [name for name, _ in files] == [
        "my_project/margin_head.py",
        "my_config.py",
        "test_margin_head.py",
        *(f"my_project/{module}.py" for module in KINDS),
    ]
    (tmp_path / "my_project").mkdir()
    (tmp_path / "my_project" / "__init__.py").touch()
    for name, text in files:
        (tmp_path / name).write_text(text.replace(PLACE, str(ROOT)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for one, name in REGISTERED:
        one.module_dict.pop(name, None)
    for name in [name for name in sys.modules if name.split(".")[0] == "my_project"]:
        del sys.modules[name]


def commands() -> list[list[str]]:
    lines = re.findall(r"<!-- command -->\n```bash\n(.*?)\n```", PAGE, re.DOTALL)
    return [shlex.split(line.replace(PLACE, str(ROOT))) for line in lines]


def test_the_command_of_the_page_trains_the_head(project: Path) -> None:
    words = commands()[0]
    assert words[:3] == ["PYTHONPATH=.", "python", str(ROOT / "tools" / "train.py")]
    more = ["model.head.margin=0.4", "model.backbone.model_args.depth=1"]
    assert train_cli(*words[3:], *more) == 0
    (run,) = (project / "work_dirs" / "my_config").iterdir()
    summary = json.loads((run / "summary.json").read_text())
    assert summary["epochs"] == 1
    assert np.isfinite(summary["mi_bound"])
    recorded = curves(run / "epoch_1.pth")
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


def block_of(module: str) -> str:
    """What the page says of how a config names the module's component."""
    rest = PAGE.split(f"<!-- file: my_project/{module}.py -->")[1]
    return re.findall(r"\n```python\n(.*?)```", rest, re.DOTALL)[1]


def few_digits(file: Path) -> None:
    """An archive as the page's data set reads it."""
    digits = Digits("train", 32)
    images = np.stack([digits.read(index) for index in range(512)])
    np.savez(file, images=images, labels=digits.labels[:512])  # type: ignore[index]


@pytest.mark.parametrize("module", KINDS)
def test_every_other_kind_trains(project: Path, module: str) -> None:
    few_digits(project / "train.npz")
    text = f"custom_imports = dict(imports=['my_project.{module}'])\n{block_of(module)}"
    config = write_config(project, "byol_vit.py", text)
    if module == "backbones":  # the small config's ViT is narrower
        config.write_text(
            config.read_text().replace("model = dict(backbone", "model.update(backbone")
        )
    assert train_cli(config, "--work-dir", project / "run") == 0
    summary = json.loads((project / "run" / "summary.json").read_text())
    assert np.isfinite(summary["loss"])
    recorded = curves(project / "run" / "epoch_2.pth")
    if module == "datasets":
        assert summary["images"] == 512
    if module == "evaluators":
        assert 0.1 < summary["nearest_mean"] <= 1
        assert "knn_top1" in summary
    if module == "hooks":
        assert (recorded["weight_norm"][1] > 0).all()
    if module == "backbones":
        backbone = mvssl.load_backbone(project / "run" / "backbone.safetensors")
        assert type(backbone).__name__ == "ConvNet"


def test_the_pages_operation_draws_alike_in_both_engines(project: Path) -> None:
    from my_project import views  # type: ignore[import-not-found]

    view = View.flat(16, crop_scale=(1.0, 1.0), crop_ratio=(1.0, 1.0), flip=0.0, channel_drop=1.0)
    images = torch.randint(1, 256, (40, 3, 16, 16), dtype=torch.uint8)
    index = torch.arange(40)
    (made,) = DeviceViews([view], 0)(images, index, index * 0)
    dropped = (made == 0).all(dim=(2, 3))
    assert (dropped.sum(dim=1) == 1).all()
    assert (dropped.sum(dim=0) > 5).all()
    for row in range(40):
        (host,) = HostViews([view], 0)(images[row].permute(1, 2, 0).numpy(), row, 0)
        torch.testing.assert_close(host / 255, made[row], atol=1e-6, rtol=0)
    assert len(views.sensors(32)) == 2
