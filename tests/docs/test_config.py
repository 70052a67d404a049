"""Configs in the pages load, fit together, and some train; docs/config.md leaves nothing out."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

import mvssl.models  # noqa: F401  # registers its parts
from mvssl import registry
from mvssl.apis import TrainOptions
from mvssl.config.checks import check_config
from mvssl.config.read import load_config
from mvssl.config.slots import TOP_LEVEL
from mvssl.errors import UserError
from mvssl.models.backbones import save_backbone
from mvssl.registry import VIEW_SETS
from mvssl.views.flat import flat_names
from tests.docs.blocks import marked
from tests.mini import ROOT, load_tool, prepared, train_cli

PAGE = (ROOT / "docs" / "config.md").read_text(encoding="utf-8")
PLACE = "/path/to/mvssl"
EARLIER = "work_dirs/byol_vit/earlier/backbone.safetensors"


class Example(NamedTuple):
    """A config of a page, and the one that it begins from."""

    base: str | None
    built: bool
    text: str


def examples() -> list[Example]:
    found = []
    for block in marked("config"):
        base, _, more = block.remark.partition(", ")
        found.append(Example(base or None, more != "not built", block.text))
    return found


EXAMPLES = examples()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """What the page's paths stand for: pictures of two classes, and an earlier run's backbone."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 40), ("test", 4)):
        for kind in ("owl", "wren"):
            place = tmp_path / "data" / "birds" / split / kind
            place.mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 256, (36, 48, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(place / f"{number}.png")
    (tmp_path / "my_project").mkdir()
    for name in ("__init__", "margin_head"):
        (tmp_path / "my_project" / f"{name}.py").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.split(".")[0] == "my_project"]:
        del sys.modules[name]


def write(example: Example, folder: Path) -> Path:
    base = "" if example.base is None else f"_base_ = ['{PLACE}/configs/{example.base}']\n"
    file = folder / "my_config.py"
    # A base that is given beside the config is one of the project's.
    text = (base + example.text).replace(PLACE, str(ROOT)).replace('"./', f'"{ROOT}/configs/')
    file.write_text(text)
    return file


def shown(example: Example) -> str:
    return " ".join(example.text.split())[:60]


@pytest.mark.parametrize("example", EXAMPLES, ids=shown)
def test_an_example_fits_together(example: Example, folder: Path) -> None:
    file = write(example, folder)
    cfg = load_config(file)
    assert check_config(cfg.to_dict()) == []
    if "checkpoint=" in example.text and EARLIER in example.text:
        backbone = {k: v for k, v in cfg.model.backbone.items() if k != "checkpoint"}
        (folder / EARLIER).parent.mkdir(parents=True)
        save_backbone(registry.BACKBONES.build(backbone), folder / EARLIER, backbone)
    if "Wandb" in example.text and importlib.util.find_spec("wandb") is None:
        with pytest.raises(UserError, match="needs the package wandb"):
            prepared(TrainOptions(config=str(file)))
    elif example.built:
        prepared(TrainOptions(config=str(file)))


def test_an_example_says_something() -> None:
    plain = load_config(ROOT / "configs" / "byol_vit.py").to_dict()
    for example in EXAMPLES:
        if example.base != "byol_vit.py":
            continue
        # What is set by an example differs from its base, or it would show nothing.
        scope: dict[str, object] = {"_base_": load_config(ROOT / "configs" / "byol_vit.py")}
        exec(example.text, scope)
        told = {k: v for k, v in scope.items() if not k.startswith("_")}
        assert told, example.text
        assert any(plain.get(name) != value for name, value in told.items()), example.text


TRAINED = ("_backbone", "operations=", "dynamic_img_size", "micro_batch_size", "Autocast", "LARS")


@pytest.mark.parametrize("word", TRAINED)
def test_an_example_trains_on_a_batch(
    word: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    example = next(one for one in EXAMPLES if word in one.text)
    options = ["train_dataloader.batch_size=32", "model.backbone.model_args.depth=1"]
    assert train_cli(write(example, folder), "--dry-run", "--cfg-options", *options) == 0
    told = capsys.readouterr().out
    assert re.search(r"one batch +loss -?\d+\.\d+", told)


def test_every_top_level_name_has_its_row() -> None:
    table = PAGE.partition("| name | what it holds |")[2].partition("\n\n")[0]
    rows = [row.split("|")[1] for row in table.splitlines()[2:]]
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert sorted(named) == sorted(TOP_LEVEL)


@pytest.mark.parametrize(
    "slot", ["HEADS", "LOSSES", "TARGETS", "ASSIGNERS", "BACKBONES", "NECKS", "DATASETS"]
)
def test_every_part_is_named(slot: str) -> None:
    own = {
        name
        for name, kind in getattr(registry, slot).module_dict.items()
        if kind.__module__.startswith("mvssl.")
    }
    assert own
    for name in own - {"SoftCrossEntropyLoss"}:  # which heads bring themselves
        assert f"`{name}`" in PAGE, name


def test_every_view_set_has_a_small_picture_and_every_short_name_a_row() -> None:
    figures = load_tool("figures/views")
    sets = figures.sets()
    assert {name for names in sets.values() for name in names} == set(VIEW_SETS.module_dict)
    table = PAGE.partition("| set | views |")[2].partition("\n\n")[0]
    rows = table.splitlines()[2:]
    for name, row in zip(sets, rows, strict=True):
        assert re.findall(r"`(\w+)`", row.partition("<br>")[0]) == sets[name]
        assert f'src="figures/views/{name}.png"' in row
        assert (ROOT / "docs" / "figures" / "views" / f"{name}.png").stat().st_size < 300_000
    pictures = (ROOT / "docs" / "figures" / "views").glob("*.png")
    assert {path.stem for path in pictures} == set(sets)
    table = PAGE.partition("| short names, in the order of application |")[2].partition("\n\n")[0]
    told = {
        name: operation.strip(" `")
        for _, names, operation, *_ in (row.split("|") for row in table.splitlines()[2:])
        for name in re.findall(r"`(\w+)`", names)
    }
    known = {name: operation.__name__ for name, operation in flat_names().items()}
    assert list(told.items()) == list(known.items())
    # What has no short names is given by its type.
    for name in registry.VIEW_OPS.module_dict.keys() - known.values():
        assert f"`{name}`" in PAGE


@pytest.mark.parametrize(("name", "images"), [("ressl", 3), ("cmc", 3), ("gentle_cmc", 3)])
def test_a_picture_shows_what_a_network_is_given(name: str, images: int, tmp_path: Path) -> None:
    figures = load_tool("figures/views")
    rows = figures.drawn(name)
    assert [len(row) for row in rows] == [images, images]
    for row in rows:
        assert all(image.dtype == np.uint8 and image.shape[2] == 3 for image in row)
        assert [image.shape[:2] for image in row[1:]] == [(224, 224)] * (images - 1)
    if name != "ressl":  # a single channel is grey
        np.testing.assert_array_equal(rows[1][1][..., 0], rows[1][1][..., 2])
        assert (rows[1][2][..., 0] != rows[1][2][..., 2]).any()
    path = figures.draw(name, tmp_path)
    with (
        Image.open(path) as now,
        Image.open(ROOT / "docs" / "figures" / "views" / path.name) as kept,
    ):
        assert now.size == kept.size
        apart = np.asarray(now.convert("RGB"), float) - np.asarray(kept.convert("RGB"), float)
        assert np.abs(apart).mean() < 4
