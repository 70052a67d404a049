"""A backbone of the user's own after training: which module is imported for it, and which never."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from mvssl.checkpoint import load_checkpoint, open_safetensors, save_checkpoint
from tests.commands import Command
from tests.forking import python
from tests.mini import write_config, write_digits

OWN = """
from mvssl.models.backbones import Backbone
from mvssl.registry import BACKBONES
from torch import nn


@BACKBONES.register_module()
class PooledPixels(Backbone):
    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.in_channels, self.num_features = 3, width
        self.layer = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, width))

    def forward(self, images):
        return self.layer(images)
"""
CONFIG = """
custom_imports = dict(imports=['my_project.pooled'])
model['backbone'] = dict(_delete_=True, type='PooledPixels', width=12)
evaluation = None
train_cfg = dict(max_epochs=1)
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a module, a run of its backbone, and digits as a folder of classes."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "code/my_project").mkdir(parents=True)
    (folder / "code/my_project/pooled.py").write_text(OWN)
    write_digits(folder / "digits", train=12, test=6)
    config = write_config(folder, more=CONFIG)
    run = command(folder, "train", config, "--work-dir", folder / "run")
    assert run.returncode == 0, run.stderr
    return folder


def command(
    project: Path, name: str, *words: object, path: str = "code"
) -> subprocess.CompletedProcess[str]:
    run = Command([python(), f"tools/{name}.py", *words], path=[project / path])
    status = run.end()
    out = "\n".join(line for line in run.out if line != "<end>")
    return subprocess.CompletedProcess([], status, out, "\n".join(run.told()))


def words_of(name: str, project: Path, source: Path, out: Path) -> list[object]:
    data = ["--data", project / "digits", "--workers", "0"]
    return {
        "evaluate": [source, *data, "--evaluators", "knn", "--options", "knn.k=3", "--out", out],
        "extract": [source, *data, "--out", out.with_suffix(".npz")],
        "finetune": [source, *data, "--out", out, "--epochs", "1"],
        "export": [source, "--format", "torch_export", "--out", out],
        "report": [source, *data, "--out", out.with_suffix(".html")],
    }[name]


@pytest.mark.parametrize("name", ["evaluate", "extract", "finetune", "export", "report"])
def test_every_tool_opens_a_run_whose_config_names_the_module(
    project: Path, tmp_path: Path, name: str
) -> None:
    done = command(project, name, *words_of(name, project, project / "run", tmp_path / "out"))
    assert (done.returncode, done.stderr) == (0, "")
    assert list(tmp_path.iterdir())


@pytest.mark.parametrize("file", ["backbone.safetensors", "epoch_1.pth"])
def test_a_file_of_a_run_too_and_elsewhere_with_an_option(
    project: Path, tmp_path: Path, file: str
) -> None:
    extract = words_of("extract", project, project / "run" / file, tmp_path / "a")
    assert command(project, "extract", *extract).returncode == 0
    shutil.copy(project / "run" / file, tmp_path / file)
    alone = words_of("extract", project, tmp_path / file, tmp_path / "b")
    refused = command(project, "extract", *alone)
    assert refused.returncode == 2
    assert "--custom-imports MODULE" in refused.stderr
    given = command(project, "extract", *alone, "--custom-imports", "my_project.pooled")
    assert (given.returncode, given.stderr) == (0, "")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize("name", ["evaluate", "report"])
def test_a_module_that_is_missing_is_one_sentence(project: Path, tmp_path: Path, name: str) -> None:
    words = words_of(name, project, project / "run", tmp_path / "out")
    for more in ([], ["--custom-imports", "no_such_module"]):
        done = command(project, name, *words, *more, path="nowhere")
        missing = "no_such_module" if more else "my_project"
        assert done.returncode == 2
        assert f"No module named '{missing}'" in done.stderr
        assert "PYTHONPATH" in done.stderr
        assert done.stderr.count("\n") == 0
    assert list(tmp_path.iterdir()) == []


def test_a_module_that_fails_is_one_sentence(project: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("raise SystemExit('two\\nlines')")
    words = words_of("extract", project, project / "run", tmp_path / "out")
    done = command(tmp_path, "extract", *words, "--custom-imports", "broken", path=".")
    assert done.returncode == 2
    assert done.stderr.startswith("error: --custom-imports: module broken cannot be imported")
    assert done.stderr.count("\n") == 0


TRAP = "from pathlib import Path\nPath(__file__).with_name('sprung').touch()\n"


def test_what_weights_and_checkpoints_name_is_never_imported(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "trap.py").write_text(TRAP)
    weights, described = open_safetensors(project / "run/backbone.safetensors")
    named: dict[str, Any] = {"type": "trap.Net", "custom_imports": {"imports": ["trap"]}}
    more = {**described, "build": json.dumps(named), "custom_imports": "['trap']"}
    safetensors.torch.save_file(weights, tmp_path / "b.safetensors", more)
    content = load_checkpoint(project / "run/epoch_1.pth")
    content["meta"]["backbone"] = dict(more)
    content["meta"]["config"] = "custom_imports = dict(imports=['trap'])\n"
    content["meta"]["values"]["custom_imports"] = {"imports": ["trap"]}
    save_checkpoint(content, tmp_path / "c.pth")
    for file in ("b.safetensors", "c.pth"):
        words = words_of("extract", project, tmp_path / file, tmp_path / "out")
        assert command(tmp_path, "extract", *words, path=".").returncode == 2
    assert not (tmp_path / "sprung").exists()
    # The trap is one.
    subprocess.run([sys.executable, "-c", "import trap"], cwd=tmp_path, check=True)
    assert (tmp_path / "sprung").exists()


@pytest.mark.parametrize("name", ["passed_on.trap", "trap_file", "passed_on"])
def test_nothing_in_the_folder_of_a_run_is_imported(
    project: Path, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "passed_on"
    folder.mkdir()
    shutil.copy(project / "run/backbone.safetensors", folder)
    for file in ("trap.py", "__init__.py"):
        (folder / file).write_text(TRAP)
    (tmp_path / "trap_file.py").symlink_to(folder / "trap.py")
    (folder / "config.py").write_text(f"custom_imports = dict(imports=[{name!r}])\n")
    words = words_of("extract", project, folder, tmp_path / "out")
    done = command(tmp_path, "extract", *words, path=".")
    assert done.returncode == 2
    assert "lies in the folder of the run itself" in done.stderr
    assert not (folder / "sprung").exists()


def test_a_config_beside_is_read_and_not_run(project: Path, tmp_path: Path) -> None:
    shutil.copy(project / "run/backbone.safetensors", tmp_path)
    (tmp_path / "config.py").write_text(
        f"{TRAP}custom_imports = {{'imports': 'my_project.pooled'}}"
    )
    words = words_of("extract", project, tmp_path, tmp_path / "out")
    assert command(project, "extract", *words).returncode == 0
    assert not (tmp_path / "sprung").exists()


def test_a_backbone_that_is_known_imports_nothing(project: Path, tmp_path: Path) -> None:
    import mvssl
    from mvssl.models.backbones import TimmBackbone, save_backbone

    vit = {"img_size": 16, "patch_size": 8, "embed_dim": 8, "depth": 1, "num_heads": 2}
    build = {"type": "TimmBackbone", "name": "vit_tiny_patch16_224", "model_args": vit}
    made = TimmBackbone("vit_tiny_patch16_224", vit)
    save_backbone(made, tmp_path / "backbone.safetensors", build, None)
    (tmp_path / "config.py").write_text("custom_imports = dict(imports=['no_such_module_of_mine'])")
    opened = mvssl.load_backbone(tmp_path)
    assert torch.equal(next(opened.parameters()), next(made.parameters()))
