"""What a process leaves for its launcher, and what it says itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from mvssl.errors import Interrupted, LostProcessError, UserError
from mvssl.process import telling
from mvssl.process.command import COMMAND
from mvssl.process.telling import ERROR_FILE, Said, read_said, tell


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (UserError("It is wrong."), Said("It is wrong.")),
        (Interrupted(15, "stopped"), Said("stopped", interrupted=True)),
        (LostProcessError("Rank 1 is gone."), Said("Rank 1 is gone.", lost=True)),
    ],
)
def test_a_launcher_reads_what_a_process_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: BaseException, said: Said
) -> None:
    monkeypatch.setenv(ERROR_FILE, str(tmp_path / "0.json"))
    monkeypatch.setenv(COMMAND, "bash tools/dist_train.sh")
    tell(error, first=True)
    assert read_said(tmp_path / "0.json") == said


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"message": "text alone"}', "\xe9"])
def test_other_files_say_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "0.json").write_bytes(text.encode("latin-1"))
    assert read_said(tmp_path / "0.json") is None
    assert read_said(tmp_path / "none.json") is None


def test_what_the_first_process_has_said_no_other_repeats(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(telling, "ENDING_S", 0.0)
    monkeypatch.delenv(COMMAND, raising=False)
    for rank, text in ((0, "It is wrong."), (1, "It is wrong."), (1, "Something else.")):
        file = tmp_path / str(rank) / "error.json"
        file.parent.mkdir(exist_ok=True)
        monkeypatch.setenv(ERROR_FILE, str(file))
        tell(UserError(text), first=rank == 0)
    assert capsys.readouterr().err == "error: It is wrong.\nerror: Something else.\n"
