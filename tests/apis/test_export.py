"""Backbones in other libraries: each form opened there, and what cannot be."""

from __future__ import annotations

import json
import re
import resource
import shutil
import signal
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from sklearn.datasets import load_sample_images
from torch import Tensor, nn

from mvssl import export
from mvssl.apis import formats
from mvssl.apis.evaluate import EvaluateOptions, evaluate_backbones
from mvssl.errors import UserError
from mvssl.models.backbones import Backbone, TimmBackbone, load_backbone, save_backbone
from mvssl.registry import BACKBONES
from tests.commands import Command
from tests.forking import python
from tests.mini import load_tool, train_cli, write_config

SIZE = 32
EXPECTED: dict[str, Any] = {
    "size": SIZE,
    "color_space": "rgb",
    "mean": [0.4, 0.5, 0.6],
    "std": [0.2, 0.3, 0.4],
}
VIT_ARGS = {"img_size": SIZE, "patch_size": 8, "embed_dim": 16, "depth": 1, "num_heads": 2}
BUILDS: dict[str, dict[str, Any]] = {
    "vit": {"type": "TimmBackbone", "name": "vit_tiny_patch16_224", "model_args": VIT_ARGS},
    "resnet10t": {"type": "TimmBackbone", "name": "resnet10t"},
    "resnet18": {"type": "TimmBackbone", "name": "resnet18"},
    "strided": {
        "type": "TimmBackbone",
        "name": "resnet50",
        "model_args": {"output_stride": 16},
    },
    "cifar": {"type": "TimmBackbone", "name": "resnet18", "stem": "cifar"},
    "split": {
        "type": "SplitBackbone",
        "parts": [
            {"type": "TimmBackbone", "name": "resnet10t", "model_args": {"in_chans": channels}}
            for channels in (1, 2)
        ],
    },
}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of each backbone, whose BatchNorm has seen images."""
    folder = tmp_path_factory.mktemp("sources")
    for name, build in BUILDS.items():
        torch.manual_seed(0)
        made = BACKBONES.build(build)
        made.train()(torch.randn(8, 3, SIZE, SIZE))
        expected = EXPECTED | ({"color_space": "lab"} if name == "split" else {})
        save_backbone(made, folder / name, build, expected)
    return folder


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    """A square of the size that the backbones take, so that no two filters resize it."""
    return Image.fromarray(load_sample_images().images[0][100 : 100 + SIZE, 200 : 200 + SIZE])


def features_of(source: Path, photo: Image.Image) -> Tensor:
    """By hand."""
    pixels = torch.from_numpy(np.asarray(photo).copy()).permute(2, 0, 1) / 255.0
    mean, std = (torch.tensor(EXPECTED[name]).view(3, 1, 1) for name in ("mean", "std"))
    with torch.no_grad():
        features: Tensor = load_backbone(source)(((pixels - mean) / std)[None])
    return features


def run_card(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What the program in a model card makes, where it lies."""
    text = (folder / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names: dict[str, Any] = {}
    with monkeypatch.context() as here:
        here.chdir(folder)
        exec(code, names)
    return names["features"]


PAIRS = [
    *((form, name) for form in ("timm", "onnx", "torch_export") for name in ("vit", "resnet10t")),
    *(("huggingface", name) for name in ("vit", "resnet10t")),
    ("torchvision", "resnet18"),
]


@pytest.mark.parametrize(("form", "name"), PAIRS)
def test_the_program_of_its_card_gives_the_features_of_the_backbone(
    form: str,
    name: str,
    sources: Path,
    photo: Image.Image,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "exports" / form
    words = [str(sources / name), "--format", form, "--out", str(out)]
    assert load_tool("export").main(words) == 0
    printed = capsys.readouterr()
    assert re.search(
        r"largest difference \d(\.\d)?e-\d\d of the features' root mean|the same features",
        printed.out,
    )
    assert printed.err == ""
    assert list(out.parent.iterdir()) == [out]
    photo.save(out / "photo.jpg", format="png")
    found = torch.as_tensor(run_card(out, monkeypatch))
    expected = features_of(sources / name, photo)
    scale = float(expected.square().mean().sqrt())
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * scale)


def test_a_card_is_read_by_the_hub(sources: Path, tmp_path: Path) -> None:
    export(sources / "vit", "huggingface", tmp_path / "out")
    data = ModelCard.load(tmp_path / "out" / "README.md").data.to_dict()
    assert data["license"] == "unknown"
    assert data["library_name"] == "transformers"
    assert {"mvssl", "transformers", "timm"} <= set(data["tags"])
    said = json.loads((tmp_path / "out" / "config.json").read_text())["pretrained_cfg"]
    assert (said["input_size"], said["mean"], said["std"]) == (
        [3, SIZE, SIZE],
        EXPECTED["mean"],
        EXPECTED["std"],
    )


@pytest.mark.parametrize(
    ("name", "value", "files"),
    [
        ("BY_DYNAMO", True, ["README.md", "model.onnx"]),
        ("BY_DYNAMO", False, ["README.md", "model.onnx"]),
        ("MOST_IN_ONE_FILE", 0, ["README.md", "model.onnx", "model.onnx.data"]),
    ],
)
def test_onnx_takes_batches_of_any_length(
    name: str,
    value: int,
    files: list[str],
    sources: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(formats, name, value)
    export(sources / "vit", "onnx", tmp_path / "out")
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == files
    session = import_module("onnxruntime").InferenceSession(tmp_path / "out" / "model.onnx")
    backbone = load_backbone(sources / "vit")
    for length in (1, 3, 17):
        images = torch.randn(length, 3, SIZE, SIZE)
        with torch.no_grad():
            expected = backbone(images).numpy()
        (found,) = session.run(None, {"images": images.numpy()})
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_another_size_is_that_of_the_files(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(sources / "vit", "timm", tmp_path / "out", image_size=64)
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["pretrained_cfg"]["input_size"] == [3, 64, 64]
    Image.new("RGB", (90, 70)).save(tmp_path / "out" / "photo.jpg")
    assert run_card(tmp_path / "out", monkeypatch).shape == (1, 16)


def test_channels_of_several_networks_are_exported_as_a_graph(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(sources / "split", "torch_export", tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "become 0 to 1; lab." in card
    assert run_card(tmp_path / "out", monkeypatch).shape == (1, 1024)


def test_it_is_compared_on_images_that_are_given(
    sources: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "images").mkdir()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (40, 50, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{number}.png")
    (tmp_path / "images" / "3.png").write_bytes(b"no image")
    export(sources / "vit", "timm", tmp_path / "out", data=tmp_path / "images")
    assert "compared on 3 images" in capsys.readouterr().out
    for number in range(3):
        (tmp_path / "images" / f"{number}.png").write_bytes(b"no image")
    with pytest.raises(UserError, match="none of the images"):
        export(sources / "vit", "timm", tmp_path / "other", data=tmp_path / "images")
    assert not (tmp_path / "other").exists()


def test_values_of_deep_images_are_those_of_training(sources: Path, tmp_path: Path) -> None:
    made = load_backbone(sources / "vit")
    save_backbone(made, tmp_path / "deep", BUILDS["vit"], EXPECTED | {"value_range": [0, 4095]})
    assert export(tmp_path / "deep", "timm", tmp_path / "out") < 1e-6
    assert "from 0 to 4095 become 0 to 1" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.parametrize(("off", "fits"), [(5e-5, True), (2e-4, False), (float("nan"), False)])
def test_other_features_are_refused(
    off: float,
    fits: bool,
    sources: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    backbone = load_backbone(sources / "vit")

    def write(given: formats.Exportable, folder: Path) -> formats.Features:
        (folder / "weights").write_bytes(b"weights")

        def features(images: Tensor) -> Tensor:
            x: Tensor = backbone(images)
            x[-1, 3] += off * x.square().mean().sqrt()
            return x

        return features

    form = formats.Form("timm", write)
    monkeypatch.setattr("mvssl.apis.export.FORMS", {"timm": form})
    words = [str(sources / "vit"), "--format", "timm", "--out", str(tmp_path / "a" / "b")]
    assert load_tool("export").main(words) == (0 if fits else 1)
    error = capsys.readouterr().err
    assert error.count("\n") == (0 if fits else 1)
    assert ("other features than the backbone" in error) is not fits
    assert (tmp_path / "a").exists() is fits


def test_an_empty_folder_is_filled_even_that_where_one_stands(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    export(sources / "vit", "timm", ".")
    names = {"README.md", "config.json", "model.safetensors"}
    assert {file.name for file in Path().iterdir()} == names
    assert {file.name for file in (tmp_path / "here").iterdir()} == names


@pytest.mark.parametrize(
    ("form", "name"),
    [
        ("timm", "vit"),
        ("huggingface", "vit"),
        ("onnx", "vit"),
        ("torch_export", "vit"),
        ("torchvision", "resnet18"),
    ],
)
def test_a_full_disk_is_told_and_leaves_nothing(
    form: str, name: str, sources: Path, tmp_path: Path
) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(UserError, match=r"File too large\. Make room"):
            export(sources / name, form, tmp_path / "a" / "b")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_a_signal_leaves_nothing(sources: Path, tmp_path: Path) -> None:
    words = ["tools/export.py", sources / "vit", "--format", "onnx", "--out", tmp_path / "a" / "b"]
    command = Command([python(), *words])
    while command.process.poll() is None and not (tmp_path / "a").exists():
        time.sleep(0.01)
    command.send(signal.SIGTERM)
    assert command.end() == 128 + signal.SIGTERM
    assert len(command.told()) == 1
    assert list(tmp_path.iterdir()) == []


class _Own(Backbone):
    """A backbone of the user's own."""

    num_features = 4

    def __init__(self) -> None:
        super().__init__()
        self.in_channels = 3
        self.layer = nn.Conv2d(3, 4, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.layer(images).mean((2, 3))


class Plain(_Own):
    pass


class Spectral(_Own):
    """With an operator that ONNX has not."""

    def forward(self, images: Tensor) -> Tensor:
        x = super().forward(images)
        return torch.linalg.eigvalsh(x[:, :, None] * x[:, None, :]) + x


class Branching(_Own):
    """With another graph for other images."""

    def forward(self, images: Tensor) -> Tensor:
        x = super().forward(images)
        return x if images.mean() > 0 else -x


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("own")
    kinds: list[type[_Own]] = [Plain, Spectral, Branching]
    for kind in kinds:
        BACKBONES.register_module()(kind)
        torch.manual_seed(0)
        save_backbone(kind(), folder / kind.__name__, {"type": kind.__name__}, EXPECTED)
    yield folder
    for kind in kinds:
        BACKBONES.module_dict.pop(kind.__name__)


@pytest.mark.parametrize("form", ["onnx", "torch_export"])
def test_a_backbone_of_ones_own_is_exported_as_a_graph(
    form: str, own: Path, photo: Image.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(own / "Plain", form, tmp_path / "out")
    photo.save(tmp_path / "out" / "photo.jpg", format="png")
    found = torch.as_tensor(run_card(tmp_path / "out", monkeypatch))
    torch.testing.assert_close(found, features_of(own / "Plain", photo))


@pytest.mark.parametrize(
    ("name", "form", "said"),
    [
        ("Plain", "timm", "takes networks of timm alone, and the backbone is a Plain"),
        ("Plain", "torchvision", "takes networks of timm alone, and the backbone is a Plain"),
        ("Plain", "huggingface", "takes networks of timm alone, and the backbone is a Plain"),
        ("Spectral", "onnx", "eigh"),
        ("Branching", "torch_export", "cannot hold this Branching"),
        ("Branching", "onnx", "cannot hold this Branching"),
    ],
)
def test_what_a_format_cannot_hold_is_told(
    name: str,
    form: str,
    said: str,
    own: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    words = [str(own / name), "--format", form, "--out", str(out)]
    assert load_tool("export").main(words) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert len(error) < 400
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"--format": "timn"}, "did you mean 'timm'"),
        ({"source": "nowhere"}, "nowhere"),
        ({"source": "empty"}, "holds neither backbone.safetensors nor a checkpoint"),
        ({"--which": "teacher"}, "holds one backbone"),
        ({"--data": "nowhere"}, "There is no folder nowhere"),
        ({"--data": "empty"}, "empty"),
        ({"--out": "full"}, "is not empty (something)"),
        ({"--out": "full/something"}, "is a file"),
        ({"--out": "full/something/below"}, "something is a file, no folder"),
        ({"--image-size": "30"}, "do not divide"),
        ({"--image-size": "0"}, "--image-size"),
        ({"--format": "torchvision"}, "torchvision has no network that is timm's vit_tiny"),
        ({"source": "resnet10t", "--format": "torchvision"}, "timm's resnet10t: it has resnet101"),
        ({"source": "cifar", "--format": "torchvision"}, "stem='cifar'"),
        ({"source": "cifar"}, "stem='cifar'"),
        ({"source": "cifar", "--format": "huggingface"}, "stem='cifar'"),
        ({"source": "split", "--format": "huggingface"}, "the backbone is a SplitBackbone"),
        ({"source": "strided", "--format": "torchvision"}, "computes other features"),
    ],
)
def test_bad_input_is_one_sentence_and_writes_nothing(
    sources: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    change: dict[str, str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("full").mkdir()
    Path("full/something").touch()
    Path("empty").mkdir()
    for name in BUILDS:
        Path(name).symlink_to(sources / name)
    before = sorted(Path().rglob("*"))
    given = {"source": "vit", "--format": "timm", "--out": "out/below"} | change
    words = [given.pop("source"), *(word for pair in given.items() for word in pair)]
    try:
        status = load_tool("export").main(words)
    except SystemExit as end:  # of argparse
        status = int(end.code or 0)
    assert status == (1 if "computes" in said else 2)
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize(
    ("form", "package"), [("onnx", "onnxruntime"), ("huggingface", "transformers")]
)
def test_a_missing_package_is_named(
    form: str, package: str, sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mvssl.apis.export.find_spec", lambda name: None if name == package else 1)
    with pytest.raises(UserError, match=rf"{form} takes {package}: pip install .*{package}"):
        export(sources / "vit", form, tmp_path / "out")


def test_features_that_are_nothing_are_told(tmp_path: Path) -> None:
    for value, said in ((0.0, "are 0"), (float("nan"), "are not finite")):
        made = TimmBackbone("vit_tiny_patch16_224", dict(VIT_ARGS))
        torch.nn.init.constant_(made.model.norm.weight, value)  # type: ignore[union-attr,arg-type]
        torch.nn.init.constant_(made.model.norm.bias, value)  # type: ignore[union-attr,arg-type]
        save_backbone(made, tmp_path / "b", BUILDS["vit"], EXPECTED)
        with pytest.raises(UserError, match=said):
            export(tmp_path / "b", "timm", tmp_path / "out")


def test_a_file_that_says_nothing_of_its_images_is_refused(tmp_path: Path) -> None:
    made = BACKBONES.build(BUILDS["vit"])
    save_backbone(made, tmp_path / "b", BUILDS["vit"])
    with pytest.raises(UserError, match="does not say how its images are normalised"):
        export(tmp_path / "b", "timm", tmp_path / "out")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, _quick_runs: None) -> Path:
    """A run that was evaluated."""
    folder = tmp_path_factory.mktemp("runs")
    assert train_cli(write_config(folder), "--work-dir", folder / "run") == 0
    for name, image in zip(("china", "flower"), load_sample_images().images, strict=True):
        (folder / "private" / "flowers" / name).mkdir(parents=True)
        for number in range(10):
            square = image[15 * number : 15 * number + 64, 20 * number : 20 * number + 64]
            Image.fromarray(square).save(folder / "private" / "flowers" / name / f"{number}.png")
    data, options = str(folder / "private" / "flowers"), {"knn.k": 3}
    evaluate_backbones(
        EvaluateOptions([str(folder / "run")], data, evaluators=["knn"], options=options)
    )
    return folder / "run"


def card_of(source: Path, out: Path, which: Any = "student") -> str:
    export(source, "timm", out, which=which)
    return (out / "README.md").read_text(encoding="utf-8")


def test_a_card_says_what_is_known_of_the_run(run: Path, tmp_path: Path) -> None:
    summary = json.loads((run / "summary.json").read_text())
    evaluated = json.loads((run / "evaluation/metrics.json").read_text())
    card = card_of(run, tmp_path / "out")
    assert "| config | mini_byol_er_vit.py |" in card
    assert "| data | digits (train): 1,437 images 32x32, 10 classes |" in card
    assert "| method | neck MLP, predictor MLP, EMA teacher |" in card
    assert "| objective | ERHead |" in card
    assert "2 epochs, 1,437 images, batches of 256, seed 0" in card
    before, after = summary["knn_top1_init"], summary["knn_top1"]
    assert f"| kNN top-1 | {before:.4g} | {after:.4g} |" in card
    assert f"| MI estimate | {summary['mi_bound']:.4g} nats |" in card
    found = evaluated["backbones"][0]["results"]["knn_top1"]
    assert "## Evaluated on flowers" in card
    assert f"| kNN top-1 | {found:.4g} |" in card.partition("## Evaluated")[2]
    assert f"| torch | {torch.__version__.partition('+')[0]}" in card
    assert "private" not in card
    assert card_of(run / "backbone.safetensors", tmp_path / "same") == card


def test_a_card_gives_no_backbone_the_numbers_of_another(run: Path, tmp_path: Path) -> None:
    teacher = card_of(run, tmp_path / "teacher", "teacher")
    assert "| backbone | teacher |" in teacher
    assert "Of the student beside this teacher" in teacher
    assert "## Evaluated" not in teacher
    earlier = card_of(run / "epoch_1.pth", tmp_path / "earlier")
    assert "kNN" not in earlier
    assert "epochs" not in earlier


def test_a_card_names_no_folder_above_the_data(run: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(run, tmp_path / "run"))
    summary = json.loads((folder / "summary.json").read_text())
    summary["data"] = (
        "/home/private (mine)/of 2 (all)/leaves (small) (train): 9 images, a/ held out"
    )
    (folder / "summary.json").write_text(json.dumps(summary))
    card = card_of(folder, tmp_path / "out")
    assert "| data | leaves (small) (train): 9 images, a/ held out |" in card


def test_a_card_gives_weights_no_numbers_of_others(
    run: Path, sources: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(run, tmp_path / "run"))
    evaluate_backbones(
        EvaluateOptions(
            ["pixels", str(sources / "vit"), str(folder), str(folder / "epoch_1.pth")],
            str(run.parent / "private" / "flowers"),
            evaluators=["knn"],
            options={"knn.k": 3},
            out=str(folder / "evaluation"),
        )
    )
    evaluated = json.loads((folder / "evaluation/metrics.json").read_text())
    digests = [one["weights"] for one in evaluated["backbones"]]
    assert digests[0] is None
    assert len(set(digests)) == 4
    for number, one in enumerate(evaluated["backbones"]):
        one["results"] = {"found": float(number)}
    (folder / "evaluation/metrics.json").write_text(json.dumps(evaluated))
    card = card_of(folder, tmp_path / "out")
    assert card.count("## Evaluated on flowers") == 1
    assert [line for line in card.splitlines() if "| found |" in line] == ["| found | 2 |"]
    assert "## Evaluated" not in card_of(folder, tmp_path / "teacher", "teacher")
    # As of a run that went on after it was evaluated.
    before = load_file(folder / "backbone.safetensors")
    name = min(before)
    with safe_open(folder / "backbone.safetensors", "pt") as file:
        metadata = file.metadata()
    changed = before | {name: torch.nextafter(before[name], torch.tensor(9.0))}
    save_file(changed, folder / "backbone.safetensors", metadata)
    assert "## Evaluated" not in card_of(folder, tmp_path / "later")


@pytest.mark.parametrize("text", ["{", "[1]", "\udcff"])
def test_a_damaged_summary_is_told(run: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "backbone.safetensors").write_bytes(
        (run / "backbone.safetensors").read_bytes()
    )
    (tmp_path / "run" / "summary.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(UserError, match=r"summary\.json cannot be read"):
        export(tmp_path / "run", "timm", tmp_path / "out")
    (tmp_path / "run" / "summary.json").unlink()
    (tmp_path / "run" / "evaluation").mkdir()
    (tmp_path / "run" / "evaluation/metrics.json").write_text('{"which": "student"}')
    with pytest.raises(UserError, match=r"metrics\.json cannot be read"):
        export(tmp_path / "run", "timm", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_published_weights_keep_their_licence_and_a_name(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = formats.timm.create_model
    # What a network would give is not tried here: the weights are drawn.
    with monkeypatch.context() as offline:
        offline.setattr(
            formats.timm,
            "create_model",
            lambda name, **given: create(
                name, **given | ({} if "local-dir" in name else {"pretrained": False})
            ),
        )
        card = card_of(Path("timm:test_vit.r160_in1k"), tmp_path / "out")
    assert "license: apache-2.0" in card
    assert "the published weights `timm:test_vit.r160_in1k`" in card
    assert "learned without labels" not in card
