"""Each fault, provoked in a real run on the digits; the figures' limits are in test_health.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mvssl.checkpoint import load_run
from mvssl.distributed import all_gather_object
from mvssl.engine import Job, Runner
from mvssl.engine.hooks import (
    CheckpointHook,
    DoctorHook,
    EvaluationHook,
    InformationHook,
    ScalarsHook,
)
from mvssl.errors import CollapseError, UserError
from mvssl.evaluation import KNN, Inputs
from tests.gloo_pool import GlooPool
from tests.runs import SMALL_VIT, small_job

MLP: dict[str, Any] = {"type": "MLP", "hidden_channels": 32}
NECK: dict[str, Any] = {**MLP, "out_channels": 16}
BYOL: dict[str, Any] = {
    "head": {"type": "PairHead", "loss": {"type": "CosineSimilarityLoss"}},
    "predictor": MLP,
    "teacher": {"momentum": 0.9},
}
SIMCLR: dict[str, Any] = {"head": {"type": "JointHead", "loss": {"type": "NTXentLoss"}}}


def dino(assigner: dict[str, Any]) -> dict[str, Any]:
    return {
        "head": {"type": "AssignmentHead", "assigner": assigner, "student_temp": 0.1},
        "neck": {"type": "PrototypeNeck", "projector": NECK, "num_prototypes": 32},
        "teacher": {"momentum": 0.9},
    }


def job(parts: dict[str, Any], epochs: int = 5, lr: float = 1e-3, **doctor: Any) -> Job:
    """12 iterations an epoch, measured at every second one."""
    model = {
        "type": "MultiView",
        "backbone": SMALL_VIT,
        "neck": NECK,
        "data_preprocessor": {"type": "MultiViewPreprocessor", "size": 16, "views": "gentle"},
        **parts,
    }
    optimizer = {"type": "AdamW", "lr": lr, "weight_decay": 0.05}
    optim = {"type": "OptimWrapper", "constructor": "DecayGroups", "optimizer": optimizer}
    built = small_job(model, epochs, 30, optim)
    built.default_hooks |= {
        "checkpoint": None,
        "information": InformationHook(interval=2),
        "scalars": ScalarsHook(interval=4),
        "doctor": DoctorHook(**doctor),
    }
    return built


def run(folder: Path, built: Job) -> dict[str, Any]:
    """What the doctor says in the end."""
    Runner(built, folder).train()
    doctor = built.default_hooks["doctor"]
    assert isinstance(doctor, DoctorHook)
    return doctor.results()


@pytest.mark.parametrize(
    ("parts", "lr", "kind", "cause"),
    [
        (BYOL | {"predictor": None, "teacher": {"momentum": 0.0}}, 2e-3, "complete", "predictor"),
        (BYOL, 0.0, "nothing learnt", "learning rate is 0"),
        (BYOL | {"teacher": {"momentum": 1.0}}, 1e-3, "dead teacher", "momentum"),
        (dino({"type": "Sharpening", "teacher_temp": 0.04}), 1e-3, "prototype", "sharpening"),
        (dino({"type": "Centering", "teacher_temp": 0.3}), 2e-3, "prototype", "too soft"),
        (SIMCLR | {"neck": {**NECK, "hidden_channels": 1}}, 1e-3, "dimensional", "narrow"),
    ],
)
def test_a_fault_is_told_once_with_its_cause(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    parts: dict[str, Any],
    lr: float,
    kind: str,
    cause: str,
) -> None:
    built = job(parts, lr=lr)
    found = run(tmp_path, built)
    assert found["kind"].startswith(kind)
    assert any(cause in one for one in found["causes"])
    assert found["told"]["kind"] == found["kind"]
    assert found["told"]["iteration"] >= 30
    log = (tmp_path / "train.log").read_text()
    assert log.count("note: iteration") == log.count("likely causes:") == 1


@pytest.mark.parametrize(
    "parts", [BYOL, SIMCLR, BYOL | {"head": {"type": "ERHead"}}], ids=["byol", "simclr", "er"]
)
def test_a_run_that_learns_is_healthy(tmp_path: Path, parts: dict[str, Any]) -> None:
    found = run(tmp_path, job(parts))
    assert (found["kind"], found["told"]) == ("healthy", None)
    assert "note:" not in (tmp_path / "train.log").read_text()


def test_equal_images_are_told_as_such(tmp_path: Path) -> None:
    built = job(SIMCLR, epochs=3)
    images: Any = built.dataset
    images._images = np.repeat(images._images[:1], len(images), axis=0)
    assert run(tmp_path, built)["kind"] == "equal images"


def test_nothing_is_said_before_the_least_number_of_iterations(tmp_path: Path) -> None:
    found = run(tmp_path, job(BYOL, epochs=2, lr=0.0))
    assert (found["kind"], found["told"]) == ("unknown", None)
    assert "from iteration 30 on" in found["sentence"]


def test_it_measures_itself_where_no_hook_does(tmp_path: Path) -> None:
    built = job(BYOL, epochs=3, lr=0.0)
    del built.default_hooks["information"]
    assert run(tmp_path, built)["kind"] == "nothing learnt"


def test_a_resumed_run_tells_once_and_knows_where_it_started(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    built = job(BYOL | {"teacher": {"momentum": 1.0}}, epochs=4)
    runner = Runner(built, tmp_path)
    runner.train()
    runner.train_loop.epoch -= 1  # as where hooks save it
    runner.save_epoch()
    capsys.readouterr()
    again = job(BYOL | {"teacher": {"momentum": 1.0}}, epochs=6)
    Runner(again, tmp_path, load_run(tmp_path / "epoch_4.pth")).train()
    assert "note:" not in capsys.readouterr().out
    doctor: Any = again.default_hooks["doctor"]
    assert doctor.results()["kind"] == "dead teacher"
    assert doctor.results()["told"]["iteration"] < 48


def test_what_was_found_of_late_goes_on(tmp_path: Path) -> None:
    whole = job(BYOL, 2, lr=0.0, patience=5, min_iters=2)
    whole.default_hooks["checkpoint"] = CheckpointHook(interval=1)
    Runner(whole, tmp_path).train()
    rest = job(BYOL, 2, lr=0.0, patience=5, min_iters=2)
    Runner(rest, tmp_path / "rest", load_run(tmp_path / "epoch_1.pth")).train()
    first, second = (one.default_hooks["doctor"] for one in (whole, rest))
    assert isinstance(first, DoctorHook)
    assert isinstance(second, DoctorHook)
    assert second.results() == first.results()
    assert second.results()["told"]["iteration"] == 20  # the fifth judgement, of one every 4 steps


def test_a_state_of_another_kind_is_refused(tmp_path: Path) -> None:
    whole = job(BYOL, 1)
    whole.default_hooks["checkpoint"] = CheckpointHook(interval=1)
    Runner(whole, tmp_path).train()
    checkpoint = load_run(tmp_path / "epoch_1.pth")
    hooks = checkpoint.content["hooks"]
    good = hooks["DoctorHook"]
    wrong: list[dict[str, Any]] = [
        *({name: value} for name, value in good.items()),  # lacks the others
        *(good | {name: 3} for name in ("start", "told", "diagnosis")),
        good | {"since": "late"},
        good | {"diagnosis": {"kind": "healthy"}},
    ]
    for number, hooks["DoctorHook"] in enumerate(wrong):
        with pytest.raises(UserError, match="does not hold what a run goes on with"):
            Runner(job(BYOL, 2), tmp_path / f"{number}", checkpoint).train()


def test_words_and_numbers_are_checked() -> None:
    with pytest.raises(UserError, match="on_collapse is one of warn, stop"):
        DoctorHook(on_collapse="ignore")
    with pytest.raises(UserError, match="patience"):
        DoctorHook(patience=0)


@pytest.mark.parametrize(("least", "name"), [(4, "iter_4.pth"), (12, "epoch_1.pth")])
def test_stop_saves_the_run_and_ends_it_with_its_own_status(
    tmp_path: Path, least: int, name: str
) -> None:
    built = job(BYOL, epochs=8, lr=0.0, on_collapse="stop", patience=1, min_iters=least)
    with pytest.raises(CollapseError, match=rf"nothing learnt.*{name}; --resume") as raised:
        Runner(built, tmp_path).train()
    assert raised.value.exit_status == 3
    assert load_run(tmp_path / name).content["meta"]["iter"] == least


def _stop(folder: Path) -> None:
    model = BYOL | {"predictor": None, "teacher": {"momentum": 0.0}}
    built = job(model, epochs=8, lr=2e-3, on_collapse="stop", patience=1, min_iters=8)
    with pytest.raises(CollapseError, match="complete collapse") as raised:
        Runner(built, folder, launcher="pytorch").train()
    told = all_gather_object(str(raised.value))
    assert len(told) == 2
    assert told[0] == told[1]


def test_processes_see_the_same_and_stop_together(
    run_distributed: GlooPool, tmp_path: Path
) -> None:
    run_distributed(_stop, 2, tmp_path)
    assert len(list(tmp_path.glob("*.pth"))) == 1


class _Forgetful(KNN):
    """kNN that finds less after training than before."""

    on_pixels = False

    def run(self, inputs: Inputs) -> dict[str, float]:
        name = next(iter(self.results))
        self.asked = getattr(self, "asked", 0) + 1
        return {name: 0.9 if self.asked == 1 else 0.5}


@pytest.mark.parametrize(("kind", "fault"), [(_Forgetful, True), (KNN, False)])
def test_a_run_that_made_features_worse_is_not_healthy(
    tmp_path: Path, kind: type[KNN], fault: bool
) -> None:
    train, test = ({"type": "Digits", "size": 16, "split": part} for part in ("train", "test"))
    evaluation = EvaluationHook(train, test, {}, interval=100)
    evaluation.evaluators["knn"] = kind(k=5)
    built = job(SIMCLR, epochs=3)
    built.default_hooks["evaluation"] = evaluation
    found = run(tmp_path, built)
    assert (found["kind"] == "worse than before") == fault
    assert ("kNN fell by 0.400" in (tmp_path / "train.log").read_text()) == fault
