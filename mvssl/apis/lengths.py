"""Warm-ups and schedules that are longer than the run."""

from __future__ import annotations

from mvssl.engine import Job, WarmupCosineLR
from mvssl.engine.hooks import ScheduleHook
from mvssl.words import count

__all__ = ["length_notes"]


def length_notes(job: Job) -> list[str]:
    """What a run of this length does not reach, a sentence each.

    A short run is often a trial of a longer one, so that it is no fault.
    """
    steps, epochs = len(job.loader), job.cfg.train_cfg.max_epochs
    notes = []
    for scheduler in job.schedulers:
        if isinstance(scheduler, WarmupCosineLR):
            if scheduler.warmup_epochs > epochs:
                notes.append(
                    f"note: param_scheduler.warmup_epochs={scheduler.warmup_epochs:g} is longer "
                    f"than the run ({count(epochs, 'epoch')}): it warms up over the first half, "
                    f"{scheduler.warmup_iters} iterations."
                )
            continue
        begin, end = scheduler.begin, scheduler.end
        length, unit = (epochs, "epochs") if scheduler.by_epoch else (epochs * steps, "iterations")
        kind = type(scheduler).__name__
        if begin >= length:
            notes.append(
                f"note: param_scheduler: {kind} begins after {begin} {unit}, and the run has "
                f"{length}: it never acts."
            )
        elif length < end < ENDLESS:
            notes.append(
                f"note: param_scheduler: {kind} ends after {end} {unit}, and the run has {length}: "
                f"it does not reach its end."
            )
    for hook in job.hooks:
        if isinstance(hook, ScheduleHook) and (hook.length(steps) or 0) > epochs * steps:
            notes.append(
                f"note: the schedule of '{hook.path}' is longer than the run "
                f"({count(epochs, 'epoch')}): it does not reach {hook.end!r}."
            )
    return notes


# mmengine's schedulers without an end.
ENDLESS = 10**9
