"""A folder is read once from end to end, and what is told is what is there."""

from __future__ import annotations

import json
import os
import tracemalloc
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import cv2
import numpy as np
import pytest

from mvssl.apis.check_data import check_data, draw, of_list, write_list
from mvssl.datasets import ImageFolder
from mvssl.errors import UserError
from mvssl.registry import DATASETS
from tests.mini import load_tool, tree


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes: five images that differ, one copy under another name, one that is none."""
    rng = np.random.default_rng(0)
    for number in range(5):
        file = tmp_path / "images" / ("ab"[number % 2]) / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        image = rng.integers(0, 256, (20 + number, 30, 3), np.uint8)
        assert cv2.imwrite(str(file), image)
    first = tmp_path / "images" / "a" / "0.png"
    # Other bytes, equal pixels.
    copy = cv2.imread(str(first))
    assert copy is not None
    cv2.imwrite(str(first.with_name("copy.bmp")), copy)
    (tmp_path / "images" / "b" / "bad.jpg").write_text("text")
    return tmp_path / "images"


def test_sizes_copies_and_faults_are_told(folder: Path) -> None:
    report = check_data(folder, labels=True)
    names = report.dataset.names()
    assert [names[n] for n in report.readable] == [
        *("a/0.png", "a/2.png", "a/4.png", "a/copy.bmp", "b/1.png", "b/3.png"),
    ]
    assert [names[n] for n in report.good] == [
        *("a/0.png", "a/2.png", "a/4.png", "b/1.png", "b/3.png"),
    ]
    assert [names[n] for n in report.faults] == ["b/bad.jpg"]
    assert [[names[n] for n in group] for group in report.copies] == [["a/0.png", "a/copy.bmp"]]
    assert report.sides.tolist() == [[20, 30], [22, 30], [24, 30], [20, 30], [21, 30], [23, 30]]
    assert report.classes == {"a": 4, "b": 2}
    told = "\n".join(report.lines())
    assert "6 of 7 can be read" in told
    assert "short side   20 to 24, median 22 pixels" in told
    assert "1 image equal to another one, such as a/0.png = a/copy.bmp" in told


def test_mean_and_deviation_are_those_of_the_pixels(folder: Path) -> None:
    report = check_data(folder)
    files = [folder / report.dataset.names()[n] for n in report.readable]
    read = [cv2.imread(str(file)) for file in files]
    pixels = [image[..., ::-1].reshape(-1, 3) / 255.0 for image in read if image is not None]
    # Each image counts the same: weights of 1 / pixels.
    weights = np.concatenate([np.full(len(one), 1 / len(one)) for one in pixels])
    values = np.concatenate(pixels)
    mean = np.average(values, axis=0, weights=weights)
    std = np.sqrt(np.average((values - mean) ** 2, axis=0, weights=weights))
    np.testing.assert_allclose(report.mean, mean, rtol=1e-9)
    np.testing.assert_allclose(report.std, std, rtol=1e-9)


def test_deep_images_have_their_range(tmp_path: Path) -> None:
    for number in range(3):
        image = np.full((8, 8), 1000 * (number + 1), np.uint16)
        image[0, 0] = 4000
        cv2.imwrite(str(tmp_path / f"{number}.png"), image)
    told = "\n".join(check_data(tmp_path).lines())
    assert "value range  0 (black) to 4095 (white)" in told
    assert "3 grey, more than 8 bits" in told


@pytest.mark.parametrize("ending", ["txt", "jsonl"])
def test_the_list_of_good_files_is_a_data_set(folder: Path, tmp_path: Path, ending: str) -> None:
    os.rename(folder / "b" / "3.png", folder / "b" / "line\nbreak.png")
    report, file = check_data(folder, labels=True), tmp_path / f"good.{ending}"
    left_out = write_list(report, file)
    assert left_out == (["b/line\\nbreak.png"] if ending == "txt" else [])
    label = None if ending == "txt" else "label"
    said = dict(type="ImageList", file=str(file), root=str(folder))
    said |= {} if label is None else {"label": label}
    assert eval(of_list(report, file)) == said
    listed = DATASETS.build(said)
    assert len(listed) == 5 - len(left_out)
    assert all(listed.read(number) is not None for number in range(len(listed)))
    if ending == "jsonl":
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        assert [row["label"] for row in rows] == ["a", "a", "a", "b", "b"]


def test_the_command_draws_lists_and_refuses(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main = load_tool("check_data").main
    picture = tmp_path / "sheet.png"
    words = [str(folder), "--labels", "--picture", str(picture)]
    assert main([*words, "--good", str(tmp_path / "good.txt")]) == 0
    told = capsys.readouterr().out
    assert "b/bad.jpg cannot be read" in told
    assert f"root='{folder}'" in told
    sheet = cv2.imread(str(picture))
    assert sheet is not None
    assert sheet.std() > 10  # not blank
    before = tree(tmp_path)
    image = next(folder.rglob("*.png"))
    for option, file in (("--picture", picture), ("--good", tmp_path / "good.txt")):
        assert main([str(folder), option, str(file)]) == 2
        assert f"{option} {file}: {file} is there already" in capsys.readouterr().err
    assert main([str(folder), "--picture", str(image)]) == 2
    assert tree(tmp_path) == before
    capsys.readouterr()
    assert main([*words, "--overwrite"]) == 0
    capsys.readouterr()
    assert main([str(folder), "--good", str(tmp_path / "good.doc")]) == 2
    assert "give a name that ends in .txt, .jsonl" in capsys.readouterr().err
    assert main([str(tmp_path / "none")]) == 2


@pytest.mark.parametrize("workers", [0, -1, 1.5, True])
def test_workers_are_counted(folder: Path, workers: float) -> None:
    with pytest.raises(UserError, match="check_data: workers is an integer and at least 1"):
        check_data(folder, workers=workers)  # type: ignore[arg-type]


def test_the_command_counts_workers(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert load_tool("check_data").main([str(folder), "--workers", "0"]) == 2
    assert "workers is an integer and at least 1, got 0" in capsys.readouterr().err


def test_every_file_is_read_and_decoded_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = {"read_bytes": list[object](), "decode_image": list[object]()}
    for name, module in (("read_bytes", "folder"), ("decode_image", "encoded")):
        place = f"mvssl.datasets.{module}.{name}"
        known = resolve_name(place)

        def counted(*args: Any, _name: str = name, _known: Any = known) -> Any:
            taken[_name].append(args[0])
            return _known(*args)

        monkeypatch.setattr(place, counted)
    (folder / "b" / "bad.jpg").unlink()
    dataset = ImageFolder(folder, split="all")
    before = len(taken["read_bytes"])
    monkeypatch.setattr("mvssl.apis.check_data.ImageFolder", lambda *args, **kwargs: dataset)
    assert len(check_data(folder).readable) == 6
    assert len(taken["read_bytes"]) - before == 6
    assert len(taken["decode_image"]) == 6


@pytest.mark.parametrize("kind", ["jpg", "png", "deep"])
def test_a_picture_of_large_images_holds_small_ones(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which show what the whole images do."""
    height, width, number = 600, 800, 20
    rise = np.linspace(0, 1, width)[None, :, None] * np.linspace(0.2, 1, height)[:, None, None]
    for i in range(number):
        image = rise * np.array([1.0, 0.5, i / number])
        dtype, top = (np.uint16, 65535) if kind == "deep" else (np.uint8, 255)
        file = tmp_path / f"{i:02}.{'png' if kind == 'deep' else kind}"
        cv2.imwrite(str(file), (image * top).astype(dtype)[..., ::-1])
    report = check_data(tmp_path)
    drawn = list[Any]()
    monkeypatch.setattr("mvssl.apis.check_data.plot_data", lambda *args: drawn.append(args))
    tracemalloc.start()
    draw(report, tmp_path / "sheet.png")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    whole = height * width * 3 * (4 if kind == "deep" else 1)
    assert peak < 10 * whole  # one at a time, and what is made of it
    (_, images, _, _) = drawn[0]
    assert len(images) == number
    for i, image in enumerate(images):
        assert max(image.shape) == 216
        blocks = cv2.resize(rise * np.array([1.0, 0.5, i / number]), image.shape[1::-1])
        seen = image / 255.0 if image.dtype == np.uint8 else image
        assert np.abs(seen - blocks).mean() < 0.02


def test_nothing_is_drawn_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_text("text")
    report = check_data(tmp_path)
    assert not report.readable
    with pytest.raises(UserError, match="no image can be read"):
        draw(report, tmp_path / "sheet.png")


def test_a_folder_of_which_no_image_can_be_read_is_no_success(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(3):
        (tmp_path / f"{number}.jpg").write_bytes(b"")
    assert load_tool("check_data").main([str(tmp_path)]) == 2
    out, err = capsys.readouterr()
    assert "0 of 3 can be read" in out
    assert out.count("is empty") == 3
    assert err.endswith("no image can be read, of 3.\n")
