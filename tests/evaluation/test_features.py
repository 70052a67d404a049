from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mvssl.datasets import Digits
from mvssl.datasets.base import ImageDataset
from mvssl.evaluation import extract_features, pixel_features
from mvssl.models import MultiView
from mvssl.registry import MODELS
from tests.evaluation.small import CountedDigits, small_model
from tests.gloo_pool import GlooPool

VIT = {"img_size": 16, "patch_size": 8, "embed_dim": 16, "depth": 1, "num_heads": 2}


class _First(ImageDataset):
    """The first ``number`` digits."""

    def __init__(self, number: int, size: int = 16) -> None:
        self.digits = Digits("all", size)
        assert self.digits.labels is not None
        super().__init__(self.digits.labels[:number], self.digits.classes, size)
        self.number = number

    def __len__(self) -> int:
        return self.number

    def read(self, index: int) -> NDArray[np.uint8] | None:
        return self.digits.read(index)

    def path(self, index: int) -> str:
        return str(index)

    def describe(self) -> str:
        return "some digits"


def model() -> MultiView:
    torch.manual_seed(3)
    return MODELS.build(
        {
            "type": "MultiView",
            "backbone": {
                "type": "TimmBackbone",
                "name": "vit_tiny_patch16_224",
                "model_args": {**VIT, "proj_drop_rate": 0.5},
            },
            "neck": {"type": "MLP", "hidden_channels": 8, "out_channels": 4},
            "head": {"type": "ERHead"},
            "data_preprocessor": {"type": "MultiViewPreprocessor", "views": "gentle", "size": 16},
        }
    )


def test_features_come_in_order_in_evaluation_mode_and_the_mode_comes_back() -> None:
    net, dataset = model().train(), _First(11)
    features = extract_features(net, dataset, batch_size=4)
    assert net.training
    assert features.x.dtype == torch.float32
    assert not features.x.requires_grad
    assert features.labels.tolist() == dataset.digits.labels[:11].tolist()  # type: ignore[index]
    net.eval()
    batch = {"image": torch.stack([dataset[i]["image"] for i in range(11)])}
    expected = net.backbone(net.data_preprocessor(batch)["inputs"])
    torch.testing.assert_close(features.x, expected.detach())


def test_pixels_are_in_the_unit_interval_and_small() -> None:
    small = pixel_features(_First(5, 16), batch_size=2)
    assert small.x.shape == (5, 3 * 16 * 16)
    assert 0.0 <= float(small.x.min()) < float(small.x.max()) <= 1.0
    large = pixel_features(_First(5, 64))
    assert large.x.shape == (5, 3 * 32 * 32)
    image = torch.from_numpy(_First(5, 64).read(2)).permute(2, 0, 1) / 255.0
    blocks = image.reshape(3, 32, 2, 32, 2).mean(dim=(2, 4))
    torch.testing.assert_close(large.x[2], blocks.flatten())


def _on_this_rank(number: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    features = extract_features(model(), _First(number), batch_size=3)
    return features.x, features.labels, pixel_features(_First(number), batch_size=3).x


@pytest.mark.parametrize(("world", "number"), [(2, 7), (4, 9), (4, 3)])
def test_every_process_gets_all_features_in_the_order_of_one(
    run_distributed: GlooPool, world: int, number: int
) -> None:
    x, labels, pixels = _on_this_rank(number)
    for found in run_distributed(_on_this_rank, world, number):
        torch.testing.assert_close(found[0], x)
        assert torch.equal(found[1], labels)
        assert torch.equal(found[2], pixels)


def test_every_part_gets_its_own_mode_back() -> None:
    model = small_model().train()
    model.neck.eval()
    extract_features(model, CountedDigits("test"))
    assert model.training
    assert model.backbone.training
    assert not any(part.training for part in model.neck.modules())
