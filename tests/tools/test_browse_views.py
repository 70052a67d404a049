"""``tools/browse_views.py``: a picture where all is right, else one sentence and status 2."""

from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib.image import imread

from tests.mini import load_tool, tree, write_config


def browse(*argv: object) -> int:
    status: int = load_tool("browse_views").main([str(word) for word in argv])
    return status


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return write_config(tmp_path / "configs")


def test_the_picture_lies_here_under_the_configs_name(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ("--cfg-options", "model.data_preprocessor.view_options.flip=0.5")
    assert browse(config, "--num", 3, "--epoch", 2, "--seed", 7, "--image-size", 24, *more) == 0
    told = capsys.readouterr()
    assert told.err == ""
    assert told.out.splitlines() == [
        "digits (train): 1,437 images 24x24, 10 classes",
        "views 'gentle' with flip=0.5, drawn on the device",
        "epoch 2, seed 7",
        "written mini_byol_er_vit_views.png",
    ]
    assert imread("mini_byol_er_vit_views.png").shape[:2] > (600, 500)
    before = tree(Path())
    assert browse(config) == 2
    assert "mini_byol_er_vit_views.png is there already: give another name, or --overwrite" in (
        capsys.readouterr().err
    )
    assert tree(Path()) == before
    assert browse(config, "--overwrite", "--num", 1) == 0
    assert tree(Path()) != before


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["--num", 0], "num"),
        (["--num", 1000], "num"),
        (["--epoch", 0], "epoch"),
        (["--seed", -1], "--seed is a number from 0"),
        (["--out", "views.jpg"], "--out views.jpg: give a name that ends in .png."),
        (["--out", "nowhere/views.png"], "nowhere"),
        (["--data", "nowhere"], "nowhere"),
        (["--labels"], "give --data too"),
        (["--cfg-options", "model.data_preprocessor.views='bylo'"], "did you mean 'byol'?"),
        (["--cfg-options", "model.data_preprocessor.engine=gpu"], "'device' or 'host'"),
        (["--cfg-options", "model.data_preprocesor.size=3"], "did you mean"),
        (["--cfg-options", "train_dataloader.dataset.type=Digit"], "did you mean 'Digits'?"),
    ],
)
def test_bad_input_gets_a_sentence(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], argv: list[object], told: str
) -> None:
    before = tree(tmp_path)
    assert browse(config, *argv) == 2
    said = capsys.readouterr()
    assert said.err.startswith("error: ")
    assert told in said.err
    assert "Traceback" not in said.err
    assert said.out == ""
    assert tree(tmp_path) == before


def test_a_missing_config_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert browse(tmp_path / "config.py") == 2
    assert "There is no config" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [["--num", "many"], ["--work-dir", "x"], []])
def test_a_mistyped_command_line_is_told(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        browse(*([] if not argv else ["config.py"]), *argv)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("error: ")
