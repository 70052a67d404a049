"""Every number that a component takes: what it refuses, and what it rightly takes."""

from __future__ import annotations

import gzip
import importlib.util
import inspect
import math
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mvssl import registry
from mvssl.engine.optim import WarmupCosineLR
from mvssl.engine.optim_options import check_optim_wrapper, check_option
from mvssl.errors import UserError
from mvssl.models.clustering import KMeans
from mvssl.models.losses import InfoNCELoss
from mvssl.models.memory import EmbeddingQueue, MemoryBank
from mvssl.registry import BACKBONES
from mvssl.views import MultiViewPreprocessor
from mvssl.views.ops import Operation
from tests.runs import SMALL_VIT

ODD = (math.nan, math.inf, -1, 0, 1e-30, 1e30)

# What a component cannot be built without, or needs for a number to be looked at.
LOSS = {"type": "CosineSimilarityLoss"}
SHARPENING = {"type": "Sharpening"}
DIGITS = {"type": "Digits", "split": "test", "size": 8}
KNOWN = {"in_channels": 6, "num_samples": 40, "num_logits": None}
GIVEN: dict[str, dict[str, Any]] = {
    "AssignmentHead": {"assigner": SHARPENING, "num_prototypes": 4, **KNOWN},
    "Centering": {"num_prototypes": 4},
    "DeepClusterHead": {"num_clusters": 4, "in_channels": 6, "num_samples": 40},
    "DeepClusterV2Head": {"num_clusters": 4, "in_channels": 6, "num_samples": 40},
    "DiscreteERHead": {"num_prototypes": 4, **KNOWN},
    "ERHead": {"in_channels": 6},
    "EmbeddingQueue": {"size": 8, "channels": 6},
    "EvaluationHook": {"train": DIGITS, "test": DIGITS, "evaluators": {}},
    "InstanceHead": {"in_channels": 6, "num_samples": 40},
    "BankTargets": {"in_channels": 6, "num_samples": 40},
    "JointHead": {"loss": LOSS},
    "KMeans": {"num_clusters": 4},
    "RegularizedHead": {"loss": {"type": "SIGRegLoss"}},
    "ViewsHead": {"loss": {"type": "MMCRLoss"}},
    "MLP": {"in_channels": 4, "out_channels": 4, "hidden_channels": 4},
    "MemoryBank": {"size": 40, "channels": 6},
    "MoCoHead": {"queue_size": 8, "in_channels": 6},
    "MultiView": {
        "backbone": SMALL_VIT,
        "neck": {"type": "MLP", "hidden_channels": 4, "out_channels": 4},
        "head": {"type": "PairHead", "loss": LOSS},
        "teacher": {},
        "data_preprocessor": {"type": "MultiViewPreprocessor", "views": "gentle", "size": 16},
    },
    "MultiViewPreprocessor": {"views": "gentle", "size": 16},
    "NearestNeighborTargets": {"queue_size": 8, "in_channels": 6},
    "PairHead": {"loss": LOSS},
    "PrototypeNeck": {
        "projector": {"type": "MLP", "hidden_channels": 4, "out_channels": 4},
        "num_prototypes": 4,
        "in_channels": 4,
    },
    "RelationHead": {"queue_size": 8, "in_channels": 6},
    "ScheduleHook": {"path": "model.teacher.momentum", "end": 1.0},
    "ChannelDropout": {"prob": 0.5},
    "GaussianBlur": {"prob": 0.5},
    "GaussianNoise": {"prob": 0.5},
    "RandomAffine": {"prob": 0.5},
    "RandomErasing": {"prob": 0.5},
    "RandomPerspective": {"prob": 0.5},
    "Grayscale": {"prob": 0.5},
    "QuarterTurns": {"prob": 0.5},
    "Solarize": {"prob": 0.5},
    "VerticalFlip": {"prob": 0.5},
    "HorizontalFlip": {"prob": 0.5},
    "MMCVOp": {"transform": {"type": "RandomFlip", "prob": 0.5}},
    "TorchvisionOp": {"transform": {"type": "RandomHorizontalFlip"}},
}

# Extremes that are meant, by class and argument; all that is not here is refused.
FINE: dict[str, dict[str, tuple[float, ...]]] = {
    "DoctorHook": {"min_iters": (0,)},
    # Left out, or off.
    "AssignmentHead": {"queue_size": (0,)},
    "ERHead": {"queue_size": (0,), "entropy_weight": (0, 1e-30)},
    "DiscreteERHead": {"entropy_weight": (0, 1e-30)},
    "BarlowTwinsLoss": {"lambd": (0, 1e-30)},
    "EMPSSLLoss": {"invariance": (0, 1e-30)},
    "FroSSLLoss": {"invariance": (0, 1e-30)},
    "VISRegLoss": {name: (0, 1e-30) for name in ("centre", "scale", "shape")},
    "VICRegLoss": {name: (0, 1e-30) for name in ("sim", "var", "cov")},
    # Nothing is kept.
    "EMATeacher": {"momentum": (0, 1e-30)},
    "Centering": {"momentum": (0, 1e-30)},
    "BankTargets": {"momentum": (0, 1e-30)},
    "InstanceHead": {"momentum": (0, 1e-30)},
    "MemoryBank": {"momentum": (0, 1e-30)},
    "DataFaultHook": {"minimum": (0,), "fraction": (0, 1e-30)},
    "CheckpointHook": {"interval_minutes": (0, 1e-30), "max_keep_ckpts": (-1,)},
    "ProgressHook": {"interval_s": (0, 1e-30)},
    "EvaluationHook": {"num_workers": (0,)},
    "MultiView": {"teacher_only_views": (0,)},
    # A colour that is never there.
    "MultiViewPreprocessor": {"mean": (0, 1e-30)},
    "KMeans": {"iterations": (0,), "tolerance": (0, 1e-30), "seed": (0,)},
    "ColorJitter": {
        name: (0, 1e-30) for name in ("prob", "brightness", "contrast", "saturation", "hue")
    },
    # Black; no turn, shift, shear and distortion.
    "ChannelDropout": {"fill": (0, 1e-30)},
    "RandomErasing": {"fill": (0, 1e-30)},
    "RandomAffine": {name: (0, 1e-30) for name in ("fill", "degrees", "translate", "shear")},
    "RandomPerspective": {name: (0, 1e-30) for name in ("fill", "distortion")},
    "BrightnessContrast": {name: (0, 1e-30) for name in ("prob", "brightness", "contrast")},
    "SGDProbe": {"flip": (0, 1e-30)},
    # Which attribute it is set on decides; see tests/engine/test_schedule.py.
    "ScheduleHook": {"end": (-1, 0, 1e-30, 1e30), "start": (-1, 0, 1e-30, 1e30)},
}
PROBABILITY = (0, 1e-30)
SEED = (0,)

REGISTRIES = (
    registry.BACKBONES,
    registry.NECKS,
    registry.HEADS,
    registry.LOSSES,
    registry.ASSIGNERS,
    registry.TARGETS,
    registry.VIEW_OPS,
    registry.EVALUATORS,
    registry.MODELS,
    registry.DATASETS,
    registry.HOOKS,
)
INSIDE = (EmbeddingQueue, KMeans, MemoryBank)
# Sizes that are filled in by neighbours, and parts.
OTHERS = (
    "backbone",
    "clock",
    "head",
    "in_channels",
    "neck",
    "num_logits",
    "num_samples",
    "predictor",
)


def components() -> list[type]:
    """What is registered by this project, and what its members are made of."""
    for one in REGISTRIES:
        one.import_from_location()
    found = {kind for one in REGISTRIES for kind in one.module_dict.values()}
    own = {kind for kind in found if kind.__module__.startswith("mvssl.")} | {*INSIDE}
    return sorted(own, key=lambda kind: kind.__name__)


def numbers(kind: type) -> Iterator[tuple[str, Callable[[float], Any]]]:
    """Names of the arguments that take numbers, and how one is put there."""
    for name, parameter in inspect.signature(kind).parameters.items():
        annotation = str(parameter.annotation)
        if name in (*OTHERS, "teacher") and kind not in INSIDE:
            continue
        if "tuple[float" in annotation:
            yield f"{name}[0]", lambda value: (value, value)
        elif "Sequence[float]" in annotation:
            yield name, lambda value: [value] * 3
        elif "int" in annotation.split(" ")[0] or "float" in annotation.split(" ")[0]:
            yield name, lambda value: value


def cases() -> list[tuple[type, str, float]]:
    return [
        (kind, name, value) for kind in components() for name, _ in numbers(kind) for value in ODD
    ]


def allowed(kind: type, name: str) -> tuple[float, ...]:
    bare = name.removesuffix("[0]")
    if bare == "seed":
        return SEED
    if bare == "prob" and issubclass(kind, Operation):
        return PROBABILITY
    return FINE.get(kind.__name__, {}).get(bare, ())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two images of each of two classes."""
    root = tmp_path_factory.mktemp("images")
    for n in range(4):
        (root / "ab"[n % 2]).mkdir(exist_ok=True)
        Image.new("RGB", (8, 8)).save(root / "ab"[n % 2] / f"{n}.png")
    return str(root)


@pytest.fixture(scope="module")
def sources(folder: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What each kind of data set that reads files is built on, by its name."""
    root = tmp_path_factory.mktemp("sources")
    image = Path(folder) / "a" / "0.png"
    (root / "list.txt").write_text(str(image))
    with tarfile.open(root / "x.tar", "w") as archive:
        archive.add(image, "0.png")
    for name, start, size in (("images-idx3", 16, 784), ("labels-idx1", 8, 1)):
        for part in ("train", "t10k"):
            with gzip.open(root / f"{part}-{name}-ubyte.gz", "wb") as file:
                file.write(bytes(start + size))
    found: dict[str, dict[str, Any]] = {
        "ImageFolder": {"root": folder, "labels": True},
        "ImageList": {"file": root / "list.txt"},
        "TarShards": {"shards": str(root / "x.tar")},
        "ArrayImages": {"images": np.zeros((2, 8, 8, 3), np.uint8)},
        "TorchvisionImages": {"name": "FashionMNIST", "root": root},
        "HuggingFaceImages": {"path": root / "rows"},
    }
    if importlib.util.find_spec("datasets") is not None:
        package = importlib.import_module("datasets")
        rows = {"image": [{"bytes": image.read_bytes(), "path": None}]}
        features = package.Features({"image": package.Image()})
        package.Dataset.from_dict(rows, features=features).save_to_disk(str(root / "rows"))
    for name, given in found.items():
        if name != "HuggingFaceImages" or (root / "rows").is_dir():
            assert len(registry.DATASETS.build({"type": name, **given})) > 0
    return found


@pytest.mark.parametrize(("kind", "name", "value"), cases())
def test_an_odd_number_is_refused_in_a_sentence(
    kind: type, name: str, value: float, sources: dict[str, dict[str, Any]]
) -> None:
    put = dict(numbers(kind))[name]
    given = {**GIVEN.get(kind.__name__, {}), name.removesuffix("[0]"): put(value)}
    given = {**sources.get(kind.__name__, {}), **given}
    if value in allowed(kind, name):
        kind(**given)
        return
    with pytest.raises(UserError) as told:
        kind(**given)
    assert str(told.value).endswith(".")
    assert "\n" not in str(told.value)


def test_the_walk_meets_every_kind_of_number() -> None:
    met = {(kind.__name__, name) for kind, name, _ in cases()}
    assert len(met) > 60
    assert {
        ("KNN", "k"),
        ("ERHead", "kappa"),
        ("EMATeacher", "momentum"),
        ("RandomResizedCrop", "scale[0]"),
        ("MultiViewPreprocessor", "std"),
        ("InformationHook", "interval"),
        ("ImageFolder", "crop_pct"),
    } <= met


@pytest.mark.parametrize("value", ODD)
@pytest.mark.parametrize(
    "option", ["lr", "weight_decay", "momentum", "betas", "eps", "trust_coeff", "foreign"]
)
def test_options_of_an_optimiser(option: str, value: float) -> None:
    fine: dict[str, tuple[float, ...]] = {
        "lr": (0, 1e-30),
        "weight_decay": (0, 1e-30),
        "momentum": (0, 1e-30),
        "betas": (0, 1e-30),
        "eps": (1e-30,),
        "foreign": (-1, 0, 1e-30, 1e30),  # of another library: whatever is finite
    }
    given = (0.9, value) if option == "betas" else value
    cfg = {"optimizer": {"type": "AdamW", option: given}}
    if value in fine.get(option, ()):
        check_optim_wrapper(cfg)
        return
    with pytest.raises(UserError, match=rf"optim_wrapper.optimizer: {option}.* got "):
        check_optim_wrapper(cfg)
    with pytest.raises(UserError):
        check_option(option, given)


@pytest.mark.parametrize("value", ODD)
@pytest.mark.parametrize("where", ["max_norm", "clip_value", "norm_type", "accumulative_counts"])
def test_clipping_and_accumulation(where: str, value: float) -> None:
    clip: dict[str, Any] = {"max_norm": 1.0}
    if where == "clip_value":
        clip = {"type": "value"}
    cfg = {"clip_grad": {**clip, where: value}}
    if where == "accumulative_counts":
        cfg = {where: value}  # type: ignore[dict-item]
    if where == "norm_type" and value == math.inf:
        check_optim_wrapper(cfg)
        return
    with pytest.raises(UserError, match=f"{where} is .* got "):
        check_optim_wrapper(cfg)


@pytest.mark.parametrize("value", ODD)
@pytest.mark.parametrize("where", ["warmup_epochs", "end_factor"])
def test_numbers_of_the_learning_rate_s_schedule(where: str, value: float) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    given: dict[str, Any] = {where: value}
    if value in (0, 1e-30):
        WarmupCosineLR(optimizer, 10, 5, **given)
        return
    with pytest.raises(UserError, match=f"WarmupCosineLR: {where} is a number .* got "):
        WarmupCosineLR(optimizer, 10, 5, **given)


@pytest.mark.parametrize("value", [*ODD, True, "5"])
def test_numbers_of_a_network_of_timm(value: Any) -> None:
    for name in ("depth", "embed_dim", "num_heads", "img_size", "patch_size", "drop_path_rate"):
        arguments = {**SMALL_VIT["model_args"], name: value}
        if name == "drop_path_rate" and value in (0, 1e-30):
            BACKBONES.build({**SMALL_VIT, "model_args": arguments})
            continue
        with pytest.raises(UserError, match=name):
            BACKBONES.build({**SMALL_VIT, "model_args": arguments})


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"num_heads": 3}, "num_heads"),
        ({"patch_size": 32}, r"a patch of \(32, 32\) is larger than an image of \(16, 16\)"),
        ({"drop_path_rate": 1.0}, "nothing would be left"),
    ],
)
def test_sizes_that_do_not_fit_each_other(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        BACKBONES.build({**SMALL_VIT, "model_args": {**SMALL_VIT["model_args"], **arguments}})


def test_statistics_of_0_to_255_are_told_with_those_of_0_to_1() -> None:
    given: dict[str, Any] = {"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375]}
    with pytest.raises(UserError) as told:
        MultiViewPreprocessor("gentle", 16, **given)
    assert "mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]" in str(told.value)
    for std in ([0.2, 0.2, 0.0], [-0.2] * 3, [0.2, 0.2], [math.nan] * 3, 0.2):
        with pytest.raises(UserError, match="std"):
            MultiViewPreprocessor("gentle", 16, std=std)  # type: ignore[arg-type]


def test_a_schedule_may_not_set_what_the_constructor_refuses() -> None:
    loss = InfoNCELoss(0.2)
    for value in (0.0, -1.0, math.nan, math.inf, 1e-30):
        with pytest.raises(UserError, match=r"InfoNCELoss: temperature .* got "):
            loss.temperature = value
    assert loss.temperature == 0.2
