"""Where results may go, and that it is told before anything heavy is imported."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mvssl.errors import UserError
from mvssl.process.places import FEATURES, check_source, given_path, new_file, new_folder
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


def test_a_home_is_the_shells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a shell does not see it, as in --out=~/x; a user who is not there has none."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert given_path("~/a") == new_file("~/a") == new_folder("~/a") == tmp_path / "a"
    assert given_path("a~/~") == Path("a~/~")
    assert given_path("~nobody-here/a") == Path("~nobody-here/a")
    with pytest.raises(UserError, match=r"^There is no ~nobody-here/a"):
        check_source("~nobody-here/a")
    (tmp_path / "a").touch()
    check_source("~/a")


def test_no_file_expands_a_home_in_its_own_way() -> None:
    """Path.expanduser raises a RuntimeError for a user who is not there."""
    for file in sorted((ROOT / "mvssl").rglob("*.py")):
        assert ".expanduser()" not in file.read_text(encoding="utf-8"), file


def test_a_place_that_may_not_be_written_to_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever runs this: all is allowed to an administrator."""
    monkeypatch.setattr("os.access", lambda place, _: Path(place) != tmp_path)
    for check in (new_file, new_folder):
        with pytest.raises(UserError, match=f"{tmp_path} may not be written to"):
            check(tmp_path / "new/x")
    with pytest.raises(UserError, match=f"{tmp_path} may not be written to"):
        new_folder(tmp_path)


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


def test_a_path_that_cannot_be_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for give in (given_path, check_source, new_file, new_folder):
        with pytest.raises(UserError, match=r"A path is empty: give one, or '\.' for"):
            give("")
        with pytest.raises(UserError, match=r"x cannot be reached \(File name too long\): give"):
            give("x" * 300)
        with pytest.raises(UserError, match=r"can be no path \(embedded null byte\): give another"):
            give("a\0b")

    def refuse(path: str) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr(os, "stat", refuse)  # to root every folder is open
    for give in (given_path, check_source, new_file, new_folder):
        with pytest.raises(UserError, match=r"secret/a cannot be reached \(Permission denied\)"):
            give("secret/a")
