from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.neighbors import KNeighborsClassifier
from torch import nn

import mvssl
from mvssl.datasets import Digits, ImageFolder
from mvssl.errors import UserError
from mvssl.evaluation import (
    KNN,
    Evaluator,
    Information,
    Inputs,
    Shown,
    evaluate,
    evaluate_pixels,
    extract_features,
    pixel_features,
)
from mvssl.evaluation.evaluate import PIXEL_LIMIT
from mvssl.models.backbones import save_backbone
from mvssl.registry import EVALUATORS
from tests.evaluation.small import (
    BACKBONE,
    PREPROCESSING,
    BackboneMean,
    CountedDigits,
    MeanFeature,
    ViewAgreement,
    registered,
    small_model,
)
from tests.gloo_pool import GlooPool


def sets() -> tuple[CountedDigits, CountedDigits]:
    """36 images to learn from, 18 held out."""
    return CountedDigits(test_fraction=0.02), CountedDigits(test_fraction=0.01)


def test_features_are_computed_once_whatever_the_number_of_evaluators() -> None:
    train, test = sets()
    model, embedded = small_model(), []
    model.backbone.register_forward_hook(lambda _, __, out: embedded.append(len(out)))
    results = evaluate(model, [KNN(k=3), MeanFeature()], train, test, batch_size=10)
    assert set(results) == {"knn_top1", "knn_balanced", "mean_feature"}
    assert set(train.reads) == set(test.reads) == {1}
    assert sum(embedded) == len(train) + len(test)
    evaluate_pixels([KNN(k=3), MeanFeature(), BackboneMean()], train, test, batch_size=10)
    assert set(train.reads) == set(test.reads) == {2}
    assert sum(embedded) == len(train) + len(test)


def test_a_record_is_made_once_and_nothing_that_is_not_asked_for() -> None:
    train, test = sets()
    evaluate(small_model(), [ViewAgreement(), Information()], train, test)
    assert set(train.reads) == {0}
    assert set(test.reads) == {1}
    part = CountedDigits(test_fraction=0.01)
    evaluate(small_model(), [ViewAgreement(9)], train, part)
    assert part.reads.tolist() == [1, 0] * 9  # evenly spaced


def test_knn_is_that_of_scikit_learn_on_the_features() -> None:
    train, test = sets()
    model = small_model()
    found = evaluate(model, [KNN(k=5, temperature=0.2)], train, test)["knn_top1"]
    x, y = extract_features(model, train), extract_features(model, test)
    judge = KNeighborsClassifier(
        5,
        weights=lambda distance: torch.tensor((1.0 - distance) / 0.2).exp().numpy(),
        metric="cosine",
    ).fit(x.x, x.labels)
    assert found == pytest.approx(judge.score(y.x, y.labels))
    pixels = evaluate_pixels([KNN(k=5, temperature=0.2)], train, test)
    raw, asked = pixel_features(train), pixel_features(test)
    expected = judge.fit(raw.x, raw.labels).score(asked.x, asked.labels)
    assert pixels["knn_top1_pixels"] == pytest.approx(expected)


def test_evaluators_of_ones_own_are_given_what_they_need() -> None:
    train, test = sets()
    with registered(MeanFeature, ViewAgreement, BackboneMean):
        own = [EVALUATORS.build({"type": one}) for one in ("MeanFeature", "ViewAgreement")]
        own.append(EVALUATORS.build({"type": "BackboneMean"}))
    model = small_model().train()
    results = evaluate(model, own, train, test, batch_size=7)
    assert model.training
    features = [extract_features(model, one).x for one in (train, test)]
    mean = float(features[0].mean() + features[1].mean())
    assert results["mean_feature"] == pytest.approx(mean, abs=1e-6)
    assert results["backbone_mean"] == pytest.approx(float(features[1].mean()), abs=1e-6)
    assert -1 <= results["agreement"] <= 1


class FirstFeature(MeanFeature):
    """Of the first channel; LayerNorm makes the mean of all of them 0 but for rounding."""

    def run(self, inputs: Inputs) -> dict[str, float]:
        return {"mean_feature": float(inputs.train.x[:, 0].mean())}


def test_a_backbone_alone_gives_what_its_model_gives(tmp_path: Path) -> None:
    train, test = sets()
    model = small_model()
    evaluators: list[Evaluator] = [KNN(k=3), MeanFeature(), BackboneMean()]
    expected = evaluate(model, evaluators, train, test)
    file = tmp_path / "backbone.safetensors"
    save_backbone(model.backbone, file, BACKBONE, PREPROCESSING)
    loaded = mvssl.load_backbone(file)
    assert evaluate(loaded, evaluators, train, test) == expected
    assert torch.equal(extract_features(loaded, test).x, extract_features(model, test).x)
    other = {**PREPROCESSING, "mean": (0.0, 0.0, 0.0)}
    changed = evaluate(loaded, [FirstFeature()], train, test, preprocessing=other)
    assert changed != evaluate(loaded, [FirstFeature()], train, test)


def test_what_a_backbone_alone_cannot_give_is_refused_by_name() -> None:
    train, test = sets()
    backbone = small_model().backbone
    with pytest.raises(
        UserError, match=r"^Information needs the record .* a backbone alone does not give: give"
    ):
        evaluate(backbone, [KNN(), Information()], train, test, preprocessing=PREPROCESSING)
    with pytest.raises(UserError, match=r"^ViewAgreement and Information need the record"):
        evaluate(
            backbone, [ViewAgreement(), Information()], train, test, preprocessing=PREPROCESSING
        )
    assert set(train.reads) == set(test.reads) == {0}


def test_a_backbone_says_how_its_images_are_normalised() -> None:
    train, test = sets()
    with pytest.raises(UserError, match=r"^Flatten does not say how its images are normalised"):
        evaluate(nn.Flatten(), [KNN()], train, test)
    flat = evaluate(nn.Flatten(), [MeanFeature()], train, test, preprocessing=PREPROCESSING)
    raw = torch.stack([torch.from_numpy(test.read(i)) for i in range(len(test))]) / 255.0
    more = torch.stack([torch.from_numpy(train.read(i)) for i in range(len(train))]) / 255.0
    mean, std = (torch.tensor(PREPROCESSING[key]) for key in ("mean", "std"))
    expected = float(((raw - mean) / std).mean() + ((more - mean) / std).mean())
    assert flat["mean_feature"] == pytest.approx(expected, abs=1e-5)
    with pytest.raises(UserError, match="preprocessing has no 'maen'; did you mean 'mean'"):
        evaluate(nn.Flatten(), [KNN()], train, test, preprocessing={"maen": (0.0, 0.0, 0.0)})


def unlabelled(folder: Path) -> ImageFolder:
    for number in range(3):
        cv2.imwrite(str(folder / f"{number}.png"), Digits("test", 16).read(number))
    return ImageFolder(folder, size=16)


def test_missing_labels_are_told(tmp_path: Path) -> None:
    train, images = sets()[0], unlabelled(tmp_path)
    with pytest.raises(UserError, match=rf"^KNN needs labels, and {tmp_path} .* has none: give"):
        evaluate(small_model(), [KNN()], train, images)
    assert evaluate(small_model(), [MeanFeature()], train, images)


@pytest.mark.parametrize("which", [0, 1])
def test_images_without_a_label_among_others_are_told(which: int) -> None:
    """They would be counted as wrong."""
    both = sets()
    labels = both[which].labels
    assert labels is not None
    labels[[2, 5]] = -1
    with pytest.raises(
        UserError, match=r"^KNN needs labels, and of .* 2 images have a label below"
    ):
        evaluate(small_model(), [KNN()], *both)
    labels[5] = 0
    with pytest.raises(UserError, match=r"1 image has a label below 0, .*: leave it out"):
        evaluate(small_model(), [KNN()], *both)
    assert evaluate(small_model(), [MeanFeature()], *both)


def test_features_that_are_no_numbers_are_told() -> None:
    train, test = sets()
    model = small_model()
    with torch.no_grad():
        next(model.backbone.parameters()).fill_(torch.nan)
    with pytest.raises(UserError, match=r"^The features of 36 of 36 images hold NaN .* \(digits"):
        evaluate(model, [KNN(k=3)], train, test)


def test_two_results_of_one_name_are_refused() -> None:
    with pytest.raises(UserError, match="KNN and KNN both give 'knn_top1', so one would hide"):
        evaluate(small_model(), [KNN(1), KNN(5)], *sets())


class Talkative(MeanFeature):
    """Gives more than it names."""

    def run(self, inputs: Inputs) -> dict[str, float]:
        return {**super().run(inputs), "more": 1.0}


class Greedy(MeanFeature):
    """Takes more than it says."""

    def __init__(self, what: str) -> None:
        self.what = what

    def run(self, inputs: Inputs) -> dict[str, float]:
        taken: Any = getattr(inputs, self.what)
        return {"mean_feature": float(self.what == "record" and taken())}


def test_an_evaluator_keeps_to_what_it_declares() -> None:
    train, test = sets()
    with pytest.raises(UserError, match=r"Talkative\.run gives 'more', which its results do not"):
        evaluate(small_model(), [Talkative()], train, test)
    for what in ("record", "backbone"):
        with pytest.raises(UserError, match=rf'asks for the {what} .* needs = \("{what}",\)'):
            evaluate_pixels([Greedy(what)], train, test)
    for needs in ("features", ("feature",)):
        with pytest.raises(UserError, match=r"needs is a tuple of 'features', 'record', 'backb"):
            type("Wrong", (MeanFeature,), {"needs": needs})


def test_large_sets_of_raw_pixels_are_left_out() -> None:
    class Large(CountedDigits):
        def __len__(self) -> int:
            return PIXEL_LIMIT + 1

    train = sets()[0]
    assert evaluate_pixels([KNN()], train, Large()) == {}
    assert evaluate_pixels([ViewAgreement(), BackboneMean()], train, train) == {}


@pytest.mark.parametrize("wrong", [{"k": 0}, {"k": 1.5}, {"temperature": 0.0}])
def test_knns_numbers_are_positive(wrong: Mapping[str, Any]) -> None:
    with pytest.raises(UserError, match=f"KNN: {next(iter(wrong))} is "):
        KNN(**wrong)


def test_protocols_and_values_as_people_read_them() -> None:
    assert KNN(7, 0.1).protocol == {"k": 7, "temperature": 0.1}
    assert KNN(7, 0.1).short_protocol == "k=7, t=0.1"
    assert Information(images=9).short_protocol == "kappa=10, images=9"
    assert MeanFeature().short_protocol == ""
    assert Shown("x", decimals=2).text(1.005e1) == "10.05"
    assert Shown("x").text(None) == "–"


def _on_this_rank() -> dict[str, float]:
    train, test = sets()
    evaluators = [KNN(k=3), MeanFeature(), ViewAgreement(), Information(images=15)]
    return {
        **evaluate(small_model(), evaluators, train, test, batch_size=4),
        **evaluate_pixels(evaluators, train, test, batch_size=4),
    }


def test_two_processes_give_what_one_gives(run_distributed: GlooPool) -> None:
    alone = _on_this_rank()
    assert {"knn_top1", "knn_top1_pixels", "heldout_mi_bound", "agreement"} <= set(alone)
    for found in run_distributed(_on_this_rank, 2):
        assert set(found) == set(alone)
        for name, value in found.items():
            assert value == pytest.approx(alone[name], rel=1e-4, abs=1e-5), name


def test_neighbours_of_one_data_set_are_not_those_of_the_next() -> None:
    knn, (train, test) = KNN(), sets()
    few = CountedDigits(test_fraction=0.01)
    knn.check_data(few, test)
    evaluate_pixels([knn], few, test)
    assert knn.protocol["k"] == len(few) < 20
    found = evaluate_pixels([knn], train, test)
    assert found == evaluate_pixels([KNN(k=20)], train, test)


def test_unreadable_images_are_named_and_bounded_in_evaluation(tmp_path: Path) -> None:
    for n in range(40):
        (tmp_path / "ab"[n % 2]).mkdir(exist_ok=True)
        pixels = np.random.default_rng(n).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "ab"[n % 2] / f"{n:02}.png")
    (tmp_path / "a" / "04.png").write_bytes(b"no image")
    model = small_model()
    told: list[str] = []

    def run() -> dict[str, float]:
        parts = [ImageFolder(tmp_path, "all", labels=True, size=16) for _ in range(2)]
        return evaluate(model, [KNN(k=3)], *parts, told=told.append)

    assert 0 <= run()["knn_top1"] <= 1
    assert [text.rpartition("/")[2] for text in told] == 2 * [
        "04.png cannot be read as an image of any kind that is known: another one takes its place."
    ]
    for n in (6, 8, 10):
        (tmp_path / "a" / f"{n:02}.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"4 of 40 images cannot be read, which is more than 3"):
        run()
