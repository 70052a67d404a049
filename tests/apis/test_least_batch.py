"""The fewest images at once: of heads, of BatchNorm, of the pieces of a batch, over processes."""

from __future__ import annotations

from typing import Any

import pytest

from mvssl.apis.least_batch import check_enough, check_least_batch
from mvssl.errors import UserError
from mvssl.models import MultiView
from mvssl.models.heads import Head
from mvssl.registry import HEADS
from tests.gloo_pool import GlooPool
from tests.runs import SMALL_VIT, small_model

COSINE = {"type": "PairHead", "loss": {"type": "CosineSimilarityLoss"}}
VIEWS = {"type": "MultiViewPreprocessor", "views": "gentle", "size": 32}
NO_NORM = {"type": "MLP", "hidden_channels": 12, "out_channels": 6, "norm": "none"}
SHARPENING = {"type": "Sharpening"}
TWO = [
    {"type": "JointHead", "loss": {"type": "NTXentLoss"}},
    {"type": "JointHead", "loss": {"type": "BarlowTwinsLoss"}},
    {"type": "JointHead", "loss": {"type": "VICRegLoss"}},
    {"type": "PairHead", "loss": {"type": "InfoNCELoss"}},
    {"type": "JointHead", "loss": {"type": "DCLLoss"}},
    {"type": "RegularizedHead", "loss": {"type": "SIGRegLoss"}},
    {"type": "RegularizedHead", "loss": {"type": "VISRegLoss"}},
    {"type": "ViewsHead", "loss": {"type": "MMCRLoss"}},
    {"type": "ERHead", "in_channels": 6},
    {"type": "ERHead", "in_channels": 6, "estimator": "loo"},
    {"type": "DiscreteERHead", "num_prototypes": 4, "in_channels": 6},
    {
        "type": "AssignmentHead",
        "assigner": {"type": "Sinkhorn"},
        "num_prototypes": 4,
        "in_channels": 6,
    },
]
ONE = [
    COSINE,
    {"type": "MoCoHead", "queue_size": 8, "in_channels": 6},
    {"type": "InstanceHead", "in_channels": 6, "num_samples": 40},
    {"type": "AssignmentHead", "assigner": SHARPENING, "num_prototypes": 4, "in_channels": 6},
]


@pytest.mark.parametrize("cfg", TWO)
def test_what_compares_images_needs_two(cfg: dict[str, Any]) -> None:
    head: Head = HEADS.build(cfg)
    with pytest.raises(UserError, match=rf"{cfg['type']} .* at least 2, .*batch_size=1 gives 1"):
        head.check_batch(1)
    head.check_batch(2)


@pytest.mark.parametrize("cfg", ONE)
def test_what_looks_at_each_image_takes_one(cfg: dict[str, Any]) -> None:
    head: Head = HEADS.build(cfg)
    head.check_batch(1)
    assert not head.crosses_samples


def test_a_head_of_one_s_own_says_how_many() -> None:
    head: Head = HEADS.build(COSINE)
    head.min_batch = 4
    with pytest.raises(UserError, match=r"at least 4, .* set train_dataloader.*=4 or more"):
        head.check_batch(3)


def test_batch_norm_of_one_image_is_named() -> None:
    model = small_model(COSINE)
    with pytest.raises(
        UserError, match=r"model\.neck\.layers\.1: .*batch_size=1 gives 1: raise it"
    ):
        check_least_batch(model, 1, None)
    check_least_batch(model, 2, None)
    check_least_batch(small_model(COSINE, neck=NO_NORM), 1, None)


def test_the_last_piece_of_a_batch_counts() -> None:
    model = small_model(COSINE)
    with pytest.raises(UserError, match=r"leaves a last piece of 1 of the 9 images"):
        check_least_batch(model, 9, 4)
    with pytest.raises(UserError, match=r"micro_batch_size=1 lets 1 through"):
        check_least_batch(model, 8, 1)
    with pytest.raises(UserError, match=r"micro_batch_size is 9, more than the 8 images"):
        check_least_batch(model, 8, 9)
    check_least_batch(model, 10, 4)
    check_least_batch(small_model(COSINE, neck=NO_NORM), 9, 4)


@pytest.mark.parametrize(("stem", "pixels"), [("default", 1), ("cifar", 16)])
def test_maps_of_one_pixel_are_no_more_than_a_number(stem: str, pixels: int) -> None:
    backbone = {"type": "TimmBackbone", "name": "resnet18", "stem": stem}
    small = {"layers": (1, 1, 1, 1), "channels": (8, 8, 8, 8)}
    model = small_model(
        COSINE, backbone={**backbone, "model_args": small}, neck=NO_NORM, data_preprocessor=VIEWS
    )
    if pixels > 1:
        check_least_batch(model, 1, None)
        return
    with pytest.raises(UserError, match=r"model\.backbone\.model\.layer4"):
        check_least_batch(model, 1, None)


def test_groups_that_a_teacher_shuffles_have_two_each() -> None:
    model = small_model(COSINE, teacher={"shuffle_groups": 2})
    for batch in (2, 3):
        with pytest.raises(UserError, match="shuffle_groups=2 needs at least 4 images"):
            check_least_batch(model, batch, None)
    check_least_batch(model, 4, None)


def _on_ranks(batch_size: int, gather: bool) -> str:
    neck = {"type": "MLP", "hidden_channels": 12, "out_channels": 6}
    model: MultiView = small_model(
        {"type": "ERHead", "gather": gather}, neck=neck, backbone=SMALL_VIT
    )
    try:
        check_least_batch(model, batch_size, None)
    except UserError as error:
        return str(error)
    return ""


def test_processes_join_their_images(run_distributed: GlooPool) -> None:
    # Statistics, and the entropy, are those of the joined batch.
    assert run_distributed(_on_ranks, 2, 2, True) == ["", ""]
    for told in run_distributed(_on_ranks, 2, 2, False):
        assert "gives 1 to each process" in told
        assert "batch_size=4 or more" in told


@pytest.mark.parametrize(("images", "batch"), [(2, 2), (3, 2), (4, 2), (5, 2), (8, 4), (360, 128)])
def test_the_batch_that_is_advised_is_one_that_the_model_takes(images: int, batch: int) -> None:
    model = small_model(COSINE)  # whose BatchNorm needs two
    told = rf"holds {images} images: lower it with --batch-size {batch}\."
    with pytest.raises(UserError, match=told):
        check_enough(model, images, 1024, None)
    check_least_batch(model, batch, None)
    check_enough(model, images, batch, None)


def test_a_single_image_is_enough_where_no_part_compares() -> None:
    model = small_model(COSINE, neck=NO_NORM)
    check_enough(model, 1, 1, None)
    with pytest.raises(UserError, match=r"holds 1 image: lower it with --batch-size 1\."):
        check_enough(model, 1, 64, None)


@pytest.mark.parametrize(("images", "least", "parts"), [(1, 2, {}), (5, 8, {"shuffle_groups": 4})])
def test_too_few_images_for_any_batch_are_told_with_how_many_are_needed(
    images: int, least: int, parts: dict[str, int]
) -> None:
    model = small_model(COSINE, teacher=parts or None)
    for batch in (1, 2, 64):
        told = rf"batch_size is {batch}, .*too few to train this model on: give at least {least}\."
        with pytest.raises(UserError, match=told):
            check_enough(model, images, batch, None)
    check_enough(model, least, least, None)


def _enough_on_ranks() -> str:
    try:
        check_enough(small_model(COSINE), 7, 64, None)
    except UserError as error:
        return str(error)
    return ""


def test_the_batch_that_is_advised_divides_among_processes(run_distributed: GlooPool) -> None:
    for told in run_distributed(_enough_on_ranks, 2):
        assert told.endswith("--batch-size 2.")
