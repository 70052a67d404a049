"""docs/evaluation.md: its commands run, on a small run and a small folder."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

import mvssl
from mvssl import cli
from tests.mini import ROOT, train_cli, write_config

PAGE = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
COMMANDS = [
    line
    for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("mvssl ")
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluation")
    assert train_cli(write_config(folder), "--work-dir", folder / "RUN") == 0
    for name, image in zip(("china", "flower"), load_sample_images().images, strict=True):
        (folder / "flowers" / name).mkdir(parents=True)
        for number in range(20):
            square = image[15 * number : 15 * number + 64, 20 * number : 20 * number + 64]
            Image.fromarray(square).save(folder / "flowers" / name / f"{number}.png")
    return folder


@pytest.mark.parametrize("command", COMMANDS)
def test_its_commands_run(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    monkeypatch.chdir(place)
    words = shlex.split(command.replace("~/", "./"))[1:]
    # Published weights need a network.
    words = [word for word in words if not word.startswith("timm:")]
    if words[0] != "compare":
        words += ["--workers", "0"]
    assert cli.run(words) == 0
    assert "written" in capsys.readouterr().out


def test_its_two_lines_of_python_run(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, object] = {"mvssl": mvssl}
    exec(block.replace("~/", "./"), names)
    assert len(names["found"].x) == 40  # type: ignore[attr-defined]


def test_there_are_commands() -> None:
    assert {shlex.split(command)[1] for command in COMMANDS} >= {
        "extract",
        "evaluate",
        "report",
        "compare",
    }
