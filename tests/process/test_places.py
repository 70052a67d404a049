"""Where results may go, and that it is told before anything heavy is imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mvssl.errors import UserError
from mvssl.process.places import FEATURES, new_file, new_folder
from tests.mini import ROOT


@pytest.mark.parametrize(
    ("name", "held"), [("f.npz", "f.npz"), ("f.npy", "f.json"), ("f.npy", "f.npy")]
)
def test_a_result_is_overwritten_only_when_it_is_said(tmp_path: Path, name: str, held: str) -> None:
    assert new_file(tmp_path / "a" / name, FEATURES) == tmp_path / "a" / name  # made by its writer
    assert not (tmp_path / "a").exists()
    (tmp_path / held).write_text("")
    with pytest.raises(UserError, match=f"{held} is there already: give another name, or --over"):
        new_file(tmp_path / name, FEATURES)
    assert new_file(tmp_path / name, FEATURES, overwrite=True) == tmp_path / name
    with pytest.raises(UserError, match=f"holds {held} already"):
        new_folder(tmp_path, [held, "other"])
    assert new_folder(tmp_path, ["other"]) == new_folder(tmp_path, [held], True) == tmp_path


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["extract", "run", "--data", "d", "--out", "f.csv"], "ends in .npz, .npy, .parquet"),
        (["extract", "nothere", "--data", "d", "--out", "f.npz"], "There is no nothere"),
        (["evaluate", "run", "nothere", "--data", "d"], "There is no nothere"),
        (["evaluate", "run", "--data", "d", "--out", "file"], "is a file"),
        (["export", "run", "--format", "onnx", "--out", "file"], "is a file"),
        (["finetune", "run", "--data", "d", "--out", "file/below"], "is a file, no folder"),
        (["report", "run", "--out", "p.pdf"], "ends in .html"),
        (["compare", "run", "--json", "file"], "is there already"),
    ],
)
def test_what_can_be_told_at_once_is_told_without_torch(
    tmp_path: Path, words: list[str], told: str
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "file").write_text("")
    program = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); sys.modules['torch'] = None\n"
        f"from mvssl.cli import run; sys.exit(run({words!r}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr
    assert done.stderr.count("\n") == 1
