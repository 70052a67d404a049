"""Features of a folder: what they are, how they are written, on one process and on several."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pyarrow import parquet
from sklearn.datasets import load_sample_images

import mvssl
from mvssl.apis import TrainOptions
from mvssl.apis.extract import Extracted, extract
from mvssl.datasets import ArrayImages, ImageFolder
from mvssl.distributed import rank
from mvssl.errors import UserError
from mvssl.models.backbones import TimmBackbone, save_backbone
from tests.commands import Command
from tests.gloo_pool import GlooPool
from tests.mini import ROOT, load_tool, prepared, write_digits

VIT = {
    "type": "TimmBackbone",
    "name": "vit_tiny_patch16_224",
    "model_args": {"img_size": 32, "patch_size": 8, "embed_dim": 16, "depth": 1, "num_heads": 2},
}
EXPECTED = {"size": 32, "color_space": "rgb", "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.4]}


@pytest.fixture
def backbone(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    made = TimmBackbone(VIT["name"], VIT["model_args"])  # type: ignore[arg-type]
    save_backbone(made, tmp_path / "backbone.safetensors", VIT, EXPECTED)
    return tmp_path / "backbone.safetensors"


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Two classes of three squares each, and a broken file."""
    for name, image in zip(("china", "flower"), load_sample_images().images, strict=True):
        folder = tmp_path / "photographs" / name
        folder.mkdir(parents=True)
        for number in range(3):
            square = image[40 * number : 40 * number + 32, :32]
            Image.fromarray(square).save(folder / f"{number}.png")
    return tmp_path / "photographs"


def test_features_are_those_of_normalised_images(backbone: Path, photographs: Path) -> None:
    found = extract(backbone, photographs, labels=True)
    assert found.names == [f"{k}/{n}.png" for k in ("china", "flower") for n in range(3)]
    assert found.classes == ["china", "flower"]
    assert found.labels is not None
    assert found.labels.tolist() == [0, 0, 0, 1, 1, 1]
    images = [np.asarray(Image.open(photographs / name)) for name in found.names]
    x = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2) / 255.0
    mean, std = (torch.tensor(EXPECTED[name]).view(1, 3, 1, 1) for name in ("mean", "std"))
    with torch.no_grad():
        expected = mvssl.load_backbone(backbone)((x - mean) / std)
    np.testing.assert_allclose(found.x, expected.numpy(), rtol=1e-5, atol=1e-6)
    again = mvssl.extract(mvssl.load_backbone(backbone), np.stack(images), batch_size=4)
    np.testing.assert_allclose(again.x, found.x, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("limits", [None, (-1.0, 4.0)])
@pytest.mark.parametrize(("channels", "means"), [(1, 1), (2, 2), (3, 1), (5, 5)])
def test_channels_are_those_of_the_backbone(
    tmp_path: Path, channels: int, means: int, limits: tuple[float, float] | None
) -> None:
    torch.manual_seed(0)
    args: dict[str, Any] = {**VIT["model_args"], "in_chans": channels}  # type: ignore[dict-item]
    made = TimmBackbone("vit_tiny_patch16_224", args)
    mean, std = [0.3, 0.4, 0.5, 0.6, 0.7][:means], [0.2, 0.3, 0.4, 0.5, 0.6][:means]
    expected = {**EXPECTED, "mean": mean, "std": std, "value_range": limits}
    save_backbone(made, tmp_path / "b", {**VIT, "model_args": args}, expected)
    rng = np.random.default_rng(0)
    images = rng.random((4, 32, 32, channels), np.float32)
    low, high = limits or (0, 1)
    found = extract(tmp_path / "b", low + (high - low) * images)
    x = torch.from_numpy(images).permute(0, 3, 1, 2)
    with torch.no_grad():
        wanted = made.eval()(
            (x - torch.tensor(mean).view(1, -1, 1, 1)) / torch.tensor(std).view(1, -1, 1, 1)
        )
    np.testing.assert_allclose(found.x, wanted.numpy(), rtol=1e-4, atol=1e-5)


def test_the_part_of_a_square_that_is_shown_is_that_of_the_file(
    tmp_path: Path, photographs: Path
) -> None:
    made = TimmBackbone(VIT["name"], VIT["model_args"])  # type: ignore[arg-type]
    found = {}
    for share in (None, 1.0, 0.5):
        expected = EXPECTED | ({} if share is None else {"crop_pct": share})
        save_backbone(made, tmp_path / f"{share}.safetensors", VIT, expected)
        found[share] = extract(tmp_path / f"{share}.safetensors", photographs).x
    inner = ImageFolder(photographs, "all", size=32, crop_pct=0.5)
    plain = extract(tmp_path / "None.safetensors", inner).x
    np.testing.assert_array_equal(found[0.5], plain)
    np.testing.assert_array_equal(found[1.0], found[None])
    assert np.abs(found[0.5] - found[1.0]).max() > 1e-3


def test_a_run_s_file_says_what_its_evaluation_showed(tmp_path: Path) -> None:
    data = write_digits(tmp_path / "digits", train=8, test=2)
    config = str(ROOT / "configs/photos/byol_small.py")
    plain = TrainOptions(config=config, data=str(data), image_size=32, batch_size=8)
    assert prepared(replace(plain, labels=True)).expected["crop_pct"] == 0.875
    assert "crop_pct" not in prepared(plain).expected


def test_bfloat16_is_near_and_not_the_same(backbone: Path, photographs: Path) -> None:
    exact, rough = (extract(backbone, photographs, amp=amp).x for amp in (False, True))
    assert rough.dtype == np.float32
    assert 0 < np.abs(exact - rough).max() < 0.1


def test_what_cannot_be_read_has_no_row(backbone: Path, photographs: Path) -> None:
    whole = extract(backbone, photographs)
    (photographs / "china/9.png").write_bytes(b"no image")
    found = extract(backbone, photographs)
    assert list(found.unreadable) == ["china/9.png"]
    assert found.names == whole.names
    np.testing.assert_array_equal(found.x, whole.x)


def test_values_of_deep_images_are_those_of_training(tmp_path: Path, backbone: Path) -> None:
    made = mvssl.load_backbone(backbone)
    deep = EXPECTED | {"value_range": [0, 4095]}
    save_backbone(made, tmp_path / "deep.safetensors", VIT, deep)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 2048, (4, 32, 32, 3), np.uint16)  # half of the range of training
    found = extract(tmp_path / "deep.safetensors", images)
    bytes_ = np.round(images / 4095 * 255).astype(np.uint8)
    near = extract(backbone, bytes_)
    np.testing.assert_allclose(found.x, near.x, atol=0.05)


def test_every_ending_holds_the_same(
    backbone: Path, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tool = load_tool("extract")
    given = [str(backbone), "--data", str(photographs), "--labels", "--workers", "0", "--out"]
    for ending in ("npz", "npy", "parquet"):
        assert tool.main([*given, str(tmp_path / f"f.{ending}")]) == 0
    assert "6 images x 16 numbers, 2 classes" in capsys.readouterr().out
    expected = extract(backbone, photographs, labels=True)
    packed = np.load(tmp_path / "f.npz")
    np.testing.assert_array_equal(packed["features"], expected.x)
    assert packed["names"].tolist() == expected.names
    assert packed["labels"].tolist() == [0, 0, 0, 1, 1, 1]
    mapped = np.load(tmp_path / "f.npy", mmap_mode="r")
    np.testing.assert_array_equal(mapped, expected.x)
    beside = json.loads((tmp_path / "f.json").read_text())
    assert beside == {
        "names": expected.names,
        "labels": [0, 0, 0, 1, 1, 1],
        "classes": ["china", "flower"],
    }
    table = parquet.read_table(tmp_path / "f.parquet").to_pydict()
    np.testing.assert_array_equal(np.array(table["features"], np.float32), expected.x)
    assert table["class"] == ["china"] * 3 + ["flower"] * 3


def test_an_image_without_a_label_is_of_no_class(tmp_path: Path) -> None:
    features = np.zeros((3, 2), np.float32)
    labels = np.array([1, -1, 0])
    made = Extracted(features, ["a", "b", "c"], labels, ["cat", "dog"], {})
    made.save(tmp_path / "f.parquet")
    table = parquet.read_table(tmp_path / "f.parquet").to_pydict()
    assert table["class"] == ["dog", None, "cat"]
    assert table["label"] == [1, -1, 0]


def on_a_rank(backbone: str, folder: str) -> Any:
    found = extract(backbone, folder, labels=True, batch_size=2)
    return found.x, found.names, found.labels, found.unreadable


def test_several_processes_give_what_one_gives(
    backbone: Path, photographs: Path, run_distributed: GlooPool
) -> None:
    (photographs / "china/9.png").write_bytes(b"no image")
    expected = extract(backbone, photographs, labels=True)
    for x, names, labels, unreadable in run_distributed(
        on_a_rank, 2, str(backbone), str(photographs)
    ):
        np.testing.assert_allclose(x, expected.x, rtol=1e-5, atol=1e-6)
        assert names == expected.names
        assert labels.tolist() == [0, 0, 0, 1, 1, 1]
        assert unreadable == expected.unreadable


def streamed(
    backbone: str | Path, folder: str | Path, out: str | Path, amp: bool = False
) -> Extracted:
    return extract(backbone, folder, labels=True, batch_size=2, amp=amp, out=out)


@pytest.mark.parametrize("amp", [False, True])
@pytest.mark.parametrize("bad", [(), ("china/0.png",), ("china/1.png", "flower/2.png", "flower/9")])
def test_a_streamed_file_is_that_of_numpy(
    backbone: Path, photographs: Path, tmp_path: Path, bad: tuple[str, ...], amp: bool
) -> None:
    for name in bad:
        (photographs / name).with_suffix(".png").write_bytes(b"no image")
    whole = extract(backbone, photographs, labels=True, batch_size=2, amp=amp)
    np.save(tmp_path / "whole.npy", whole.x)
    found = streamed(backbone, photographs, tmp_path / "f.npy", amp)
    assert (tmp_path / "f.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()
    assert isinstance(found.x, np.memmap)
    np.testing.assert_array_equal(found.x, whole.x)
    assert found.names == whole.names
    assert found.unreadable == whole.unreadable
    np.testing.assert_array_equal(found.labels, whole.labels)
    whole.save(tmp_path / "whole.npy")
    assert (tmp_path / "f.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()
    assert (tmp_path / "f.json").read_bytes() == (tmp_path / "whole.json").read_bytes()
    assert not list(tmp_path.glob(".*"))


def stream_on_a_rank(backbone: str, folder: str, out: str) -> Any:
    found = streamed(backbone, folder, out)
    whole = extract(backbone, folder, labels=True, batch_size=2)
    np.testing.assert_array_equal(found.x, whole.x)
    return isinstance(found.x, np.memmap), found.names, found.unreadable


@pytest.mark.parametrize("world", [2, 4])
def test_several_processes_stream_what_they_extract(
    backbone: Path, photographs: Path, tmp_path: Path, run_distributed: GlooPool, world: int
) -> None:
    (photographs / "china/1.png").write_bytes(b"no image")
    expected = extract(backbone, photographs, labels=True)
    out = tmp_path / "f.npy"
    answers = run_distributed(stream_on_a_rank, world, str(backbone), str(photographs), str(out))
    assert answers == world * [(True, expected.names, expected.unreadable)]
    np.testing.assert_allclose(np.load(out), expected.x, rtol=1e-5, atol=1e-6)
    assert json.loads((tmp_path / "f.json").read_text())["names"] == expected.names


def stream_out_of_sight(backbone: str, folder: str, out: str) -> str:
    if rank():
        out = f"{Path(out).parent}/elsewhere/f.npy"
    with pytest.raises(UserError) as raised:
        streamed(backbone, folder, out)
    return str(raised.value)


def test_a_folder_that_one_process_does_not_see_is_told_by_all(
    backbone: Path, photographs: Path, tmp_path: Path, run_distributed: GlooPool
) -> None:
    (tmp_path / "elsewhere").mkdir()
    given = str(backbone), str(photographs), str(tmp_path / "f.npy")
    first, second = run_distributed(stream_out_of_sight, 2, *given)
    assert first == second
    assert "does not see" in first
    assert not [*tmp_path.rglob("*.npy"), *tmp_path.rglob("*.tmp"), *tmp_path.rglob("f.json")]


def test_without_any_image_nothing_is_written(
    backbone: Path, photographs: Path, tmp_path: Path
) -> None:
    for file in photographs.rglob("*.png"):
        file.write_bytes(b"no image")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UserError, match="none of the images can be read"):
        streamed(backbone, photographs, tmp_path / "f.npy")
    assert sorted(tmp_path.iterdir()) == before


def test_files_of_writers_that_were_killed_go(
    backbone: Path, photographs: Path, tmp_path: Path
) -> None:
    others = ".g.npy.999999999.tmp", ".f.npy.tmp"
    for name in (".f.npy.999999999.tmp", *others):
        (tmp_path / name).touch()
    streamed(backbone, photographs, tmp_path / "f.npy")
    assert {file.name for file in tmp_path.glob(".*")} == set(others)


WIDE = """
import sys

import numpy as np
import torch
from torch import nn

from mvssl.apis.extract import extract


class Wide(nn.Module):
    preprocessing = {"size": 8, "mean": [0.0] * 3, "std": [1.0] * 3}

    def forward(self, x):
        return x.mean(dim=(1, 2, 3))[:, None] * torch.arange(1.0, 16385.0)


def peak():
    # Of this program: getrusage counts the process, too, that has started it.
    (line,) = [x for x in open("/proc/self/status") if x.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


images = np.random.default_rng(0).integers(0, 256, (2000, 8, 8, 3), np.uint8)
extract(Wide(), images[:64], batch_size=32, out=sys.argv[1])
before = peak()
found = extract(Wide(), images, batch_size=32, out=sys.argv[1] if sys.argv[2] == "file" else None)
print((peak() - before) / found.x.nbytes)
"""


def test_streamed_features_are_never_all_in_memory(tmp_path: Path) -> None:
    (tmp_path / "wide.py").write_text(WIDE)
    taken = {}
    for where in ("file", "memory"):
        words = [sys.executable, str(tmp_path / "wide.py"), str(tmp_path / "f.npy"), where]
        given = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        taken[where] = float(subprocess.check_output(words, cwd=tmp_path, env=given))
    assert taken["file"] < 0.2  # of 131 MB
    assert taken["memory"] > 0.9


@contextmanager
def full_disk() -> Iterator[None]:
    """Files may hold no more than 350 bytes, of which a header takes 128."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (350, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("reserves", [True, False])
@pytest.mark.parametrize("ending", ["npy", "npz", "parquet"])
def test_a_full_disk_is_one_sentence_and_leaves_nothing(
    backbone: Path,
    photographs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    ending: str,
    reserves: bool,
) -> None:
    if not reserves:  # then it is met in the middle
        monkeypatch.delattr(os, "posix_fallocate")
    (tmp_path / "here").mkdir()
    out = tmp_path / "here" / f"f.{ending}"
    given = ["--data", str(photographs), "--workers", "0", "--batch-size", "2", "--out", str(out)]
    tool = load_tool("extract")
    with full_disk():
        assert tool.main([str(backbone), *given]) == 2
    error = capsys.readouterr().err
    assert f"Cannot write {out}: File too large. Make room" in error
    assert error.count("\n") == 1
    assert list(out.parent.iterdir()) == []


WAITING = """
import time

from mvssl.evaluation.network import Network

features = Network.features
calls = []


def waiting(self, batch):
    calls.append(batch)
    if len(calls) == 3:
        print("waiting", flush=True)
        time.sleep(60)
    return features(self, batch)


Network.features = waiting
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_no_half_of_a_file(
    backbone: Path, photographs: Path, tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "waits_within.py").write_text(WAITING)
    out = tmp_path / "here" / "f.npy"
    out.parent.mkdir()
    given = ["--data", photographs, "--batch-size", 2, "--custom-imports", "waits_within"]
    tool = [sys.executable, "tools/extract.py", backbone, *given, "--out", out]
    run = Command(tool, path=[tmp_path])
    run.wait_for("waiting")
    (begun,) = out.parent.iterdir()
    assert begun.suffix == ".tmp"
    run.send(number)
    assert run.end() == 128 + number
    (said,) = run.told()
    assert said.startswith(f"interrupted by {number.name}; no features were written")
    assert list(out.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"--out": "f.txt"}, "ends in .npz, .npy, .parquet"),
        ({"--out": "../here.npy"}, "is a folder"),
        ({"--out": "../photographs/china/0.png/f.npz"}, "0.png is a file, no folder"),
        ({"--out": "../photographs/china/0.png/f.npy"}, "0.png is a file, no folder"),
        ({"--out": ".."}, "ends in .npz, .npy, .parquet"),
        ({"--out": ""}, "A path is empty: give one, or '.' for the present folder."),
        ({"--data": ""}, "A path is empty"),
        ({"source": ""}, "A path is empty"),
        ({"--out": f"{'x' * 300}.npz"}, "cannot be reached (File name too long)"),
        ({"--data": "x" * 300}, "cannot be reached (File name too long)"),
        ({"source": "x" * 300}, "cannot be reached (File name too long)"),
        ({"--data": "nowhere"}, "There is no folder nowhere"),
        ({"source": "nowhere"}, "nowhere"),
        ({"--image-size": "30"}, "do not divide"),
        ({"--batch-size": "0"}, "--batch-size is"),
        ({"--workers": "-1"}, "--workers is"),
        ({"--image-size": "0"}, "--image-size is"),
        ({"--which": "teacher"}, "holds one backbone"),
    ],
)
def test_bad_input_is_one_sentence_and_writes_nothing(
    backbone: Path,
    photographs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    change: dict[str, str],
    said: str,
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here.npy").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    given = {"source": str(backbone), "--data": str(photographs), "--out": "f.npz"} | change
    words = [given.pop("source"), *(word for pair in given.items() for word in pair)]
    assert load_tool("extract").main(words) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert list(Path().iterdir()) == []


def test_images_of_other_channels_are_refused(backbone: Path) -> None:
    with pytest.raises(UserError, match="5 channels, and the backbone was trained on images of 3"):
        extract(backbone, np.zeros((2, 32, 32, 5), np.uint8))


def test_an_image_of_an_array_has_the_features_that_it_has_alone(backbone: Path) -> None:
    drawn = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    fractions = drawn / 255.0
    fractions[0] *= 0.3
    together = extract(backbone, fractions).x
    np.testing.assert_allclose(extract(backbone, fractions[:1]).x, together[:1], atol=1e-5)
    np.testing.assert_allclose(extract(backbone, drawn).x[1:], together[1:], atol=1e-5)
    for other in (fractions * 255, drawn.astype(np.uint16), fractions - 0.1):
        with pytest.raises(UserError, match=r"give uint8, or fractions from 0 to 1, or say what"):
            extract(backbone, other)
    given = ArrayImages(fractions * 255, size=32, value_range=(0, 255))
    np.testing.assert_allclose(extract(backbone, given).x, together, atol=1e-5)


def test_what_is_found_is_shown_in_a_line(backbone: Path, photographs: Path) -> None:
    assert repr(extract(backbone, photographs, labels=True)) == "Extracted(6 x 16, 2 classes)"
    (photographs / "china/0.png").write_bytes(b"")
    assert repr(extract(backbone, photographs)) == "Extracted(5 x 16, no labels, 1 unreadable)"


def test_what_is_no_source_is_told_with_what_is(
    backbone: Path, photographs: Path, tmp_path: Path
) -> None:
    page = tmp_path / "report.html"
    page.write_text("<html>" * 100)
    sources = "the folder of a run, its backbone.safetensors, a checkpoint of it, or timm:NAME"
    with pytest.raises(UserError, match=f"holds no weights: give {sources}"):
        extract(page, photographs)
    with pytest.raises(UserError, match=f"There is no nothere: give {sources}"):
        extract("nothere", photographs)
    with pytest.raises(UserError, match=r"did you mean 'backbone\.safetensors'\?"):
        extract(backbone.with_name("backbone.safetensor"), photographs)
    backbone.write_bytes(backbone.read_bytes()[:-9])
    with pytest.raises(UserError, match="not a safetensors file, or it is damaged"):
        extract(backbone, photographs)
