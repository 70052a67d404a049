"""docs/recipes.md: its commands are understood; what needs no network is tried on small files."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from mvssl import cli
from mvssl.config.read import parse_options
from mvssl.models.backbones import save_backbone
from mvssl.process.backbone_parser import FORMATS
from mvssl.process.train_parser import parse_train
from mvssl.registry import BACKBONES
from tests.mini import ROOT, train_cli, write_config

PAGE = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
BLOCKS = [
    shlex.split(block.replace("\\\n", " "), comments=True)
    for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
]
EXPORTS = re.findall(r"^mvssl export .*$", PAGE, re.MULTILINE)
TRAINED = [words for words in BLOCKS if words[:2] == ["python", "tools/train.py"]]
SMALL = ("model.backbone.model_args.depth=1", "model.neck.projector.hidden_channels=16")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(24):
        pixels = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


@pytest.mark.parametrize("words", TRAINED, ids=lambda words: words[2])
def test_a_command_is_understood(words: list[str]) -> None:
    args = parse_train([word for word in words[2:] if word != "..."])
    assert (ROOT / args.config).is_file()
    assert set(parse_options(args.cfg_options)) == {x.split("=")[0] for x in args.cfg_options}


def test_the_cluster_starts_what_there_is() -> None:
    words = next(words for words in BLOCKS if words[0] == "sbatch")
    script = words.index("tools/slurm_train.sh")
    assert (ROOT / words[script]).is_file()
    config, _, *more = words[script + 1 :]
    assert parse_train([config, *more]).batch_size == 1024


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a ViT, and one of a ResNet."""
    folder = tmp_path_factory.mktemp("exports")
    assert train_cli(write_config(folder), "--work-dir", folder / "RUN") == 0
    build = {"type": "TimmBackbone", "name": "resnet18"}
    statistics = {"mean": [0.5] * 3, "std": [0.5] * 3}
    file = folder / "RESNET" / "backbone.safetensors"
    file.parent.mkdir()
    save_backbone(BACKBONES.build(build), file, build, {"size": 64, **statistics})
    return folder


@pytest.mark.parametrize("line", EXPORTS, ids=lambda line: line.split()[4])
def test_a_backbone_goes_elsewhere(
    line: str, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    words = shlex.split(line, comments=True)[1:]
    if "torchvision" in words:
        words[words.index("RUN")] = "RESNET"
    assert cli.run(words) == 0
    assert "largest difference" in capsys.readouterr().out
    assert (place / words[-1] / "README.md").is_file()


def test_every_format_has_its_command_and_its_row() -> None:
    assert {line.split()[4] for line in EXPORTS} == set(FORMATS)
    table = PAGE.partition("| format | takes | packages |")[2].partition("\n\n")[0]
    rows = " ".join(row.split("|")[1] for row in table.splitlines()[2:])
    assert set(re.findall(r"`(\w+)`", rows)) == set(FORMATS)


@pytest.mark.parametrize("objective", ["native", "er"])
def test_dinov2_goes_on_from_a_file(
    objective: str, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = timm.create_model("vit_small_patch14_dinov2", num_classes=0, depth=1)
    authors = dict(source.state_dict()) | {"mask_token": torch.zeros(1, 384)}
    torch.save(authors, tmp_path / "dinov2.pth")
    recipe = next(words for words in TRAINED if "dinov2_vits14_pretrain.pth" in words)
    whole = next(words for words in TRAINED if "vit_small_patch14_dinov2.lvd142m" in words)
    given = whole[whole.index("--cfg-options") + 1 :]
    assert "optim_wrapper.paramwise_cfg.layer_decay=0.75" in given
    backbone = recipe[recipe.index("--backbone") + 1]
    command = [ROOT / recipe[2], "--data", images, "--objective", objective]
    command += ["--backbone", backbone, "--init-from", tmp_path / "dinov2.pth"]
    command += ["--image-size", "28", "--batch-size", "4", "--dry-run", "--cfg-options"]
    few = "model.data_preprocessor.views={'_delete_': True, 'type': 'dino', 'num_local': 1}"
    workers = "train_dataloader.num_workers=0"
    assert train_cli(*command, *given, *SMALL, workers, few) == 0
    told = capsys.readouterr().out
    count = len(source.state_dict())
    assert f"dinov2.pth gives {count} of {count} tensors of the backbone; resized: pos_emb" in told
    assert "small crops of 14 px" in told
    assert re.search(r"one batch +loss -?\d+\.\d+", told)
