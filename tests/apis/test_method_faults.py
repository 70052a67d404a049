"""What is said before training where the parts of a method do not fit each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mini import ROOT, train_cli

CLUSTERS = "model.head.num_clusters"


@pytest.mark.parametrize(
    ("config", "options", "told"),
    [
        (
            "swav_vit.py",
            ["model.head.num_prototypes=None", "model.head.queue_size=0"],
            "AssignmentHead works on prototypes, and the neck has none",
        ),
        (
            "dino_vit.py",
            [
                "model.neck={'type': 'MLP', 'hidden_channels': 8, 'out_channels': 8, "
                "'_delete_': True}",
                "schedules={'_delete_': True}",
            ],
            "AssignmentHead works on prototypes, and the neck has none",
        ),
        (
            "swav_vit.py",
            ["model.head.num_prototypes=None", "--objective", "er"],
            "DiscreteERHead works on prototypes, and the neck has none",
        ),
        (
            "byol_vit.py",
            ["model.head={'type': 'DiscreteERHead', '_delete_': True}"],
            "DiscreteERHead works on prototypes, and the neck has none",
        ),
        (
            "deepcluster_vit.py",
            [f"{CLUSTERS}=2000"],
            "more clusters (2000) than samples (1437)",
        ),
        (
            "deepclusterv2_vit.py",
            [f"{CLUSTERS}=[10, 1438]"],
            "more clusters (1438) than samples (1437)",
        ),
        (
            "byol_vit.py",
            ["model.num_targets=3"],
            "model.num_targets is 3, but data_preprocessor.views makes 2 views",
        ),
        (
            "simclr_vit.py",
            ["model.data_preprocessor.views=gentle_one", "model.num_targets=1"],
            "JointHead needs at least 2 views of an image, but data_preprocessor.views makes 1",
        ),
        (
            "mocov2_vit.py",
            ["model.teacher=None"],
            "there is no model.teacher to embed them",
        ),
        (
            "mocov2_vit.py",
            ["model.teacher_only_views=2", "model.num_targets=2"],
            "so that the student has one",
        ),
        (
            "mocov2_vit.py",
            ["model.head.queue_size=1000"],
            "A queue of 1000 is no multiple of the batch of 64",
        ),
        (
            "nnclr_vit.py",
            ["model.head.target.queue_size=1000"],
            "A queue of 1000 is no multiple of the batch of 64",
        ),
        (
            "dino_vit.py",
            [
                "model.head.num_prototypes=[16, 16]",
                "model.head.assigner={'type': 'Centering', '_delete_': True}",
                "schedules.frozen=None",
            ],
            "statistics of one set of prototypes",
        ),
        (
            "dino_vit.py",
            ["model.head.assigner.teacher_temp=0.2", "--objective", "er"],
            "must be smaller than student_temp",
        ),
        (
            "dino_vit.py",
            ["model.head={'type': 'ERHead', '_delete_': True}", "schedules={'_delete_': True}"],
            "ERHead does not look at the neck's prototypes",
        ),
        (
            "simclr_vit.py",
            ["model.teacher={'momentum': 0.9}"],
            "JointHead looks at projections alone, so model.teacher would never be used",
        ),
        (
            "byol_vit.py",
            ["model.head.target={'type': 'ViewTargets', 'stop_gradient': False}"],
            "those of model.teacher carry no gradient",
        ),
        (
            "swav_vit.py",
            ["model.head.target={'type': 'ViewTargets', 'stop_gradient': False}"],
            "assignments of Sinkhorn carry no gradient",
        ),
        (
            "mocov2_vit.py",
            ["model.data_preprocessor.views=gentle_multicrop", "model.teacher_only_views=2"],
            "the teacher embeds the first num_targets=1 views alone",
        ),
        (
            "swav_vit.py",
            ["model.head.assigner={'type': 'KMeans', 'num_clusters': 9, '_delete_': True}"],
            "model.head.assigner: 'KMeans' is not in the registry ASSIGNERS",
        ),
        (
            "dino_vit.py",
            [
                "schedules.teacher_temp={'type': 'ScheduleHook', 'end': 0.0, "
                "'path': 'model.head.assigner.teacher_temp'}",
                "--objective",
                "er",
            ],
            "teacher_temp is a number greater than 0",
        ),
        (
            "ir_vit.py",
            ["model.head.num_samples=7"],
            "num_samples is that of the data set, 1437, which is filled in; got 7",
        ),
        (
            "deepcluster_vit.py",
            ["default_hooks.clustering=None"],
            "are found by ClusteringHook, and there is none among the hooks",
        ),
        (
            "dino_vit.py",
            ["default_hooks.freeze=None"],
            "is kept still by FreezeHook, and there is none among the hooks",
        ),
    ],
)
def test_parts_that_do_not_fit(
    config: str, options: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work = tmp_path / "work"
    path = ROOT / "configs" / config
    assert train_cli(path, "--work-dir", work, "--cfg-options", *options) == 2
    printed = capsys.readouterr()
    assert told in " ".join(printed.err.split())
    assert "Traceback" not in printed.err
    assert printed.out == ""
    assert not work.exists()
