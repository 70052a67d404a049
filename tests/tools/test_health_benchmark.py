from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.mini import ROOT, load_tool


def test_the_page_shows_what_is_said_of_each_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(ROOT / "tools" / "benchmarks")
    health = load_tool("benchmarks/health")
    figures = {
        "rankme": 41.3,
        "rankme_cap": 64.0,
        "embedding_std": 0.04,
        "embedding_std_cap": 0.08,
        "weights_moved": 0.02,
    }
    monkeypatch.setattr(
        health.store,
        "run",
        lambda options, threads: {
            "knn_top1_init": 0.44,
            "knn_top1": 0.9,
            "health": {"sentence": "rank 41 of 64: healthy", "told": None, "figures": figures},
        },
    )
    page = tmp_path / "page.md"
    page.write_text("Before.\n<!-- table: digits -->\n<!-- end -->\nAfter.\n")
    words = ["--json", str(tmp_path / "rows.json"), "--methods", "byol", "--objectives", "native"]
    monkeypatch.setattr("sys.argv", ["health.py", *words, "--docs", str(page)])
    health.main()
    line = "| byol | native | 0.440 | 0.900 | 41.3 of 64 | 50% | – | 2.0% | nothing | rank 41 of 64"
    assert line in page.read_text()
    assert page.read_text().endswith("<!-- end -->\nAfter.\n")
    assert len(json.loads((tmp_path / "rows.json").read_text())) == 1
