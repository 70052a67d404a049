"""Where a process stands among those of a launcher, and who is missing."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from mvssl.distributed.arrival import TIMEOUT, Place, meet, read_place
from mvssl.errors import UserError
from tests.gloo_pool import GlooPool

RIGHT = {
    "RANK": "0",
    "WORLD_SIZE": "2",
    "LOCAL_RANK": "0",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "29500",
}


def port() -> int:
    with socket.socket() as one:
        one.bind(("", 0))
        number: int = one.getsockname()[1]
        return number


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("WORLD_SIZE", "two", "WORLD_SIZE is 'two'; it has to be a whole number of at least 1"),
        ("WORLD_SIZE", "0", "WORLD_SIZE is '0'"),
        ("WORLD_SIZE", "-2", "WORLD_SIZE is '-2'"),
        ("RANK", "2", "RANK is '2'; it has to be a whole number from 0 to 1"),
        ("RANK", "", "RANK not set"),
        ("LOCAL_RANK", "", "LOCAL_RANK not set"),
        ("LOCAL_RANK", "-1", "LOCAL_RANK is '-1'"),
        ("MASTER_ADDR", "", "MASTER_ADDR not set"),
        ("MASTER_PORT", "", "MASTER_PORT not set"),
        ("MASTER_PORT", "99999", "MASTER_PORT is '99999'"),
        ("MASTER_ADDR", "no such host.invalid", "MASTER_ADDR is 'no such host.invalid'"),
    ],
)
def test_wrong_variables_are_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str
) -> None:
    for key, text in {**RIGHT, name: value}.items():
        monkeypatch.setenv(key, text)
    with pytest.raises(UserError) as caught:
        read_place("pytorch")
    assert told in str(caught.value)


def test_slurms_variables_are_named_by_their_own_names(monkeypatch: pytest.MonkeyPatch) -> None:
    for key, text in {"PROCID": "3", "NTASKS": "2", "LOCALID": "0", "JOB_ID": "7"}.items():
        monkeypatch.setenv(f"SLURM_{key}", text)
    with pytest.raises(UserError, match=r"SLURM_PROCID is '3'.* SLURM_NTASKS is 2"):
        read_place("slurm")


def test_right_variables_are_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    for key, text in RIGHT.items():
        monkeypatch.setenv(key, text)
    assert read_place("pytorch") == Place(0, 2, 0, "127.0.0.1", 29500)


@pytest.mark.parametrize("seconds", ["soon", "0", "-1", "nan"])
def test_a_wrong_timeout_is_named(monkeypatch: pytest.MonkeyPatch, seconds: str) -> None:
    monkeypatch.setenv(TIMEOUT, seconds)
    with pytest.raises(UserError, match=f"{TIMEOUT} is '{seconds}'"):
        meet(Place(0, 2, 0, "127.0.0.1", port()))


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("", 0)) as other:
        number = other.getsockname()[1]
        with pytest.raises(UserError, match=rf"port {number} \(Address already in use\)"):
            meet(Place(0, 2, 0, "127.0.0.1", number))


def test_without_rank_0_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TIMEOUT, "0.5")
    with pytest.raises(UserError, match=r"Rank 1 of 2 has found no rank 0 .*Connection refused"):
        meet(Place(1, 2, 1, "127.0.0.1", port()))


def _meet(folder: str, ranks: list[int], world: int) -> str:
    """What is told to the process that takes the next one of ``ranks``."""
    os.environ[TIMEOUT] = "8"
    try:
        turn = next(r for r, _ in enumerate(ranks) if _claim(Path(folder) / f"taken_{r}"))
        number = int((Path(folder) / "port").read_text())
        meet(Place(ranks[turn], world, turn, "127.0.0.1", number))
    except UserError as error:
        return str(error)
    finally:
        del os.environ[TIMEOUT]
    return "met"


def _claim(file: Path) -> bool:
    try:
        file.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def test_all_are_told_who_is_missing(run_distributed: GlooPool, tmp_path: Path) -> None:
    (tmp_path / "port").write_text(str(port()))
    told = run_distributed(_meet, 2, str(tmp_path), [0, 2], 4)
    assert told[0] == told[1]
    assert told[0].startswith("ranks 1, 3 of 4 (here: 0, 2) have not come in 8 s")


def test_all_are_told_of_a_rank_that_comes_twice(run_distributed: GlooPool, tmp_path: Path) -> None:
    (tmp_path / "port").write_text(str(port()))
    told = run_distributed(_meet, 3, str(tmp_path), [0, 1, 1], 3)
    assert all(text.startswith("Rank 1 was started twice") for text in told), told
