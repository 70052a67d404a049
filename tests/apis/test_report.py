"""Neighbours and the map of a page, against definitions."""

from __future__ import annotations

import base64
import io
import json
import re
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.decomposition import PCA

from mvssl.apis.extract import extract
from mvssl.apis.report import ReportOptions, report_run
from mvssl.datasets import ImageFolder
from mvssl.errors import UserError
from mvssl.models.backbones import TimmBackbone, save_backbone
from mvssl.report.gallery import Gallery, image_map, neighbours
from mvssl.report.html import join
from mvssl.report.page import write_run_page
from mvssl.report.recorded import read_run
from mvssl.words import printable
from tests.report.browser import opened
from tests.report.pages import Element, Page, write_run

VIT = {"img_size": 16, "patch_size": 8, "embed_dim": 16, "depth": 1, "num_heads": 2}
EXPECTED = {"size": 16, "color_space": "rgb", "mean": [0.5] * 3, "std": [0.5] * 3}


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Reds, greens and blues, a class each; one file is none."""
    rng = np.random.default_rng(0)
    for channel, name in enumerate(("red", "green", "blue")):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(8):
            pixels = rng.integers(0, 60, (20, 24, 3), dtype=np.uint8)
            pixels[..., channel] += 180
            Image.fromarray(pixels).save(tmp_path / "data" / name / f"{number}.png")
    (tmp_path / "data" / "red" / "bad.png").write_bytes(b"no image")
    return tmp_path / "data"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = write_run(tmp_path / "run")
    torch.manual_seed(0)
    made = TimmBackbone("vit_tiny_patch16_224", dict(VIT))
    built = {"type": "TimmBackbone", "name": made.name, "model_args": VIT}
    save_backbone(made, folder / "backbone.safetensors", built, EXPECTED)
    return folder


def colour(image: Element) -> str:
    """Of a thumbnail, by its pixels."""
    data = base64.b64decode((image.attributes["src"] or "").split(",")[1])
    means = np.asarray(Image.open(io.BytesIO(data))).mean(axis=(0, 1))
    return ("red", "green", "blue")[int(means.argmax())]


def test_neighbours_are_the_nearest_and_shown_as_they_are(run: Path, images: Path) -> None:
    report_run(ReportOptions(str(run), data=str(images)))
    page = Page(run / "report.html")
    features = extract(run, images, labels=True)
    x = features.x / np.linalg.norm(features.x, axis=1, keepdims=True)
    cosines = x @ x.T
    np.fill_diagonal(cosines, -2)
    rows = page.root.of_id("nearest-neighbours").all("div", "row")
    assert len(rows) == 8
    for row in rows:
        query, *near = row.all("figure")
        name = (query.all("img")[0].attributes["title"] or "").split(" - ")[0]
        number = features.names.index(name)
        assert [float(one.text) for one in near] == pytest.approx(
            sorted(cosines[number], reverse=True)[:7], abs=6e-4
        )
        own = name.split("/")[0]
        assert query.text == own
        for one in (query, *near):
            (image,) = one.all("img")
            assert colour(image) == (image.attributes["title"] or "").split("/")[0]
        for one in near:
            other = (one.all("img")[0].attributes["title"] or "").split("/")[0]
            assert one.attributes["class"] == ("same" if other == own else "other")


def test_the_map_is_that_of_principal_components(run: Path, images: Path) -> None:
    report_run(ReportOptions(str(run), data=str(images)))
    (figure,) = Page(run / "report.html").root.all("figure", "map")
    held = json.loads(figure.attributes["data-map"] or "")
    features = extract(run, images, labels=True)
    assert held["names"] == features.names
    assert held["groups"] == [name.split("/")[0] for name in features.names]
    x = features.x / np.linalg.norm(features.x, axis=1, keepdims=True)
    places = PCA(2).fit_transform(x)
    for found, wanted in ((held["x"], places[:, 0]), (held["y"], places[:, 1])):
        assert abs(np.corrcoef(found, wanted)[0, 1]) > 0.9999
    dots = figure.all("circle")
    assert [float(dot.attributes["cx"] or "") for dot in dots] == held["x"]
    tones = {name: dot.attributes["class"] for name, dot in zip(held["groups"], dots, strict=True)}
    assert len(set(tones.values())) == 3
    assert [one.text for one in figure.all("li")] == ["blue 8", "green 8", "red 8"]


def test_pointing_at_the_map_shows_the_image(run: Path, images: Path) -> None:
    report_run(ReportOptions(str(run), data=str(images), images=9))
    point = """
    const figure = document.querySelector("[data-map]"), svg = figure.querySelector("svg");
    const box = svg.getBoundingClientRect(), dot = figure.querySelectorAll("circle")[4];
    const scale = box.width / 640;
    svg.dispatchEvent(new PointerEvent("pointermove", {
      clientX: box.left + scale * dot.getAttribute("cx"),
      clientY: box.top + scale * dot.getAttribute("cy") }));
    """
    made = opened(run / "report.html", point)
    (figure,) = Page(run / "report.html").root.all("figure", "map")
    name = json.loads(figure.attributes["data-map"] or "")["names"][4]
    tip = made.split("data-map=")[1].split('<div class="tip"')[1]
    assert name in tip.split("</figure>")[0]
    assert re.search(r"background-position: -\d+px -\d+px", tip)


NAMES = [
    "caf\u00a0e",
    "</script><script>document.title = 'taken'</script>",
    '"\' onerror=alert(1) x="',
    "back\\slash\\u0041 &amp; $x_$",
    "zero\u200bwidth \u00ad soft \u0085 next",
    "\u202etfel ot thgir",
    "\u05d0\u05d1\u05d2",
    "flag \U0001f3f4\U000e0067\U000e007f, family \U0001f468\u200d\U0001f467",
    "no text \udcff, a line\nbreak",
    "long " + 60 * "name",
]


def test_any_name_can_stand_in_a_page(tmp_path: Path) -> None:
    few = gallery(20, 10)
    made = replace(
        few, classes=NAMES, names=[NAMES[n % 10] for n in range(20)], described=" ".join(NAMES)
    )
    shown = [(NAMES[1], join(neighbours(made), image_map(made, "pca")))]
    write_run_page(tmp_path / "page.html", read_run(write_run(tmp_path / "run")), shown)
    point = """
    const figure = document.querySelector("[data-map]"), svg = figure.querySelector("svg");
    const box = svg.getBoundingClientRect(), told = [];
    figure.querySelectorAll("circle").forEach((dot) => {
      svg.dispatchEvent(new PointerEvent("pointermove", {
        clientX: box.left + box.width / 640 * dot.getAttribute("cx"),
        clientY: box.top + box.width / 640 * dot.getAttribute("cy") }));
      told.push(figure.querySelector(".tip").lastChild.textContent);
    });
    const found = document.createElement("pre");
    found.id = "found";
    const page = document.documentElement;
    told.push(page.scrollWidth <= page.clientWidth ? "it fits" : "it is too wide");
    found.textContent = JSON.stringify(told);
    document.body.append(found);
    """
    drawn = opened(tmp_path / "page.html", point)
    assert "<title>byol_vit - mvssl</title>" in drawn
    told = json.loads(unescape(drawn.split('<pre id="found">')[1].split("</pre>")[0]))
    cleaned = ["\n".join(map(printable, name.split("\n"))) for name in NAMES]
    assert told == [*(cleaned[n % 10] for n in range(20)), "it fits"]
    assert told[0] == r"caf\xa0e"
    assert told[3] == NAMES[3]


def test_a_class_may_have_any_name_of_a_colour_or_of_the_rest() -> None:
    few = replace(gallery(60, 3), classes=["grey", "others", "t1"])
    text = str(image_map(few, "pca"))
    legend = re.findall(r'<li><i class="dot (\w+)"></i><bdi>(.*?)</bdi> <b>(\d+)', text)
    assert legend == [("t1", "grey", "20"), ("t2", "others", "20"), ("t3", "t1", "20")]
    dots = re.findall(r'<circle [^>]*class="(\w+)"', text)
    assert dots == ["t1", "t2", "t3"] * 20
    many = replace(gallery(60, 20), classes=["grey", *(f"c{n}" for n in range(19))])
    text = str(image_map(many, "pca"))
    assert '<i class="dot t1"></i><bdi>grey</bdi> <b>3</b>' in text
    assert '<i class="dot grey"></i><bdi>others</bdi> <b>33</b>' in text


def test_folders_without_classes_are_coloured_by_clusters(run: Path, images: Path) -> None:
    report_run(ReportOptions(str(run), data=str(images / "green"), map="tsne"))
    page = Page(run / "report.html")
    assert "8 clusters found by k-means" in page.root.of_id("map").text
    assert "t-SNE" in page.root.of_id("map").text
    figures = page.root.of_id("nearest-neighbours").all("figure")
    assert {one.attributes.get("class") for one in figures} == {None}


def test_images_of_the_run_are_found_again(
    run: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = {"type": "ImageFolder", "root": str(images.relative_to(tmp_path))}
    other = write_run(
        tmp_path / "other",
        values={"train_dataloader": {"dataset": dataset}},
        options={"folder": str(tmp_path)},
    )
    (run / "backbone.safetensors").rename(other / "backbone.safetensors")
    report_run(ReportOptions(str(other)))
    assert Page(other / "report.html").root.all("figure", "map")
    images.rename(tmp_path / "elsewhere")
    report_run(ReportOptions(str(other)))
    page = Page(other / "report.html")
    assert not page.root.all("figure", "map")
    assert "Not shown: There is no folder" in page.root.of_id("nearest-neighbours").text
    assert "note: no images are shown" in capsys.readouterr().out


def test_images_of_the_run_are_those_it_learned_from(
    run: Path, tmp_path: Path, images: Path
) -> None:
    report_run(ReportOptions(str(run), images=20))
    page = Page(run / "report.html").root
    assert "Of 20 of 1,437 images (digits)" in page.of_id("map").text
    parts: list[tuple[dict[str, Any], int]] = [
        ({"split": "train", "labels": True, "test_fraction": 0.5, "seed": 3}, 13),
        ({"split": "all", "labels": True}, 25),
        ({"split": "train"}, 25),
        ({"split": "train", "labels": True, "per_class": 2}, 6),
    ]
    for number, (dataset, learned) in enumerate(parts):
        said: dict[str, Any] = {"type": "ImageFolder", "root": str(images), **dataset}
        other = write_run(
            tmp_path / f"run{number} (all)", values={"train_dataloader": {"dataset": said}}
        )
        (other / "backbone.safetensors").symlink_to(run / "backbone.safetensors")
        report_run(ReportOptions(str(other)))
        page = Page(other / "report.html").root
        assert f"of {learned} images ({images})" in page.of_id("map").text
        held = json.loads(page.all("figure", "map")[0].attributes["data-map"] or "")
        wanted = {*ImageFolder(images, **dataset).names()} - {"red/bad.png"}
        assert {*held["names"]} == wanted
        assert {*held["groups"]} == {"red", "green", "blue"}


def test_the_name_of_a_folder_is_told_whole(run: Path, images: Path) -> None:
    named = images.rename(images.with_name("mine (all) (test)"))
    report_run(ReportOptions(str(run), data=str(named)))
    assert f"of 25 images ({named})" in Page(run / "report.html").root.of_id("map").text


def test_what_cannot_be_shown_is_said(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mvssl.report.gallery.find_spec", lambda _: None)
    (tmp_path / "few").mkdir()
    for number in range(2):
        Image.new("RGB", (20, 20)).save(tmp_path / "few" / f"{number}.png")
    with pytest.raises(UserError, match="fewer than 3 images"):
        report_run(ReportOptions(str(run), data=str(tmp_path / "few")))
    with pytest.raises(UserError, match="umap-learn"):
        report_run(ReportOptions(str(run), map="umap"))


def gallery(number: int, classes: int | None) -> Gallery:
    rng = np.random.default_rng(0)
    pixels = [np.zeros((9, 9, 3), np.uint8)] * number
    labels = None if classes is None else np.arange(number) % classes
    names = None if classes is None else [f"<c{n}>" for n in range(classes)]
    x = torch.from_numpy(rng.normal(size=(number, 5))).float()
    return Gallery(x, pixels, [f"<{n}>" for n in range(number)], labels, names, "some <images>")


def test_of_many_classes_the_largest_have_colours() -> None:
    text = str(image_map(gallery(60, 20), "pca"))
    assert text.count('class="t9"') > 0
    assert 'class="t10"' not in text
    assert "<bdi>others</bdi> <b>33</b>" in text
    assert "<c0>" not in text
    ten = str(image_map(gallery(60, 10), "pca"))
    assert 'class="t10"' in ten
    assert "others" not in ten


@pytest.mark.parametrize("number", [3, 4])
@pytest.mark.parametrize("layout", ["pca", "tsne", "umap"])
def test_a_few_images_are_enough(number: int, layout: str) -> None:
    if layout == "umap":
        pytest.importorskip("umap")
    assert str(image_map(gallery(number, None), layout)).count("<circle") == number
    assert str(neighbours(gallery(number, None))).count("<img") == number * number


def test_equal_features_lie_in_one_place() -> None:
    some = gallery(5, None)
    text = str(image_map(Gallery(torch.ones(5, 4), *list(vars(some).values())[1:]), "pca"))
    assert "nan" not in text
    assert len(set(re.findall(r'cx="([\d.]+)"', text))) == 1


def test_cosines_near_one_are_told_apart() -> None:
    some = gallery(5, None)
    near = replace(some, x=1 + 0.01 * some.x)
    x = near.x.double() / near.x.double().norm(dim=1, keepdim=True)
    cosines = (x @ x.T)[~torch.eye(5, dtype=torch.bool)].tolist()
    assert min(cosines) > 0.9995
    told = re.findall(r"<figcaption>([\d.]+)</figcaption>", str(neighbours(near)))
    assert sorted(map(float, told)) == pytest.approx(sorted(cosines), abs=2e-5)
    assert len(set(told)) > 4
    far = re.findall(r"<figcaption>(-?[\d.]+)</figcaption>", str(neighbours(some)))
    assert {len(one.partition(".")[2]) for one in far} == {3}
