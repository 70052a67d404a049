"""The benchmark of the loader reads what a run reads, alone and by workers."""

from __future__ import annotations

from pathlib import Path

import pytest

from mvssl.errors import UserError
from tests.mini import ROOT, load_tool


def test_rates_and_memory_are_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tools" / "benchmarks"))
    tool = load_tool("benchmarks/loader")
    tool.write_images(tmp_path, 320, 100, 75)
    row = tool.compare_rates(tmp_path, 2, 1)
    assert row["images_per_second_alone"] > 0
    assert row["of_so_many_times"] == pytest.approx(
        row["images_per_second"] / (2 * row["images_per_second_alone"])
    )
    seen = tool.memory(tmp_path, 2, 640)
    assert "| images/s by 2 workers |" in tool.table(row | seen)
    assert seen["mib_in_the_end"] > 10


def test_a_list_of_many_files_is_measured_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tools" / "benchmarks"))
    tool = load_tool("benchmarks/loader")
    tool.write_folders(tmp_path, 2050)
    assert len(list(tmp_path.iterdir())) == 3
    row = tool._begin(tmp_path)
    assert row["files"] == 2050
    assert 0 < row["listing_s"] < 10
    assert row["listing_mib"] <= row["listing_peak_mib"]
    assert "| seconds to list a folder of 2,050 files |" in tool.table(row)
    assert "workers" not in tool.table(row)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--workers", "0"], "workers is"),
        (["--images", "64"], "--images is at least"),
        (["--samples", "0"], "--samples is at least"),
    ],
)
def test_bad_input_is_told_before_measuring(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: list[str], told: str
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tools" / "benchmarks"))
    tool = load_tool("benchmarks/loader")
    monkeypatch.setattr("sys.argv", ["loader.py", "--json", str(tmp_path / "r.json"), *words])
    with pytest.raises(UserError, match=told):
        tool.main()
