"""A backbone from everything that a run leaves, and from timm."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from torch import nn

import mvssl
from mvssl.checkpoint import load_checkpoint, save_checkpoint
from mvssl.errors import UserError
from mvssl.models.backbones import TimmBackbone
from tests.mini import train_cli, write_config


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("opening")
    work_dir = folder / "run"
    assert train_cli(write_config(folder), "--work-dir", work_dir) == 0
    return work_dir


def same(first: nn.Module, second: nn.Module) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_a_run_its_file_and_its_checkpoint_hold_one_student(run: Path) -> None:
    student = mvssl.load_backbone(run)
    assert same(student, mvssl.load_backbone(run / "backbone.safetensors"))
    assert same(student, mvssl.load_backbone(run / "epoch_2.pth"))
    assert not same(student, mvssl.load_backbone(run / "epoch_1.pth"))
    assert student.preprocessing == mvssl.load_backbone(run / "epoch_2.pth").preprocessing
    images = torch.randn(2, 3, 32, 32)
    assert student(images).shape == (2, 16)


def test_the_teacher_is_another_and_that_of_the_checkpoint(run: Path) -> None:
    teacher = mvssl.load_backbone(run, which="teacher")
    state = load_checkpoint(run / "epoch_2.pth")["state_dict"]
    for name, value in teacher.state_dict().items():
        assert torch.equal(value, state[f"teacher.parts.backbone.{name}"])
    assert same(teacher, mvssl.load_backbone(run / "epoch_2.pth", which="teacher"))
    assert same(teacher, mvssl.load_backbone(run / "teacher.safetensors", which="teacher"))
    assert not same(teacher, mvssl.load_backbone(run))


def test_a_run_that_is_not_over_gives_its_newest_checkpoint(run: Path, tmp_path: Path) -> None:
    for name in ("epoch_1.pth", "last_checkpoint"):
        (tmp_path / name).write_bytes((run / name).read_bytes())
    assert same(mvssl.load_backbone(tmp_path), mvssl.load_backbone(run / "epoch_1.pth"))
    damaged = bytearray((run / "epoch_2.pth").read_bytes())
    damaged[len(damaged) // 2] ^= 255
    (tmp_path / "epoch_2.pth").write_bytes(damaged)
    assert same(mvssl.load_backbone(tmp_path), mvssl.load_backbone(run / "epoch_1.pth"))


def test_a_resnet_with_another_stem_is_opened_from_a_checkpoint(tmp_path: Path) -> None:
    more = "model['backbone'] = dict(type='TimmBackbone', name='resnet10t', _delete_=True)"
    config = write_config(tmp_path, more=more)
    assert train_cli(config, "--work-dir", tmp_path / "run") == 0
    opened = mvssl.load_backbone(tmp_path / "run/epoch_2.pth")
    assert same(opened, mvssl.load_backbone(tmp_path / "run"))


def test_another_size_of_images_is_taken(run: Path) -> None:
    opened = mvssl.load_backbone(run, img_size=64)
    assert opened(torch.randn(1, 3, 64, 64)).shape == (1, 16)
    assert opened.preprocessing["size"] == 64  # type: ignore[index]


def test_a_name_of_timm_gives_its_model_and_what_it_expects(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    create = timm.create_model
    # What a network would give is not tried here: the weights are drawn.
    monkeypatch.setattr(
        timm, "create_model", lambda name, **given: create(name, **{**given, "pretrained": False})
    )
    opened = mvssl.load_backbone("timm:test_vit.r160_in1k")
    assert isinstance(opened, TimmBackbone)
    expected = timm.data.resolve_model_data_config(create("test_vit.r160_in1k"))
    assert opened.preprocessing["mean"] == list(expected["mean"])  # type: ignore[index]
    assert opened.preprocessing["size"] == 160  # type: ignore[index]


@pytest.mark.parametrize(
    ("name", "which", "said"),
    [
        ("nowhere", "student", "nowhere"),
        ("empty", "student", "holds neither backbone.safetensors nor a checkpoint"),
        ("run/backbone.safetensors", "teacher", "give the folder of the run"),
        ("run", "both", "which"),
        ("plain.pth", "student", "does not say how its backbone is built"),
        ("alone.pth", "teacher", "holds no teacher"),
        ("timm:resnet_of_my_own", "student", "timm .* has no model"),
    ],
)
def test_what_is_no_backbone_is_told_in_a_sentence(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, which: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("run").symlink_to(run)
    torch.save({"state_dict": {"weight": torch.zeros(2)}}, "plain.pth")
    content = load_checkpoint(run / "epoch_2.pth")
    content["state_dict"] = {
        key: one for key, one in content["state_dict"].items() if not key.startswith("teacher.")
    }
    save_checkpoint(content, "alone.pth")
    with pytest.raises(UserError, match=said):
        mvssl.load_backbone(name, which=which)  # type: ignore[arg-type]


@pytest.mark.parametrize("part", [0.0, 1e-5, 0.5, 0.999])
def test_a_checkpoint_that_was_cut_off_is_said_to_be_damaged(
    run: Path, tmp_path: Path, part: float
) -> None:
    content = (run / "epoch_2.pth").read_bytes()
    length = int(part * len(content))
    (tmp_path / "epoch_2.pth").write_bytes(content[:length])
    with pytest.raises(UserError, match=r"is not a checkpoint, or it is damaged \(") as raised:
        mvssl.load_backbone(tmp_path / "epoch_2.pth")
    assert "safetensors" not in str(raised.value)
    assert length < 4 or "cut off" in str(raised.value)


def test_a_safetensors_file_that_was_cut_off_is_said_to_be_damaged(
    run: Path, tmp_path: Path
) -> None:
    content = (run / "backbone.safetensors").read_bytes()
    (tmp_path / "backbone.safetensors").write_bytes(content[:-1])
    with pytest.raises(UserError, match="not a safetensors file, or it is damaged"):
        mvssl.load_backbone(tmp_path / "backbone.safetensors")
