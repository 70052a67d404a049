"""docs/recipes.md: what it says of its commands; the commands are run by test_pages.py."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from mvssl.process.backbone_parser import FORMATS
from mvssl.process.train_parser import parse_train
from tests.docs.blocks import BLOCKS
from tests.mini import ROOT, train_cli

PAGE = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
COMMANDS = [
    words
    for block in BLOCKS
    if block.page == "docs/recipes.md" and block.language == "bash"
    for words in block.commands
]
TRAINED = [words for words in COMMANDS if words[:2] == ["python", "tools/train.py"]]
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


def test_the_cluster_starts_what_there_is() -> None:
    words = next(words for words in COMMANDS if words[0] == "sbatch")
    script = words.index("tools/slurm_train.sh")
    assert (ROOT / words[script]).is_file()
    config, _, *more = words[script + 1 :]
    assert parse_train([config, *more]).batch_size == 1024


def test_every_format_has_its_command_and_its_row() -> None:
    exported = [words for words in COMMANDS if words[:2] == ["mvssl", "export"]]
    assert {words[words.index("--format") + 1] for words in exported} == set(FORMATS)
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
