"""Names that would forge lines, and links in the place of files that a run writes."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mvssl.engine.log import PrintableRecords, own_files
from mvssl.errors import UserError
from mvssl.files import write_bytes_atomically
from mvssl.words import printable
from tests.mini import train_cli, write_config

PHOTOS = """
model = dict(backbone=dict(model_args=dict(img_size=16, patch_size=8)),
             data_preprocessor=dict(size=16))
train_dataloader = dict(batch_size=8, num_workers=0)
train_cfg = dict(max_epochs=1)
default_hooks = dict(data_faults=dict(minimum=9))
"""
EVIL = (
    "1\n2026 00:00:00 - mmengine - INFO - all is well.png",
    "2\x1b[2J\x1b]0;owned\x07.png",
    "3\r \u202egnp.png",
    os.fsdecode(b"caf\xe9.png"),
)


@pytest.mark.parametrize("text", EVIL)
def test_what_is_shown_is_one_line_that_any_terminal_can_show(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    shown.encode()
    assert printable("Grüße, 写真 1.png") == "Grüße, 写真 1.png"
    told = str(UserError(f"No file {text}: give one."))
    assert told == f"No file {shown}: give one."


def test_a_record_begins_where_it_should() -> None:
    record = logging.LogRecord("a", 20, "b", 1, "%s\nsecond", (EVIL[0],), None)
    assert PrintableRecords().filter(record)
    lines = record.getMessage().split("\n")
    assert lines[0].startswith("1")
    assert all(line.startswith("    ") for line in lines[1:])


@pytest.mark.parametrize("kind", ["link", "pipe", "broken link"])
def test_what_is_no_file_gives_way_to_one(kind: str, tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    if kind == "pipe":
        os.mkfifo(tmp_path / "train.log")
    else:
        (tmp_path / "train.log").symlink_to(tmp_path / ("victim" if kind == "link" else "gone"))
    own_files(tmp_path, ["train.log", "other"])
    assert [p.name for p in tmp_path.iterdir()] == ["victim"]
    assert (tmp_path / "victim").read_text() == "precious"


def test_a_folder_in_the_place_of_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "train.log").mkdir()
    with pytest.raises(UserError, match=r"train\.log is a folder"):
        own_files(tmp_path, ["train.log"])


def test_a_link_in_the_place_of_a_folder_gives_way(tmp_path: Path) -> None:
    (tmp_path / "victim").mkdir()
    (tmp_path / "vis_data").symlink_to(tmp_path / "victim")
    (tmp_path / "curves").mkdir()
    own_files(tmp_path, [], ["vis_data", "curves"])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["curves", "victim"]
    (tmp_path / "vis_data").write_text("")
    with pytest.raises(UserError, match=r"vis_data is a file, where the run writes a folder"):
        own_files(tmp_path, [], ["vis_data"])


def test_a_run_on_files_of_evil_names_writes_its_own_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, victim, run = tmp_path / "data\nnote: all is well", tmp_path / "victim", tmp_path / "run"
    data.mkdir()
    run.mkdir()
    victim.write_text("precious\n")
    (run / "train.log").symlink_to(victim)
    (run / "last_checkpoint").symlink_to(tmp_path / "elsewhere")
    for number in range(24):
        pixels = np.random.default_rng(number).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(data / f"{number:03d}.png")
    for name in EVIL:
        (data / name).write_bytes(b"no image")
    os.mkfifo(data / "pipe\n.jpg")
    config = write_config(tmp_path, "photos/byol_er_vit_96.py", PHOTOS)
    assert train_cli(config, "--data", data, "--work-dir", run) == 0
    out = capsys.readouterr()
    log = (run / "train.log").read_text(encoding="utf-8")
    for text in (out.out, out.err, log):
        assert not any(line.startswith(("2026 00", "note: all")) for line in text.splitlines())
        assert "\x1b]0" not in text
    assert "caf\\udce9.png cannot be read as an image" in log
    assert "pipe\\n.jpg is a named pipe" in out.out
    assert victim.read_text() == "precious\n"
    assert not (tmp_path / "elsewhere").exists()


def test_an_output_is_not_written_through_a_link(tmp_path: Path) -> None:
    victim, output = tmp_path / "victim", tmp_path / "summary.json"
    victim.write_text("precious")
    output.symlink_to(victim)
    (tmp_path / f".summary.json.{os.getpid()}.tmp").symlink_to(victim)
    write_bytes_atomically(output, b"new")
    assert victim.read_text() == "precious"
    assert output.read_text() == "new"
    assert not output.is_symlink()
