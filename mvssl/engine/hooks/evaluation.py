"""Evaluation before, during and after training."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from mmengine.hooks import Hook

from mvssl.arguments import check_count
from mvssl.datasets.base import ImageDataset
from mvssl.datasets.faults import MOST_NAMED
from mvssl.engine.agreement import StopAskedError
from mvssl.engine.loaders import MOST_WORKERS
from mvssl.engine.run import Run, is_last_epoch
from mvssl.evaluation import Evaluator, Learner, check_evaluators, evaluate, evaluate_pixels
from mvssl.models import Embeddings
from mvssl.registry import DATASETS, EVALUATORS, HOOKS

__all__ = ["EvaluationHook"]


@HOOKS.register_module()
class EvaluationHook(Hook):
    """Runs any number of evaluators on two data sets; what they share is computed once.

    They run before training, every ``interval`` epochs, and after the last one; those that take
    features alone once on raw pixels too. Members that learn (``OnlineProbe``) are given what the
    student makes of every batch. Results are curves of the run, by their own names; a resumed run
    keeps those that it has. A signal ends one between two batches; a run that is
    resumed makes up for it first.

    Args:
        train: data set that evaluators learn from or look up.
        test: data set of held-out images.
        evaluators: members of EVALUATORS by names of your choice; None leaves one out.
        interval: epochs between two measurements.
        batch_size: images embedded at once by each process.
        num_workers: of the loaders of each process.

    Attributes:
        evaluators: those that run, by name.
        initial: results before training; of a run that was resumed without them, none.
        final: the last results after a step of training; none before the first.
        pixels: ``<name>_pixels``, on raw pixels.
        left: what made it leave the last evaluation, if it did.

    Raises:
        UserError: labels that are needed are missing, two evaluators give results of one name, or
            a number is not positive.
    """

    # After the scalars of the epoch, before checkpoints, which hold the curves.
    priority = "LOW"

    def __init__(
        self,
        train: dict[str, Any],
        test: dict[str, Any],
        evaluators: Mapping[str, dict[str, Any] | None],
        interval: int = 10,
        batch_size: int = 256,
        num_workers: int = 0,
    ) -> None:
        check_count("EvaluationHook", interval=interval, batch_size=batch_size)
        check_count("EvaluationHook", 0, MOST_WORKERS, num_workers=num_workers)
        self.train_set: ImageDataset = DATASETS.build(train)
        self.test_set: ImageDataset = DATASETS.build(test)
        self.evaluators: dict[str, Evaluator] = {
            name: EVALUATORS.build(one) for name, one in evaluators.items() if one is not None
        }
        check_evaluators(list(self.evaluators.values()), self.train_set, self.test_set)
        self.interval = interval
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.initial: dict[str, float] = {}
        self.final: dict[str, float] = {}
        self.pixels: dict[str, float] = {}
        self.left: StopAskedError | None = None
        self._owed = 0
        self._told: set[str] = set()
        self._learned: dict[str, Any] = {}

    @property
    def learners(self) -> dict[str, Learner]:
        """Those that learn while the run trains."""
        return {name: one for name, one in self.evaluators.items() if isinstance(one, Learner)}

    def check_training(self, dataset: ImageDataset) -> None:
        """That what learns can do so from the images of the run.

        Raises:
            UserError: it cannot.
        """
        for one in self.learners.values():
            one.check_training(dataset, self.test_set)

    def state_dict(self) -> dict[str, Any]:
        """The epoch whose evaluation was left, if one was, and what was learned."""
        learned = {name: one.state_dict() for name, one in self.learners.items()}
        return {"owed": self._owed, "learned": learned}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what ``state_dict`` gave."""
        self._owed = state["owed"]
        self._learned = dict(state.get("learned", {}))  # earlier checkpoints have none

    def before_train(self, runner: Run) -> None:
        self._begin_learning(runner)
        known = [name for name, one in self.evaluators.items() if self._restore(runner, one)]
        new = {name: one for name, one in self.evaluators.items() if name not in known}
        pixels = evaluate_pixels(
            new.values(), self.train_set, self.test_set, self.batch_size, self.num_workers
        )
        if pixels:
            self.pixels |= pixels
            runner.record(pixels, runner.iter)
        due = self.evaluators if self._owed == runner.epoch > 0 else new
        self._owed = 0
        if not due:
            return
        begins = runner.iter == 0
        when = "before training" if begins else f"epoch {runner.epoch}"
        results = self._measure(runner, due, when)
        if begins:
            self.initial = results

    def _begin_learning(self, runner: Run) -> None:
        if not self.learners:
            return
        device = next(runner.model.parameters()).device
        for name, one in self.learners.items():
            one.begin(runner.train_set, runner.model.backbone.num_features, device)
            if name in self._learned and not one.load_state_dict(self._learned[name]):
                runner.console_message(
                    f"note: {name} ({type(one).__name__}) begins anew, for the images have other "
                    f"classes than before."
                )
        self._learned = {}
        runner.train_loop.observers.append(partial(self._learn, runner))

    def _learn(self, runner: Run, record: Embeddings, batch: Mapping[str, Any]) -> None:
        for one in self.learners.values():
            runner.scalars.add(one.learn(record.features, batch["label"]))

    def after_train_epoch(self, runner: Run) -> None:
        if is_last_epoch(runner) or self.every_n_epochs(runner, self.interval):
            try:
                self._measure(runner, self.evaluators, f"epoch {runner.epoch + 1}")
            except StopAskedError as asked:
                self.left, self._owed = asked, runner.epoch + 1

    def _restore(self, runner: Run, evaluator: Evaluator) -> bool:
        """Take an evaluator's results from the curves of a resumed run, if they are there."""
        found = False
        for name in evaluator.results:
            steps, values = runner.history.series(name)
            if len(steps) == 0:
                continue
            found = True
            if steps[-1] > 0:
                self.final[name] = float(values[-1])
            if steps[0] == 0:
                self.initial[name] = float(values[0])
            pixels = runner.history.series(f"{name}_pixels")[1]
            if len(pixels):
                self.pixels[f"{name}_pixels"] = float(pixels[0])
        return found

    def _tell(self, runner: Run, text: str) -> None:
        """Once in a run, what is found again in every measurement."""
        if text not in self._told:
            self._told.add(text)
            few = len(self._told) <= MOST_NAMED
            (runner.console_message if few else runner.logger.info)(text)

    def _measure(
        self, runner: Run, evaluators: Mapping[str, Evaluator], when: str
    ) -> dict[str, float]:
        results = evaluate(
            runner.model,
            evaluators.values(),
            self.train_set,
            self.test_set,
            batch_size=self.batch_size,
            num_workers=self.num_workers,
            between=runner.between_steps,
            told=partial(self._tell, runner),
        )
        if runner.iter > 0:
            self.final |= results
        runner.record(results, runner.iter)
        for one in evaluators.values():
            told = _told(one, results)
            if told:
                runner.console_message(f"{when:<16} {told}")
        return results


def _told(evaluator: Evaluator, results: Mapping[str, float]) -> str:
    """``kNN top-1 0.871  (k=20, t=0.07)``; empty where it has nothing to show."""
    words = [
        f"{shown.label} {shown.text(results[name])}"
        for name, shown in evaluator.results.items()
        if shown.listed and name in results
    ]
    protocol = evaluator.short_protocol
    return "  ".join([*words, *([f"({protocol})"] if words and protocol else [])])
