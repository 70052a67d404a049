from __future__ import annotations

import errno
import json
import os
import re
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from torch import Tensor, nn

import mvssl
from mvssl import checkpoint as checkpoints
from mvssl.checkpoint import store
from mvssl.errors import DamageError, UserError
from mvssl.files import write_atomically
from mvssl.models.backbones import Backbone, TimmBackbone, load_backbone, save_backbone
from mvssl.registry import BACKBONES
from tests.hostile import write_hostile

TINY = {"img_size": 16, "patch_size": 8, "embed_dim": 16, "depth": 1, "num_heads": 2}


def vit_config(**others: Any) -> dict[str, Any]:
    return {
        "type": "TimmBackbone",
        "name": "vit_tiny_patch16_224",
        "model_args": TINY | others,
    }


def tiny_vit(**others: Any) -> TimmBackbone:
    return BACKBONES.build(vit_config(**others))


def test_a_checkpoint_comes_back_as_tensors_and_plain_containers(tmp_path: Path) -> None:
    content: dict[str, Any] = {
        "weights": OrderedDict(a=torch.randn(2, 3), b=torch.ones(1, dtype=torch.bfloat16)),
        "array": np.arange(4.0),
        "number": np.float64(0.25),
        "flags": (True, None, "text", 3),
        "nested": {"list": [torch.zeros(0), {"deep": 1.5}]},
    }
    file = tmp_path / "a.pth"
    checkpoints.save_checkpoint(content, file)
    opened = torch.load(file, weights_only=True)
    loaded = checkpoints.load_checkpoint(file)
    for found in (opened, loaded):
        assert torch.equal(found["weights"]["a"], content["weights"]["a"])
        assert found["weights"]["b"].dtype == torch.bfloat16
        assert torch.equal(found["array"], torch.arange(4.0, dtype=torch.float64))
        assert type(found["number"]) is float
        assert found["flags"] == [True, None, "text", 3]
        assert found["nested"]["list"][1] == {"deep": 1.5}


def test_a_gradient_is_not_saved(tmp_path: Path) -> None:
    weight = nn.Parameter(torch.ones(3))
    (2 * weight).sum().backward()
    checkpoints.save_checkpoint({"w": weight}, tmp_path / "a.pth")
    assert type(torch.load(tmp_path / "a.pth", weights_only=True)["w"]) is torch.Tensor


def test_an_object_is_refused_with_its_place_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"checkpoint\.meta\.path\[1\] is a pathlib\."):
        checkpoints.save_checkpoint({"meta": {"path": ["a", Path("b")]}}, tmp_path / "a.pth")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_keeps_the_old_file_and_leaves_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.pth"
    checkpoints.save_checkpoint({"epoch": 1}, file)

    def half(_: Any, target: Any) -> None:
        target.write(b"half of it")
        try:
            raise OSError(28, "No space left on device")
        finally:
            raise RuntimeError("unexpected pos")  # so torch does

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(UserError, match=r"Cannot write .*a\.pth: No space left on device"):
        checkpoints.save_checkpoint({"epoch": 2}, file)
    assert checkpoints.load_checkpoint(file) == {"epoch": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.pth"]


def test_an_interrupted_write_leaves_no_trace(tmp_path: Path) -> None:
    def stop(temporary: BinaryIO) -> None:
        temporary.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "a.json", stop)
    assert list(tmp_path.iterdir()) == []


def test_a_written_file_has_the_permissions_of_any_other(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    save_backbone(tiny_vit(), tmp_path / "b.safetensors", vit_config())
    modes = {os.stat(p).st_mode for p in tmp_path.iterdir()}
    assert len(modes) == 1


@pytest.mark.parametrize(
    "read",
    [
        checkpoints.load_checkpoint,
        checkpoints.read_content,
        load_backbone,
        mvssl.load_backbone,
        lambda file: TimmBackbone("vit_tiny_patch16_224", TINY, checkpoint=str(file)),
    ],
    ids=["load_checkpoint", "read_content", "load_backbone", "mvssl", "backbone.checkpoint"],
)
@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
@pytest.mark.parametrize("kind", ["zip", "legacy", "pickle"])
def test_a_hostile_file_is_refused_and_its_code_never_runs(
    tmp_path: Path, read: Any, name: str, kind: str
) -> None:
    file, trap = tmp_path / name, tmp_path / "the-code-ran"
    write_hostile(file, trap, kind)
    with pytest.raises(UserError, match=name):
        read(file)
    assert not trap.exists()


@pytest.mark.parametrize("kind", ["zip", "legacy"])
def test_the_trap_of_the_hostile_file_works(tmp_path: Path, kind: str) -> None:
    """Otherwise the tests that it does not snap would show nothing."""
    file, trap = tmp_path / "a.pth", tmp_path / "trap"
    write_hostile(file, trap, kind)
    torch.load(file, weights_only=False)
    assert trap.exists()


def test_a_refused_pickle_says_why_and_what_to_give(tmp_path: Path) -> None:
    write_hostile(tmp_path / "a.pth", tmp_path / "trap")
    with pytest.raises(UserError, match=r"could run code, so it is refused: give a file"):
        checkpoints.load_checkpoint(tmp_path / "a.pth")


@pytest.mark.parametrize(
    "content", [b"", b"no checkpoint at all", b"PK\x03\x04 half a zip", bytes(1000)]
)
def test_a_file_that_is_no_checkpoint_is_said_to_be_none(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "notes.pth"
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"notes\.pth is not a checkpoint, or it is damaged"):
        checkpoints.load_checkpoint(file)


def test_a_cut_off_checkpoint_is_said_to_be_damaged(tmp_path: Path) -> None:
    file = tmp_path / "a.pth"
    checkpoints.save_checkpoint({"w": torch.randn(100)}, file)
    file.write_bytes(file.read_bytes()[:-300])
    with pytest.raises(UserError, match="damaged"):
        checkpoints.load_checkpoint(file)


def test_every_flipped_bit_and_every_cut_is_noticed(tmp_path: Path) -> None:
    file, damaged = tmp_path / "a.pth", tmp_path / "b.pth"
    checkpoints.save_checkpoint({"w": torch.randn(40), "meta": {"epoch": 1}}, file)
    whole = file.read_bytes()
    end = range(len(whole) - 150, len(whole))
    for place in (*range(0, len(whole) - 150, 5), *end):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 8
        zeros = whole[:place] + bytes(len(whole[place : place + 64])) + whole[place + 64 :]
        for data in (bytes(flipped), whole[:place], zeros):
            damaged.write_bytes(data)
            if data == whole:
                continue
            with pytest.raises(DamageError, match=r"b\.pth"):
                checkpoints.load_checkpoint(damaged)
    damaged.write_bytes(whole + b"more")
    with pytest.raises(DamageError):
        checkpoints.load_checkpoint(damaged)


def test_what_torch_wrote_alone_has_no_checksum_and_opens(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(3)}, tmp_path / "a.pth")
    assert torch.equal(checkpoints.load_checkpoint(tmp_path / "a.pth")["w"], torch.ones(3))


def test_a_file_with_a_checksum_is_a_zip_file_like_any_other(tmp_path: Path) -> None:
    checkpoints.save_checkpoint({"w": torch.ones(300)}, tmp_path / "a.pth")
    with zipfile.ZipFile(tmp_path / "a.pth") as opened:
        assert opened.testzip() is None
        assert opened.comment.startswith(b"mvssl crc32 ")
    mapped = torch.load(tmp_path / "a.pth", weights_only=True, mmap=True)
    assert torch.equal(mapped["w"], torch.ones(300))


@pytest.mark.parametrize(
    "pointer", [b"", b"\xff\xfe\x00garbage", b"a\0b", b"/else/where.pth", b"..", b"epoch_7.pth"]
)
def test_a_pointer_that_says_nothing_is_passed_over(tmp_path: Path, pointer: bytes) -> None:
    (tmp_path / "epoch_2.pth").touch()
    (tmp_path / "last_checkpoint").write_bytes(pointer)
    assert checkpoints.checkpoints_in(tmp_path) == [tmp_path / "epoch_2.pth"]


def test_checkpoints_within_epochs_and_after_them_stand_in_the_order_of_their_writing(
    tmp_path: Path,
) -> None:
    for time, name in enumerate(("epoch_1", "iter_15", "epoch_2", "iter_25", "iter_9_best")):
        (tmp_path / f"{name}.pth").touch()
        os.utime(tmp_path / f"{name}.pth", (time, time))
    names = [path.stem for path in checkpoints.checkpoints_in(tmp_path)]
    assert names == ["iter_25", "epoch_2", "iter_15", "epoch_1"]


def test_a_tensor_alone_is_no_checkpoint(tmp_path: Path) -> None:
    torch.save(torch.ones(2), tmp_path / "a.pth")
    with pytest.raises(UserError, match="holds a Tensor, not a checkpoint"):
        checkpoints.load_checkpoint(tmp_path / "a.pth")


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=f"at {tmp_path / name}: give the path"):
        BACKBONES.build({**vit_config(), "checkpoint": str(tmp_path / name)})


def test_a_folder_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a folder, not a checkpoint"):
        checkpoints.load_checkpoint(tmp_path)


def test_a_backbone_takes_the_students_from_a_run(tmp_path: Path) -> None:
    student, teacher = tiny_vit().model.state_dict(), tiny_vit().model.state_dict()
    state = {f"backbone.model.{name}": torch.full_like(x, 0.5) for name, x in student.items()}
    state |= {f"teacher.parts.backbone.model.{name}": x for name, x in teacher.items()}
    state["neck.w"] = torch.zeros(1)
    torch.save({"state_dict": state, "meta": {}}, tmp_path / "run.pth")
    loaded = BACKBONES.build({**vit_config(), "checkpoint": str(tmp_path / "run.pth")})
    assert all(bool((x == 0.5).all()) for x in loaded.model.state_dict().values())


@pytest.mark.parametrize("content", [{"epoch": 3}, {"state_dict": [1, 2]}])
def test_a_file_without_weights_is_refused(tmp_path: Path, content: dict[str, Any]) -> None:
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(UserError, match="holds no weights of this network"):
        BACKBONES.build({**vit_config(), "checkpoint": str(tmp_path / "a.pth")})


def test_weights_of_another_architecture_are_called_so(tmp_path: Path) -> None:
    torch.save(timm.create_model("resnet18").state_dict(), tmp_path / "a.pth")
    with pytest.raises(UserError, match=r"another architecture \(give its name by --backbone\)"):
        TimmBackbone("resnet50", checkpoint=str(tmp_path / "a.pth"))


def test_strict_loading_lists_keys_and_leaves_the_model_alone() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    weights = {
        "0.weight": torch.zeros(3, 2),
        "0.bias": torch.zeros(4),
        "1.bias": torch.zeros(1),
        "head.bias": torch.zeros(1),
    }
    with pytest.raises(UserError) as caught:
        checkpoints.load_weights_strictly(model, weights, "x.pth")
    told = str(caught.value)
    assert "x.pth" in told
    assert "missing: 1.weight" in told
    assert "not in the model: head.bias" in told
    assert "of another shape: 0.bias (4,) for (3,)" in told
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (torch.tensor([1.0, float("nan"), 0.0]), "numbers that are not finite (bias)"),
        (torch.tensor([1.0, 0.0, float("inf")]), "numbers that are not finite (bias)"),
        (torch.tensor([1, 2, 3]), "no floating point numbers (bias)"),
    ],
)
def test_weights_that_nothing_can_be_done_with_are_refused(bad: torch.Tensor, told: str) -> None:
    weights = {"weight": torch.zeros(3, 2), "bias": bad}
    with pytest.raises(UserError, match=re.escape(f"The weights in x.pth hold {told}")):
        checkpoints.load_weights_strictly(nn.Linear(2, 3), weights, "x.pth")


def test_long_lists_of_keys_are_cut() -> None:
    with pytest.raises(UserError, match=r"and \d+ more"):
        checkpoints.load_weights_strictly(tiny_vit().model, {}, "x.pth")


def test_the_latest_checkpoint_is_the_one_pointed_to_else_the_highest_epoch(
    tmp_path: Path,
) -> None:
    assert checkpoints.latest_checkpoint(tmp_path) is None
    for epoch in (2, 9, 10):
        (tmp_path / f"epoch_{epoch}.pth").touch()
    assert checkpoints.latest_checkpoint(tmp_path) == tmp_path / "epoch_10.pth"
    # A folder that was moved holds the old path.
    (tmp_path / "last_checkpoint").write_text("/old/place/epoch_9.pth\n")
    assert checkpoints.latest_checkpoint(tmp_path) == tmp_path / "epoch_9.pth"
    (tmp_path / "last_checkpoint").write_text("epoch_7.pth")
    assert checkpoints.latest_checkpoint(tmp_path) == tmp_path / "epoch_10.pth"


def test_an_exported_backbone_is_built_again_by_timm_alone(tmp_path: Path) -> None:
    backbone = tiny_vit(global_pool="avg").eval()
    file = tmp_path / "backbone.safetensors"
    told = save_backbone(backbone, file, vit_config(global_pool="avg"))
    with safetensors.safe_open(file, framework="pt") as opened:
        metadata = {key: json.loads(value) for key, value in opened.metadata().items()}
    assert metadata == told
    model = timm.create_model(**metadata["create_model"]).eval()
    model.load_state_dict(safetensors.torch.load_file(file), strict=True)
    images = torch.randn(2, 3, 16, 16)
    assert torch.equal(model(images), backbone(images))


def test_an_adapted_stem_is_built_again_by_load_backbone(tmp_path: Path) -> None:
    config = {"type": "TimmBackbone", "name": "resnet18", "stem": "cifar"}
    adapted = BACKBONES.build(config).eval()
    file = tmp_path / "backbone.safetensors"
    assert save_backbone(adapted, file, config)["create_model"] is None
    loaded = mvssl.load_backbone(file)
    assert not loaded.training
    images = torch.randn(2, 3, 16, 16)
    assert torch.equal(loaded(images), adapted(images))


def test_the_sources_of_its_weights_are_no_part_of_a_backbone(tmp_path: Path) -> None:
    """Else it could be loaded only where they are."""
    torch.save(tiny_vit().model.state_dict(), tmp_path / "start.pth")
    config = {**vit_config(), "pretrained": False, "checkpoint": str(tmp_path / "start.pth")}
    backbone = BACKBONES.build(config)
    told = save_backbone(backbone, tmp_path / "b.safetensors", config)
    assert told["build"] == vit_config()
    (tmp_path / "start.pth").unlink()
    loaded = mvssl.load_backbone(tmp_path / "b.safetensors")
    for key, value in backbone.state_dict().items():
        assert torch.equal(value, loaded.state_dict()[key])


class _TwoLayers(Backbone):
    """A backbone of a user's own, with weights that share memory."""

    num_features = 4
    in_channels = 4

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.second.weight = self.first.weight

    def forward(self, images: Tensor) -> Tensor:
        return self.second(self.first(images.mean(dim=(2, 3))))


def test_a_backbone_of_ones_own_is_exported_and_loaded(tmp_path: Path) -> None:
    BACKBONES.register_module(module=_TwoLayers, force=True)
    try:
        backbone, file = _TwoLayers(), tmp_path / "b.safetensors"
        told = save_backbone(backbone, file, {"type": "_TwoLayers"})
        assert told == {
            "create_model": None,
            "build": {"type": "_TwoLayers"},
            "preprocessing": None,
        }
        loaded = mvssl.load_backbone(file)
        assert isinstance(loaded, _TwoLayers)
        assert torch.equal(loaded.second.weight, backbone.first.weight)
    finally:
        BACKBONES.module_dict.pop("_TwoLayers")


def test_weights_without_a_description_are_no_backbone_file(tmp_path: Path) -> None:
    safetensors.torch.save_file({"w": torch.ones(1)}, tmp_path / "a.safetensors")
    with pytest.raises(UserError, match="does not say how its backbone is built"):
        mvssl.load_backbone(tmp_path / "a.safetensors")


def test_a_checkpoint_in_the_place_of_a_backbone_is_known(tmp_path: Path) -> None:
    checkpoints.save_checkpoint({"state_dict": {"w": torch.ones(2)}}, tmp_path / "epoch_1.pth")
    with pytest.raises(UserError, match=r"is a checkpoint of torch, .*backbone.safetensors"):
        checkpoints.open_safetensors(tmp_path / "epoch_1.pth")


def test_a_file_that_may_not_be_read_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints.save_checkpoint({"w": torch.ones(2)}, tmp_path / "a.pth")

    def refused(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(store, "fault_of", refused)
    with pytest.raises(UserError, match=r"a\.pth: it cannot be read: Permission denied") as raised:
        checkpoints.load_checkpoint(tmp_path / "a.pth")
    assert not isinstance(raised.value, DamageError)

    def short(*_: Any, **__: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(store, "fault_of", short)
    with pytest.raises(MemoryError):
        checkpoints.load_checkpoint(tmp_path / "a.pth")
