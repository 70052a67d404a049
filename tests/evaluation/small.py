"""A small model, a data set that counts, and evaluators of a user's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from mvssl.datasets import Digits, ImageDataset
from mvssl.evaluation import Evaluator, Features, Inputs, Need, Shown
from mvssl.models import MultiView
from mvssl.registry import EVALUATORS, MODELS

BACKBONE: dict[str, Any] = {
    "type": "TimmBackbone",
    "name": "vit_tiny_patch16_224",
    "model_args": {
        "img_size": 16,
        "patch_size": 8,
        "embed_dim": 16,
        "depth": 1,
        "num_heads": 2,
        "proj_drop_rate": 0.5,  # tells evaluation from training
    },
}
PREPROCESSING = {"size": 16, "mean": (0.3, 0.4, 0.5), "std": (0.2, 0.3, 0.4)}


def small_model(engine: str = "device", **parts: Any) -> MultiView:
    """BYOL + ER in 16 channels."""
    torch.manual_seed(3)
    model: MultiView = MODELS.build(
        {
            "type": "MultiView",
            "backbone": BACKBONE,
            "neck": {"type": "MLP", "hidden_channels": 8, "out_channels": 4},
            "predictor": {"type": "MLP", "hidden_channels": 8},
            "teacher": {"momentum": 0.5},
            "head": {"type": "ERHead"},
            "data_preprocessor": {
                "type": "MultiViewPreprocessor",
                "views": "gentle",
                "engine": engine,
                **PREPROCESSING,
            },
            **parts,
        }
    )
    return model


class CountedDigits(Digits):
    """Counts how often each image is read."""

    def __init__(self, split: str = "test", size: int = 16, test_fraction: float = 0.02) -> None:
        super().__init__(split, size, test_fraction)
        self.reads = np.zeros(len(self), dtype=np.int64)

    def read(self, index: int) -> NDArray[np.uint8]:
        self.reads[index] += 1
        return super().read(index)


class Labelled(ImageDataset):
    """Grey images with labels, for what asks of labels alone."""

    def __init__(self, labels: Sequence[int]) -> None:
        names = [f"c{n}" for n in range(max(labels) + 1)]
        super().__init__(np.array(labels, dtype=np.int64), names, 16)

    def __len__(self) -> int:
        assert self.labels is not None
        return len(self.labels)

    def read(self, index: int) -> NDArray[np.uint8]:
        return np.full((16, 16, 3), 127, np.uint8)

    def path(self, index: int) -> str:
        return str(index)

    def describe(self) -> str:
        return "some images"


def inputs_of(train: Features, test: Features) -> Inputs:
    """Features that are there already, in the place of those of a network."""
    sets = {name: Labelled(x.labels.tolist()) for name, x in (("train", train), ("test", test))}
    features = {id(sets["train"]): train, id(sets["test"]): test}
    return Inputs(sets["train"], sets["test"], lambda dataset: features[id(dataset)])


class MeanFeature(Evaluator):
    """Needs features, and no labels."""

    @property
    def results(self) -> Mapping[str, Shown]:
        return {"mean_feature": Shown("mean feature", "value", 2, "Mean of the features")}

    def run(self, inputs: Inputs) -> dict[str, float]:
        return {"mean_feature": float(inputs.test.x.mean() + inputs.train.x.mean())}


class ViewAgreement(Evaluator):
    """Needs the record."""

    needs: ClassVar[tuple[Need, ...]] = ("record",)

    def __init__(self, images: int | None = None) -> None:
        self.images = images

    @property
    def results(self) -> Mapping[str, Shown]:
        return {"agreement": Shown("agreement")}

    @property
    def protocol(self) -> dict[str, Any]:
        return {"images": self.images}

    def run(self, inputs: Inputs) -> dict[str, float]:
        record = inputs.record(self.images)
        cosine = torch.nn.functional.cosine_similarity(record.z[0], record.z[1])
        return {"agreement": float(cosine.mean())}


class BackboneMean(Evaluator):
    """Needs the backbone: it goes through the images itself."""

    needs: ClassVar[tuple[Need, ...]] = ("backbone",)

    @property
    def results(self) -> Mapping[str, Shown]:
        return {"backbone_mean": Shown("mean", listed=False)}

    def run(self, inputs: Inputs) -> dict[str, float]:
        means = []
        with torch.no_grad():
            for batch in DataLoader(inputs.test_set, batch_size=len(inputs.test_set)):
                images = inputs.preprocessor(batch)["inputs"]
                means.append(float(inputs.backbone(images).mean()))
        return {"backbone_mean": means[0]}


@contextmanager
def registered(*classes: type) -> Iterator[None]:
    """Evaluators of a user's own, for a while."""
    for one in classes:
        EVALUATORS.register_module(module=one)
    try:
        yield
    finally:
        for one in classes:
            EVALUATORS.module_dict.pop(one.__name__)
