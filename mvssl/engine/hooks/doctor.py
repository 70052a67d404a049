"""Says what the figures of a run mean: that it learns, or what is wrong with it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

import torch
from mmengine.hooks import Hook
from torch import Tensor

from mvssl.arguments import check_choice, check_count
from mvssl.datasets import images_differ
from mvssl.distributed import all_reduce_mean, barrier, on_first_rank, world_size
from mvssl.engine.hooks.evaluation import EvaluationHook
from mvssl.engine.hooks.information import InformationHook
from mvssl.engine.run import Run
from mvssl.errors import CollapseError
from mvssl.evaluation import KNN
from mvssl.models import MultiView
from mvssl.models.health import FIGURES, OUTCOMES, Diagnosis, Limits, change, diagnose, worse
from mvssl.models.movement import distance, sample_weights
from mvssl.models.remedies import Method
from mvssl.registry import HOOKS

__all__ = ["DoctorHook"]

ANSWERS = ("warn", "stop")
# A fault that may mend itself is told when it has lasted for a fifth of the run.
PASSING = 5


@HOOKS.register_module()
class DoctorHook(Hook):
    """Tells once in a run what is wrong with it, as soon as that is certain.

    Whenever ``InformationHook`` has measured, the figures are judged
    (``mvssl.models.health.diagnose``). A fault that is found ``patience`` times in a row, from
    ``min_iters`` iterations on, is told on the console, with its likely causes and remedies for
    the method that is trained; a dimensional collapse, which may mend itself, once it has lasted
    for a fifth of the run. At the end kNN is compared with what it was before
    training, where both were measured. The verdict is in the summary. Beside the figures that
    are measured anyway it records how far weights and teacher have moved.

    All processes judge the same figures, means over all of them. Where there is no
    ``InformationHook`` it measures by one of its own. It reads what ``ScalarsHook`` records.

    Args:
        on_collapse: ``warn``, or ``stop``: save the run and end it.
        min_iters: iterations before which nothing is said: untrained networks may look collapsed.
        patience: judgements in a row that have to agree.
        limits: from where on a figure means a fault, by the names of
            ``mvssl.models.health.Limits``.

    Attributes:
        diagnosis: the latest, None before the first.

    Raises:
        UserError: a word, a number or a name is none of these; while it trains, a
            ``CollapseError`` with ``on_collapse='stop'``.
    """

    # After the scalars and the schedules of the same iteration, so that a run can be saved here;
    # before checkpoints, which hold the curves.
    priority = 80

    def __init__(
        self,
        on_collapse: str = "warn",
        min_iters: int = 30,
        patience: int = 3,
        limits: dict[str, float] | None = None,
    ) -> None:
        check_choice("DoctorHook", "on_collapse", on_collapse, ANSWERS)
        check_count("DoctorHook", patience=patience)
        check_count("DoctorHook", at_least=0, min_iters=min_iters)
        self.on_collapse = on_collapse
        self.min_iters = min_iters
        self.patience = patience
        self.limits = Limits.of(limits or {})
        self.diagnosis: Diagnosis | None = None
        self._told: dict[str, int | str] = {}
        self._agreeing = self._since = 0
        self._stop = False
        self._figures: dict[str, float] = {}
        self._start: dict[str, Tensor] = {}
        self._images_differ: bool | None = None
        self._own: InformationHook | None = None

    def before_train(self, runner: Run) -> None:
        if not any(isinstance(hook, InformationHook) for hook in runner.hooks):
            self._own = InformationHook()
        start = _weights(runner.model)
        # A run that goes on knows its start from the checkpoint.
        known = {name: len(one) for name, one in self._start.items()}
        if known != {name: len(one) for name, one in start.items()}:
            self._start = start

    def before_train_iter(self, runner: Run, batch_idx: int, data_batch: Any = None) -> None:
        if self._own is not None:
            self._own.before_train_iter(runner, batch_idx, data_batch)

    def after_train_iter(
        self, runner: Run, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        done = runner.iter + 1
        # Measured now and then, and read by ScalarsHook later on.
        if runner.history.last_step("rankme") != done:
            return
        runner.record(self._movement(runner.model), done)
        if done >= self.min_iters:
            self._judge(runner, done)
        if self._stop and not self.end_of_epoch(runner.train_dataloader, batch_idx):
            self._end(runner.save_mid_epoch(), done)

    def after_train_epoch(self, runner: Run) -> None:
        if self._stop:
            self._end(runner.save_epoch(), runner.iter)

    def after_train(self, runner: Run) -> None:
        if self.diagnosis is None or not self.diagnosis.is_fault:
            self.diagnosis = self._worse(runner) or self.diagnosis
        if self.diagnosis is not None and self.diagnosis.is_fault and not self._told:
            self._tell(runner, self.diagnosis, runner.iter)

    def state_dict(self) -> dict[str, Any]:
        """Where the run started, what was told of it, and what was found of late."""
        return {
            "start": self._start,
            "told": self._told,
            "diagnosis": None if self.diagnosis is None else asdict(self.diagnosis),
            "agreeing": self._agreeing,
            "since": self._since,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what ``state_dict`` gave."""
        self._start = {name: one.flatten().float() for name, one in state["start"].items()}
        told, saved = state["told"], state["diagnosis"]
        self._told = (
            {"kind": str(told["kind"]), "iteration": int(told["iteration"])} if told else {}
        )
        self.diagnosis = None if saved is None else Diagnosis.of(saved)
        self._agreeing, self._since = int(state["agreeing"]), int(state["since"])

    def results(self) -> dict[str, Any]:
        """For the summary: kind, sentence, causes and remedies, what was told when, and the
        figures that were judged.
        """
        diagnosis = self.diagnosis or Diagnosis(
            "unknown", f"not judged: nothing was measured from iteration {self.min_iters} on"
        )
        return {**asdict(diagnosis), "told": self._told or None, "figures": self._figures}

    def _judge(self, runner: Run, done: int) -> None:
        before, self.diagnosis = self.diagnosis, self._diagnose(runner)
        same = before is not None and before.kind == self.diagnosis.kind
        self._agreeing = self._agreeing + 1 if same else 1
        self._since = self._since if same else done
        runner.record({"healthy": float(not self.diagnosis.is_fault)}, done)
        if not self.diagnosis.is_fault or self._agreeing < self.patience:
            return
        if self.diagnosis.may_pass and PASSING * (done - self._since) < runner.max_iters:
            return
        if not self._told:
            self._tell(runner, self.diagnosis, done)
        if self.on_collapse == "stop":
            self._stop = True
            self._agreeing = 0  # who goes on nevertheless is given as much patience again

    def _end(self, saved: Path, done: int) -> NoReturn:
        barrier()  # a launcher ends all processes as soon as one has ended
        told = "" if self.diagnosis is None else self.diagnosis.sentence
        raise CollapseError(
            f"Stopped after iteration {done} (on_collapse='stop'): {told}. The run is saved in "
            f"{saved}; --resume goes on from there, which mends nothing by itself: rates may be "
            f"others then, and what changes the model takes a new run."
        )

    def _diagnose(self, runner: Run) -> Diagnosis:
        history = runner.history
        if self._images_differ is None:
            self._images_differ = on_first_rank(lambda: images_differ(runner.train_set))
        method = _method(runner)
        changes: dict[str, float] = {}
        if 2 * runner.iter >= runner.max_iters:  # a warm-up may take its time
            found = {name: change(history.series(name)[1]) for name in OUTCOMES}
            changes = {name: value for name, value in found.items() if value is not None}
        self._figures = {n: history.latest[n] for n in FIGURES if n in history.latest}
        return diagnose(history.latest, changes, method, self.limits, self._images_differ)

    def _worse(self, runner: Run) -> Diagnosis | None:
        """Where kNN was measured before training and after it."""
        for hook in runner.hooks:
            for one in hook.evaluators.values() if isinstance(hook, EvaluationHook) else ():
                name = next(iter(one.results)) if isinstance(one, KNN) else ""
                if name in hook.initial and name in hook.final:
                    before, after = hook.initial[name], hook.final[name]
                    method, images = _method(runner), len(hook.test_set)
                    return worse(before, after, images, method, self.limits)
        return None

    def _tell(self, runner: Run, diagnosis: Diagnosis, done: int) -> None:
        self._told = {"kind": diagnosis.kind, "iteration": done}
        text = f"note: iteration {done}: {diagnosis.sentence}."
        if diagnosis.causes:
            text += f"\n      likely causes: {'; '.join(diagnosis.causes)}."
            text += f"\n      remedies: {'; '.join(diagnosis.remedies)}."
        runner.console_message(text)
        runner.write_text("health", text, done)

    def _movement(self, model: MultiView) -> dict[str, float]:
        now = _weights(model)
        moved = {"weights_moved": distance(now["student"], self._start["student"])}
        if "teacher" in now:
            moved["teacher_moved"] = distance(now["teacher"], self._start["teacher"])
            moved["teacher_distance"] = distance(now["teacher"], now["taught"])
        values = all_reduce_mean(torch.stack(list(moved.values()))).tolist()
        return dict(zip(moved, values, strict=True))


def _method(runner: Run) -> Method:
    rates = runner.history.series("lr")[1]
    batch_size = (runner.train_dataloader.batch_size or 0) * world_size()
    return Method.of(runner.model, batch_size, float(rates.max()) if len(rates) else 0.0)


def _weights(model: MultiView) -> dict[str, Tensor]:
    """Samples of what is trained, of what the teacher follows, and of the teacher."""
    names = model.taught_parts
    weights = {
        "student": sample_weights(p for p in model.parameters() if p.requires_grad),
        "taught": sample_weights(p for part in names.values() for p in part.parameters()),
    }
    if model.teacher is not None:
        parts = model.teacher.parts
        weights["teacher"] = sample_weights(p for name in names for p in parts[name].parameters())
    return weights
