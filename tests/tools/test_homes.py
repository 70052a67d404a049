"""Every path of every command may begin with ~, where a shell leaves it there (``--out=~/x``)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mvssl.apis.extract import Extracted
from mvssl.apis.options import TrainOptions
from tests.mini import load_tool, write_backbone, write_digits


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with data, train/ and test/, and the weights b.safetensors; one is elsewhere."""
    folder = tmp_path / "home"
    write_digits(folder / "data", train=6, test=3)
    write_backbone(folder / "b.safetensors", 0)
    monkeypatch.setenv("HOME", str(folder))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return folder


@pytest.mark.parametrize(
    ("tool", "words", "made"),
    [
        ("evaluate", ["~/b.safetensors", "--data=~/data", "--out=~/x"], "x/metrics.json"),
        (
            "evaluate",
            ["~/b.safetensors", "--data=~/data/train", "--test=~/data/test", "--out=~/x"],
            "x/metrics.json",
        ),
        ("extract", ["~/b.safetensors", "--data=~/data", "--out=~/x.npy"], "x.npy"),
        (
            "finetune",
            ["~/b.safetensors", "--data=~/data", "--out=~/x", "--epochs=1", "--workers=0"],
            "x/finetune.json",
        ),
        ("check_data", ["~/data/train", "--labels", "--good=~/x.txt"], "x.txt"),
        ("check_data", ["~/data/train", "--labels", "--picture=~/x/y.png"], "x/y.png"),
    ],
)
def test_a_home_is_expanded(home: Path, tool: str, words: list[str], made: str) -> None:
    assert load_tool(tool).main(words) == 0
    assert (home / made).is_file()
    assert not list(Path.cwd().iterdir())


def test_what_is_extracted_goes_to_a_home(home: Path) -> None:
    Extracted(np.zeros((1, 2), np.float32), ["a"], None, None, {}).save("~/o.npz")
    assert (home / "o.npz").is_file()


def test_training_is_told_of_homes(home: Path) -> None:
    """All of its paths, whichever they are used for."""
    names = ("config", "work_dir", "data", "init_from", "resume")
    options = TrainOptions(**{name: f"~/{name}" for name in names})  # type: ignore[arg-type]
    assert [getattr(options, name) for name in names] == [str(home / name) for name in names]
    assert TrainOptions("c", resume=True).resume is True


def test_finetuning_says_at_which_size(home: Path) -> None:
    words = ["~/b.safetensors", "--data=~/data", "--out=~/x", "--epochs=1", "--workers=0"]
    assert load_tool("finetune").main(words) == 0
    assert json.loads((home / "x/finetune.json").read_text())["image_size"] == 16


def test_a_wrong_name_is_told_before_images_are_read(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["--good=a.csv"], ["--picture=a.pdf"], ["--good=~/b.safetensors/a.txt"]):
        assert load_tool("check_data").main(["~/data/train", *words]) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.count("\n") == 1
