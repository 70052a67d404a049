"""A classifier from a backbone: that it learns, what it leaves, sentences."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file
from torch import nn

import mvssl
from mvssl.apis.finetune import FinetuneOptions, finetune
from mvssl.engine.finetune import Recipe, _loss, _mix
from mvssl.errors import UserError
from mvssl.models.backbones import TimmBackbone, save_backbone
from tests.gloo_pool import GlooPool, RankError
from tests.mini import TINY_EXPECTED, load_tool, write_backbone, write_digits


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_digits(tmp_path_factory.mktemp("digits"), train=40, test=20)


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("backbone") / "backbone.safetensors"
    return write_backbone(file, patch_size=4, embed_dim=32, depth=2)


def options(digits: Path, backbone: Path, out: Path, **more: Any) -> FinetuneOptions:
    quick: dict[str, Any] = {"epochs": 40, "warmup_epochs": 4, "lr": 1e-2, "batch_size": 32}
    return FinetuneOptions(str(backbone), str(digits), str(out), **{**quick, **more})


def test_it_learns_and_its_file_gives_the_same_answers(
    digits: Path, backbone: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = finetune(options(digits, backbone, tmp_path / "out", baseline=True))
    assert set(found) == {"pretrained", "random"}
    assert found["pretrained"].top1 > 0.5  # of three classes
    assert len(found["random"].curve) == 40
    printed = capsys.readouterr().out
    assert f"top-1 {found['pretrained'].top1:.3f}" in printed
    written = json.loads((tmp_path / "out/finetune.json").read_text())
    assert written["results"]["pretrained"]["top1"] == found["pretrained"].top1
    assert written["images"] == {"train": 120, "test": 60}
    # By hand: backbone and layer from the file, images by Pillow.
    weights = load_file(tmp_path / "out/classifier.safetensors")
    network = mvssl.load_backbone(backbone)
    inner: nn.Module = network.model  # type: ignore[assignment]
    inner.load_state_dict(
        {k.removeprefix("backbone."): v for k, v in weights.items() if k.startswith("backbone.")}
    )
    right = 0
    files = sorted((digits / "test").rglob("*.png"))
    for file in files:
        image = Image.open(file).convert("RGB").resize((16, 16), Image.Resampling.BILINEAR)
        x = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None] / 127.5 - 1
        with torch.no_grad():
            logits = network(x) @ weights["head.weight"].T + weights["head.bias"]
        right += written["classes"][int(logits.argmax())] == file.parent.name
    assert right / len(files) == pytest.approx(found["pretrained"].top1, abs=0.05)


def test_the_same_seed_gives_the_same_and_a_part_of_the_labels_fewer_images(
    digits: Path, backbone: Path, tmp_path: Path
) -> None:
    few = {"label_fraction": 0.1, "epochs": 2}
    first = finetune(options(digits, backbone, tmp_path / "a", **few))
    again = finetune(options(digits, backbone, tmp_path / "b", **few))
    assert first == again
    assert json.loads((tmp_path / "a/finetune.json").read_text())["images"]["train"] == 12


def test_mixing_and_bfloat16_train_too(digits: Path, backbone: Path, tmp_path: Path) -> None:
    mixed = {"mixup": 0.2, "cutmix": 0.5, "amp": True, "epochs": 3}
    found = finetune(options(digits, backbone, tmp_path / "out", **mixed))
    assert len(found["pretrained"].curve) == 3
    assert np.isfinite(found["pretrained"].balanced)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--data", "nowhere"], "There is no folder nowhere"),
        (["--lr", "fast"], "it is a number"),
        (["--lr", "0"], "lr"),
        (["--label-fraction", "2"], "label-fraction"),
        (["--mixup", "0.2", "--batch-size", "7"], "mixed in pairs"),
        (["--out", "full"], "is there already"),
        (["--test", "other"], "different classes"),
        (["--epochs", "0"], "epochs"),
        (["--lr", "1000", "--epochs", "9"], "lower lr"),
    ],
)
def test_bad_input_is_one_sentence_and_writes_nothing(
    digits: Path,
    backbone: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("full").mkdir()
    Path("full/notes.txt").touch()
    for name in ("digit0", "digit7"):
        Path("other", name).mkdir(parents=True)
        source = next((digits / "test/digit0").iterdir())
        for number in range(3):
            Path("other", name, f"{number}.png").write_bytes(source.read_bytes())
    given = [str(backbone), "--data", str(digits), "--out", "out", "--workers", "0"]
    tool = load_tool("finetune")
    try:
        status = tool.main([*given, *words])
    except SystemExit as error:  # what argparse finds
        status = int(error.code or 0)
    assert status == 2
    assert said in capsys.readouterr().err
    assert not Path("out").exists()


def test_another_kind_of_backbone_has_no_baseline(
    digits: Path, backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mvssl.apis import finetune as module

    monkeypatch.setattr(module, "TimmBackbone", nn.Conv2d)
    with pytest.raises(UserError, match="cannot be drawn anew"):
        finetune(options(digits, backbone, tmp_path / "out", baseline=True))


def write_resnet(file: Path) -> Path:
    """A network with BatchNorm, whose statistics cross samples."""
    torch.manual_seed(0)
    made = TimmBackbone("resnet10t", {})
    build = {"type": "TimmBackbone", "name": made.name, "model_args": {}}
    save_backbone(made, file, build, TINY_EXPECTED | {"size": 32})
    return file


def _on_a_rank(data: str, backbone: str, out: str, more: dict[str, Any]) -> Any:
    printed = io.StringIO()
    with redirect_stdout(printed):
        found = finetune(options(Path(data), Path(backbone), Path(out), **more))
    return found, printed.getvalue()


@pytest.mark.parametrize("kind", ["vit", "resnet"])
@pytest.mark.parametrize("mixed", [{}, {"mixup": 0.4, "cutmix": 0.4}])
def test_two_processes_give_what_one_gives(
    digits: Path,
    backbone: Path,
    tmp_path: Path,
    run_distributed: GlooPool,
    kind: str,
    mixed: dict[str, float],
) -> None:
    source = backbone if kind == "vit" else write_resnet(tmp_path / "resnet.safetensors")
    # 51 images in batches of 26 and 25, of which processes have 14 and 12, and 12 and 13.
    more = {
        "epochs": 2,
        "batch_size": 26,
        "warmup_epochs": 0,
        "lr": 1e-3,
        "label_fraction": 0.425,
        **mixed,
    }
    alone, _ = _on_a_rank(str(digits), str(source), str(tmp_path / "one"), more)
    given = str(digits), str(source), str(tmp_path / "two"), more
    (first, printed), (second, silence) = run_distributed(_on_a_rank, 2, *given)
    assert first == second
    assert "top-1" in printed
    assert silence == ""
    assert first["pretrained"].top1 == pytest.approx(alone["pretrained"].top1, abs=0.04)
    one, two = (load_file(tmp_path / f"{n}/classifier.safetensors") for n in ("one", "two"))
    start = mvssl.load_backbone(source).model.state_dict()  # type: ignore[union-attr]
    assert set(one) == set(two)
    for name, value in one.items():
        if value.is_floating_point() and "bn" not in name:
            moved = value - start.get(name.removeprefix("backbone."), torch.zeros_like(value))
            assert (two[name] - value).norm() <= 0.02 * moved.norm() + 1e-6, name
    summary = json.loads((tmp_path / "two/finetune.json").read_text())
    assert summary["images"] == {"train": 51, "test": 60}


def test_too_few_images_for_the_processes_are_told(
    digits: Path, backbone: Path, tmp_path: Path, run_distributed: GlooPool
) -> None:
    given = str(digits), str(backbone), str(tmp_path / "out"), {"batch_size": 3}
    with pytest.raises(RankError, match="too few for 2 processes"):
        run_distributed(_on_a_rank, 2, *given)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("epochs", "given", "warmup"), [(6, None, 0.6), (50, None, 5.0), (500, None, 5.0), (6, 2, 2)]
)
def test_the_warm_up_suits_the_epochs(epochs: int, given: float | None, warmup: float) -> None:
    assert Recipe(epochs=epochs, warmup_epochs=given).warmup == pytest.approx(warmup)


def test_the_last_line_says_what_pretraining_is_worth(
    digits: Path, backbone: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = finetune(options(digits, backbone, tmp_path / "out", epochs=1, baseline=True))
    first, second = (round(found[name].top1, 3) for name in ("pretrained", "random"))
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"pretrained {first:.3f}, random {second:.3f} ({first - second:+.3f})"


def test_an_image_without_a_partner_has_labels_as_smooth_as_the_others() -> None:
    classes, smoothing = 5, 0.1
    recipe = Recipe(smoothing=smoothing, mixup=0.2, amp=False)
    model: Any = nn.Linear(4, classes)
    model.head = SimpleNamespace(out_features=classes)
    x, y = torch.randn(1, 4), torch.tensor([2])
    alone = _loss(model, x, y, _mix(classes, recipe), recipe)
    expected = F.cross_entropy(model(x), y, label_smoothing=smoothing)
    assert float(alone.detach()) == pytest.approx(float(expected.detach()), rel=1e-6)


def test_room_for_the_weights_is_looked_for_before_training(
    digits: Path, backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda place: SimpleNamespace(free=1000))
    trained: list[Any] = []
    monkeypatch.setattr("mvssl.apis.finetune.train_classifier", lambda *x: trained.append(x))
    with pytest.raises(UserError, match=r"0\.0 MiB are free there, and the weights take 0\.\d"):
        finetune(options(digits, backbone, tmp_path / "out"))
    assert not trained
    assert not (tmp_path / "out").exists()
