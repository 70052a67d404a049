"""What is refused before anything is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from mvssl.apis import TrainOptions
from mvssl.datasets import Digits
from mvssl.engine import Runner
from mvssl.errors import UserError
from mvssl.models import Embeddings
from mvssl.models.backbones import Backbone, TimmBackbone
from mvssl.models.heads import ERHead, Head, PairHead
from mvssl.models.necks import MLP, Neck
from mvssl.registry import BACKBONES, DATASETS, HEADS, NECKS, PARAM_SCHEDULERS, Registry
from mvssl.report.plan import plan
from mvssl.views import MultiViewPreprocessor
from tests.mini import ROOT, prepared, train_cli, write_config


def options(tmp_path: Path, base: str, **cfg_options: Any) -> TrainOptions:
    flat = {name.replace("__", "."): value for name, value in cfg_options.items()}
    return TrainOptions(str(write_config(tmp_path, base)), cfg_options=flat)


def test_accumulation_is_refused_where_the_loss_looks_across_samples(tmp_path: Path) -> None:
    accumulate = {"optim_wrapper__accumulative_counts": 4}
    with pytest.raises(UserError, match=r"ERHead looks across .* train_cfg\.micro_batch_size"):
        prepared(options(tmp_path, "byol_er_vit.py", **accumulate))
    job = prepared(options(tmp_path, "byol_vit.py", **accumulate))
    assert job.cfg.optim_wrapper.accumulative_counts == 4


def test_a_config_may_hold_classes_in_the_place_of_their_names(tmp_path: Path) -> None:
    named = prepared(options(tmp_path, "byol_er_vit.py"))
    places = {
        "model.backbone": TimmBackbone,
        "model.neck": MLP,
        "model.predictor": MLP,
        "model.head": ERHead,
        "model.data_preprocessor": MultiViewPreprocessor,
        "train_dataloader.dataset": Digits,
        "optim_wrapper.optimizer": torch.optim.AdamW,
        "param_scheduler": PARAM_SCHEDULERS.find(named.cfg.param_scheduler.type),
    }
    held = {f"{place}.type": kind for place, kind in places.items()}
    job = prepared(options(tmp_path, "byol_er_vit.py", **held))
    assert job.cfg.model.neck.type is MLP
    rows = [plan(Runner(one, tmp_path / name), one) for name, one in (("a", named), ("b", job))]
    assert rows[0] == rows[1]


def test_a_hook_s_wrong_value_is_told_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"InformationHook: kappa"):
        prepared(options(tmp_path, "byol_vit.py", default_hooks__information__kappa=-1.0))


def test_a_hook_keeps_the_priority_that_the_config_gives(tmp_path: Path) -> None:
    job = prepared(options(tmp_path, "byol_vit.py", default_hooks__scalars__priority="LOWEST"))
    hook = job.default_hooks["scalars"]
    assert hook is not None
    assert hook.priority == "LOWEST"
    assert job.default_hooks["timer"] is None


def test_micro_batches_and_queues_are_set_by_the_config(tmp_path: Path) -> None:
    job = prepared(
        options(
            tmp_path, "byol_er_vit.py", train_cfg__micro_batch_size=16, model__head__queue_size=512
        )
    )
    assert job.cfg.train_cfg.micro_batch_size == 16
    assert tuple(job.model.head.entropy.queue.data.shape) == (512, 8)
    with pytest.raises(UserError, match=r"queue of 100 is no multiple .* queue_size=256"):
        prepared(options(tmp_path, "byol_er_vit.py", model__head__queue_size=100))
    with pytest.raises(UserError, match="train_cfg: micro_batch_size is an integer and at least 1"):
        prepared(options(tmp_path, "byol_er_vit.py", train_cfg__micro_batch_size=0))


def test_accumulation_is_refused_beside_micro_batches(tmp_path: Path) -> None:
    both = {"optim_wrapper__accumulative_counts": 2, "train_cfg__micro_batch_size": 16}
    for base in ("byol_vit.py", "byol_er_vit.py"):
        with pytest.raises(
            UserError, match=r"accumulative_counts=2 and train_cfg\.micro_batch_size=16"
        ):
            prepared(options(tmp_path, base, **both))


def test_a_teacher_must_be_moved(tmp_path: Path) -> None:
    gone = {"default_hooks__teacher": None}
    with pytest.raises(
        UserError, match=r"model\.teacher is moved by TeacherHook, and there is none"
    ):
        prepared(options(tmp_path, "byol_vit.py", **gone))
    none = {"model__teacher": None, "schedules__teacher_momentum": None}
    assert prepared(options(tmp_path, "byol_vit.py", **gone, **none)).model.teacher is None
    custom = {"custom_hooks": [{"type": "TeacherHook"}]}
    assert len(prepared(options(tmp_path, "byol_vit.py", **gone, **custom)).custom_hooks) == 3


def test_faults_of_all_schedules_are_told_at_once(tmp_path: Path) -> None:
    hook = {"type": "ScheduleHook", "end": 1.0}
    decay = {**hook, "path": "optim_wrapper.optimizer.weight_dekay"}
    twice = {**hook, "path": "model.teacher.momentum"}
    frozen = {**hook, "path": "model.neck.prototypes.frozen"}
    new = {"schedules__decay": decay, "schedules__twice": twice, "schedules__frozen": frozen}
    with pytest.raises(UserError) as caught:
        prepared(options(tmp_path, "byol_vit.py", **new, default_hooks__teacher=None))
    for told in (
        "has 4 faults",
        "AdamW has no 'weight_dekay'; did you mean 'weight_decay'",
        "two schedules set 'model.teacher.momentum'",
        "MLP has no 'prototypes'",
        "model.teacher is moved by TeacherHook",
    ):
        assert told in str(caught.value)


def test_a_schedule_of_what_was_left_out_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"'model\.teacher\.momentum': None has no 'momentum'.*is left out by"
    ):
        prepared(options(tmp_path, "byol_vit.py", model__teacher=None))


def test_a_schedule_is_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"schedules\.mine: FreezeHook is not derived from"):
        prepared(options(tmp_path, "byol_vit.py", schedules__mine={"type": "FreezeHook"}))


def test_hooks_may_be_left_out_by_none(tmp_path: Path) -> None:
    none = {"evaluation": None, "custom_hooks": None, "schedules__teacher_momentum": None}
    none |= {"default_hooks__clustering": None, "default_hooks__freeze": None}
    assert prepared(options(tmp_path, "byol_vit.py", **none)).custom_hooks == []


def test_a_run_without_the_information_hook_trains(tmp_path: Path) -> None:
    config = write_config(tmp_path, "byol_vit.py")
    gone = "default_hooks.information=None"
    assert train_cli(config, "--cfg-options", gone, "--work-dir", tmp_path / "out") == 0
    assert list((tmp_path / "out").rglob("*.pth"))


def test_recomputed_parts_are_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"model has no part 'bakbone'; did you mean 'backbone'"):
        prepared(options(tmp_path, "byol_vit.py", activation_checkpointing=["bakbone"]))


@pytest.mark.parametrize("as_list", [False, True])
def test_numbers_of_a_schedule_are_checked(tmp_path: Path, as_list: bool) -> None:
    bad = {"type": "WarmupCosineLR", "warmup_epochs": -1}
    with pytest.raises(
        UserError, match=r"WarmupCosineLR: warmup_epochs is a number that is not negative .* got -1"
    ):
        prepared(options(tmp_path, "byol_vit.py", param_scheduler=[bad] if as_list else bad))
    if as_list:
        good = {"type": "LinearLR", "start_factor": 0.1, "by_epoch": False, "end": 3}
        assert prepared(options(tmp_path, "byol_vit.py", param_scheduler=[good]))


class OwnBackbone(Backbone):
    """Says its width only where it is asked to."""

    in_channels = 3

    def __init__(self, width: int | str | None = None, fail: str | None = None) -> None:
        super().__init__()
        if width is not None:
            self.num_features = width  # type: ignore[assignment]
        if fail is not None:
            raise {"index": IndexError, "key": KeyError, "run": RuntimeError}[fail]("of its own")

    def forward(self, images: Tensor) -> Tensor:
        return images


class OwnNeck(Neck):
    def __init__(self, in_channels: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x


class CountingHead(PairHead):
    """Asks how many samples there are."""

    def __init__(self, loss: dict[str, Any], num_samples: int) -> None:
        super().__init__(loss)
        self.num_samples = num_samples


def own_head() -> nn.Module:
    return nn.Identity()


def own_images() -> list[int]:
    return [1, 2, 3]


@pytest.fixture
def own_parts() -> Iterator[None]:
    """A user's components; what a function makes is known only when it is built."""
    parts: list[tuple[Registry, Any]] = [
        (BACKBONES, OwnBackbone),
        (NECKS, OwnNeck),
        (HEADS, own_head),
        (HEADS, CountingHead),
        (DATASETS, own_images),
    ]
    for registry, part in parts:
        registry.register_module(module=part)
    yield
    for registry, part in parts:
        registry.module_dict.pop(part.__name__)


@pytest.mark.usefixtures("own_parts")
@pytest.mark.parametrize(
    ("place", "part", "told"),
    [
        (
            "model.backbone",
            {"type": "OwnBackbone"},
            "OwnBackbone lacks num_features, the width C of its features (an int)",
        ),
        ("model.neck", {"type": "OwnNeck"}, "OwnNeck lacks out_channels, the width D"),
        (
            "model.head",
            {"type": "own_head"},
            "model: own_head: Identity is not derived from mvssl.models.heads.Head; see docs/",
        ),
        (
            "train_dataloader.dataset",
            {"type": "own_images"},
            "train_dataloader: own_images: list is not derived from mvssl.datasets.ImageDataset",
        ),
        (
            "model.backbone",
            {"type": "OwnBackbone", "fail": "index"},
            "model: OwnBackbone: IndexError: of its own",
        ),
        (
            "model.backbone",
            {"type": "OwnBackbone", "fail": "key"},
            "model: OwnBackbone: KeyError: 'of its own'",
        ),
        (
            "model.backbone",
            {"type": "OwnBackbone", "fail": "run"},
            "model: OwnBackbone: RuntimeError: of its own",
        ),
        (
            "model.backbone",
            {"type": "OwnBackbone", "width": "wide"},
            "OwnBackbone: num_features, the width C of its features, is an int, got 'wide'",
        ),
    ],
    ids=["backbone", "neck", "head", "data set", "index", "key", "run", "width"],
)
def test_what_a_component_of_ones_own_lacks(
    tmp_path: Path, place: str, part: dict[str, Any], told: str
) -> None:
    new = {place.replace(".", "__"): {"_delete_": True, **part}}
    with pytest.raises(UserError) as caught:
        prepared(options(tmp_path, "byol_vit.py", **new))
    assert told in str(caught.value)
    assert (caught.value.__cause__ is not None) == ("fail" in part)


@pytest.mark.usefixtures("own_parts")
def test_a_head_that_asks_for_it_gets_the_number_of_samples(tmp_path: Path) -> None:
    job = prepared(options(tmp_path, "byol_vit.py", model__head__type="CountingHead"))
    assert isinstance(job.model.head, CountingHead)
    assert job.model.head.num_samples == len(job.dataset) == 1437
    # The config that a run saves is what the user wrote, and serves for other data too.
    assert "num_samples" not in job.cfg.model.head
    saved = tmp_path / "saved.py"
    job.cfg.dump(saved)
    other: dict[str, Any] = {"train_dataloader.dataset.split": "test"}
    again = prepared(TrainOptions(str(saved), cfg_options=other))
    assert isinstance(again.model.head, CountingHead)
    assert again.model.head.num_samples == 360
    other["model.head.num_samples"] = 1437
    with pytest.raises(UserError, match=r"num_samples is that of the data set, 360, .* got 1437"):
        prepared(TrainOptions(str(saved), cfg_options=other))


class HookedHead(Head):
    """Asks for a hook, and for another where a schedule sets its temperature."""

    needed_hooks: ClassVar[Mapping[str, str]] = {"FreezeHook": "HookedHead stands on FreezeHook."}
    hooks_of_schedules: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "temperature": {"DataFaultHook": "its temperature is cooled by DataFaultHook."}
    }
    temperature = 1.0

    def compare(self, record: Embeddings) -> dict[str, Tensor]:
        return {"loss": record.z[0].square().mean()}


def test_a_head_of_ones_own_says_which_hooks_it_needs(tmp_path: Path) -> None:
    HEADS.register_module(module=HookedHead)
    try:
        new: dict[str, Any] = {"model__head": {"_delete_": True, "type": "HookedHead"}}
        schedule = {"type": "ScheduleHook", "path": "model.head.temperature", "end": 0.0}
        assert prepared(options(tmp_path, "byol_vit.py", **new))
        gone: dict[str, Any] = {"default_hooks__freeze": None, "default_hooks__data_faults": None}
        with pytest.raises(UserError, match=r"byol_vit\.py: HookedHead stands on FreezeHook\.$"):
            prepared(options(tmp_path, "byol_vit.py", **new, **gone))
        new["schedules__cooling"] = schedule
        with pytest.raises(UserError, match="2 faults") as caught:
            prepared(options(tmp_path, "byol_vit.py", **new, **gone))
        assert "its temperature is cooled by DataFaultHook" in str(caught.value)
    finally:
        HEADS.module_dict.pop("HookedHead")


@pytest.mark.usefixtures("own_parts")
def test_the_models_faults_are_told_beside_those_of_the_data(tmp_path: Path) -> None:
    new = {"model__head__type": "CountingHead", "train_dataloader__dataset__split": "tain"}
    with pytest.raises(UserError) as caught:
        prepared(options(tmp_path, "byol_vit.py", **new, schedules__teacher_momentum__end=2.0))
    for told in ("has 2 faults", "split must be one of", "momentum is the fraction that is kept"):
        assert told in str(caught.value)


def test_a_model_of_ones_own_is_a_multiview(tmp_path: Path) -> None:
    new = {"model": {"_delete_": True, "type": "EMATeacher"}}
    with pytest.raises(UserError, match=r"EMATeacher is not derived from mvssl\.models\.MultiView"):
        prepared(options(tmp_path, "byol_vit.py", **new))


def _truncated(folder: Path, good: int, bad: int) -> Path:
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    for number in range(good + bad):
        file = folder / f"{number:03}.jpg"
        Image.fromarray(pixels).save(file)
        if number >= good:
            file.write_bytes(file.read_bytes()[:700])
    return folder


@pytest.mark.parametrize("dry_run", [True, False])
def test_images_of_which_none_can_be_read_are_refused_before_anything_is_written(
    dry_run: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path, "photos/byol_small.py")
    folder = _truncated(tmp_path / "data", 0, 40)
    argv = [config, "--data", folder, "--work-dir", tmp_path / "run", "--batch-size", 16]
    assert train_cli(*argv, *(["--dry-run"] if dry_run else [])) == 2
    told = capsys.readouterr().err
    assert "000.jpg is cut off or damaged (7 more likewise)" in told
    assert told.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_how_many_unreadable_images_a_run_takes_is_the_hook_s(tmp_path: Path) -> None:
    folder = str(_truncated(tmp_path / "data", 8, 32))

    def run(**cfg_options: Any) -> None:
        flat = {name.replace("__", "."): value for name, value in cfg_options.items()}
        config = str(write_config(tmp_path, "photos/byol_small.py"))
        prepared(TrainOptions(config, data=folder, batch_size=16, cfg_options=flat))

    with pytest.raises(UserError, match="only 2 of 8 that were tried"):
        run()
    run(default_hooks__data_faults__minimum=100)
    run(default_hooks__data_faults=None)


def test_images_of_the_evaluation_are_tried_too(tmp_path: Path) -> None:
    folder = _truncated(tmp_path / "data", 0, 40)
    held_out = {"type": "ImageFolder", "root": str(folder), "size": 32, "labels": False}
    evaluators = {"_delete_": True, "information": {"type": "Information", "images": 16}}
    with pytest.raises(UserError, match=r"data \(train\): 40 images 32x32: none of 8"):
        prepared(
            options(
                tmp_path,
                "byol_vit.py",
                evaluation__evaluators=evaluators,
                evaluation__test={"_delete_": True, **held_out},
            )
        )


@pytest.mark.parametrize(
    ("config", "schedules", "told"),
    [
        (
            "swav_vit.py",
            {"u": {"path": "model.head.assigner.teacher_temp", "end": 0.2}},
            r"at the end of the schedules, DiscreteERHead: the assigner's teacher_temp \(0.2\)",
        ),
        (
            "swav_vit.py",
            {
                "u": {"path": "model.head.assigner.teacher_temp", "end": 0.2},
                "v": {"path": "model.head.loss.student_temp", "end": 0.4},
            },
            None,
        ),
        (
            "swav_vit.py",
            {"u": {"path": "model.head.entropy.temperature", "end": -1.0}},
            r"PrototypeEntropy: temperature .* got -1.0",
        ),
        (
            "ressl_vit.py",
            {"u": {"path": "model.head.teacher_temp", "end": 0.2}},
            r"at the end of the schedules, RelationHead: teacher_temp \(0.2\) must be smaller",
        ),
    ],
)
def test_schedules_that_bring_temperatures_past_each_other_are_told_before_training(
    config: str, schedules: dict[str, dict[str, Any]], told: str | None
) -> None:
    cfg_options: dict[str, Any] = {
        f"schedules.{name}": {"type": "ScheduleHook", **one} for name, one in schedules.items()
    }
    if config == "swav_vit.py":
        cfg_options |= {"schedules.use_queue": None, "model.head.entropy_temp": 0.05}
    path, objective = str(ROOT / "configs" / config), "er" if config == "swav_vit.py" else "native"
    asked = TrainOptions(path, objective=objective, cfg_options=cfg_options)
    if told is None:
        assert prepared(asked)
        return
    with pytest.raises(UserError, match=told):
        prepared(asked)
