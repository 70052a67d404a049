"""docs/config.md: every block is a config without faults, and no top-level name is left out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mvssl.apis import TrainOptions
from mvssl.config.checks import check_config
from mvssl.config.read import load_config
from mvssl.config.slots import TOP_LEVEL
from mvssl.registry import VIEW_OPS
from mvssl.views.flat import flat_names
from tests.mini import ROOT, prepared

PAGE = (ROOT / "docs" / "config.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"<!-- continues: (\S+) -->\n```python\n(.*?)```", PAGE, re.DOTALL)
# Blocks that take no training data of the machine's, and no compiler.
BUILT = [block for block in BLOCKS if "ImageFolder" not in block[1]]


def written(folder: Path, base: str, text: str) -> Path:
    """A block as a file: by itself, or after the config that it continues."""
    file = folder / "block.py"
    if base == "nothing":
        file.write_text(text.replace("./_base_/", f"{ROOT}/configs/_base_/"))
    else:
        file.write_text(f"_base_ = ['{ROOT}/configs/{base}']\n{text}")
    return file


def test_every_block_of_python_is_one_of_them() -> None:
    assert PAGE.count("```python") == len(BLOCKS) > 12


@pytest.mark.parametrize(("base", "text"), BLOCKS)
def test_every_block_has_no_faults(tmp_path: Path, base: str, text: str) -> None:
    cfg = load_config(written(tmp_path, base, text)).to_dict()
    assert check_config(cfg) == []
    if base != "nothing":  # it says something
        assert cfg != load_config(ROOT / "configs" / base).to_dict()


@pytest.mark.parametrize(("base", "text"), BUILT)
def test_every_block_can_be_built(tmp_path: Path, base: str, text: str) -> None:
    job = prepared(TrainOptions(str(written(tmp_path, base, text))))
    assert len(job.dataset) == 1437


@pytest.mark.parametrize("name", TOP_LEVEL)
def test_every_top_level_name_is_told(name: str) -> None:
    assert re.search(rf"\b{name}\b", PAGE)


@pytest.mark.parametrize("name", sorted(flat_names()))
def test_every_short_name_of_a_view_is_told(name: str) -> None:
    assert f"`{name}`" in PAGE
    assert f"`{flat_names()[name].__name__}`" in PAGE


def test_operations_of_other_libraries_are_told() -> None:
    assert {"TorchvisionOp", "MMCVOp"} <= set(VIEW_OPS.module_dict)
    assert "TorchvisionOp" in PAGE
    assert "MMCVOp" in PAGE
