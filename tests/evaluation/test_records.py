from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import default_collate

from mvssl.datasets import ImageFolder
from mvssl.evaluation import extract_record
from mvssl.evaluation.records import spread
from mvssl.models.record import Embeddings
from tests.evaluation.small import CountedDigits, small_model
from tests.gloo_pool import GlooPool

NECK = {"type": "MLP", "hidden_channels": 8, "out_channels": 4}
WITH_PROTOTYPES: dict[str, Any] = {
    "neck": {"type": "PrototypeNeck", "projector": NECK, "num_prototypes": 6},
    "predictor": None,
    "head": {"type": "DiscreteERHead"},
}


def tensors(record: Embeddings) -> dict[str, Tensor]:
    lists = {name: getattr(record, name) for name in ("features", "z", "p", "target")}
    lists["logits"] = record.logits or []
    lists["target_logits"] = record.target_logits or []
    named = {f"{name}{v}": x for name, xs in lists.items() for v, x in enumerate(xs)}
    return {**named, "index": record.index}


@pytest.mark.parametrize("parts", [{}, WITH_PROTOTYPES], ids=["plain", "prototypes"])
def test_a_record_in_batches_is_that_of_all_images_at_once(parts: dict[str, Any]) -> None:
    model, dataset = small_model(**parts).train(), CountedDigits()
    record = extract_record(model, dataset, batch_size=8)  # 36 images: the last batch is of 4
    assert model.training
    model.eval()
    batch = default_collate([dataset[(i, 0)] for i in range(len(dataset))])
    made = model.data_preprocessor(batch, training=True)
    with torch.no_grad():
        expected = model.embed(made["inputs"], made["index"])
    found = tensors(record)
    assert set(found) == set(tensors(expected))
    for name, value in tensors(expected).items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5, msg=name)
        assert not found[name].is_inference()
    assert (record.views, record.target_views) == (expected.views, expected.target_views)
    assert record.index.tolist() == list(range(36))
    assert (record.logits is None) == (not parts)


def test_the_views_are_the_same_at_every_call_and_not_the_images_themselves() -> None:
    model, dataset = small_model(), CountedDigits()
    first, again = (extract_record(model, dataset, [3, 5, 7]) for _ in range(2))
    assert first.index.tolist() == [3, 5, 7]
    for name, value in tensors(first).items():
        assert torch.equal(value, tensors(again)[name])
    assert not torch.allclose(first.features[0], first.features[1], atol=1e-3)
    preprocessor: Any = model.data_preprocessor
    preprocessor.seed = 5
    other = extract_record(model, dataset, [3, 5, 7])
    assert not torch.allclose(first.features[0], other.features[0], atol=1e-3)


def test_views_of_the_host_engine_are_drawn_from_whole_images(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for number in range(4):
        picture = generator.integers(0, 256, (40, 30 + number, 3), dtype=np.uint8)
        cv2.imwrite(str(tmp_path / f"{number}.png"), picture)
    model = small_model("host")
    whole, cut = ImageFolder(tmp_path), ImageFolder(tmp_path, size=16)
    record = extract_record(model, cut)
    assert (cut.size, cut.view_transform) == (16, None)  # the data set stays as it was
    preprocessor: Any = model.data_preprocessor
    whole.view_transform = preprocessor.host_transform()
    model.eval()
    made = model.data_preprocessor(default_collate([whole[i] for i in range(4)]), training=True)
    with torch.no_grad():
        expected = model.embed(made["inputs"], made["index"])
    torch.testing.assert_close(record.z[0], expected.z[0])


def test_numbers_are_evenly_spaced() -> None:
    assert spread(5, None) == spread(5, 9) == [0, 1, 2, 3, 4]
    assert spread(10, 3) == [0, 3, 6]
    assert spread(1000, 1) == [0]


def _on_this_rank(number: int) -> tuple[dict[str, Tensor], tuple[tuple[int, ...], ...]]:
    model = small_model(**WITH_PROTOTYPES)
    record = extract_record(model, CountedDigits(), spread(36, number), batch_size=3)
    return tensors(record), record.target_views


@pytest.mark.parametrize(("world", "number"), [(2, 7), (4, 3)])
def test_every_process_gets_the_whole_record_in_the_order_of_one(
    run_distributed: GlooPool, world: int, number: int
) -> None:
    alone, views = _on_this_rank(number)
    for found, found_views in run_distributed(_on_this_rank, world, number):
        assert found_views == views
        for name, value in alone.items():
            torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5, msg=name)
