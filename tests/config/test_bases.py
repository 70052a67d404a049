"""What bases say, without running them, against mmengine, which runs them."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config

from mvssl.config.bases import base_values
from mvssl.config.changes import plain_values
from tests.mini import ROOT

CONFIGS = [*sorted((ROOT / "configs").glob("*.py")), *sorted((ROOT / "configs").glob("*/*50*.py"))]


def whole(config: Path, folder: Path) -> dict[str, object]:
    """What a config without anything of its own but its bases is, read by mmengine."""
    cfg = Config.fromfile(str(config))
    text = [line for line in config.read_text().splitlines() if "_base_ =" in line]
    assert text or cfg
    bases = [str(config.parent / base) for base in _bases(config)]
    file = folder / "bases.py"
    file.write_text(f"_base_ = {bases!r}\n")
    found = Config.fromfile(str(file)).to_dict()
    return {name: value for name, value in found.items() if not name.startswith("_")}


def _bases(config: Path) -> list[str]:
    names: dict[str, object] = {}
    text = config.read_text()
    start = text.index("_base_ =")
    exec(text[start : text.index("]", start) + 1], names)
    found = names["_base_"]
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: str(path.relative_to(ROOT)))
def test_bases_of_the_projects_configs(config: Path, tmp_path: Path) -> None:
    assert plain_values(base_values(config)) == plain_values(whole(config, tmp_path))


@pytest.mark.parametrize(
    "text",
    [
        "import os\n",
        "x = open('trap', 'w')\n",
        "x = [].append(1)\n",
        "x = [i for i in (1, 2)]\n",
        "x = 'a' * 10 ** 9\n",
        "x = 9 ** 9 ** 9\n",
        "x = unknown\n",
        "x = dict(1)\n",
        "x = (\n",
        "x = 1 / 0\n",
        "_base_ = ['base.py']\n",
        "_base_ = ['nowhere.py']\n",
        "x = " + "(" * 5000 + ")" * 5000,
    ],
)
def test_what_is_more_than_values_is_not_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "base.py").write_text(text)
    (tmp_path / "config.py").write_text("_base_ = ['base.py']\n")
    assert base_values(tmp_path / "config.py") is None
    assert not (tmp_path / "trap").exists()


def test_a_base_may_delete_and_a_config_may_be_any(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("m = dict(type='A', x=1)\nk = 2 - 5 * 2\n")
    (tmp_path / "b.py").write_text(
        "_base_ = 'a.py'\nm = dict(_delete_=True, type='B', y=_base_.k)\n"
    )
    (tmp_path / "c.py").write_text("import os\n_base_ = ['b.py']\nx = os.getcwd()\n")
    assert base_values(tmp_path / "c.py") == {"m": {"type": "B", "y": -8}, "k": -8}
    assert base_values(tmp_path / "nowhere.py") is None
    (tmp_path / "d.py").write_text("x = 1\n")
    assert base_values(tmp_path / "d.py") == {}
