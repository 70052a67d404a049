"""docs/data.md: every example is built on data of its kind, and every source is there."""

from __future__ import annotations

import importlib.util
import re
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mvssl.datasets import splits
from mvssl.datasets.listing import ENDINGS
from mvssl.registry import DATASETS
from tests.docs.blocks import marked
from tests.mini import ROOT

PAGE = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
EXAMPLES = [(block.remark, block.text) for block in marked("data")]


def _image(path: Path, seed: int, deep: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 4096, (20, 20), dtype=np.uint16)
    plain = rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)
    Image.fromarray(pixels if deep else plain).save(path)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The places that the page names."""
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "data"
    for n in range(10):
        _image(root / "flowers" / ("rose", "tulip")[n % 2] / f"{n}.png", n)
        _image(root / "microscope" / f"{n}.png", n, deep=True)
    (root / "list.csv").write_text("path,kind\nrose/0.png,rose\ntulip/1.png,tulip\n")
    (root / "shards").mkdir()
    with tarfile.open(root / "shards" / "train-000.tar", "w") as archive:
        archive.add(root / "flowers" / "rose" / "0.png", "0.png")
        (tmp_path / "0.cls").write_text("1")
        archive.add(tmp_path / "0.cls", "0.cls")
    np.save(root / "images.npy", np.zeros((4, 16, 16, 3), np.uint8))
    np.save(root / "labels.npy", np.arange(4) % 2)
    np.save(root / "bands.npy", np.random.default_rng(0).random((4, 16, 16, 6)))
    if importlib.util.find_spec("datasets") is not None:
        package: Any = importlib.import_module("datasets")
        encoded = (root / "flowers" / "rose" / "0.png").read_bytes()
        rows = {"image": [{"bytes": encoded, "path": None}], "label": [0]}
        features = package.Features({"image": package.Image(), "label": package.Value("int64")})
        package.Dataset.from_dict(rows, features=features).save_to_disk(str(root / "saved"))
    return root


@pytest.mark.parametrize(("needed", "text"), EXAMPLES)
def test_every_example_gives_samples(needed: str, text: str, data: Path) -> None:
    if needed.startswith("/"):
        if not Path(needed).is_dir():
            pytest.skip(f"needs {needed}")
    elif needed:
        pytest.importorskip(needed)
    built = DATASETS.build(eval(text))  # of our own page
    sample = built[0]
    assert sample["image"].shape[0] == built.channels
    assert sample["replaced"] == -1
    assert ("label" in text) == (built.labels is not None) or "FashionMNIST" in text


def test_every_source_stands_in_the_table() -> None:
    DATASETS.import_from_location()
    own = {
        name for name, one in DATASETS.module_dict.items() if one.__module__.startswith("mvssl.")
    }
    table = PAGE.split("## ImageFolder")[0]
    assert own == set(re.findall(r"^\| \[?`(\w+)`", table, re.MULTILINE))
    assert len(EXAMPLES) >= 8


def test_endings_and_names_of_splits_are_those_that_are_known() -> None:
    for ending in ENDINGS:
        assert re.search(rf"\b{ending.removeprefix('.')}\b", PAGE.split("## ImageList")[0])
    named = re.findall(r"`(\w+)`", PAGE.split("| part | names |")[1].split("| layout |")[0])
    assert set(named) == set(splits.PARTS)
