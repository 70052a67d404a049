"""The evaluation of a config: which evaluators it has, and a folder of images in its data sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mmengine.config import Config

from mvssl.errors import UserError
from mvssl.registry import EVALUATORS

__all__ = ["active_evaluators", "evaluate_folder", "takes_whole_images"]


def active_evaluators(cfg: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Configs of the evaluators that run, by name; none where nothing is evaluated."""
    evaluation = cfg.get("evaluation")
    evaluators = evaluation.get("evaluators") if isinstance(evaluation, Mapping) else None
    if not isinstance(evaluators, Mapping):
        return {}
    return {name: one for name, one in evaluators.items() if isinstance(one, Mapping)}


def takes_whole_images(cfg: Mapping[str, Any]) -> bool:
    """Whether an evaluator gives the backbone whole images, with all of their channels."""
    kinds = [_kind(one) for one in active_evaluators(cfg).values()]
    return any({"features", "backbone"} & set(getattr(kind, "needs", ())) for kind in kinds)


def evaluate_folder(cfg: Config, images: Mapping[str, Any], labels: bool) -> None:
    """Put a folder of images in the place of the evaluation's data sets.

    Without labels, all images are training and held-out images alike, and evaluators that need
    labels are set to None. With labels, kNN is run where a config has no evaluators.

    Args:
        cfg: whose ``evaluation`` is changed.
        images: the folder as whole images of one size.
        labels: whether its sub-folders are classes.
    """
    evaluation = cfg.get("evaluation") or {}
    if not isinstance(evaluation, Mapping):
        return  # which the config's check tells
    evaluators = evaluation.get("evaluators")
    if labels and not evaluators:
        evaluators = {"knn": {"type": "KNN"}}
    if not isinstance(evaluators, Mapping) or not evaluators:
        return
    if labels and isinstance(evaluators.get("knn"), Mapping):
        # An override may have come first: evaluation.evaluators.knn.k=5.
        evaluators = {**evaluators, "knn": {"type": "KNN", **evaluators["knn"]}}
    if not labels:
        evaluators = {
            name: None if isinstance(one, Mapping) and _needs_labels(one) else one
            for name, one in evaluators.items()
        }
    cfg.evaluation = {
        **evaluation,
        "train": {**images, "split": "train"},
        "test": {**images, "split": "test" if labels else "train"},
        "evaluators": evaluators,
    }


def _needs_labels(evaluator: Mapping[str, Any]) -> bool:
    return bool(getattr(_kind(evaluator), "needs_labels", False))


def _kind(evaluator: Mapping[str, Any]) -> Callable[..., Any] | None:
    """The class of an evaluator; None where the config's check will tell that there is none."""
    named = evaluator.get("type")
    if not isinstance(named, str):
        return named
    try:
        return EVALUATORS.find(named)
    except UserError:
        return None
