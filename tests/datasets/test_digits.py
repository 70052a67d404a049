"""The digits: counts, splits, pixels, samples."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader

from mvssl.datasets import Digits
from mvssl.errors import UserError
from mvssl.registry import DATASETS
from mvssl.views import HostViews, build_views


def _images(data: Digits) -> np.ndarray:
    return np.stack([data.read(i)[..., 0] for i in range(len(data))])


def test_counts_and_description() -> None:
    train, test, everything = (Digits(split) for split in ("train", "test", "all"))
    assert (len(train), len(test), len(everything)) == (1437, 360, 1797)
    assert train.describe() == "digits (train): 1,437 images 32x32, 10 classes"
    assert train.classes == [str(digit) for digit in range(10)]


def test_splits_are_disjoint_complete_stratified_and_repeat() -> None:
    train, test = Digits("train", seed=3), Digits("test", seed=3)
    paths = [[data.path(i) for i in range(len(data))] for data in (train, test)]
    assert set(paths[0]).isdisjoint(paths[1])
    assert len(set(paths[0]) | set(paths[1])) == 1797
    assert train.labels is not None
    assert test.labels is not None
    shares = np.bincount(test.labels) / np.bincount(np.r_[train.labels, test.labels])
    np.testing.assert_allclose(shares, 0.2, atol=0.005)
    again, other = Digits("test", seed=3), Digits("test", seed=4)
    assert paths[1] == [again.path(i) for i in range(len(again))]
    assert paths[1] != [other.path(i) for i in range(len(other))]


def test_pixels_are_those_of_scikit_learn() -> None:
    source = load_digits()
    data = Digits("all", size=8)
    np.testing.assert_array_equal(_images(data), np.rint(source.images * 255 / 16))
    np.testing.assert_array_equal(data.labels, source.target)


@pytest.mark.parametrize("size", [5, 32, 40])
def test_other_sizes_are_resized_smoothly(size: int) -> None:
    pixels = torch.from_numpy(np.rint(load_digits().images * 255 / 16))[:, None]
    # Bilinear as PyTorch has it where enlarged; the mean over the area where reduced.
    wanted = (
        torch.nn.functional.interpolate(pixels, size=(size, size), mode="bilinear")[:, 0].numpy()
        if size > 8
        else _area_means(pixels[:, 0].numpy(), size)
    )
    assert np.abs(_images(Digits("all", size=size)) - wanted).max() < 1.5


def _area_means(images: np.ndarray, size: int) -> np.ndarray:
    side = images.shape[1]
    fine = images.repeat(size, axis=1).repeat(size, axis=2)
    return fine.reshape(-1, size, side, size, side).mean((2, 4))


def test_a_sample_collates() -> None:
    data = Digits()
    batch = next(iter(DataLoader(data, batch_size=4)))
    assert batch["image"].shape == (4, 3, 32, 32)
    assert batch["image"].dtype == torch.uint8
    assert torch.equal(batch["image"][:, 0], batch["image"][:, 2])
    assert batch["index"].tolist() == [0, 1, 2, 3]
    assert batch["epoch"].tolist() == [0, 0, 0, 0]
    assert batch["replaced"].tolist() == [-1, -1, -1, -1]
    assert data.labels is not None
    assert batch["label"].tolist() == data.labels[:4].tolist()
    assert batch["label"].dtype == torch.int64


def test_a_key_carries_the_epoch_to_the_views() -> None:
    data = Digits()
    engine = HostViews(build_views("gentle", 24), seed=5)
    data.view_transform = engine
    sample = data[(7, 3)]
    assert (sample["index"], sample["epoch"]) == (7, 3)
    assert "image" not in sample
    wanted = engine(data.read(7), 7, 3)
    assert all(torch.equal(a, b) for a, b in zip(sample["views"], wanted, strict=True))
    assert not torch.equal(sample["views"][0], data[(7, 4)]["views"][0])


@pytest.mark.parametrize("key", [1437, -1, (1437, 0)])
def test_keys_out_of_range(key: int | tuple[int, int]) -> None:
    with pytest.raises(IndexError, match="among 1437"):
        Digits()[key]


def test_mistakes_are_named() -> None:
    with pytest.raises(UserError, match="'train', 'test', 'all'"):
        Digits(split="val")
    with pytest.raises(UserError, match="test_fraction"):
        Digits(test_fraction=1.0)
    for size in (0, None, 2.5, True, 2**16):
        with pytest.raises(UserError, match="Digits: size is an integer"):
            Digits(size=size)  # type: ignore[arg-type]


def test_is_registered() -> None:
    assert len(DATASETS.build({"type": "Digits", "split": "test"})) == 360
