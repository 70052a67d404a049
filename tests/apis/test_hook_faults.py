"""Hooks that are missing, there twice, or unable to work; each default hook set to None."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mmengine.hooks import Hook

from mvssl import registry
from mvssl.apis import TrainOptions
from mvssl.apis.hook_faults import hook_faults, hook_notes
from mvssl.errors import UserError
from tests.mini import prepared, write_config

SMALL = "train_dataloader = dict(dataset=dict(split='test'), batch_size=120)\nevaluation = None\n"
# Of a config with a teacher and a schedule of the learning rate.
REFUSED = {
    "runtime_info": "default_hooks.runtime_info is None",
    "sampler_seed": "images would come in the same order in every epoch",
    "param_scheduler": "the learning rate would stay at its first value",
    "teacher": "model.teacher is moved by TeacherHook",
    "scalars": "nobody to notice a loss that is NaN",
}
TOLD = {"checkpoint": "note: .* nothing is saved", "data_faults": "note: .* cannot be read"}
WORKS = ("timer", "logger", "clustering", "freeze", "information", "progress")


class _Validating(Hook):
    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        """Never called."""


class _Own(Hook):
    def after_train_iter(self, *_: Any, **__: Any) -> None:
        """Works."""

    def after_val_epoch(self, *_: Any, **__: Any) -> None:
        """For another Runner."""


def built(*kinds: str | Hook, **arguments: Any) -> list[Hook]:
    """These hooks beside those that every run has."""
    always = [{"type": kind} for kind in ("RunInfoHook", "DistSamplerSeedHook", "ScalarsHook")]
    named = [{"type": kind, **arguments} for kind in kinds if isinstance(kind, str)]
    hooks = [registry.HOOKS.build(one) for one in [*always, *named]]
    return [*hooks, *(kind for kind in kinds if isinstance(kind, Hook))]


def test_the_table_holds_every_default_hook(tmp_path: Path) -> None:
    options = TrainOptions(config=str(write_config(tmp_path)))
    assert {*options.read().default_hooks} >= {*REFUSED, *TOLD, *WORKS}


@pytest.mark.parametrize("name", [*REFUSED, *TOLD, *WORKS])
def test_a_default_hook_that_is_none(name: str, tmp_path: Path) -> None:
    config = write_config(tmp_path, more=SMALL)
    options = TrainOptions(config=str(config), cfg_options={f"default_hooks.{name}": None})
    if name in REFUSED:
        with pytest.raises(UserError, match=REFUSED[name]):
            prepared(options)
        return
    notes = [note for note in prepared(options).notes if "Hook" in note]
    assert len(notes) == (name in TOLD)


def test_no_schedule_needs_no_hook() -> None:
    assert not hook_faults(built(), schedules=False)
    assert not hook_faults(built("ParamSchedulerHook"), schedules=True)
    (told,) = hook_faults(built(), schedules=True)
    assert "param_scheduler=None for a constant rate" in told.text


@pytest.mark.parametrize(
    "kind",
    [
        "TeacherHook",
        "ScalarsHook",
        "CheckpointHook",
        "InformationHook",
        "ClusteringHook",
        "FreezeHook",
        "DataFaultHook",
        "ProgressHook",
        "DistSamplerSeedHook",
        "ParamSchedulerHook",
        "IterTimerHook",
    ],
)
def test_a_hook_is_there_once(kind: str) -> None:
    hooks = [hook for hook in built() if type(hook).__name__ != kind]
    (told,) = hook_faults([*hooks, *(registry.HOOKS.build({"type": kind}) for _ in "ab")], False)
    assert f"twice the hook {kind}" in told.text


def test_a_hook_derived_from_another_does_its_work_again() -> None:
    (told,) = hook_faults(built("RuntimeInfoHook"), schedules=False)
    assert "two hooks RunInfoHook and RuntimeInfoHook" in told.text


def test_two_schedules_and_two_of_one_s_own_are_fine() -> None:
    more = [_Own(), _Own(), *(built("ScheduleHook", path="model.a.b", end=1.0)[-1] for _ in "ab")]
    assert not hook_faults([*built(), *more], schedules=False)


@pytest.mark.parametrize(
    ("hook", "told"),
    [
        ({"type": "EarlyStoppingHook", "monitor": "loss", "rule": "less"}, "stop_training = True"),
        ({"type": "EMAHook"}, r"model\.teacher=dict\(momentum"),
        ({"type": "SyncBuffersHook"}, "queues and centres"),
        ({"type": "LoggerHook"}, "ScalarsHook writes the log"),
        ({"type": "PrepareTTAHook", "tta_cfg": {}}, "before_test and the like alone"),
    ],
)
def test_a_hook_of_mmengine_that_cannot_work(
    hook: dict[str, Any], told: str, tmp_path: Path
) -> None:
    config = write_config(tmp_path, more=f"{SMALL}custom_hooks = [{hook!r}]\n")
    with pytest.raises(UserError, match=told):
        prepared(TrainOptions(config=str(config)))


def test_a_hook_of_one_s_own_that_waits_for_validation() -> None:
    (told,) = hook_faults(built(_Validating()), schedules=False)
    assert "_Validating acts in after_val_epoch" in told.text
    assert "evaluation=dict(evaluators=...)" in told.text
    assert not hook_faults(built(_Own()), schedules=False)


@pytest.mark.parametrize(
    ("stages", "told"),
    [
        (["before_run"], False),
        (["before_run", "before_test_iter"], True),
        (["after_val_iter", "after_test"], True),
        (["after_val_iter", "after_train"], False),
        (["after_val_iter", "_after_epoch"], False),  # of which training has one
        (["before_val", "before_save_checkpoint"], False),
        ([], False),
    ],
)
def test_a_hook_is_refused_where_all_its_stages_are_of_validation(
    stages: list[str], told: bool
) -> None:
    hook = type("_Acting", (Hook,), {stage: lambda *_, **__: None for stage in stages})()
    assert bool(hook_faults([*built(), hook], schedules=False)) == told


def test_notes_are_of_what_is_left_out() -> None:
    assert len(hook_notes(built())) == 2
    assert not hook_notes(built("CheckpointHook", "DataFaultHook"))
